"""Boxes of peaks drawn over pictures: each where it lies, in the colour of its class, with tags that cover no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import caffe_fcn
from caffe_fcn.predict.draw import boxes as drawing
from caffe_fcn.predict.draw import colours, lettering
from caffe_fcn.predict.draw.boxes import DrawnPeak, peak_boxes
from caffe_fcn.predict.images.picture import Box, open_picture
from caffe_fcn.predict.labels import Labels
from tests.paths import ROOT

DIGITS = ROOT / "models" / "digits"


def picture(directory: Path, high: int, wide: int) -> Any:
    np.save(directory / "a.npy", np.full((high, wide), 100, np.uint8))
    return open_picture(directory / "a.npy", 1)


def pixels(made: Any) -> NDArray[Any]:
    return np.asarray(made.image).astype(int)


def colour_of(label: int, count: int = 10) -> tuple[int, int, int]:
    return colours.of_classes([label], count, None)[label]


def test_a_box_is_drawn_on_its_pixels_and_nothing_inside(tmp_path: Path) -> None:
    made = peak_boxes(picture(tmp_path, 800, 1000), [DrawnPeak(3, "0.90", Box(200, 300, 260, 400))], Labels(10), "one")
    seen = pixels(made)
    assert (made.step, made.zoom) == (1, 1)
    for row, column in ((201, 350), (258, 350), (230, 301), (230, 398)):
        assert tuple(seen[row, column]) == colour_of(3)
    for row, column in ((200, 350), (259, 350), (230, 300), (230, 399)):
        assert tuple(seen[row, column]) == (0, 0, 0)
    assert (seen[206:254, 306:394] == 100).all() and (seen[261:800] == 100).all() and (seen[:160] == 100).all()


def test_boxes_follow_the_size_of_the_drawing(tmp_path: Path) -> None:
    peak = DrawnPeak(0, "1.00", Box(0, 0, 20, 40))
    small = pixels(peak_boxes(picture(tmp_path, 20, 40), [peak], Labels(10), "one"))  # 19 times as large
    assert all(tuple(small[row, column]) == colour_of(0) for row, column in ((1, 700), (19 * 20 - 2, 700), (300, 1)))
    wide = picture(tmp_path, 40, 10_000)
    made = peak_boxes(wide, [DrawnPeak(0, "1.00", Box(0, 5000, 40, 10_000))], Labels(10), "one", most=1000)
    assert made.step == 10 and tuple(pixels(made)[2, 501]) == colour_of(0) == tuple(pixels(made)[2, 998])


def test_tags_lie_within_the_picture_and_cover_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Box] = []
    place = drawing._Tags.place

    def note(self: Any, index: int, size: tuple[int, int]) -> Box | None:
        if (box := place(self, index, size)) is not None:
            found.append(box)
        return box

    monkeypatch.setattr(drawing._Tags, "place", note)
    random = np.random.default_rng(0)
    starts = random.integers(-3, 560, (60, 2))
    peaks = [DrawnPeak(int(top) % 7, "0.50", Box(top, left, top + 60, left + 50)) for top, left in starts.tolist()]
    names = Labels(7, tuple("tag " * length for length in range(1, 8)))
    peak_boxes(picture(tmp_path, 600, 600), peaks, names, "many")
    covered = np.zeros((600, 600), int)
    for box in found:
        assert 0 <= box.top < box.bottom <= 600 and 0 <= box.left < box.right <= 600
        covered[box.top : box.bottom, box.left : box.right] += 1
    assert covered.max() == 1 and 10 < len(found) <= 60


def tags_of(monkeypatch: pytest.MonkeyPatch, directory: Path, labels: Labels, side: int, classes: int) -> list[str]:
    """The texts of the tags of 12 boxes of SIDE pixels, of so many CLASSES, on a picture of 900×1200."""
    words: list[str] = []

    def note(*each: Any) -> None:
        words.append(each[4])
        lettering.write(*each)

    monkeypatch.setattr(drawing, "write", note)
    corners = [(top, left) for top in (100, 400, 700) for left in (100, 400, 700, 1000)]
    peaks = [
        DrawnPeak(index % classes, "0.90", Box(top, left, top + side, left + side))
        for index, (top, left) in enumerate(corners)
    ]
    peak_boxes(picture(directory, 900, 1200), peaks, labels, "12 peaks")
    return words


def test_tags_are_left_out_at_boxes_that_they_would_hide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The legend names the classes; a tag tells a class only if there are several."""
    names = Labels(2, ("a name of many letters", "another"))
    assert tags_of(monkeypatch, tmp_path, names, 12, 1) == []
    assert tags_of(monkeypatch, tmp_path, names, 120, 1) == ["0.90"] * 12
    assert tags_of(monkeypatch, tmp_path, names, 25, 2) == []
    assert sorted(set(tags_of(monkeypatch, tmp_path, names, 250, 2))) == [
        "a name of many letters  0.90",
        "another  0.90",
    ]


def test_the_legend_counts_the_boxes_of_each_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words: list[str] = []
    write = lettering.write

    def note(*each: Any) -> None:
        words.append(each[4])
        write(*each)

    monkeypatch.setattr("caffe_fcn.predict.draw.legend.write", note)
    peaks = [DrawnPeak(label, "0.90", Box(0, 0, 9, 9)) for label in (*range(14), 2, 2, 5)]
    peak_boxes(picture(tmp_path, 800, 1000), peaks, Labels(14), "17 peaks above 0.5")
    assert words[:4] == ["class 2", "3", "class 5", "2"] and words[-3:-1] == ["2 other classes", "2"]
    assert words[-1] == "a.npy: 800x1000 pixels; 17 peaks above 0.5"


def test_boxes_and_names_of_any_kind(tmp_path: Path) -> None:
    names = Labels(3, ("x" * 5000, "\x1b[31m\udcff\n", "background"))
    odd = [Box(0, 0, 1, 1), Box(5, 5, 5, 5), Box(-9, -9, 900, 900), Box(0, 29, 30, 30)]
    for high, wide in ((30, 30), (1, 1), (3, 5000), (5000, 2)):
        peaks = [DrawnPeak(index % 3, "0.10", box) for index, box in enumerate(odd)]
        made = peak_boxes(picture(tmp_path, high, wide), peaks, names, "odd")
        assert made.png() == peak_boxes(picture(tmp_path, high, wide), peaks, names, "odd").png()
    assert peak_boxes(picture(tmp_path, 30, 30), [], names, "none").image.width >= 30


@pytest.mark.thorough
def test_boxes_in_a_crop_are_drawn_on_the_crop() -> None:
    pytest.importorskip("onnxruntime")
    with caffe_fcn.open(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel") as net:
        seen = net.convolutionalize().run(DIGITS / "scattered.png", crop="center", scale=1 / 255)
    (peak,) = seen.peaks(3, threshold=0)
    assert peak.box == (86, 118, 106, 138)
    drawn = np.asarray(seen.boxes(3, threshold=0))
    assert tuple(drawn[400, 1]) == colour_of(3, 11) == tuple(drawn[400, 20 * 38 - 2])
