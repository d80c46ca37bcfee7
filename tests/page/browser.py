"""Report pages in a browser. Tests get it from the fixture `browser`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class NoBrowserError(Exception):
    """There is no browser; the message says what to install."""


@contextmanager
def chromium() -> Iterator[Any]:
    """Chromium without a window. Raises NoBrowserError where it, or playwright, is not installed."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise NoBrowserError("needs playwright: pip install '.[dev]'") from error
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    with sync_playwright() as play:
        if found is None and not Path(play.chromium.executable_path).exists():
            raise NoBrowserError(
                "needs Chromium: install it from the packages of the system, or run: playwright install chromium"
            )
        started = play.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield started
        started.close()


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
