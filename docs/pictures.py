"""Make the pictures of README.md and guide.md, small, in docs/pictures.

    python docs/pictures.py

The pages show the command of each picture; it is found there and run. The report page is photographed in Chromium;
where there is none, its picture stays as it is.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PICTURES = DOCS / "pictures"
SOURCES = {
    "drawing.svg": "drawing.svg",
    "boxes.png": "boxes.png",
    "labels.png": "labels.png",
    "report.png": "report.html",
}
"""The file that a command writes, by the name of the picture."""

NEEDED = "digits_fcn.prototxt"
"""What the commands read, which another command on the pages writes."""

WIDTH, COLOURS, ROUNDS = 768, 128, 3
"""The size of a picture in pixels at most, the number of its colours, and of the rounds to find these: the colours of a
few small boxes count as much as the ground."""

WINDOW = {"width": 560, "height": 900}
"""The window in which the report page is shown, from its map on."""


def command_of(written: str) -> list[str]:
    """The first command on the pages that writes the file WRITTEN."""
    option = re.compile(
        rf"^    (?:\$ )?caffe-fcn (.* (?:-o|--boxes|--label-map) {re.escape(written)}\b.*)$", re.MULTILINE
    )
    for page in (ROOT / "README.md", DOCS / "guide.md"):
        found = option.search(page.read_text(encoding="utf-8"))
        if found is not None:
            return shlex.split(found[1])
    raise SystemExit(f"no command in README.md or docs/guide.md writes {written}")


def make(directory: Path, files: Iterable[str]) -> None:
    """Run the commands that write FILES, in DIRECTORY."""
    (directory / "models").symlink_to(ROOT / "models")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for command in dict.fromkeys(tuple(command_of(each)) for each in (NEEDED, *files)):
        subprocess.run([sys.executable, "-m", "caffe_fcn", *command, "-q"], cwd=directory, env=environment, check=True)


def store(made: Path, directory: Path, name: str) -> None:
    """Put the picture MADE into DIRECTORY under NAME; one of pixels with fewer of them, and fewer colours."""
    if made.suffix == ".svg":
        shutil.copyfile(made, directory / name)
        return
    picture = Image.open(made).convert("RGB")
    if picture.width > WIDTH:
        size = WIDTH, round(picture.height * WIDTH / picture.width)
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    few = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, ROUNDS, dither=Image.Dither.NONE)
    few.save(directory / name, optimize=True)


def photograph(browser: Any, page: Path, picture: Path) -> None:
    """Write what the report PAGE shows in a window of BROWSER, from its map on."""
    window = browser.new_page(viewport=WINDOW, color_scheme="light")
    window.goto(page.resolve().as_uri())
    window.wait_for_selector(".map-side:not([hidden])")
    window.evaluate("document.getElementById('dense').scrollIntoView()")
    window.wait_for_timeout(200)
    window.screenshot(path=picture)
    window.close()


def main() -> None:
    """Make all pictures."""
    sys.path.insert(0, str(ROOT))
    from tests.page.browser import NoBrowserError, chromium

    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        make(directory, SOURCES.values())
        try:
            with chromium() as browser:
                photograph(browser, directory / "report.html", directory / "report.png")
        except NoBrowserError as error:
            print(f"report.png stays as it is: {error}", file=sys.stderr)
        for picture, written in SOURCES.items():
            made = directory / (picture if written.endswith(".html") else written)
            if made.exists():
                store(made, PICTURES, picture)


if __name__ == "__main__":
    main()
