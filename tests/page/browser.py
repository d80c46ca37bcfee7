"""A browser for tests of report pages. A module of tests imports `browser`; where there is none, the tests skip."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window; the test is skipped where it, or playwright, is not installed."""
    reason = "needs playwright: pip install '.[dev]'"
    sync_api = pytest.importorskip("playwright.sync_api", reason=reason)
    found = next(filter(None, map(shutil.which, NAMES)), None)
    with sync_api.sync_playwright() as play:
        if found is None and not Path(play.chromium.executable_path).exists():
            pytest.skip(
                "needs Chromium: install it from the packages of the system, or run: playwright install chromium"
            )
        started = play.chromium.launch(executable_path=found, args=ARGUMENTS)
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
