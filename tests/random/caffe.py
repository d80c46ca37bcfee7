"""Caffe's layers in numpy, written from Caffe's documentation and docs/caffe-facts.md, in double precision.

No code of the package computes here, neither its shape rules nor its lowering, so the expected outputs of a net come
from a second source. `tests/random/test_caffe.py` compares each rule with values measured in the reference Caffe. A
layer that Caffe would refuse raises `ImpossibleError`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from caffe_fcn.schema import Message
from tests.random.basics import Array, ImpossibleError, axis_of, need
from tests.random.windows import convolution, deconvolution, im2col, per_axis, pooling, spp

Rule: TypeAlias = Callable[[Message, Sequence[Array], Sequence[Array]], "list[Array]"]


def forward(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """Return the tops of LAYER, of any type, for BOTTOMS, with the parameter BLOBS."""
    rule = RULES.get(layer.type)
    if rule is None:
        raise ImpossibleError(f"no rule for {layer.type}")
    with np.errstate(all="ignore"):
        made = rule(layer, bottoms, blobs)
    return made * max(1, len(layer.top)) if len(made) == 1 else made


# ---- Weights ----


def inner_product(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """InnerProductLayer."""
    param, x = layer.inner_product_param, bottoms[0]
    axis = axis_of(param.axis, x.ndim)
    weight = blobs[0] if param.transpose else blobs[0].T
    rows = x.reshape(prod(x.shape[:axis]), -1)
    need(rows.shape[1] == len(weight), "columns of the weights")
    made = rows @ weight + (blobs[1] if param.bias_term else 0)
    return [made.reshape(*x.shape[:axis], param.num_output)]


def embed(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """EmbedLayer."""
    made = blobs[0][bottoms[0].astype(int)]
    return [made + blobs[1] if layer.embed_param.bias_term else made]


def _on_axis(x: Array, operand: Array, axis: int) -> Array:
    """Return OPERAND reshaped to begin at AXIS of X."""
    need(x.shape[axis : axis + operand.ndim] == operand.shape, "the operand does not lie in the bottom")
    return operand.reshape(*operand.shape, *[1] * (x.ndim - axis - operand.ndim))


def scale(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """ScaleLayer, with a second bottom or its own values."""
    param, x = layer.scale_param, bottoms[0]
    operand = bottoms[1] if len(bottoms) > 1 else blobs[0]
    axis = axis_of(param.axis, x.ndim) if operand.ndim else 0
    made = x * _on_axis(x, operand, axis)
    return [made + _on_axis(x, blobs[-1], axis) if param.bias_term else made]


def bias(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """BiasLayer, with a second bottom or its own values."""
    operand = bottoms[1] if len(bottoms) > 1 else blobs[0]
    axis = axis_of(layer.bias_param.axis, bottoms[0].ndim) if operand.ndim else 0
    return [bottoms[0] + _on_axis(bottoms[0], operand, axis)]


def prelu(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """PReLULayer. Caffe aborts on five axes. A converted net can have it there, with a note of convert, and the rule is
    the same."""
    x, slope = bottoms[0], blobs[0]
    need(x.ndim >= 2, "PReLU takes two axes at least")
    return [np.where(x > 0, x, x * (slope if layer.prelu_param.channel_shared else _on_axis(x, slope, 1)))]


def batch_norm(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """BatchNormLayer in the TEST phase."""
    param, x = layer.batch_norm_param, bottoms[0]
    need(x.ndim >= 2, "BatchNorm aborts on one axis")
    if param.HasField("use_global_stats") and not param.use_global_stats:
        others = tuple(axis for axis in range(x.ndim) if axis != 1)
        mean, variance = x.mean(others), x.var(others)
    else:
        factor = 0 if blobs[2][0] == 0 else 1 / blobs[2][0]
        mean, variance = blobs[0] * factor, blobs[1] * factor
    return [(x - _on_axis(x, mean, 1)) / np.sqrt(_on_axis(x, variance, 1) + param.eps)]


# ---- Normalisation ----


def lrn(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """LRNLayer in both regions."""
    param, x = layer.lrn_param, bottoms[0]
    need(x.ndim == 4 and param.local_size % 2 == 1, "LRN takes four axes and an odd size")
    size, around = param.local_size, param.local_size // 2
    if param.norm_region == 0:
        squares = np.pad(x * x, [(0, 0), (around, around), (0, 0), (0, 0)])
        sums = sliding_window_view(squares, size, axis=1).sum(-1)
        return [x / (param.k + param.alpha / size * sums) ** param.beta]
    squares = np.pad(x * x, [(0, 0), (0, 0), (around, around), (around, around)])
    sums = sliding_window_view(squares, (size, size), axis=(2, 3)).sum((-1, -2))
    return [x * (1 + param.alpha / size**2 * sums) ** -param.beta]


def mvn(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """MVNLayer, over each map or each item; its top has four axes."""
    param, x = layer.mvn_param, bottoms[0]
    need(x.ndim <= 4, "MVN takes four axes at most")
    x = x.reshape(*x.shape, *[1] * (4 - x.ndim))
    axes = (1, 2, 3) if param.across_channels else (2, 3)
    centred = x - x.mean(axes, keepdims=True)
    if not param.normalize_variance:
        return [centred]
    return [centred / (np.sqrt((centred**2).mean(axes, keepdims=True)) + param.eps)]


def softmax(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """SoftmaxLayer."""
    x = bottoms[0]
    axis = axis_of(layer.softmax_param.axis, x.ndim)
    powers = np.exp(x - x.max(axis, keepdims=True))
    return [powers / powers.sum(axis, keepdims=True)]


def normalize(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """Normalize of SSD."""
    param, x = layer.norm_param, bottoms[0]
    axes = tuple(range(1, x.ndim)) if param.across_spatial else (1,)
    made = x / np.sqrt((x * x).sum(axes, keepdims=True) + param.eps)
    return [made * (blobs[0].reshape(()) if param.channel_shared else _on_axis(x, blobs[0], 1))]


# ---- Values moved about ----


def flatten(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """FlattenLayer."""
    x, param = bottoms[0], layer.flatten_param
    first, last = axis_of(param.axis, x.ndim), axis_of(param.end_axis, x.ndim)
    need(first <= last + 1, "end_axis is before axis")
    return [x.reshape(*x.shape[:first], prod(x.shape[first : last + 1]), *x.shape[last + 1 :])]


def reshape(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """ReshapeLayer."""
    x, param = bottoms[0], layer.reshape_param
    first = param.axis if param.axis >= 0 else x.ndim + param.axis + 1
    last = x.ndim if param.num_axes == -1 else first + param.num_axes
    need(0 <= first <= last <= x.ndim, "axis and num_axes")
    dims = list(param.shape.dim)
    need(all(dim or first + place < x.ndim for place, dim in enumerate(dims)), "a 0 without an axis")
    dims = [dim if dim else x.shape[first + place] for place, dim in enumerate(dims)]
    shape = [*x.shape[:first], *dims, *x.shape[last:]]
    need(shape.count(-1) <= 1, "two dimensions to infer")
    known = prod(extent for extent in shape if extent != -1)
    need(known > 0 and (x.size % known == 0 if -1 in shape else x.size == known), "the count of values")
    return [x.reshape(shape)]


def permute(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """Permute of SSD."""
    order = list(layer.permute_param.order)
    return [bottoms[0].transpose(order + [axis for axis in range(bottoms[0].ndim) if axis not in order])]


def _joint(param: Message, old: str, axes: int) -> int:
    return axis_of(getattr(param, old) if param.HasField(old) else param.axis, axes)


def concat(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """ConcatLayer."""
    axis = _joint(layer.concat_param, "concat_dim", bottoms[0].ndim)
    rest = {(*x.shape[:axis], *x.shape[axis + 1 :]) for x in bottoms}
    need(len(rest) == 1 and len({x.ndim for x in bottoms}) == 1, "bottoms that do not fit")
    return [np.concatenate(bottoms, axis)]


def slice_(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """SliceLayer."""
    axis, tops = _joint(layer.slice_param, "slice_dim", bottoms[0].ndim), len(layer.top)
    points = list(layer.slice_param.slice_point)
    if points:
        need(len(points) == tops - 1 and points == sorted(set(points)), "slice_point")
        need(points[0] > 0 and points[-1] < bottoms[0].shape[axis], "slice_point outside")
        return np.split(bottoms[0], points, axis)
    need(bottoms[0].shape[axis] % tops == 0, "unequal parts")
    return np.split(bottoms[0], tops, axis)


def crop(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """CropLayer; where no offset is given it is 0."""
    x, like = bottoms
    need(x.ndim == like.ndim, "axes")
    axis = axis_of(layer.crop_param.axis, x.ndim)
    offsets = per_axis(layer.crop_param.offset, x.ndim - axis, 0)
    for place, offset in zip(range(axis, x.ndim), offsets, strict=True):
        need(offset + like.shape[place] <= x.shape[place], "the crop is outside")
    cut = tuple(slice(o, o + n) for o, n in zip(offsets, like.shape[axis:], strict=True))
    return [x[(slice(None),) * axis + cut]]


def tile(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """TileLayer."""
    repeats = [1] * bottoms[0].ndim
    repeats[axis_of(layer.tile_param.axis, bottoms[0].ndim)] = layer.tile_param.tiles
    return [np.tile(bottoms[0], repeats)]


def shuffle_channel(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """ShuffleChannel of forks."""
    x, group = bottoms[0], layer.shuffle_channel_param.group
    need(x.shape[1] % group == 0, "group does not divide")
    return [x.reshape(len(x), group, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)]


def squeeze(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """Squeeze of Synopsys, of axes that it names."""
    axes = tuple(axis_of(axis, bottoms[0].ndim) for axis in layer.squeeze_param.axis)
    need(len(axes) > 0 and all(bottoms[0].shape[axis] == 1 for axis in axes), "an axis that is not 1")
    return [bottoms[0].squeeze(axes)]


# ---- Values put together ----


def axpy(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """Axpy of squeeze-and-excitation nets."""
    factor, x, y = bottoms
    need(x.shape == y.shape and factor.size == prod(x.shape[:2]), "bottoms that do not fit")
    return [factor.reshape(*x.shape[:2], *[1] * (x.ndim - 2)) * x + y]


def eltwise(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """EltwiseLayer."""
    need(len({x.shape for x in bottoms}) == 1 and len(bottoms) > 1, "bottoms of one shape")
    param = layer.eltwise_param
    factors = list(param.coeff) or [1] * len(bottoms)
    made = {
        "PROD": lambda: np.prod(bottoms, 0),
        "SUM": lambda: sum(x * by for x, by in zip(bottoms, factors, strict=True)),
        "MAX": lambda: np.max(bottoms, 0),
    }
    return [np.asarray(made[param.EltwiseOp.Name(param.operation)]())]


def reduction(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """ReductionLayer."""
    x, param = bottoms[0], layer.reduction_param
    axes = tuple(range(axis_of(param.axis, x.ndim), x.ndim))
    by = {"SUM": x, "ASUM": abs(x), "SUMSQ": x * x, "MEAN": x}
    name = param.ReductionOp.Name(param.operation)
    return [np.asarray((by[name].mean(axes) if name == "MEAN" else by[name].sum(axes)) * param.coeff)]


def argmax(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """ArgMaxLayer. Of equal values the last goes first."""
    x, param = bottoms[0], layer.argmax_param
    if param.HasField("axis"):
        places, values = _largest(x, axis_of(param.axis, x.ndim), param.top_k)
        return [values if param.out_max_val else places]
    need(x.ndim >= 1 and param.top_k <= prod(x.shape[1:]), "top_k")
    both = _largest(x.reshape(len(x), -1), 1, param.top_k)
    made = np.stack(both if param.out_max_val else both[:1], 1)
    return [made.reshape(*made.shape, *[1] * (x.ndim - 3))]


def _largest(x: Array, axis: int, many: int) -> tuple[Array, Array]:
    need(1 <= many <= x.shape[axis], "top_k")
    order = np.flip(np.argsort(x, axis, kind="stable"), axis).take(range(many), axis)
    return order.astype(float), np.take_along_axis(x, order, axis)


# ---- Each value by itself ----


def _each(function: Callable[[Message, Array], Array]) -> Rule:
    return lambda layer, bottoms, blobs: [function(layer, bottoms[0])]


def _power(layer: Message, x: Array) -> Array:
    param = layer.power_param
    return np.asarray((param.shift + param.scale * x) ** param.power)


def _exp(layer: Message, x: Array) -> Array:
    param = layer.exp_param
    inner = param.shift + param.scale * x
    return np.asarray(np.exp(inner) if param.base == -1 else param.base**inner)


def _log(layer: Message, x: Array) -> Array:
    param = layer.log_param
    made = np.log(param.shift + param.scale * x)
    return np.asarray(made if param.base == -1 else made / np.log(param.base))


FORKS = frozenset({"Axpy", "Normalize", "Permute", "ReLU6", "ShuffleChannel", "Squeeze"})
"""Those of the types below that BVLC Caffe does not have."""

RULES: dict[str, Rule] = {
    "AbsVal": _each(lambda _, x: abs(x)),
    "ArgMax": argmax,
    "Axpy": axpy,
    "BNLL": _each(lambda _, x: np.logaddexp(0, x)),
    "BatchNorm": batch_norm,
    "Bias": bias,
    "Clip": _each(lambda layer, x: np.clip(x, layer.clip_param.min, layer.clip_param.max)),
    "Concat": concat,
    "Convolution": convolution,
    "Crop": crop,
    "Deconvolution": deconvolution,
    "Dropout": _each(lambda _, x: x),
    "ELU": _each(lambda layer, x: np.where(x > 0, x, layer.elu_param.alpha * np.expm1(np.minimum(x, 0)))),
    "Eltwise": eltwise,
    "Embed": embed,
    "Exp": _each(_exp),
    "Flatten": flatten,
    "Im2col": im2col,
    "InnerProduct": inner_product,
    "LRN": lrn,
    "Log": _each(_log),
    "MVN": mvn,
    "Normalize": normalize,
    "PReLU": prelu,
    "Permute": permute,
    "Pooling": pooling,
    "Power": _each(_power),
    "ReLU": _each(lambda layer, x: np.where(x > 0, x, layer.relu_param.negative_slope * x)),
    "ReLU6": _each(lambda _, x: np.clip(x, 0, 6)),
    "Reduction": reduction,
    "Reshape": reshape,
    "Scale": scale,
    "SPP": spp,
    "ShuffleChannel": shuffle_channel,
    "Sigmoid": _each(lambda _, x: 1 / (1 + np.exp(-x))),
    "Slice": slice_,
    "Softmax": softmax,
    "Split": _each(lambda _, x: x),
    "Squeeze": squeeze,
    "Swish": _each(lambda layer, x: x / (1 + np.exp(-layer.swish_param.beta * x))),
    "TanH": _each(lambda _, x: np.tanh(x)),
    "Threshold": _each(lambda layer, x: (x > layer.threshold_param.threshold).astype(float)),
    "Tile": tile,
}
"""Layer type to the way it works."""
