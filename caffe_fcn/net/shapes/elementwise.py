"""Shape rules of the layers that work on each value: the top has the shape of the bottom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from caffe_fcn import schema
from caffe_fcn.errors import ShapeError
from caffe_fcn.net.objections import Severity
from caffe_fcn.net.shapes.registry import (
    BVLC_LAYERS,
    MAX_COUNT,
    Bottoms,
    Shape,
    canonical_axis,
    legacy_shape,
    need_axes,
    need_least_axes,
    no_params,
    rule,
    show,
)

VALUE_BY_VALUE = frozenset(
    "AbsVal BNLL Clip Dropout ELU Exp HardSigmoid HardSwish Insanity Log Mish Power ReLU ReLU6 "
    "Sigmoid Split Swish TanH Threshold".split()
)
"""Types whose every top holds one function of each value of the one bottom, wherever that value lies."""

_PROD = 0
"""EltwiseParameter.EltwiseOp.PROD."""


def same(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Every top has the shape of the first bottom."""
    return [bottoms[0]] * max(1, len(layer.top))


rule(*sorted(VALUE_BY_VALUE & BVLC_LAYERS - {"Exp", "Log", "Split"}), makes=1)(same)
rule("Split", makes=(1, None))(same)
rule(*sorted(VALUE_BY_VALUE - BVLC_LAYERS))(same)


@rule("Exp", "Log", makes=1)
def powers(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ExpLayer, LogLayer: the base is positive, or -1 for e."""
    param = layer.exp_param if layer.type == "Exp" else layer.log_param
    if param.base != -1 and not 0 < param.base < inf:
        raise ShapeError(f"base is {param.base:g}, but must be positive, or -1 for e")
    if layer.type == "Log" and param.base == 1:
        raise ShapeError("base is 1, to which there is no logarithm")
    return same(layer, bottoms)


@rule("LRN", makes=1)
def lrn(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """LRNLayer: a map of four axes, an odd local_size."""
    need_axes(bottoms[0], 4)
    if layer.lrn_param.local_size > MAX_COUNT:  # negative in Caffe, which reads it as an int
        raise ShapeError(f"local_size is {layer.lrn_param.local_size}, but must be at most {MAX_COUNT}")
    if layer.lrn_param.local_size % 2 == 0:
        raise ShapeError(f"local_size is {layer.lrn_param.local_size}, but must be odd")
    return same(layer, bottoms)


@rule("MVN", makes=1)
def mvn(_layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """MVNLayer gives its top four axes, whatever the bottom has."""
    return [legacy_shape(bottoms[0])]


@rule("Softmax", makes=1)
def softmax(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """SoftmaxLayer normalises along an axis that must exist."""
    canonical_axis(layer.softmax_param.axis, bottoms[0], "softmax_param.axis")
    return same(layer, bottoms)


def eltwise_objections(layer: schema.Message, bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    """What BVLC Caffe has against an Eltwise: coefficients of a product, and scalars."""
    if layer.eltwise_param.coeff and layer.eltwise_param.operation == _PROD:
        yield Severity.ERROR, "coeff is given, but a product has no coefficients; remove it"
    if any(bottom != bottoms[0] for bottom in bottoms):
        yield Severity.BVLC, "BVLC Caffe joins blobs of one shape only, and no scalar with a blob"


@rule("Eltwise", bottoms=(2, None), makes=1, objects=eltwise_objections)
def eltwise(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """EltwiseLayer joins blobs of one shape; a fork (Synopsys) takes scalars too, as constants."""
    coefficients = len(layer.eltwise_param.coeff)
    if coefficients not in (0, len(bottoms)):
        raise ShapeError(f"it has {coefficients} coeff for {len(bottoms)} bottoms; give one for each, or none")
    for position, bottom in enumerate(bottoms):
        if bottom not in (bottoms[0], ()):
            raise ShapeError(
                f'its bottoms disagree: "{layer.bottom[0]}" is {show(bottoms[0])}, '
                f'"{layer.bottom[position]}" is {show(bottom)}'
            )
    return [bottoms[0]]


def channels_of(shape: Shape) -> int:
    """The channels of a blob of SHAPE; 1 where it has one axis, as in BatchNormLayer."""
    return shape[1] if len(shape) > 1 else 1


def prelu_params(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """PReLULayer: one slope per channel, or one for all."""
    need_least_axes(bottoms[0], 2)
    return [() if layer.prelu_param.channel_shared else (bottoms[0][1],)]


def prelu_objections(_layer: schema.Message, bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    """What Caffe has against a PReLU: more than four axes."""
    legacy_shape(bottoms[0])
    return iter(())


rule("PReLU", params=prelu_params, makes=1, objects=prelu_objections)(same)


def _operand(layer: schema.Message, bottoms: Bottoms, param: schema.Message, field: str) -> Shape:
    """The shape that Scale and Bias multiply or add: the second bottom's, or that of a learned blob."""
    bottom: Shape = bottoms[0]
    if len(bottoms) > 1:
        axis = 0 if not bottoms[1] else canonical_axis(param.axis, bottom, f"{field}.axis")
        operand: Shape = bottoms[1]
        if bottom[axis : axis + len(operand)] != operand:
            raise ShapeError(
                f"the second bottom is {show(operand)}, which does not lie on axis {axis} of {show(bottom)}"
            )
        return operand
    axis = canonical_axis(param.axis, bottom, f"{field}.axis")
    if param.num_axes == -1:
        return bottom[axis:]
    if param.num_axes < -1 or axis + param.num_axes > len(bottom):
        raise ShapeError(
            f"{field}.num_axes is {param.num_axes}, but the bottom ({show(bottom)}) has {len(bottom) - axis}"
        )
    return bottom[axis : axis + param.num_axes]


def scale_params(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ScaleLayer: the factors, unless they are the second bottom, and on demand a bias of the same shape."""
    operand = _operand(layer, bottoms, layer.scale_param, "scale_param")
    return [operand] * ((len(bottoms) == 1) + layer.scale_param.bias_term)


@rule("Scale", params=scale_params, bottoms=(1, 2), makes=1)
def scale(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ScaleLayer: the operand must lie within the bottom."""
    _operand(layer, bottoms, layer.scale_param, "scale_param")
    return same(layer, bottoms)


def bias_params(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """BiasLayer: the summands, unless they are the second bottom."""
    operand = _operand(layer, bottoms, layer.bias_param, "bias_param")
    return [operand] if len(bottoms) == 1 else []


@rule("Bias", params=bias_params, bottoms=(1, 2), makes=1)
def bias(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """BiasLayer: the operand must lie within the bottom."""
    _operand(layer, bottoms, layer.bias_param, "bias_param")
    return same(layer, bottoms)


@rule("LSTMUnit", bottoms=3, makes=2)
def lstm_unit(_layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """LSTMUnitLayer: the cell state 1×N×D, the four gates 1×N×4D, the continuation 1×N."""
    cell, gates, _ = bottoms
    need_axes(cell, 3)
    if cell[0] != 1:
        raise ShapeError(f"the cell state is {show(cell)}, but one time step is expected, 1×N×D")
    if gates != (*cell[:2], 4 * cell[2]):
        raise ShapeError(f"the gates are {show(gates)}, but {show((*cell[:2], 4 * cell[2]))} is expected")
    return [cell, cell]


# ---- Layers of forks ----


def normalize_params(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Normalize of SSD (`norm_param`) has a factor per channel or one for all; that of face nets has none."""
    if not layer.HasField("norm_param"):
        return no_params(layer, bottoms)
    return [() if layer.norm_param.channel_shared else (channels_of(bottoms[0]),)]


@rule("Normalize", params=normalize_params)
def normalize(_layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """The top has the bottom's shape; a second top holds the norms, one per place."""
    bottom: Shape = bottoms[0]
    need_least_axes(bottom, 2)
    return [bottom, (bottom[0], 1, *bottom[2:])]


@rule("Flip")
def flip(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Flip of face nets: a map mirrored, N×C×H×W."""
    need_axes(bottoms[0], 4)
    return same(layer, bottoms)


@rule("ShuffleChannel")
def shuffle_channel(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ShuffleChannel: the channels fall into equal groups."""
    need_least_axes(bottoms[0], 2)
    group, channels = layer.shuffle_channel_param.group, bottoms[0][1]
    if group < 1 or channels % group:
        raise ShapeError(f"group is {group}, which does not divide the {channels} channels")
    return same(layer, bottoms)


@rule("Axpy", bottoms=3)
def axpy(_layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Axpy: a·x + y, with one factor per channel of the map x."""
    factor, x, y = bottoms
    need_least_axes(factor, 2)
    if x != y or factor[:2] != x[:2]:
        raise ShapeError(f"a is {show(factor)}, x is {show(x)}, y is {show(y)}, but x and y must agree and a give N×C")
    return [x]


def _broadcast(first: Shape, second: Shape) -> Shape:
    """The shape of FIRST and SECOND joined value by value, an extent of 1 being stretched."""
    axes = max(len(first), len(second))
    pairs = zip((1,) * (axes - len(first)) + first, (1,) * (axes - len(second)) + second, strict=True)
    joined = []
    for one, other in pairs:
        if one != other and 1 not in (one, other):
            raise ShapeError(f"{show(first)} and {show(second)} cannot be joined value by value")
        joined.append(max(one, other))
    return tuple(joined)


def _own_operand(layer: schema.Message) -> Shape:
    return tuple(layer.mul_param.mul_shape if layer.type == "Mul" else layer.add_param.add_shape)


def broadcast_params(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Mul and Add of Synopsys hold the second operand when it is not a bottom."""
    return [_own_operand(layer)] if len(bottoms) == 1 else []


@rule("Mul", "Add", params=broadcast_params, bottoms=(1, None))
def broadcast(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Mul and Add of Synopsys stretch extents of 1, as TensorFlow does."""
    shape: Shape = bottoms[0]
    for other in bottoms[1:] if len(bottoms) > 1 else [_own_operand(layer)]:
        shape = _broadcast(shape, other)
    return [shape]
