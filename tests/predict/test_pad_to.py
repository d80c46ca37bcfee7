"""Pictures that are padded to a multiple: their maps are those of the explicitly padded picture, cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe_fcn
from caffe_fcn.errors import CaffeFcnError, PictureError, ShapeError
from tests.engines.nets import net_of, weights_of

pytestmark = pytest.mark.thorough

MEAN = 7
PIXELS = np.random.default_rng(0).integers(0, 256, (45, 61, 3)).astype(np.float32)

DECODER = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "down" type: "Pooling" bottom: "a" top: "down" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "b" type: "Convolution" bottom: "down" top: "b"
        convolution_param { num_output: 4 kernel_size: 4 stride: 4 } }
layer { name: "up" type: "Deconvolution" bottom: "b" top: "up"
        convolution_param { num_output: 4 kernel_size: 8 stride: 8 } }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "up" top: "sum" }
layer { name: "score" type: "Convolution" bottom: "sum" top: "score"
        convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "prob" type: "Softmax" bottom: "score" top: "prob" }
"""
TWO_POOLINGS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 64 dim: 64 } } }
layer { name: "p1" type: "Pooling" bottom: "data" top: "p1" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "p2" type: "Pooling" bottom: "p1" top: "p2" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "up" type: "Deconvolution" bottom: "p2" top: "up"
        convolution_param { num_output: 3 kernel_size: 2 stride: 2 } }
layer { name: "sum" type: "Eltwise" bottom: "up" bottom: "p1" top: "sum" }
layer { name: "score" type: "Deconvolution" bottom: "sum" top: "score"
        convolution_param { num_output: 3 kernel_size: 2 stride: 2 } }
"""
"""Pooling rounds up, so that this net takes sizes of 4·n and of 4·n - 1."""

WINDOWS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 16 dim: 16 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a"
        convolution_param { num_output: 4 kernel_size: 8 stride: 4 } }
layer { name: "score" type: "Convolution" bottom: "a" top: "score" convolution_param { num_output: 3 kernel_size: 3 } }
layer { name: "prob" type: "Softmax" bottom: "score" top: "prob" }
"""
LARGER = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 16 dim: 16 } } }
layer { name: "larger" type: "Deconvolution" bottom: "data" top: "larger"
        convolution_param { num_output: 3 kernel_size: 4 stride: 2 pad: 1 } }
"""


def net(directory: Path, text: str) -> caffe_fcn.Net:
    path = directory / "net.prototxt"
    path.write_text(text)
    with weights_of(net_of(text), path.with_suffix(".caffemodel"), 0.1):
        return caffe_fcn.open(path, path.with_suffix(".caffemodel"))


def padded(high: int, wide: int) -> Any:
    """The picture, padded with the mean."""
    made = np.full((high, wide, 3), MEAN, np.float32)
    made[: PIXELS.shape[0], : PIXELS.shape[1]] = PIXELS
    return made


@pytest.mark.parametrize("options", [{}, {"column_major": True}, {"blobs": ("score", "a")}], ids=str)
def test_a_decoder_gets_the_size_that_it_takes(tmp_path: Path, options: dict[str, Any]) -> None:
    decoder = net(tmp_path, DECODER)
    given: dict[str, Any] = {"mean": MEAN, "scale": 0.01, **options}
    found, expected = decoder.run(PIXELS, pad_to=8, **given), decoder.run(padded(48, 64), **given)
    for name, values in expected.blobs.items():
        np.testing.assert_allclose(found.blobs[name], values[:, :45, :61], atol=1e-6)
    assert "padded from 45×61 to 48×64 pixels, at the bottom and at the right" in found.notes
    if "blobs" not in options:
        assert found.label_map().width == 61 * 12 and sum(each.pixels for each in found.areas) == 45 * 61


def test_a_picture_that_fits_is_not_padded(tmp_path: Path) -> None:
    decoder = net(tmp_path, DECODER)
    found = decoder.run(padded(48, 64), mean=MEAN, pad_to=8)
    assert found.notes == () and found.scores.shape == (3, 48, 64)


@pytest.mark.parametrize("tile", [None, 24])
@pytest.mark.parametrize("stride", [4, 1])
def test_cells_whose_middle_is_in_the_picture_are_kept(tmp_path: Path, tile: int | None, stride: int) -> None:
    windows = net(tmp_path, WINDOWS)
    given: dict[str, Any] = {"mean": MEAN, "scale": 0.01, "tile": tile, "stride": stride}
    found, whole = windows.run(PIXELS, pad_to=32, **given), windows.run(padded(64, 64), **given)
    rows, columns = ((size - 7.5 - 0.5) / stride for size in (45, 61))  # the first middle is at 7.5
    high, wide = int(np.ceil(rows)), min(whole.scores.shape[2], int(np.ceil(columns)))
    assert found.scores.shape == (3, high, wide) != whole.scores.shape
    np.testing.assert_allclose(found.scores, whole.scores[:, :high, :wide], atol=1e-6)
    assert found.maps[0].window(high - 1, 0)[2] == 45


def test_each_scale_is_padded(tmp_path: Path) -> None:
    decoder = net(tmp_path, DECODER)
    found = decoder.run(PIXELS, mean=MEAN, pad_to=8, scales=(1, 0.5))
    assert [each.scores.shape for each in found.maps] == [(3, 45, 61), (3, 22, 30)]


def test_a_picture_smaller_than_the_padding_has_an_answer(tmp_path: Path) -> None:
    """Its tiles may be outside of it altogether, and the middle of the first cell."""
    windows = net(tmp_path, WINDOWS)
    small = np.full((3, 2, 3), MEAN + 9, np.float32)
    for tile in (None, 16):
        assert windows.run(small, mean=MEAN, pad_to=64, tile=tile).scores.shape == (3, 1, 1)


def test_a_larger_picture_is_cut_at_its_scale(tmp_path: Path) -> None:
    found = net(tmp_path, LARGER).run(PIXELS, pad_to=16)
    assert found.picture().size == (122, 90)


def test_the_multiple_is_advised(tmp_path: Path) -> None:
    decoder = net(tmp_path, DECODER)
    with pytest.raises(ShapeError, match=r"does not suit the net: .*pad the picture with `?pad_to=8"):
        decoder.run(PIXELS)
    with pytest.raises(ValueError, match="pad_to: expected at least 1"):
        decoder.run(PIXELS, pad_to=0)
    with pytest.raises(PictureError, match="at most 3,000 pixels"):
        decoder.run(PIXELS, pad_to=64, max_pixels=3000)


def test_one_answer_for_a_picture_needs_no_padding(tmp_path: Path) -> None:
    text = WINDOWS.replace('"score" type: "Convolution"', '"score" type: "InnerProduct"')
    text = text.replace("convolution_param { num_output: 3 kernel_size: 3 }", "inner_product_param { num_output: 3 }")
    with pytest.raises(CaffeFcnError, match=r"pad_to.* needs a map"):
        net(tmp_path, text).run(PIXELS, pad_to=8, resize="net")


@pytest.mark.parametrize("size", [(101, 203), (61, 45), (40, 42)])
@pytest.mark.parametrize("given", [None, 3, 2])
def test_the_number_that_an_error_names_makes_the_picture_fit(
    tmp_path: Path, size: tuple[int, int], given: int | None
) -> None:
    """A net takes the multiples of this number, even if it takes further sizes."""
    decoder, picture = net(tmp_path, TWO_POOLINGS), np.zeros((*size, 3), np.float32)
    with pytest.raises(ShapeError, match=r"pad the picture with `?pad_to=4"):
        decoder.run(picture, mean=MEAN, pad_to=given)
    assert decoder.run(picture, mean=MEAN, pad_to=4).scores.shape == (3, *size)
