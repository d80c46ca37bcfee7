"""Report pages in a browser, which is the fixture `browser`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def opened(browser: Any, path: Path, **options: Any) -> Iterator[Any]:
    """The page in the file at PATH, in a window with OPTIONS of playwright. It must make no errors."""
    context = browser.new_context(**{"viewport": {"width": 1000, "height": 900}, **options})
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else told.append(asked.url))
    try:
        page.goto(path.resolve().as_uri())
        yield page
        assert told == []
    finally:
        context.close()
