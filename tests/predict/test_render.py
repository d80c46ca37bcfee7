"""Maps drawn over pictures: each cell where it stands, what its colour means, and the same bytes always."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFont

from caffe_fcn import convert
from caffe_fcn.engines.onnxruntime import OnnxRuntime
from caffe_fcn.errors import ExtraError
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.net.geometry import AxisGeometry, CellPhase
from caffe_fcn.net.source import read_net
from caffe_fcn.predict.cells import CellAxis, Cells
from caffe_fcn.predict.dense import dense, tiles_of
from caffe_fcn.predict.draw import bare, colours, legend, lettering, view
from caffe_fcn.predict.draw.legend import heat_legend
from caffe_fcn.predict.draw.render import Drawing, heat_map, label_map
from caffe_fcn.predict.draw.view import DrawnMap, beneath, view_of
from caffe_fcn.predict.images.picture import open_picture
from caffe_fcn.predict.labels import Labels, read_labels
from caffe_fcn.predict.loading import load_picture_net
from caffe_fcn.predict.maps import Map
from caffe_fcn.predict.preprocessing import Preprocessing
from tests.paths import ROOT

DIGITS = ROOT / "models" / "digits"
OFF, ON = 0.5 * 100, 0.25 * 100 + 0.75 * np.array((252, 255, 172))
"""What the lowest and the highest colour make of a pixel of grey 100."""


BARE = np.array([[100 + (value - 100) * bare.SHARE for value in stripe] for stripe in bare.STRIPES]).round()
"""What the two stripes over pixels without a cell make of a pixel of grey 100."""


def picture(directory: Path, high: int, wide: int, value: float = 100, kind: str = "u1", name: str = "a.npy") -> Any:
    np.save(directory / name, np.full((high, wide), value, kind))
    return open_picture(directory / name, 1)


def cells(high: int, wide: int, window: int, stride: float) -> Cells:
    """The cells of a net that does not pad."""
    rows, columns = (axis(size, int((size - window) // stride) + 1, window, stride) for size in (high, wide))
    return Cells(rows, columns)


def axis(size: int, cells: int, window: int, stride: float, first: int = 0) -> CellAxis:
    """CELLS of which the first sees the pixels from FIRST on; where STRIDE is no whole number, of several phases."""
    step, many = Fraction(stride).as_integer_ratio()
    starts = [first + step * index // many for index in range(many)]
    return CellAxis(size, cells, AxisGeometry(tuple(CellPhase(each, each + window - 1) for each in starts), step, size))


def level(values: NDArray[Any], where: Cells) -> DrawnMap:
    scores = Map((len(values), *where.shape))
    scores.write(0, 0, values.reshape(-1, *where.shape).astype(np.float32))
    return DrawnMap(scores, where.rows, where.columns)


def drawn(drawing: Drawing) -> NDArray[Any]:
    return np.asarray(drawing.image).astype(int)


def is_bare(made: NDArray[Any]) -> NDArray[Any]:
    """Where pixels of MADE have the colours of no answer."""
    return np.asarray((made == BARE[0]).all(2) | (made == BARE[1]).all(2))


def single(where: Cells, row: int, column: int) -> NDArray[Any]:
    """Scores of one class: 1 at a cell, elsewhere 0."""
    scores = np.zeros((1, *where.shape))
    scores[0, row, column] = 1
    return scores


# ---- Where cells are drawn ----


@pytest.mark.thorough
@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 3), (4, 6)])
def test_a_cell_is_drawn_around_the_middle_of_its_window(tmp_path: Path, row: int, column: int) -> None:
    where = cells(800, 1000, 400, 96)  # 5×7 cells
    made = drawn(heat_map(picture(tmp_path, 800, 1000), [level(single(where, row, column), where)], [0], "it"))
    top, left = 200 + 96 * row - 48, 200 + 96 * column - 48
    lit = (made[:800, :1000] == ON.round()).all(2)
    assert lit[top : top + 96, left : left + 96].all() and lit.sum() == 96 * 96
    covered = (made[:800, :1000] == OFF).all(2) | (abs(made[:800, :1000] - (50, 50, 53)) <= 1).all(2) | lit
    assert covered[152 : 152 + 5 * 96, 152 : 152 + 7 * 96].all()
    assert covered.sum() == 5 * 96 * 7 * 96  # all else is bare
    assert is_bare(made[:800, :1000])[~covered].all()


def test_a_small_picture_is_shown_larger_with_its_cells_in_place(tmp_path: Path) -> None:
    where = cells(60, 80, 20, 4)
    drawing = heat_map(picture(tmp_path, 60, 80), [level(single(where, 3, 5), where)], [0], "it")
    assert (drawing.step, drawing.zoom) == (1, 9)
    lit = (drawn(drawing)[: 60 * 9, : 80 * 9] == ON.round()).all(2)
    top, left = 9 * (10 + 4 * 3 - 2), 9 * (10 + 4 * 5 - 2)
    assert lit[top : top + 36, left : left + 36].all() and lit.sum() == 36 * 36


@pytest.mark.parametrize("stride", [1, 3, 4, 7, 50])
def test_in_a_picture_shown_smaller_no_peak_is_lost(tmp_path: Path, stride: int) -> None:
    where = cells(1000, 1000, 100, stride)
    found = picture(tmp_path, 1000, 1000)
    for row, column in ((0, 0), (where.shape[0] // 2, 7), (where.shape[0] - 1, where.shape[1] - 1)):
        drawing = heat_map(found, [level(single(where, row, column), where)], [0], "it", most=150)
        assert (drawing.step, drawing.zoom) == (7, 1) and drawing.image.width >= 143
        lit = np.argwhere((drawn(drawing)[:143, :143] == ON.round()).all(2))
        middle = (np.array((row, column)) * stride + 50) / 7
        assert len(lit) >= 1 and abs(lit.mean(0) + 0.5 - middle).max() <= 1


@pytest.mark.parametrize(("stride", "shared"), [(0.5, True), (0.25, True), (1, False)])
def test_cells_closer_than_pixels_are_all_drawn(
    tmp_path: Path, stride: float, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a net that makes pictures larger; the legend tells that a pixel has several, and then which it shows."""
    where, found = cells(40, 50, 8, stride), picture(tmp_path, 40, 50)
    told = []

    def legend(*arguments: Any) -> Any:
        told.append(arguments[1].told)
        return heat_legend(*arguments)

    monkeypatch.setattr("caffe_fcn.predict.draw.render.heat_legend", legend)
    for row, column in ((0, 0), (5, 8), (6, 7), (where.shape[0] - 1, where.shape[1] - 1)):
        drawing = heat_map(found, [level(single(where, row, column), where)], [0], "it", most=50)
        assert (drawing.step, drawing.zoom) == (1, 1)
        assert (drawn(drawing)[:40, :50] == ON.round()).all(2).sum() == 1
    assert {"each pixel shows the highest of its cells" in each for each in told} == {shared}


def test_a_single_cell_and_a_single_class(tmp_path: Path) -> None:
    where = cells(20, 20, 20, 4)
    found = picture(tmp_path, 20, 20)
    one = level(np.full((1, 1, 1), 0.25), where)
    heat, label = heat_map(found, [one], [0], "it"), label_map(found, [one], Labels(1))
    for made in (drawn(heat), drawn(label)):
        zoom = heat.zoom
        free = is_bare(made[: 20 * zoom, : 20 * zoom])
        assert free.sum() == (20 * 20 - 4 * 4) * zoom**2 and not free[8 * zoom : 12 * zoom, 8 * zoom : 12 * zoom].any()


def test_a_map_beside_its_picture_leaves_it_bare(tmp_path: Path) -> None:
    behind = axis(800, 2, 9, 4, 2000)
    where = Cells(behind, behind)
    found = picture(tmp_path, 800, 800)
    for drawing in (
        heat_map(found, [level(np.ones((2, 2, 2)), where)], [1], "it"),
        label_map(found, [level(np.ones((2, 2, 2)), where)], Labels(2)),
    ):
        assert is_bare(drawn(drawing)[:800, :800]).all() and drawing.image.height > 800


@pytest.mark.parametrize(("high", "wide"), [(1, 1), (1, 5000), (5000, 1), (3, 900)])
def test_pictures_of_odd_sizes(tmp_path: Path, high: int, wide: int) -> None:
    where = cells(high, wide, 1, 1)
    found = picture(tmp_path, high, wide)
    for drawing in (
        heat_map(found, [level(np.ones((2, *where.shape)), where)], [0], "it", most=1000),
        label_map(found, [level(np.ones((2, *where.shape)), where)], Labels(2), most=1000),
    ):
        assert max(high, wide) // drawing.step * drawing.zoom <= 1000 and drawing.image.width >= 360


# ---- What is drawn ----


def test_classes_and_levels_are_joined_by_the_highest_score(tmp_path: Path) -> None:
    fine, coarse = cells(800, 800, 200, 100), cells(800, 800, 400, 200)
    levels = [
        level(np.stack([single(fine, 0, 0)[0], 0.5 * single(fine, 6, 6)[0], single(fine, 3, 3)[0]]), fine),
        level(np.stack([0 * single(coarse, 0, 0)[0], single(coarse, 2, 2)[0], single(coarse, 0, 2)[0]]), coarse),
    ]
    found = picture(tmp_path, 800, 800)
    lit = (drawn(heat_map(found, levels, [0, 1], "both"))[:800, :800] == ON.round()).all(2)
    assert lit[50:150, 50:150].all() and lit[500:700, 500:700].all() and lit.sum() == 100**2 + 200**2
    made = drawn(label_map(found, levels, Labels(3)))
    spots = [made[place] for place in ((100, 100), (600, 600), (200, 600), (400, 400))]
    expected = [0.4 * 100 + 0.6 * np.array(colours._HUES[index]) for index in (0, 1, 2, 2)]
    np.testing.assert_allclose(spots, expected, atol=0.5)


def test_colours_go_from_the_lowest_to_the_highest_score_or_as_told(tmp_path: Path) -> None:
    where = cells(800, 800, 400, 400)
    found = picture(tmp_path, 800, 800)
    levels = [level(np.array([[-3, 1], [1, 5]]), where)]
    made = drawn(heat_map(found, levels, [0], "it"))
    np.testing.assert_array_equal(made[599, 599], ON.round())
    assert made[201, 201].max() <= 53
    np.testing.assert_array_equal(made[201, 599], made[599, 201])
    made = drawn(heat_map(found, levels, [0], "it", span=(0, 1)))
    np.testing.assert_array_equal(made[201, 599], ON.round())


@pytest.mark.parametrize(
    ("span", "told"),
    [
        (None, "colours from the lowest to the highest value drawn"),
        ((-3, 5), "fixed range of colours; no value is outside"),
        ((-3, 4), "fixed range of colours; of the values 25% above, in the end colours"),
        ((-2.5, 4), "fixed range of colours; of the values 25% below and 25% above, in the end colours"),
    ],
)
def test_the_legend_tells_how_colours_follow_from_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, span: tuple[float, float] | None, told: str
) -> None:
    words: list[str] = []
    monkeypatch.setattr(legend, "write", lambda style, draw, left, middle, text, colour: words.append(text))
    where = cells(800, 800, 400, 400)
    heat_map(picture(tmp_path, 800, 800), [level(np.array([[-3, 1], [1, 5]]), where)], [0], "it", span=span)
    assert told in words


def test_pictures_with_a_fixed_range_can_be_compared(tmp_path: Path) -> None:
    """A value has one colour, whatever the other values of the picture are."""
    where = cells(800, 800, 400, 400)
    found = picture(tmp_path, 800, 800)
    one, other = (
        drawn(heat_map(found, [level(np.array([[2, far], [0, 0]]), where)], [0], "it", span=(0, 4))) for far in (4, 400)
    )
    np.testing.assert_array_equal(one[:800], other[:800])
    np.testing.assert_array_equal(one[201, 599], ON.round())


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_picture_below_is_in_grey_or_in_colour(tmp_path: Path, channels: int) -> None:
    rgb = np.array([[[200, 100, 0, 9][:channels]]], np.uint8).repeat(800, 0).repeat(800, 1)
    np.save(tmp_path / "a.npy", rgb)
    found = open_picture(tmp_path / "a.npy", channels)
    where = cells(800, 800, 400, 200)
    scores = level(np.zeros((1, 3, 3)), where)
    lowest = colours.sequential()[0][0]
    for colour in (False, True):
        below = np.array(rgb[0, 0, :3] if colour and channels >= 3 else [118.5 if channels >= 3 else 200] * 3)
        made = drawn(heat_map(found, [scores], [0], "it", colour=colour))
        np.testing.assert_allclose(made[400, 400], 0.5 * (below + lowest), atol=1)
        stripe = below + (np.array(bare.STRIPES) - below) * bare.SHARE
        assert (abs(made[0, 0] - stripe) <= 1).all(1).any()
        made = drawn(label_map(found, [scores], Labels(1), colour=colour))
        top = np.array(next(iter(colours.of_classes([0], 1, None).values())))
        np.testing.assert_allclose(made[400, 400], 0.4 * below + 0.6 * top, atol=1)


@pytest.mark.parametrize("grey", [0, 60, 128, 200, 255])
def test_pixels_without_an_answer_are_not_brighter_than_the_lowest_score(grey: int) -> None:
    """On average; and their two stripes can be told apart."""
    ramp, shares = colours.sequential()
    lowest = grey + (ramp[0] - grey) * shares[0]
    stripes = grey + (np.array(bare.STRIPES) - grey) * bare.SHARE
    assert stripes.mean() <= max(lowest.mean(), 16) and abs(np.subtract(*stripes)).min() > 19


@pytest.mark.thorough
def test_scores_that_are_all_one_number(tmp_path: Path) -> None:
    where = cells(800, 800, 400, 400)
    for value in (-7.0, 0.0, 1.0, 3e38):
        made = drawn(heat_map(picture(tmp_path, 800, 800), [level(np.full((1, 2, 2), value), where)], [0], "it"))
        assert not np.ptp(made[200:600, 200:600], axis=(0, 1)).any()


def test_the_background_is_dark_and_others_have_colours_of_their_own(tmp_path: Path) -> None:
    where = cells(800, 800, 400, 400)
    scores = np.zeros((4, 2, 2))
    scores[0, 0, 0] = scores[1, 0, 1] = scores[2, 1, 0] = scores[3, 1, 1] = 1
    labels = Labels(4, ("a", "Background", "b", "c"), "labels")
    made = drawn(label_map(picture(tmp_path, 800, 800), [level(scores, where)], labels))
    assert made[201, 599].tolist() == [40, 40, 40]
    assert len({tuple(made[place]) for place in ((201, 201), (201, 599), (599, 201), (599, 599))}) == 4
    made = drawn(label_map(picture(tmp_path, 800, 800), [level(scores, where)], labels, background=2))
    assert made[599, 201].tolist() == [40, 40, 40] != made[201, 599].tolist()


@pytest.mark.parametrize(
    ("value", "kind", "grey"),
    [
        (100, "u1", 100),
        (100, "f4", 100),
        (0.5, "f4", 128),
        (1, "?", 1),
        (100, "u2", 100),
        (3000, "u2", 0),
        (-9, "f8", 0),
    ],
)
def test_pictures_are_shown_whatever_their_numbers(tmp_path: Path, value: float, kind: str, grey: int) -> None:
    found = picture(tmp_path, 30, 40, value, kind)
    assert (beneath(found, view_of(found, 4096)) == grey).all()


def test_numbers_beyond_a_byte_go_from_the_lowest_to_the_highest(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.linspace(-1000, 3000, 800)[None].repeat(2, 0))
    found = open_picture(tmp_path / "a.npy", 3)
    made = beneath(found, view_of(found, 4096))
    assert made[0, 0] == 0 and made[0, -1] == 255 and (np.diff(made[0].astype(int)) >= 0).all()


@pytest.mark.thorough
def test_a_picture_read_by_bands_is_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", random.integers(0, 256, (451, 603), np.uint8))
    found, where = open_picture(tmp_path / "a.npy", 1), cells(451, 603, 30, 8)
    levels = [level(random.random((5, *where.shape)), where)]
    whole = [heat_map(found, levels, [1, 2], "it", most=most).png() for most in (4096, 200)]
    whole += [label_map(found, levels, Labels(5), most=most).png() for most in (4096, 200)]
    monkeypatch.setattr(view, "_BAND", 300_000)
    banded = [heat_map(found, levels, [1, 2], "it", most=most).png() for most in (4096, 200)]
    banded += [label_map(found, levels, Labels(5), most=most).png() for most in (4096, 200)]
    assert whole == banded


# ---- Colours ----


def lightness(colour: NDArray[Any]) -> NDArray[Any]:
    """L* of CIELAB."""
    linear = np.where(colour / 255 > 0.04045, ((colour / 255 + 0.055) / 1.055) ** 2.4, colour / 255 / 12.92)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


@pytest.mark.parametrize("beneath", [0, 60, 128, 200, 255])
def test_higher_scores_are_lighter_over_any_pixel(beneath: int) -> None:
    ramp, shares = colours.sequential()
    assert ramp.shape == (256, 3) and np.isfinite(ramp).all()
    mixed = beneath + (ramp - beneath) * shares[:, None]
    assert (np.diff(lightness(ramp)) > 0).all() and lightness(ramp)[0] < 1 and lightness(ramp)[-1] > 95
    assert (np.diff(lightness(mixed)) > 0).all()


def test_classes_have_colours_that_differ() -> None:
    chosen = colours.of_classes(range(22), 22, 0)
    assert len(set(chosen.values())) == 22 and chosen[0] == colours.BACKGROUND
    assert colours.of_classes([7, 3], 22, 0) == {0: chosen[0], 3: chosen[3], 7: chosen[7]}  # in every picture
    many = colours.of_classes([900, 5, *range(100, 140)], 1000, None)
    assert len(set(many.values())) == len(many) == colours.DISTINCT and 5 in many and 130 not in many
    assert colours.of_classes([], 3, None) == {}


# ---- The legend ----


def test_the_legend_shows_all_colours_between_its_numbers(tmp_path: Path) -> None:
    where = cells(800, 1000, 400, 96)
    drawing = heat_map(picture(tmp_path, 800, 1000), [level(single(where, 0, 0), where)], [0], "score of goldfish")
    panel = drawn(drawing)[800:]
    ramp, shares = colours.sequential()
    dark = [(row == (ramp[-1] * shares[-1]).round()).all(1).any() for row in panel]
    bright = [(row == (255 + (ramp[-1] - 255) * shares[-1]).round()).all(1).any() for row in panel]
    assert sum(dark) == 1 and sum(bright) == 1 and dark.index(True) < bright.index(True)
    assert (panel[dark.index(True)][20:980].sum(1) > 0).mean() > 0.9


def test_the_legend_says_it_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words: list[str] = []
    write = lettering.write

    def note(style: Any, draw: Any, left: float, middle: float, text: str, colour: Any) -> None:
        words.append(text)
        assert left >= 0 and left + style.font.getlength(text) <= style.width
        write(style, draw, left, middle, text, colour)

    monkeypatch.setattr(legend, "write", note)
    where = cells(800, 1000, 400, 96)
    found = picture(tmp_path, 800, 1000)
    heat_map(found, [level(single(where, 0, 0), where)], [0], "score of goldfish")
    ends = ["60% of the picture without an answer: no cell of the map is there", "a.npy: 800x1000 pixels; 5x7 cells"]
    assert words == ["score of goldfish", "0", "0.5", "1", "colours from 0 to 1", *ends]
    words.clear()
    heat_map(
        found,
        [level(-4.5 * single(where, 0, 0), where)] * 2,
        [0],
        "score of cr\N{LATIN SMALL LETTER E WITH GRAVE}me\n\x1b中",
        most=500,
    )
    assert words[:4] == ["score of creme???", "-4.5", "-2.25", "0"]
    assert words[4] == "colours from the lowest to the highest value drawn"
    assert words[6] == "a.npy: 800x1000 pixels, shown 1:2; 5x7 and 5x7 cells"
    words.clear()
    scores = np.zeros((20, *where.shape))
    scores[np.arange(35) % 17, np.arange(35) // 7, np.arange(35) % 7] = 1
    label_map(found, [level(scores, where)], Labels(20))
    assert words[:3] == ["class 0", "8.6%", "class 1"] and words[-4:-2] == ["5 others", "29%"] and len(words) == 28
    words.clear()
    label_map(found, [level(scores, where)], Labels(20, tuple(f"{n}" * 300 for n in range(20)), "labels"))
    assert words[0].startswith("000") and words[0].endswith("...")


def test_a_sentence_wider_than_the_legend_continues_on_the_next_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[str] = []
    middles: list[float] = []
    write = lettering.write

    def note(style: Any, draw: Any, left: float, middle: float, text: str, colour: Any) -> None:
        words.append(text)
        middles.append(middle)
        assert left + style.font.getlength(text) <= style.width and middle + style.unit / 2 <= draw.im.size[1]
        write(style, draw, left, middle, text, colour)

    monkeypatch.setattr(legend, "write", note)
    where = cells(300, 400, 150, 60)
    heat_map(picture(tmp_path, 300, 400), [level(single(where, 0, 0), where)], [0], "x" * 150)
    assert words[0].endswith("x...")
    told = " ".join(words)
    assert "of the picture without an answer: no cell of the map is there" in told and "there" not in words[5]
    assert middles[6] - middles[5] >= 15


def test_shares_and_numbers_for_people() -> None:
    assert [legend.percent(share) for share in (0, 0.00001, 0.0012, 0.0996, 0.5, 1)] == [
        *("0%", "< 0.1%", "0.1%", "10.0%", "50%", "100%"),
    ]
    assert [legend._number(value, 2) for value in (-1, -0.0001, 1)] == ["-1", "0", "1"]
    assert [legend._number(value, 0) for value in (0.1234567, 3e38)] == ["0.123", "3e+38"]


def test_without_freetype_there_is_a_smaller_font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default = ImageFont.load_default_imagefont()

    def load_default(size: float | None = None) -> Any:
        if size is not None:
            raise ImportError("The _imagingft C module is not installed")
        return default

    monkeypatch.setattr(ImageFont, "load_default", load_default)
    where = cells(800, 1000, 400, 96)
    found = picture(tmp_path, 800, 1000)
    drawing = heat_map(found, [level(single(where, 0, 0), where)], [0], "très goldfish")
    assert (drawn(drawing)[800:].max(2) > 200).sum() > 300
    label_map(found, [level(single(where, 0, 0), where)], Labels(1, ("中",), "labels"))


def test_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = cells(800, 1000, 400, 96)
    found, levels = picture(tmp_path, 800, 1000), [level(single(where, 0, 0), where)]
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ExtraError, match="pip install"):
        heat_map(found, levels, [0], "it")
    with pytest.raises(ExtraError, match="pip install"):
        label_map(found, levels, Labels(1))


def test_names_that_no_text_can_hold(tmp_path: Path) -> None:
    where = cells(800, 1000, 400, 96)
    name = os.fsdecode(b"\xff\xfe\n.npy")
    found = picture(tmp_path, 800, 1000, name=name)
    assert heat_map(found, [level(single(where, 0, 0), where)], [0], "\udcff").png()


# ---- As a file ----


def test_a_drawing_has_the_same_bytes_always(tmp_path: Path) -> None:
    where = cells(60, 80, 20, 4)
    found, levels = picture(tmp_path, 60, 80), [level(single(where, 3, 5), where)]
    drawing = heat_map(found, levels, [0], "it")
    assert drawing.png() == heat_map(found, levels, [0], "it").png()
    with Image.open(io.BytesIO(drawing.png())) as image:
        assert image.format == "PNG" and image.mode == "RGB" and not image.info
        np.testing.assert_array_equal(np.asarray(image), drawn(drawing))


MEASURE = """
import resource, sys
from fractions import Fraction
import numpy, PIL.Image, PIL.ImageDraw, PIL.ImageFont
from caffe_fcn.net.geometry import AxisGeometry, CellPhase
from caffe_fcn.predict.cells import CellAxis
from caffe_fcn.predict.images.picture import open_picture
from caffe_fcn.predict import maps
from caffe_fcn.predict.labels import Labels
from caffe_fcn.predict.draw.render import heat_map, label_map
from caffe_fcn.predict.draw.view import DrawnMap
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
picture = open_picture(sys.argv[1], 1)
axis = CellAxis(8000, 2000, AxisGeometry((CellPhase(-8, 11),), 4, 8000))
maps.IN_MEMORY = 0
with maps.Map((11, 2000, 2000)) as scores:
    levels = [DrawnMap(scores, axis, axis)]
    heat_map(picture, levels, range(10), "it", most=1000).png()
    label_map(picture, levels, Labels(11), most=1000).png()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.thorough
def test_memory_is_that_of_what_is_drawn(tmp_path: Path) -> None:
    picture(tmp_path, 8000, 8000)  # 64 MB, and the map 176
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "a.npy")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 120 << 10


# ---- The real thing ----


@pytest.mark.thorough
def test_each_digit_is_lit_where_it_stands(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    convert(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel", tmp_path / "n", tmp_path / "w")
    found = open_picture(DIGITS / "scattered.png", 1)
    labels = read_labels(DIGITS / "labels.txt", 11)
    with open_caffemodel(tmp_path / "w") as weights:
        model = load_picture_net(read_net(tmp_path / "n"), weights, OnnxRuntime(1))
        where = model.cells(model.outputs[0], found.size)
        with Map((11, *where.shape)) as scores:
            steps, into = Preprocessing(scale=1 / 255), {"prob": scores}
            dense(model, found, steps, tiles_of(model, [where]).batches, into, lambda: None)
            levels = [DrawnMap(scores, where.rows, where.columns)]
            heat = heat_map(found, levels, range(10), "a digit")
            label = drawn(label_map(found, levels, labels))
    light = lightness(drawn(heat).astype(float))[: 192 * heat.zoom, : 256 * heat.zoom]
    dark = np.ones(light.shape, bool)
    for digit in json.loads((DIGITS / "scattered.json").read_text())["digits"]:
        left, top = (round((place + 0.5) * heat.zoom) for place in digit["center"])
        assert light[top - 3 : top + 4, left - 3 : left + 4].mean() > 60
        wanted = np.array([*colours._HUES, *colours._HUES])[digit["digit"]] * (1 if digit["digit"] < 7 else 0.5)
        wanted = wanted + (0 if digit["digit"] < 7 else 127.5)
        shown = label[top, left] - 0.6 * wanted  # what is left of the picture: a grey
        assert np.ptp(shown) <= 3
        dark[max(0, top - 36) : top + 36, max(0, left - 36) : left + 36] = False
    assert dark.mean() > 0.7 and light[dark].max() < 15
