"""Nets trained on transposed pictures: they give with `column_major` what the net with transposed weights gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import caffe_fcn
from caffe_fcn import schema
from caffe_fcn.errors import CaffeFcnError
from caffe_fcn.predict.inputs import read_inputs
from caffe_fcn.predict.options import PreparationOptions
from tests.engines.nets import add_layer, net_of

pytestmark = pytest.mark.thorough

SIZE = (18, 26)
"""The nominal height and width of pictures."""

BLOB = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: H dim: W } } }'
CONV = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {
        num_output: 4 kernel_h: 3 kernel_w: 5 stride_h: 1 stride_w: 2 pad_h: 0 pad_w: PAD } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param {
        pool: MAX kernel_h: 2 kernel_w: 3 stride_h: 2 stride_w: 1 } }
"""
HEAD = """
layer { name: "score" type: "Convolution" bottom: "pool" top: "score"
        convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "prob" type: "Softmax" bottom: "score" top: "prob" }
"""
LARGER = """
layer { name: "larger" type: "Deconvolution" bottom: "data" top: "larger" convolution_param {
        num_output: 3 kernel_h: 4 kernel_w: 2 stride_h: 2 stride_w: 1 } }
"""
CLASSIFIER = """
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
AXES = (("_h: ", "_x: "), ("_w: ", "_h: "), ("_x: ", "_w: "))


def pair(directory: Path, layers: str, blobs: dict[str, list[NDArray[Any]]]) -> tuple[caffe_fcn.Net, caffe_fcn.Net]:
    """The net of LAYERS for pictures, with weights BLOBS; and the same one for transposed pictures. Weights of an
    InnerProduct are given as windows."""
    nets = []
    for turned in (False, True):
        text, size = BLOB + layers, SIZE[::-1] if turned else SIZE
        for old, new in AXES if turned else ():
            text = text.replace(old, new)
        path = directory / f"{'turned' if turned else 'plain'}.prototxt"
        path.write_text(text.replace("dim: H", f"dim: {size[0]}").replace("dim: W", f"dim: {size[1]}"))
        message = schema.NetParameter()
        for name, arrays in blobs.items():
            given = [each.swapaxes(-1, -2) if turned and each.ndim > 2 else each for each in arrays]
            flat = [each.reshape(len(each), -1) if name == "fc" and each.ndim > 1 else each for each in given]
            add_layer(message, name, flat)
        path.with_suffix(".caffemodel").write_bytes(message.SerializeToString())
        nets.append(caffe_fcn.open(path, path.with_suffix(".caffemodel")))
    return nets[0], nets[1]


def random(*shape: int) -> NDArray[Any]:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32) * np.float32(0.1)


def dense(directory: Path, pad: int = 0) -> tuple[caffe_fcn.Net, caffe_fcn.Net]:
    blobs = {"conv": [random(4, 3, 3, 5), random(4)], "score": [random(3, 4, 1, 1), random(3)]}
    return pair(directory, CONV.replace("PAD", str(pad)) + HEAD, blobs)


def alike(one: caffe_fcn.Net, other: caffe_fcn.Net, pixels: NDArray[Any], **options: Any) -> caffe_fcn.Prediction:
    """The answer of ONE to PIXELS, which must be that of OTHER on transposed pictures."""
    expected, found = one.run(pixels, **options), other.run(pixels, column_major=True, **options)
    assert {*found.blobs} == {*expected.blobs}
    for name, values in expected.blobs.items():
        np.testing.assert_allclose(found.blobs[name], values, atol=1e-4)
    if expected.maps:
        assert [(each.stride, each.exactness) for each in found.maps] == [
            (each.stride, each.exactness) for each in expected.maps
        ]
        cells = [(0, 0), (1, 2), (2, 1)]
        for here, there in zip(found.maps, expected.maps, strict=True):
            assert [here.window(*cell) for cell in cells] == [there.window(*cell) for cell in cells]
    return found


PIXELS = np.random.default_rng(0).integers(0, 256, (33, 47, 3), np.uint8)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tile": 20},
        {"stride": 1},
        {"scales": (1, 2)},
        {"resize": (40, 21)},
        {"resize": 30},
        {"resize": "net"},
        {"crop": "center"},
        {"mean": (10, 20, 30), "scale": 0.02, "swap_channels": True},
        {"blobs": ("score", "pool")},
    ],
    ids=str,
)
def test_maps_are_those_of_the_net_for_pictures(tmp_path: Path, options: dict[str, Any]) -> None:
    found = alike(*dense(tmp_path), PIXELS, **{"scale": 0.01, **options})
    if "blobs" not in options:
        assert found.heat_map(1).size == dense(tmp_path)[0].run(PIXELS, **{"scale": 0.01, **options}).heat_map(1).size


def test_borders_are_padded_on_the_sides_of_the_picture(tmp_path: Path) -> None:
    assert alike(*dense(tmp_path, pad=2), PIXELS, scale=0.01).maps[0].reasons


def test_a_mean_image_is_transposed_as_the_net_takes_it(tmp_path: Path) -> None:
    one, other = dense(tmp_path)
    mean = np.random.default_rng(1).uniform(0, 200, (3, 33, 47)).astype(np.float32)
    np.save(tmp_path / "mean.npy", mean)
    np.save(tmp_path / "turned.npy", mean.swapaxes(1, 2))
    expected = one.run(PIXELS, mean=tmp_path / "mean.npy", scale=0.01).scores
    found = other.run(PIXELS, mean=tmp_path / "turned.npy", scale=0.01, column_major=True).scores
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("crop", ["none", "center", "ten"])
def test_a_classifier_gets_the_transposed_picture(tmp_path: Path, crop: str) -> None:
    weights = random(5, 4, 8, 9)
    blobs = {"conv": [random(4, 3, 3, 5), random(4)], "fc": [weights, random(5)]}
    one, other = pair(tmp_path, CONV.replace("PAD", "0") + CLASSIFIER, blobs)
    options = {"resize": "net"} if crop == "none" else {"crop": crop}
    alike(one, other, PIXELS, scale=0.01, **options)
    with pytest.raises(CaffeFcnError, match="expected 18×26 pixels, the only size"):
        other.run(PIXELS, column_major=True)


def test_pictures_that_a_net_makes_are_transposed_back(tmp_path: Path) -> None:
    one, other = pair(tmp_path, LARGER, {"larger": [random(3, 3, 4, 2), random(3)]})
    expected, found = (net.run(PIXELS, column_major=net is other).picture() for net in (one, other))
    assert found.size == expected.size
    assert abs(np.asarray(found).astype(int) - np.asarray(expected)).max() <= 1


def test_pictures_for_a_comparison_are_transposed(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "x.png")
    made = []
    for size, turned in ((SIZE, False), (SIZE[::-1], True)):
        net = net_of(
            (BLOB + CONV.replace("PAD", "0")).replace("dim: H", f"dim: {size[0]}").replace("dim: W", f"dim: {size[1]}")
        )
        how = PreparationOptions(mean="10,20,30", column_major=turned)
        made += read_inputs([str(tmp_path / "x.png")], net, how).arrays
    np.testing.assert_array_equal(made[1], made[0].swapaxes(1, 2))


def test_an_exported_model_tells_that_it_takes_transposed_pictures(tmp_path: Path) -> None:
    _, other = dense(tmp_path)
    outcome = other.export(tmp_path / "net.onnx", column_major=True)
    assert outcome.report()["metadata"]["input_order"] == "column_major"
