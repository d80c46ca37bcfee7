"""Label maps as indexed PNG with a palette, areas of classes, and maps drawn at the resolution of the picture."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import caffe_fcn
from caffe_fcn.engines.protocol import Array
from caffe_fcn.errors import EngineError, PictureError
from caffe_fcn.net.geometry.phases import AxisGeometry, CellPhase
from caffe_fcn.predict.cells import CellAxis, Cells
from caffe_fcn.predict.draw.palette import VOID, read_palette, voc_colour
from caffe_fcn.predict.draw.view import DrawnMap, PictureView, every_pixel, highest, labelled, top_classes
from caffe_fcn.predict.labels import read_labels
from caffe_fcn.predict.maps import Map
from tests.engines.nets import net_of, weights_of
from tests.passes.nets import conv, data, layer
from tests.paths import ROOT

DIGITS = ROOT / "models" / "digits"
BILINEAR = "num_output: 3 group: 3 kernel_size: 4 stride: 2 bias_term: false weight_filler { type: 'bilinear' }"
SEGMENTS = (
    data(shape="1 1 12 14")
    + conv("a", "data", 4, 3, "pad: 3 stride: 2")
    + conv("score", "a", 3, 1)
    + layer("up", "Deconvolution", "score", params=f"convolution_param {{ {BILINEAR} }}")
    + layer("crop", "Crop", "up data", params="crop_param { axis: 2 offset: 3 }")
    + layer("prob", "Softmax", "crop")
)


# ---- Palettes ----


def test_the_colours_of_voc() -> None:
    """As the challenge's development kit prints them; the last is that of pixels which are not judged."""
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128), 7: (128, 128, 128)}
    known |= {8: (64, 0, 0), 12: (64, 0, 128), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {index: voc_colour(index) for index in known} == known
    assert read_palette("voc").table == bytes(value for index in range(256) for value in voc_colour(index))


def test_palettes_in_files(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("# CamVid\n128 128 128 sky\n\n 128,0,0\n#C0C080\n60; 40; 222 // fence\n")
    found = read_palette(tmp_path / "p.txt")
    assert found.colours == ((128, 128, 128), (128, 0, 0), (192, 192, 128), (60, 40, 222))
    assert found.table[9:12] == bytes((60, 40, 222)) and found.table[12:15] == b"\0\0\0" and len(found.table) == 768
    assert found.table[-3:] == bytes(voc_colour(255))
    image = Image.new("P", (2, 2))
    image.putpalette([1, 2, 3, 4, 5, 6])
    image.save(tmp_path / "p.png")
    assert read_palette(tmp_path / "p.png").colours[:2] == ((1, 2, 3), (4, 5, 6))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"1 2 3\n1 2\n", r"p:2: expected a colour, such as \"128 0 0\" or #800000, found 1 2"),
        (b"1 2 256\n", r"p:1: expected a colour"),
        (b"", "p: expected 1 to 256 colours, one in each line, found 0"),
        (b"1 2 3\n" * 257, "found 257"),
        (b"\0\1\2", "p: expected a palette: voc, a text or an indexed PNG, found another file"),
        (b"\x89PNG\r\n\x1a\nbroken", "p: expected a palette, found a PNG that cannot be read"),
    ],
)
def test_files_that_are_no_palettes(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(PictureError, match=told):
        read_palette(tmp_path / "p")


def test_a_png_without_a_palette(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "p.png")
    with pytest.raises(PictureError, match="expected an indexed PNG, to take its palette, found a PNG without one"):
        read_palette(tmp_path / "p.png")


def test_palettes_that_are_too_small(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("1 2 3\n4 5 6\n")
    with pytest.raises(PictureError, match=r"p.txt: expected 3 colours, one for each class of the net, found 2"):
        read_palette(tmp_path / "p.txt").check(3, "net")
    with pytest.raises(PictureError, match="net: expected at most 255 classes for an indexed PNG, found 1000"):
        read_palette("voc").check(1000, "net")
    read_palette("voc").check(255, "net")


def test_the_labels_of_voc() -> None:
    found = read_labels(ROOT / "models" / "voc-labels.txt", 21)
    assert found.background == 0 and (found.names[1], found.names[15], found.names[20]) == (
        "aeroplane",
        "person",
        "tvmonitor",
    )


# ---- A segmentation net ----


@pytest.fixture
def segments(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "net.prototxt").write_text(SEGMENTS)
    with weights_of(net_of(SEGMENTS), tmp_path / "net.caffemodel"):
        return tmp_path / "net.prototxt", tmp_path / "net.caffemodel"


def test_label_maps_hold_the_class_of_each_pixel(segments: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "names").write_text("background\nroad\nsky\n")
    picture = np.random.default_rng(1).integers(0, 255, (21, 26)).astype(np.uint8)
    with caffe_fcn.open(*segments) as net:
        found = net.run(picture, palette="voc", labels=tmp_path / "names")
        expected = found.scores.argmax(0)
        image = found.label_map()
        assert (image.mode, image.size) == ("P", (26, 21)) and image.getpalette()[3:6] == [128, 0, 0]
        np.testing.assert_array_equal(np.asarray(image), expected)
        assert found.overlay().mode == "RGB"
        counts = np.bincount(expected.ravel(), minlength=3)
        assert [(each.label, each.pixels) for each in found.areas] == [(k, n) for k, n in enumerate(counts) if n]
        assert sum(each.share for each in found.areas) == pytest.approx(1)
        same = net.run(picture, palette="voc", labels=tmp_path / "names", upsample=True)
        np.testing.assert_array_equal(np.asarray(same.label_map()), expected)
        assert same.areas == found.areas


def test_a_map_of_pixels_lies_on_the_pixels() -> None:
    """Whatever the geometry says: an offset that is wrong was trained with the labels of these pixels."""
    axis = CellAxis(9, 9, AxisGeometry((CellPhase(3, 5),), 1, 9), start=2)
    cells = Cells(axis, axis)
    assert cells.are_pixels and [float(each.offset) for each in cells.drawn] == [0, 0]
    short = Cells(axis, axis._replace(cells=8))
    assert not short.are_pixels and [float(each.offset) for each in short.drawn] == [4, 4]


@pytest.mark.thorough
def test_pixels_without_a_cell_are_void() -> None:
    with caffe_fcn.open(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel") as net:
        fcn = net.convolutionalize()
        options: dict[str, Any] = {"scale": 1 / 255, "labels": DIGITS / "labels.txt", "palette": "voc"}
        coarse, fine = (fcn.run(DIGITS / "scattered.png", upsample=each, **options) for each in (False, True))
        for found in (coarse, fine):
            held = np.asarray(found.label_map())
            assert held.shape == (192, 256) and (held[:8] == VOID).all() and (held[:, 248:] == VOID).all()
            assert (held[8:184, 8:248] <= 10).all()
        assert coarse.areas == [] and [each.label for each in fine.areas] == [*range(11), None]
        assert sum(each.pixels for each in fine.areas) == 192 * 256
        assert {each.label: each.pixels for each in fine.areas}[None] == 192 * 256 - 176 * 240
        with pytest.raises(EngineError, match="but `upsample` needs a map"):
            net.run(DIGITS / "scattered.png", resize="net", upsample=True)


@pytest.mark.thorough
def test_a_segmentation_net_upsamples_as_a_drawing_does() -> None:
    """The bilinear Deconvolution and the exact Crop of FCN make what the coarse scores are drawn as."""
    options: dict[str, Any] = {"scale": 1 / 255, "labels": DIGITS / "labels.txt", "palette": "voc"}
    with caffe_fcn.open(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel") as net:
        segmented = net.segment(keep_classifier=True)
        fine = segmented.run(DIGITS / "scattered.png", **options)
        coarse = segmented.run(DIGITS / "scattered.png", blobs="ip2-conv", upsample=True, **options)
    np.testing.assert_array_equal(np.asarray(fine.label_map()), np.asarray(coarse.label_map()))
    assert fine.areas == coarse.areas and len(fine.areas) == 11 and fine.maps[0].scores.shape == (11, 192, 256)


# ---- Upsampling ----


def axis_of(size: int, cells: int, stride: int, first: int, last: int) -> CellAxis:
    return CellAxis(size, cells, AxisGeometry((CellPhase(first, last),), stride, size))


def interpolated(values: Array, axis: CellAxis, places: Array) -> Array:
    """VALUES along their last axis at PLACES of the picture; NaN beyond half a stride from the first and last cell."""
    centres = float(axis.offset) + float(axis.stride) * np.arange(axis.cells)
    reach = float(axis.stride) / 2
    found = np.apply_along_axis(lambda line: np.interp(places, centres, line), -1, values)
    found[..., (places < centres[0] - reach) | (places > centres[-1] + reach)] = np.nan
    return found


@pytest.mark.parametrize(("step", "zoom"), [(1, 1), (1, 3), (2, 1)])
def test_scores_are_interpolated_between_the_centres_of_cells(step: int, zoom: int) -> None:
    high, wide = axis_of(43, 5, 6, 3, 10), axis_of(37, 4, 8, -2, 5)
    values = np.random.default_rng(2).normal(size=(3, 5, 4)).astype(np.float32)
    view = PictureView((43, 37), step, zoom)
    rows, columns = ((np.arange(extent) + 0.5) * step / zoom - 0.5 for extent in view.shown)
    expected = interpolated(interpolated(values, wide, columns).transpose(0, 2, 1), high, rows).transpose(0, 2, 1)
    with Map(values.shape) as scores:
        scores.write(0, 0, values)
        level = DrawnMap(scores, high, wide)
        made = np.full(view.shown, np.nan, np.float32)
        for down, across, found in highest(level, [0, 2], view, upsample=True):
            made[down, across] = found
        np.testing.assert_allclose(made, np.maximum(expected[0], expected[2]), atol=1e-5)
        tops = np.full(view.shown, -1)
        for down, across, _, classes in top_classes(level, view, upsample=True):
            tops[down, across] = classes
    np.testing.assert_array_equal(tops >= 0, ~np.isnan(expected[0]))
    np.testing.assert_array_equal(tops[tops >= 0], np.nan_to_num(expected).argmax(0)[tops >= 0])


def test_several_levels_are_upsampled_together() -> None:
    fine, coarse = np.zeros((2, 4, 4), np.float32), np.zeros((2, 2, 2), np.float32)
    fine[0], coarse[1] = 0.5, 0.4
    coarse[1, 0, 0] = 1
    axes = axis_of(8, 4, 2, 0, 1), axis_of(4, 2, 2, 0, 1)._replace(size=8, factor=Fraction(2))
    with Map(fine.shape) as one, Map(coarse.shape) as other:
        one.write(0, 0, fine)
        other.write(0, 0, coarse)
        levels = [DrawnMap(each, axis, axis) for each, axis in zip((one, other), axes, strict=True)]
        top = labelled(levels, every_pixel((8, 8)), upsample=True)
    assert top[0, 0] == 1 and top[7, 7] == 0 and top.min() == 0
