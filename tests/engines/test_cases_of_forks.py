"""Small nets of forks that went wrong: what comes out is what the fork computes."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

import caffe_fcn
from caffe_fcn import schema
from caffe_fcn.engines.protocol import Array
from caffe_fcn.errors import LoweringError
from caffe_fcn.files import prototxt
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.files.wire import reader_of
from caffe_fcn.net.source import interpret
from tests.engines.nets import blobs_of, net_of, opened, weights_of
from tests.net.nets import data, layer
from tests.paths import CASES

MAP = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)


def convolved(x: Array, weight: Array, bias: Array) -> Array:
    """X slid over by 3×3 windows."""
    high, wide = x.shape[2] - 2, x.shape[3] - 2
    taps = [np.einsum("nchw,oc->nohw", x[:, :, i : i + high, j : j + wide], weight[:, :, i, j]) for i, j in TAPS]
    return np.asarray(np.sum(taps, axis=0) + bias[:, None, None])


TAPS = list(product(range(3), range(3)))


def means(x: Array) -> Array:
    """Intel's AVE of 3×3 windows with stride 2 and a padding of 1 that does not count."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    ones = np.pad(np.ones(x.shape[2:]), 1)
    size = (x.shape[2] + 2 - 3 + 1) // 2 + 1  # the last window may be partial
    made = np.zeros((*x.shape[:2], size, size))
    for i, j in product(range(size), range(size)):
        rows, columns = slice(2 * i, 2 * i + 3), slice(2 * j, 2 * j + 3)
        made[:, :, i, j] = padded[:, :, rows, columns].sum((2, 3)) / ones[rows, columns].sum()
    return made


def answers(name: str, *blobs: str) -> tuple[dict[str, Array], dict[str, list[Array]]]:
    """What the case NAME makes of MAP, and its parameter blobs."""
    with caffe_fcn.open(CASES / f"{name}.prototxt", CASES / f"{name}.caffemodel") as net:
        made = net.load(blobs=blobs).run({"data": MAP})
    return made, blobs_of(CASES / f"{name}.caffemodel")


def test_intel_relu() -> None:
    made, blobs = answers("intel_relu", "c", "p", "fc")
    convolution = np.maximum(convolved(MAP, *blobs["c"]), 0)
    pooled = means(convolution)
    weight, bias = blobs["fc"]
    assert (made["c"] == 0).any() and made["p"].shape == pooled.shape
    np.testing.assert_allclose(made["c"], convolution, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(made["p"], pooled, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(made["fc"], pooled.reshape(2, -1) @ weight.T + bias, rtol=1e-4, atol=1e-4)


def test_scale_train() -> None:
    made, blobs = answers("scale_train", "c", "d", "fc")
    convolution = convolved(MAP, *blobs["c"])
    weight, bias = blobs["fc"]
    np.testing.assert_allclose(made["d"], 0.25 * convolution, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(made["fc"], made["d"].reshape(2, -1) @ weight.T + bias, rtol=1e-4, atol=1e-4)


def test_deeplab_hole() -> None:
    net = caffe_fcn.open(CASES / "deeplab_hole.prototxt")
    shapes = net.shapes.blobs
    assert (shapes["c"], shapes["p"], shapes["fc"]) == ((1, 4, 8, 8), (1, 4, 4, 4), (1, 3))
    assert b"num_output: 3 kernel_size: 4" in net.convolutionalize().text


def test_a_relu_that_moves_is_in_the_caffemodel_too(tmp_path: Path) -> None:
    """Intel's numbers of relu and negative_slope are 8 and 9 in an InnerProduct, and 19 and 20 in a Convolution."""
    text = data(1, 2, 4, 4) + layer(
        "InnerProduct", "inner_product_param { num_output: 3 relu: true negative_slope: 2 }"
    )
    net = interpret(prototxt.parse(text, "net.prototxt"))
    with weights_of(net_of(text), tmp_path / "bare.caffemodel"):  # which get the headers that a training writes
        held = schema.NetParameter.FromString((tmp_path / "bare.caffemodel").read_bytes())
    for record, told in zip(held.layer, net.net.layer, strict=True):
        record.type = told.type
        record.inner_product_param.num_output = told.inner_product_param.num_output
    (tmp_path / "net.caffemodel").write_bytes(held.SerializeToString())
    with open_caffemodel(tmp_path / "net.caffemodel") as weights:
        opened(net, weights).convolutionalize().save(tmp_path / "fcn.prototxt", tmp_path / "fcn.caffemodel")
    made = schema.NetParameter.FromString((tmp_path / "fcn.caffemodel").read_bytes()).layer[-1].convolution_param
    data_of_it = made.SerializeToString()
    found = [part.number for part in reader_of(data_of_it).fields(0, len(data_of_it))]
    assert found == [1, 4, 19, 20]


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["deeplab_hole", "intel_relu", "scale_train"])
def test_the_twin_computes_the_same(name: str, tmp_path: Path) -> None:
    text = CASES / f"{name}.prototxt"
    with weights_of(net_of(text.read_text()), tmp_path / "net.caffemodel"):
        pass
    with caffe_fcn.open(text, tmp_path / "net.caffemodel") as net:
        fcn = net.convolutionalize()
        assert fcn.verify(net).holds
        fcn.save(tmp_path / "fcn.prototxt", tmp_path / "fcn.caffemodel")
        with caffe_fcn.open(tmp_path / "fcn.prototxt", tmp_path / "fcn.caffemodel") as read:
            assert read.verify(text, tmp_path / "net.caffemodel").holds
    kept = {"deeplab_hole": "hole: 2", "intel_relu": "relu: true", "scale_train": "scale_train: false"}
    assert kept[name].encode() in fcn.text


def test_lrn_with_a_beta_that_onnx_does_not_take(tmp_path: Path) -> None:
    """The operator of ONNX takes none that is 0 or below; Caffe raises to any power."""
    with (
        caffe_fcn.open(CASES / "lrnnan.prototxt", CASES / "lrnnan.caffemodel") as net,
        pytest.raises(LoweringError, match=r'"l1" \(LRN\): lrn_param.beta is nan'),
    ):
        net.export(tmp_path / "net.onnx")
    for name, power in {"lrnneg": 1, "lrn0": 0}.items():
        with caffe_fcn.open(CASES / f"{name}.prototxt", CASES / "lrnnan.caffemodel") as net:
            made = net.load(blobs=("c", "n")).run({"data": MAP[:1, :1, :3, :3]})
            net.export(tmp_path / f"{name}.onnx")
        around = 1 + made["c"] ** 2 / 5  # one channel, alpha 1, local_size 5
        np.testing.assert_allclose(made["n"], made["c"] * around**power, rtol=1e-6)
