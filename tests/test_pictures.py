"""The pictures of the pages: small, all of them shown, and what `make pictures` makes now."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pictures
import pytest
from PIL import Image

from tests.paths import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MOST = 150_000
DRAWN = [name for name, written in pictures.SOURCES.items() if not written.endswith(".html")]


def test_every_picture_is_shown_on_a_page_and_is_small() -> None:
    shown = [
        (page.parent / target).resolve()
        for page in PAGES
        for target in re.findall(r"!\[[^]]+\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    ]
    assert set(shown) == {pictures.PICTURES / name for name in pictures.SOURCES}
    assert set(pictures.PICTURES.iterdir()) == set(shown)
    assert all(0 < path.stat().st_size < MOST for path in shown)


def test_the_readme_shows_the_command_of_its_pictures() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    names = re.findall(r"\]\(docs/pictures/([^)]+)\)", readme)
    assert len(names) == 3 and re.search(
        r"^pictures: .*\n\t.*docs/pictures\.py$", (ROOT / "Makefile").read_text(), re.M
    )
    for name in names:
        command = pictures.command_of(pictures.SOURCES[name])
        assert all(word in readme for word in command)


@pytest.mark.thorough
def test_the_commands_make_the_same_pictures(tmp_path: Path) -> None:
    pictures.make(tmp_path, DRAWN)
    (tmp_path / "stored").mkdir()
    for name in DRAWN:
        pictures.store(tmp_path / pictures.SOURCES[name], tmp_path / "stored", name)
        made, kept = tmp_path / "stored" / name, pictures.PICTURES / name
        if made.suffix == ".svg":
            assert made.read_bytes() == kept.read_bytes(), "run `make pictures`"
            continue
        whole = np.asarray(Image.open(tmp_path / pictures.SOURCES[name]).convert("RGB"), float)
        few = np.asarray(Image.open(kept).convert("RGB"), float)
        assert whole.shape == few.shape and np.percentile(np.abs(whole - few), 99.9) < 20, "the colours are those drawn"
        pixels, others = (np.asarray(Image.open(path).convert("RGB"), float) for path in (made, kept))
        assert pixels.shape == others.shape and np.abs(pixels - others).mean() < 2, "run `make pictures`"
