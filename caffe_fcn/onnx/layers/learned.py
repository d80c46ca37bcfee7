"""Lowers layers with their own values: matrices, tables, factors and summands per channel, stored statistics,
constants."""

from __future__ import annotations

from collections.abc import Sequence

from caffe_fcn.net.layers.normalization import BATCH_STATISTICS, stored_eps
from caffe_fcn.net.shapes import Shape, batch_norm_blobs
from caffe_fcn.onnx.extents import extents, reshape
from caffe_fcn.onnx.graph import Dims
from caffe_fcn.onnx.layers.elementwise import rectified
from caffe_fcn.onnx.registry import LoweringSite, RefusalError, axis_of, lowering

_INT64 = 7
_INFERENCE = 1
"""BNParameter.BNMode of SegNet."""


@lowering("InnerProduct")
def inner_product(site: LoweringSite) -> str:
    """Lower InnerProductLayer: the axes before `axis` are a batch, the rest is one row of it."""
    build, dims, value = site.build, site.bottoms[0], site.inputs[0]
    param = site.layer.inner_product_param
    axis = axis_of(param.axis, dims)
    flat = value if len(dims) == 2 and axis == 1 else build.node("Flatten", value, axis=axis)
    inputs = [flat, site.weight(0)]
    if len(site.params) > 1:
        inputs.append(site.weight(1))
    made = build.node("Gemm", *inputs, transB=0 if param.transpose else 1)
    if param.relu:
        made = rectified(build, made, param.negative_slope)
    return made if axis == 1 else reshape(build, made, [*extents(value, dims, 0, axis), int(param.num_output)])


@lowering("Embed")
def embed(site: LoweringSite) -> str:
    """Lower EmbedLayer: a row of the table for each index."""
    build = site.build
    rows = build.node("Gather", site.weight(0), build.node("Cast", site.inputs[0], to=_INT64), axis=0)
    return build.node("Add", rows, site.weight(1)) if len(site.params) > 1 else rows


@lowering("Parameter")
def parameter(site: LoweringSite) -> str:
    """Lower ParameterLayer: the blob itself."""
    return site.weight(0)


@lowering("DummyData")
def dummy_data(site: LoweringSite) -> list[str]:
    """Lower DummyDataLayer with constants; one filler is for all tops."""
    build, fillers = site.build, site.layer.dummy_data_param.data_filler
    if any(filler.type != "constant" for filler in fillers):
        raise RefusalError("its values are random")
    values = [filler.value for filler in fillers] or [0.0]
    values = values * len(site.tops) if len(values) == 1 else values
    return [
        build.node("Expand", build.number(value), build.ints([extent or 0 for extent in top]))
        for value, top in zip(values, site.tops, strict=True)
    ]


# ---- Factors and summands ----


def _operand(site: LoweringSite, position: int, axis: int) -> str:
    """Return the second bottom, or parameter blob POSITION if there is none, reshaped to begin at AXIS of the first."""
    dims = site.bottoms[0]
    if len(site.inputs) == 1:
        return site.weight(position, _trailed(site.params[position], dims, axis))
    value, own = site.inputs[1], site.bottoms[1]
    behind = [1] * (len(dims) - axis - len(own)) if own else []
    return reshape(site.build, value, [*extents(value, own), *behind]) if behind else value


def _trailed(shape: Shape, dims: Dims, axis: int) -> Shape:
    """Return SHAPE, which begins at AXIS of DIMS, with axes of 1 for all that follow: ONNX aligns the last axes."""
    return (*shape, *[1] * (len(dims) - axis - len(shape))) if shape else ()


@lowering("Scale")
def scale(site: LoweringSite) -> str:
    """Lower ScaleLayer: the factors first; its bias, if it has one, is the last parameter blob."""
    axis = axis_of(site.layer.scale_param.axis, site.bottoms[0])
    made = site.build.node("Mul", site.inputs[0], _operand(site, 0, axis))
    if not site.layer.scale_param.bias_term:
        return made
    last = len(site.params) - 1
    return site.build.node("Add", made, site.weight(last, _trailed(site.params[last], site.bottoms[0], axis)))


@lowering("Bias")
def bias(site: LoweringSite) -> str:
    """Lower BiasLayer: the summands."""
    axis = axis_of(site.layer.bias_param.axis, site.bottoms[0])
    return site.build.node("Add", site.inputs[0], _operand(site, 0, axis))


@lowering("PReLU")
def prelu(site: LoweringSite) -> str:
    """Lower PReLULayer: a slope for each channel, or one for all."""
    return site.build.node("PRelu", site.inputs[0], site.weight(0, _trailed(site.params[0], site.bottoms[0], 1)))


@lowering("Mul", "Add")
def broadcast(site: LoweringSite) -> str:
    """Lower Mul and Add of Synopsys, whose only bottom is combined with an operand of the layer."""
    op = site.node.type
    operands = list(site.inputs) if len(site.inputs) > 1 else [site.inputs[0], site.weight(0)]
    made = operands[0]
    for operand in operands[1:]:
        made = site.build.node(op, made, operand)
    return made


# ---- Normalisation by stored statistics ----


@lowering("BatchNorm")
def batch_norm(site: LoweringSite) -> str:
    """Lower BatchNormLayer, and Intel's with its own ReLU."""
    made = _batch_norm(site)
    return rectified(site.build, made) if site.layer.batch_norm_param.relu else made


def _batch_norm(site: LoweringSite) -> str:
    """Lower BatchNormLayer: mean and variance are stored times a factor, which is 0 before any training. Forks have a
    scale and a shift as well."""
    param, blobs = site.layer.batch_norm_param, batch_norm_blobs(site.params)
    if param.HasField("use_global_stats") and not param.use_global_stats:
        if blobs.scale is not None:
            raise RefusalError(BATCH_STATISTICS)
        return _by_batch(site, param.eps)
    factor = site.read(blobs.factor)[0]
    inverse = 1 / factor if factor else 0.0
    mean, variance = ([value * inverse for value in site.read(position)] for position in (blobs.mean, blobs.variance))
    slope = [1.0] * len(mean) if blobs.scale is None else list(site.read(blobs.scale))
    shift = [0.0] * len(mean) if blobs.shift is None else list(site.read(blobs.shift))
    return _normalized(site, (slope, shift, mean, variance), stored_eps(site.layer))


@lowering("BN")
def batch_norm_of_forks(site: LoweringSite) -> str:
    """Lower BN of PSPNet, with slope, bias, mean and variance; and that of SegNet, which has only slope and bias when
    merged."""
    if len(site.tops) > 1:
        raise RefusalError("its statistics as additional tops are for training only")
    if len(site.params) == 2:
        if site.layer.bn_param.bn_mode != _INFERENCE:
            raise RefusalError("bn_mode is not INFERENCE, so it uses the statistics of the batch")
        shape = _trailed(site.params[0][1:2], site.bottoms[0], 1)
        scaled = site.build.node("Mul", site.inputs[0], site.weight(0, shape))
        return site.build.node("Add", scaled, site.weight(1, shape))
    return _normalized(site, tuple(list(site.read(position)) for position in range(4)), site.layer.bn_param.eps)


def _normalized(site: LoweringSite, blobs: Sequence[list[float]], eps: float) -> str:
    """Add ONNX's BatchNormalization with BLOBS: slope, bias, mean and variance."""
    build, dims, value = site.build, site.bottoms[0], site.inputs[0]
    labels = ("scale", "bias", "mean", "variance")
    stored = [build.computed(label, values) for label, values in zip(labels, blobs, strict=True)]
    if len(dims) > 1:
        return build.node("BatchNormalization", value, *stored, epsilon=eps)
    column = reshape(build, value, [-1, 1])
    return reshape(build, build.node("BatchNormalization", column, *stored, epsilon=eps), [-1])


def _by_batch(site: LoweringSite, eps: float) -> str:
    """Lower BatchNormLayer with use_global_stats: false, by the statistics of the input."""
    build, value, dims = site.build, site.inputs[0], site.bottoms[0]
    axes = build.ints([axis for axis in range(len(dims)) if axis != 1])
    centred = build.node("Sub", value, build.node("ReduceMean", value, axes, keepdims=1))
    variance = build.node("ReduceMean", build.node("Mul", centred, centred), axes, keepdims=1)
    deviation = build.node("Sqrt", build.node("Add", variance, build.number(eps)))
    return build.node("Div", centred, deviation)
