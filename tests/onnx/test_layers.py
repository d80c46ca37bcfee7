"""What the measured cases leave out: options of layers, several bottoms, layers of forks, each against its rule in
numpy, at two sizes of one graph where the layer leaves the size free."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from caffe_fcn.engines.protocol import Array
from caffe_fcn.errors import LoweringError
from caffe_fcn.onnx.layers.normalization import MAX_BAND
from tests.engines.nets import blobs_of, load, net_of, weights_of
from tests.net.nets import data, layer

MAP = (2, 4, 5, 6)


class Case(NamedTuple):
    """A layer, "Type parameters", the shapes of its bottoms, and what it makes of them and of its parameter blobs."""

    layer: str
    bottoms: tuple[tuple[int, ...], ...]
    expected: Callable[..., Array]


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def sum_of_three(x: Array) -> Array:
    """Each channel with the one before and the one behind."""
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    return np.asarray(padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:])


def lrn(x: Array, size: int, alpha: float = 1, beta: float = 0.75, k: float = 1) -> Array:
    """LRN across channels, one channel at a time."""
    sums = [(x[:, max(0, at - size // 2) : at + size // 2 + 1] ** 2).sum(1) for at in range(x.shape[1])]
    return np.asarray(x / (k + alpha / size * np.stack(sums, 1)) ** beta)


def im2col(x: Array, kernel: int) -> Array:
    """Windows of KERNEL×KERNEL, values of a window as channels."""
    high, wide = x.shape[2] - kernel + 1, x.shape[3] - kernel + 1
    taps = [x[:, :, i : i + high, j : j + wide] for i in range(kernel) for j in range(kernel)]
    return np.stack(taps, axis=2).reshape(x.shape[0], -1, high, wide)


def sum_of_nine(x: Array) -> Array:
    """The sums of 3×3 windows, with zeros around the map."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return np.asarray(im2col(padded, 3).reshape(*x.shape[:2], 9, *x.shape[2:]).sum(2))


def largest(x: Array, count: int) -> tuple[Array, Array]:
    """The COUNT largest of the last axis and their places; of equal ones the last first."""
    order = x.shape[-1] - 1 - np.argsort(-x[..., ::-1], axis=-1, kind="stable")[..., :count]
    return np.take_along_axis(x, order, -1), order.astype(np.float32)


def depthwise(x: Array, weight: Array) -> Array:
    """Each channel convolved with a 2×2 kernel of its own."""
    parts = [x[:, :, i : x.shape[2] - 1 + i, j : x.shape[3] - 1 + j] for i in range(2) for j in range(2)]
    weighted = [part * weight[None, :, 0, i // 2, i % 2, None, None] for i, part in enumerate(parts)]
    return np.asarray(np.sum(weighted, axis=0))


def corners_stay(x: Array, high: int, wide: int) -> Array:
    """X interpolated so that the corners stay."""
    for axis, size in ((2, high), (3, wide)):
        at = np.linspace(0, x.shape[axis] - 1, size)
        low = np.minimum(at.astype(int), x.shape[axis] - 2)
        share = np.expand_dims(at - low, tuple(range(1, 4 - axis)) if axis < 3 else ())
        x = np.take(x, low, axis) * (1 - share) + np.take(x, low + 1, axis) * share
    return x


CASES = {
    "clip": Case("Clip clip_param { min: -0.5 max: 1 }", (MAP,), lambda x: np.clip(x, -0.5, 1)),
    "elu": Case("ELU elu_param { alpha: 0.7 }", (MAP,), lambda x: np.where(x > 0, x, 0.7 * np.expm1(x))),
    "exp_base": Case(
        "Exp exp_param { base: 2 scale: 0.5 shift: 1 }", (MAP,), lambda x: np.exp2(1 + 0.5 * x).astype(np.float32)
    ),
    "exp_shift": Case("Exp exp_param { scale: -1 shift: 0.25 }", (MAP,), lambda x: np.exp(0.25 - x)),
    "log_base": Case("Log log_param { base: 10 scale: 0.1 shift: 3 }", (MAP,), lambda x: np.log10(3 + 0.1 * x)),
    "power_constant": Case("Power power_param { scale: 0 shift: 3 power: 2 }", (MAP,), lambda x: np.full_like(x, 9)),
    "power_of_0": Case("Power power_param { power: 0 scale: 5 }", (MAP,), np.ones_like),
    "power_cube": Case("Power power_param { power: 3 scale: 2 shift: 1 }", (MAP,), lambda x: (1 + 2 * x) ** 3),
    "relu6": Case("ReLU6", (MAP,), lambda x: np.clip(x, 0, 6)),
    "hard_swish": Case("HardSwish", (MAP,), lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "mish": Case("Mish", (MAP,), lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    "swish": Case("Swish", (MAP,), lambda x: x * sigmoid(x)),
    "eltwise_coefficients": Case(
        "Eltwise eltwise_param { coeff: 2 coeff: -1 coeff: 1 }", (MAP, MAP, MAP), lambda a, b, c: 2 * a - b + c
    ),
    "eltwise_max_of_three": Case(
        "Eltwise eltwise_param { operation: MAX }",
        (MAP, MAP, MAP),
        lambda a, b, c: np.maximum(np.maximum(a, b), c),
    ),
    "convolution_larger_than_its_map": Case(
        "Convolution convolution_param { num_output: 2 kernel_size: 3 stride: 2 }",
        ((2, 1, 2, 2),),
        lambda x, w, b: np.einsum("nchw,ochw->no", x, w[..., :2, :2])[..., None, None] + b[:, None, None],
    ),
    "im2col_larger_than_its_map": Case(
        "Im2col convolution_param { kernel_size: 3 stride: 2 }",
        ((2, 1, 2, 2),),
        lambda x: np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1))).reshape(-1, 9, 1, 1),
    ),
    "axpy": Case("Axpy", ((2, 4), MAP, MAP), lambda a, x, y: a[:, :, None, None] * x + y),
    "axpy_of_maps": Case("Axpy", ((2, 4, 1, 1), MAP, MAP), lambda a, x, y: a * x + y),
    "mul": Case("Mul", (MAP, (2, 4, 1, 1)), lambda a, b: a * b),
    "add_own": Case("Add add_param { add_shape: 4 add_shape: 1 add_shape: 1 }", (MAP,), lambda a, own: a + own),
    "scale_last_axes": Case("Scale scale_param { axis: 0 num_axes: 2 }", (MAP,), lambda x, f: x * f[..., None, None]),
    "scale_rest": Case("Scale scale_param { axis: 2 num_axes: -1 bias_term: true }", (MAP,), lambda x, f, b: x * f + b),
    "scale_by_one": Case("Scale scale_param { num_axes: 0 }", (MAP,), lambda x, f: x * f),
    "scale_two_axes": Case("Scale scale_param { axis: 1 }", (MAP, (4, 5)), lambda x, f: x * f[:, :, None]),
    "scale_with_bias": Case(
        "Scale scale_param { axis: 0 bias_term: true }", (MAP, (2,)), lambda x, f, b: (x.T * f + b).T
    ),
    "bias_at_the_end": Case("Bias bias_param { axis: -1 }", (MAP, (6,)), lambda x, b: x + b),
    "prelu_shared": Case("PReLU prelu_param { channel_shared: true }", (MAP,), lambda x, a: np.where(x > 0, x, a * x)),
    "prelu_flat": Case("PReLU", ((3, 4),), lambda x, a: np.where(x > 0, x, a * x)),
    "batch_norm_flat": Case(
        "BatchNorm batch_norm_param { eps: 0.1 }", ((3, 4),), lambda x, m, v, f: (x - m / f) / np.sqrt(v / f + 0.1)
    ),
    "batch_norm_of_the_batch": Case(
        "BatchNorm batch_norm_param { use_global_stats: false }",
        (MAP,),
        lambda x, m, v, f: (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5),
    ),
    "bn_inference": Case("BN bn_param { bn_mode: INFERENCE }", (MAP,), lambda x, scale, shift: x * scale + shift),
    "ip_axis0": Case(
        "InnerProduct inner_product_param { num_output: 3 axis: 0 }", (MAP,), lambda x, w, b: w @ x.ravel() + b
    ),
    "ip_axis3": Case(
        "InnerProduct inner_product_param { num_output: 3 axis: -1 bias_term: false }", (MAP,), lambda x, w: x @ w.T
    ),
    "embed_plain": Case(
        "Embed embed_param { input_dim: 9 num_output: 2 bias_term: false }",
        ((3, 2),),
        lambda x, table: table[x.astype(int)],
    ),
    "depthwise": Case(
        "DepthwiseConvolution convolution_param { num_output: 4 kernel_size: 2 bias_term: false }", (MAP,), depthwise
    ),
    "conv_without_space": Case(
        "Convolution convolution_param { num_output: 3 kernel_size: 1 }", ((2, 4),), lambda x, w, b: x @ w.T + b
    ),
    "conv_pointwise_axis2": Case(
        "Convolution convolution_param { num_output: 3 axis: 2 kernel_size: 1 }",
        (MAP,),
        lambda x, w, b: np.einsum("nchw,oh->ncow", x, w[:, :, 0]) + b[:, None],
    ),
    "conv_pointwise_axis0": Case(
        "Convolution convolution_param { num_output: 3 axis: 0 kernel_size: 1 }",
        ((4, 5, 6),),
        lambda x, w, b: np.einsum("chw,oc->ohw", x, w[:, :, 0, 0]) + b[:, None, None],
    ),
    "deconv_1d": Case(
        "Deconvolution convolution_param { num_output: 3 kernel_size: 2 stride: 2 bias_term: false }",
        ((2, 4, 5),),
        lambda x, w: np.einsum("ncl,cok->nolk", x, w).reshape(len(x), 3, -1),
    ),
    "deconv_axis2": Case(
        "Deconvolution convolution_param { num_output: 3 kernel_size: 2 stride: 2 axis: 2 bias_term: false }",
        ((2, 3, 4, 5),),
        lambda x, w: np.einsum("nmcl,cok->nmolk", x, w).reshape(*x.shape[:2], 3, -1),
    ),
    "im2col": Case("Im2col convolution_param { kernel_size: 2 }", (MAP,), lambda x: im2col(x, 2)),
    "im2col_axis2": Case(
        "Im2col convolution_param { kernel_size: 2 axis: 2 }",
        ((2, 3, 2, 5, 6),),
        lambda x: im2col(x.reshape(-1, *x.shape[2:]), 2).reshape(*x.shape[:2], -1, x.shape[3] - 1, x.shape[4] - 1),
    ),
    "lrn_k": Case(
        "LRN lrn_param { local_size: 3 alpha: 2 beta: 0.5 k: 1.5 }",
        (MAP,),
        lambda x: x / np.sqrt(1.5 + 2 / 3 * sum_of_three(x**2)),
    ),
    "lrn_default": Case("LRN", (MAP,), lambda x: lrn(x, 5)),
    "lrn_beta_1": Case("LRN lrn_param { beta: 1 alpha: 3 }", (MAP,), lambda x: lrn(x, 5, 3, 1)),
    "lrn_beta_of_no_root": Case("LRN lrn_param { beta: 1.25 k: 2 }", (MAP,), lambda x: lrn(x, 5, 1, 1.25, 2)),
    "lrn_wider_than_the_channels": Case("LRN lrn_param { local_size: 15 }", (MAP,), lambda x: lrn(x, 15)),
    "lrn_of_many_channels": Case(
        "LRN lrn_param { local_size: 7 k: 0.5 }", ((2, MAX_BAND + 1, 2, 3),), lambda x: lrn(x, 7, k=0.5)
    ),
    "lrn_in_the_map": Case(
        "LRN lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 alpha: 2 }",
        (MAP,),
        lambda x: x / (1 + 2 / 9 * sum_of_nine(x**2)) ** 0.75,
    ),
    "lrn_beta_0": Case("LRN lrn_param { beta: 0 k: 0 }", (MAP,), lambda x: x),
    "lrn_beta_0_in_the_map": Case("LRN lrn_param { beta: 0 norm_region: WITHIN_CHANNEL }", (MAP,), lambda x: x),
    "mvn_mean_alone": Case(
        "MVN mvn_param { normalize_variance: false }", (MAP,), lambda x: x - x.mean((2, 3), keepdims=True)
    ),
    "mvn_eps": Case(
        "MVN mvn_param { eps: 0.5 across_channels: true }",
        (MAP,),
        lambda x: (x - x.mean((1, 2, 3), keepdims=True)) / (x.std((1, 2, 3), keepdims=True) + 0.5),
    ),
    "mvn_of_three_axes": Case(
        "MVN", ((2, 3, 7),), lambda x: ((x - x.mean(2, keepdims=True)) / (x.std(2, keepdims=True) + 1e-9))[..., None]
    ),
    "softmax_last": Case(
        "Softmax softmax_param { axis: -1 }", (MAP,), lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    ),
    "normalize_place": Case(
        "Normalize norm_param { across_spatial: false channel_shared: false }",
        (MAP,),
        lambda x, f: x / np.sqrt((x**2).sum(1, keepdims=True)) * f[:, None, None],
    ),
    "normalize_item": Case(
        "Normalize norm_param { eps: 2 }",
        (MAP,),
        lambda x, f: x / np.sqrt((x**2).sum((1, 2, 3), keepdims=True) + 2) * f,
    ),
    "slice_old": Case("Slice slice_param { slice_dim: 1 }", (MAP,), lambda x: x),
    "concat_old": Case("Concat concat_param { concat_dim: 0 }", (MAP, MAP), lambda a, b: np.concatenate([a, b])),
    "crop_each": Case(
        "Crop crop_param { axis: 1 offset: 1 offset: 0 offset: 2 }",
        ((2, 4, 7, 9), (2, 3, 5, 6)),
        lambda x, size: x[:, 1 : 1 + size.shape[1], : size.shape[2], 2 : 2 + size.shape[3]],
    ),
    "flatten_middle": Case(
        "Flatten flatten_param { axis: 1 end_axis: 2 }", (MAP,), lambda x: x.reshape(len(x), -1, x.shape[3])
    ),
    "flatten_front": Case(
        "Flatten flatten_param { axis: 0 end_axis: -2 }", (MAP,), lambda x: x.reshape(-1, x.shape[3])
    ),
    "reshape_swap": Case(
        "Reshape reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 0 } }",
        (MAP,),
        lambda x: x.reshape(len(x), 2, -1, x.shape[3]),
    ),
    "reshape_some": Case(
        "Reshape reshape_param { axis: 1 num_axes: 1 shape { dim: 2 dim: 2 } }",
        (MAP,),
        lambda x: x.reshape(len(x), 2, 2, *x.shape[2:]),
    ),
    "reshape_end": Case(
        "Reshape reshape_param { axis: -1 num_axes: 0 shape { dim: 1 } }", (MAP,), lambda x: x[..., None]
    ),
    "squeeze": Case("Squeeze squeeze_param { axis: 2 }", ((2, 4, 1, 6),), lambda x: x[:, :, 0]),
    "permute": Case("Permute permute_param { order: 0 order: 2 }", (MAP,), lambda x: x.transpose(0, 2, 1, 3)),
    "transpose": Case("Transpose transpose_param { dim: 3 dim: 0 }", (MAP,), lambda x: x.transpose(3, 0, 1, 2)),
    "shuffle": Case("ShuffleChannel shuffle_channel_param { group: 2 }", (MAP,), lambda x: x[:, [0, 2, 1, 3]]),
    "tile_batch": Case("Tile tile_param { axis: 0 tiles: 2 }", (MAP,), lambda x: np.concatenate([x, x])),
    "pad": Case(
        "Pad pad_param { pad_t: 1 pad_b: 2 pad_r: 1 }", (MAP,), lambda x: np.pad(x, ((0, 0), (0, 0), (1, 2), (0, 1)))
    ),
    "enlarge": Case(
        "UpsampleDarknet upsample_darknet_param { stride: 2 }", (MAP,), lambda x: x.repeat(2, axis=2).repeat(2, axis=3)
    ),
    "interp_to": Case("Interp interp_param { height: 9 width: 7 }", (MAP,), lambda x: corners_stay(x, 9, 7)),
    "interp_like": Case(
        "Interp interp_param { pad_beg: -1 }",
        (MAP, (2, 1, 8, 10)),
        lambda x, like: corners_stay(x[:, :, 1:, 1:], *like.shape[2:]),
    ),
    "interp_zoom": Case(
        "Interp interp_param { zoom_factor: 3 }",
        (MAP,),
        lambda x: corners_stay(x, *[3 * (size - 1) + 1 for size in x.shape[2:]]),
    ),
    "flip": Case("Flip flip_param { flip_height: true }", (MAP,), lambda x: x[:, :, ::-1, ::-1]),
    "flip_width": Case("Flip", (MAP,), lambda x: x[..., ::-1]),
    "argmax_axis_top3": Case(
        "ArgMax argmax_param { axis: 1 top_k: 3 }",
        (MAP,),
        lambda x: np.moveaxis(largest(np.moveaxis(x, 1, -1), 3)[1], -1, 1),
    ),
    "argmax_axis_values": Case(
        "ArgMax argmax_param { axis: -1 out_max_val: true top_k: 2 }", (MAP,), lambda x: largest(x, 2)[0]
    ),
    "argmax_top4": Case(
        "ArgMax argmax_param { top_k: 4 }", (MAP,), lambda x: largest(x.reshape(len(x), -1), 4)[1][:, None, :, None]
    ),
    "argmax_both": Case(
        "ArgMax argmax_param { out_max_val: true }",
        (MAP,),
        lambda x: np.stack(largest(x.reshape(len(x), -1), 1)[::-1], axis=1)[..., None],
    ),
    "sum_of_squares": Case(
        "Reduction reduction_param { operation: SUMSQ axis: 2 coeff: 0.5 }",
        (MAP,),
        lambda x: 0.5 * (x**2).sum((2, 3)),
    ),
    "spp_of_one": Case(
        "SPP spp_param { pool: AVE pyramid_height: 1 }", (MAP,), lambda x: x.mean((2, 3), keepdims=True)
    ),
}
ROUNDED = frozenset({"argmax_axis_top3", "argmax_top4", "argmax_axis_values", "argmax_both", "embed_plain"})
"""Cases fed with small whole numbers, so that there are ties, or indices."""


def fed(name: str, shape: tuple[int, ...], seed: int) -> Array:
    random = np.random.default_rng(seed)
    if name in ROUNDED:
        return random.integers(0, 4, shape).astype(np.float32)
    return random.standard_normal(shape).astype(np.float32)


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_layer(name: str, tmp_path: Path) -> None:
    kind, _, parameters = CASES[name].layer.partition(" ")
    bottoms = CASES[name].bottoms
    names = [f"in{index}" for index in range(len(bottoms))]
    text = "".join(data(*shape, name=bottom) for bottom, shape in zip(names, bottoms, strict=True))
    net = net_of(text + layer(kind, parameters, " ".join(names)))
    with weights_of(net, tmp_path / "net.caffemodel") as weights:
        session = load(net, weights)
        blobs = blobs_of(tmp_path / "net.caffemodel")["layer"]
    grown = {bottom: [0] * len(shape) for bottom, shape in zip(names, bottoms, strict=True)}
    for number, axis in enumerate(session.lowered.free):
        for blob, place in axis.axes:
            grown[blob.name][place] = 1 + number
    for larger in (0, 1):
        arrays = []
        for seed, (bottom, shape) in enumerate(zip(names, bottoms, strict=True)):
            there = tuple(extent + larger * more for extent, more in zip(shape, grown[bottom], strict=True))
            arrays.append(fed(name, there, seed))
        expected = CASES[name].expected(*arrays, *blobs)
        made = session.run(dict(zip(names, arrays, strict=True)))["out"]
        assert made.shape == expected.shape
        np.testing.assert_allclose(made, expected, rtol=2e-5, atol=2e-6)


REFUSED = {
    "Power power_param { scale: 0 shift: 0 power: -1 }": "not a number",
    "Eltwise eltwise_param { operation: PROD coeff: 1 coeff: 2 }": "coeff is supported only for sums",
    "BN bn_param { bn_mode: LEARN }": "of the batch",
    "Normalize": "Normalize of SSD",
    "Normalize norm_param { eps: inf }": "eps is inf",
    "MVN mvn_param { eps: nan }": "eps is nan",
    "LRN lrn_param { local_size: 1025 norm_region: WITHIN_CHANNEL }": "local_size is 1,025",
    "LRN lrn_param { local_size: 1025 }": "local_size is 1,025",
    "LRN lrn_param { beta: nan }": "beta is nan",
    "LRN lrn_param { alpha: -inf }": "alpha is -inf",
    "LRN lrn_param { k: nan }": "k is nan",
    "LRN lrn_param { beta: inf norm_region: WITHIN_CHANNEL }": "beta is inf",
    "Interp interp_param { pad_beg: 1 height: 9 width: 9 }": "cannot be above 0",
    "Im2col convolution_param { kernel_size: 80 pad: 80 }": "6,400 values",
    "RNN recurrent_param { num_output: 2 }": "recurrent",
    "Filter": "only when it runs",
    "Reorg reorg_param { stride: 1 }": "",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_lowered_is_refused_by_name(text: str, tmp_path: Path) -> None:
    kind, _, parameters = text.partition(" ")
    two = kind in ("Eltwise", "Filter", "RNN")
    shapes = {"RNN": [(2, 3, 4), (2, 3)], "Filter": [MAP, MAP[:1]]}.get(kind, [MAP, MAP])
    inputs = data(*shapes[0], name="a") + data(*shapes[1], name="b")
    net = net_of(inputs + layer(kind, parameters, "a b" if two else "a"))
    with weights_of(net, tmp_path / "net.caffemodel") as weights, pytest.raises(LoweringError) as caught:
        load(net, weights)
    assert f'"layer" ({kind})' in str(caught.value) and REFUSED[text] in str(caught.value)
