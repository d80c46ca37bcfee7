"""Fields of forks that change the answer, each against its fork's rule in numpy."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from caffe_fcn.engines.protocol import Array
from caffe_fcn.errors import LoweringError
from tests.engines.nets import blobs_of, load, net_of, weights_of
from tests.net.nets import data, layer

MAP = (2, 4, 9, 10)


def run(kind: str, parameters: str, tmp_path: Path, shape: tuple[int, ...] = MAP) -> tuple[Array, Array, list[Array]]:
    """What a layer makes of random values: these, its top, its parameter blobs."""
    net = net_of(data(*shape) + layer(kind, parameters))
    values = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    with weights_of(net, tmp_path / "net.caffemodel") as weights:
        made = load(net, weights).run({"data": values})["out"]
    return values, made, blobs_of(tmp_path / "net.caffemodel").get("layer", [])


def leaky(x: Array, slope: float = 0) -> Array:
    return np.where(x > 0, x, slope * x)


def convolved(x: Array, weight: Array, bias: Array, hole: tuple[int, int] = (1, 1)) -> Array:
    """X slid over with taps HOLE apart, without padding, stride 1."""
    (kh, kw), (dh, dw) = weight.shape[2:], hole
    high, wide = x.shape[2] - dh * (kh - 1), x.shape[3] - dw * (kw - 1)
    made = np.zeros((len(x), len(weight), high, wide)) + bias[:, None, None]
    for i, j in product(range(kh), range(kw)):
        made += np.einsum("nchw,oc->nohw", x[:, :, i * dh : i * dh + high, j * dw : j * dw + wide], weight[:, :, i, j])
    return made


HOLES = {"hole: 2": (2, 2), "hole_h: 3 hole_w: 1": (3, 1), "hole: 1": (1, 1), "dilation: 2": (2, 2)}


@pytest.mark.parametrize("field", HOLES)
def test_deeplabs_hole_is_the_dilation(field: str, tmp_path: Path) -> None:
    x, made, (weight, bias) = run(
        "Convolution", f"convolution_param {{ num_output: 3 kernel_size: 3 {field} }}", tmp_path
    )
    np.testing.assert_allclose(made, convolved(x, weight, bias, HOLES[field]), rtol=1e-4, atol=1e-5)


def test_holes_of_im2col_and_deconvolution(tmp_path: Path) -> None:
    _, made, _ = run("Im2col", "convolution_param { kernel_size: 3 hole: 2 }", tmp_path)
    _, expected, _ = run("Im2col", "convolution_param { kernel_size: 3 dilation: 2 }", tmp_path)
    assert np.array_equal(made, expected)
    _, made, _ = run("Deconvolution", "convolution_param { num_output: 2 kernel_size: 3 hole: 2 }", tmp_path)
    assert made.shape == (2, 2, 13, 14)


@pytest.mark.parametrize("slope", [0, 0.25])
def test_intels_relu_of_a_convolution(slope: float, tmp_path: Path) -> None:
    fields = f"num_output: 3 kernel_size: 2 relu: true negative_slope: {slope}"
    x, made, (weight, bias) = run("Convolution", f"convolution_param {{ {fields} }}", tmp_path)
    expected = convolved(x, weight, bias)
    assert (expected < 0).any()
    np.testing.assert_allclose(made, leaky(expected, slope), rtol=1e-4, atol=1e-5)


def test_a_slope_without_a_relu_does_nothing(tmp_path: Path) -> None:
    fields = "num_output: 3 kernel_size: 2 negative_slope: 0.5"
    x, made, (weight, bias) = run("Convolution", f"convolution_param {{ {fields} }}", tmp_path)
    np.testing.assert_allclose(made, convolved(x, weight, bias), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [1, 2])
def test_intels_relu_of_an_inner_product(axis: int, tmp_path: Path) -> None:
    fields = f"num_output: 3 axis: {axis} relu: true negative_slope: 0.25"
    x, made, (weight, bias) = run("InnerProduct", f"inner_product_param {{ {fields} }}", tmp_path)
    flat = x.reshape(*x.shape[:axis], -1)
    np.testing.assert_allclose(made, leaky(flat @ weight.T + bias, 0.25), rtol=1e-4, atol=1e-5)


def test_intels_relu_of_a_batch_norm(tmp_path: Path) -> None:
    x, made, (mean, variance, factor) = run("BatchNorm", "batch_norm_param { relu: true eps: 0.1 }", tmp_path)
    column = (-1, 1, 1)
    centred = x - (mean / factor).reshape(column)
    expected = centred / np.sqrt((variance / factor).reshape(column) + 0.1)
    np.testing.assert_allclose(made, leaky(expected), rtol=1e-4, atol=1e-5)


def test_nvcaffes_elu_has_a_factor(tmp_path: Path) -> None:
    x, made, _ = run("ELU", "elu_param { alpha: 1.7 lambda: 1.05 }", tmp_path)
    np.testing.assert_allclose(made, 1.05 * np.where(x > 0, x, 1.7 * np.expm1(x)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("fields", "slope"), [("", 0), ("relu6_param { negative_slope: 0.1 }", 0.1)])
def test_relu6_may_be_leaky(fields: str, slope: float, tmp_path: Path) -> None:
    net = net_of(data(*MAP) + layer("Power", "power_param { scale: 5 }", top="x") + layer("ReLU6", fields, "x"))
    x = np.random.default_rng(1).standard_normal(MAP).astype(np.float32)
    with weights_of(net, tmp_path / "net.caffemodel") as weights:
        made = load(net, weights).run({"data": x})["out"]
    assert (5 * x > 6).any()
    np.testing.assert_allclose(made, np.minimum(leaky(5 * x, slope), 6), rtol=1e-5, atol=1e-6)


def test_c3ds_filter_group_saves_memory_and_changes_nothing(tmp_path: Path) -> None:
    fields = "num_output: 4 kernel_size: 2 kernel_depth: 2"
    made = [
        run("Convolution3D", f"convolution_param {{ {fields} {more} }}", tmp_path, (1, 2, 4, 5, 6))[1]
        for more in ("", "filter_group: 2")
    ]
    assert np.array_equal(made[0], made[1])


@pytest.mark.parametrize(("field", "kept"), [("scale_train: false", 0.25), ("scale_train: true", 1), ("", 1)])
def test_a_dropout_that_did_not_scale_in_training_does_so_now(field: str, kept: float, tmp_path: Path) -> None:
    x, made, _ = run("Dropout", f"dropout_param {{ dropout_ratio: 0.75 {field} }}", tmp_path)
    np.testing.assert_allclose(made, kept * x, rtol=1e-6)


def test_a_dropout_that_scales_in_place(tmp_path: Path) -> None:
    parameters = "dropout_param { scale_train: false }"
    net = net_of(data(*MAP) + layer("Dropout", parameters, "data", "data") + layer("AbsVal", "", "data"))
    with weights_of(net, tmp_path / "net.caffemodel") as weights:
        session = load(net, weights)
    x = np.random.default_rng(1).standard_normal(MAP).astype(np.float32)
    np.testing.assert_allclose(session.run({"data": x})["out"], abs(x) / 2, rtol=1e-6)


class Window(NamedTuple):
    """Kernel, stride, and the padding before and behind, along one axis."""

    kernel: int
    stride: int
    before: int
    behind: int

    def windows(self, size: int, down: bool) -> list[tuple[int, int, int]]:
        """Where each window begins and ends on the map, and its length with the padding that it covers."""
        room = size + self.before + self.behind - self.kernel
        many = (room // self.stride if down else -(-room // self.stride)) + 1
        if self.before + self.behind and (many - 1) * self.stride >= size + self.before:
            many -= 1
        found = []
        for index in range(many):
            start = index * self.stride - self.before
            end = min(start + self.kernel, size + self.behind)
            found.append((max(start, 0), min(end, size), end - start))
        return found


def pooled(x: Array, axes: tuple[Window, Window], *, mean: bool, padding_counts: bool, down: bool) -> Array:
    """X pooled as the forks' sources do it, window by window."""
    rows, columns = (axis.windows(size, down) for axis, size in zip(axes, x.shape[2:], strict=True))
    made = np.empty((*x.shape[:2], len(rows), len(columns)))
    for (i, (top, bottom, high)), (j, (left, right, wide)) in product(enumerate(rows), enumerate(columns)):
        window = x[:, :, top:bottom, left:right]
        taken = high * wide if padding_counts else (bottom - top) * (right - left)
        made[:, :, i, j] = window.sum((2, 3)) / taken if mean else window.max((2, 3))
    return made


POOLINGS = {
    "pad: 1": (Window(3, 2, 1, 1), Window(3, 2, 1, 1)),
    "pad: 2": (Window(3, 2, 2, 2), Window(3, 2, 2, 2)),
    "pad_h: 1 pad_w: 2": (Window(3, 2, 1, 1), Window(3, 2, 2, 2)),
    "pad_h: 0 pad_w: 2": (Window(3, 2, 0, 0), Window(3, 2, 2, 2)),
    "pad_t: 1 pad_l: 2": (Window(3, 2, 1, 0), Window(3, 2, 2, 0)),
    "pad_b: 1 pad_r: 2": (Window(3, 2, 0, 1), Window(3, 2, 0, 2)),
    "pad_t: 2 pad_r: 1": (Window(3, 2, 2, 0), Window(3, 2, 0, 1)),
    "": (Window(3, 2, 0, 0), Window(3, 2, 0, 0)),
}
"""Paddings of a pooling, as the fields say them and as they are."""

MEANS = {
    "pool: MAX": (False, False),
    "pool: AVE": (True, True),
    "pool: AVE avg_include_pad: true": (True, True),
    "pool: AVE avg_include_pad: false": (True, False),
    "pool: AVE_EXC_PAD": (True, False),
    "pool: AVE_TF": (True, False),
}
"""Methods of a pooling: whether they average, and whether padding counts."""


@pytest.mark.thorough
@pytest.mark.parametrize("rounding", ["", "ceil_mode: false", "torch_pooling: true", "round_mode: FLOOR"])
@pytest.mark.parametrize("method", MEANS)
def test_poolings_of_forks(method: str, rounding: str, tmp_path: Path) -> None:
    mean, counts = MEANS[method]
    for fields, axes in POOLINGS.items():
        for shape in ((1, 2, 9, 10), (1, 2, 8, 7)):
            parameters = f"pooling_param {{ {method} {rounding} kernel_size: 3 stride: 2 {fields} }}"
            x, made, _ = run("Pooling", parameters, tmp_path, shape)
            expected = pooled(x, axes, mean=mean, padding_counts=counts, down=bool(rounding))
            assert made.shape == expected.shape, fields
            np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-5, err_msg=fields)


def test_paddings_of_a_convolution_side_by_side(tmp_path: Path) -> None:
    fields = "num_output: 3 kernel_size: 3 pad_l: 1 pad_r: 2 pad_b: 3"
    x, made, (weight, bias) = run("Convolution", f"convolution_param {{ {fields} }}", tmp_path)
    padded = np.pad(x, ((0, 0), (0, 0), (0, 3), (1, 2)))
    np.testing.assert_allclose(made, convolved(padded, weight, bias), rtol=1e-4, atol=1e-5)


def test_a_relu_where_no_fork_has_one_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(LoweringError, match=r'"layer" \(Deconvolution\): convolution_param\.relu is a field of Intel'):
        run("Deconvolution", "convolution_param { num_output: 2 kernel_size: 2 relu: true }", tmp_path)
