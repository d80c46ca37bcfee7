"""Shape rules of the layers with a weight matrix, and of the recurrent layers that unroll into them."""

from __future__ import annotations

from collections.abc import Sequence

from caffe_fcn import schema
from caffe_fcn.errors import ShapeError
from caffe_fcn.net.shapes.registry import Bottoms, Shape, canonical_axis, count, need_axes, need_least_axes, rule, show


def _outputs(param: schema.Message) -> int:
    if param.num_output < 1:
        raise ShapeError("num_output is missing")
    return int(param.num_output)


def inner_product_params(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """InnerProductLayer: weights O×K, or K×O if transposed, and the bias, O."""
    param = layer.inner_product_param
    outputs = _outputs(param)
    inputs = count(bottoms[0][canonical_axis(param.axis, bottoms[0], "inner_product_param.axis") :])
    weight = (inputs, outputs) if param.transpose else (outputs, inputs)
    return [weight, (outputs,)] if param.bias_term else [weight]


@rule("InnerProduct", params=inner_product_params, makes=1)
def inner_product(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """InnerProductLayer: all axes from `axis` on become one of num_output."""
    param = layer.inner_product_param
    axis = canonical_axis(param.axis, bottoms[0], "inner_product_param.axis")
    return [(*bottoms[0][:axis], _outputs(param))]


def margin_params(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """MarginInnerProduct of SphereFace: weights O×K, no bias."""
    param = layer.margin_inner_product_param
    axis = canonical_axis(param.axis, bottoms[0], "margin_inner_product_param.axis")
    return [(_outputs(param), count(bottoms[0][axis:]))]


@rule("MarginInnerProduct", params=margin_params, bottoms=2)
def margin_inner_product(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """MarginInnerProduct of SphereFace: as InnerProduct; a second top holds lambda."""
    param = layer.margin_inner_product_param
    axis = canonical_axis(param.axis, bottoms[0], "margin_inner_product_param.axis")
    return [(*bottoms[0][:axis], _outputs(param)), (1,)]


def embed_params(layer: schema.Message, _bottoms: Bottoms) -> Sequence[Shape]:
    """EmbedLayer: a table of input_dim×O and the bias, O."""
    param = layer.embed_param
    if param.input_dim < 1:
        raise ShapeError("embed_param.input_dim is missing")
    table = (int(param.input_dim), _outputs(param))
    return [table, (_outputs(param),)] if param.bias_term else [table]


@rule("Embed", params=embed_params, makes=1)
def embed(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """EmbedLayer adds an axis of num_output."""
    return [(*bottoms[0], _outputs(layer.embed_param))]


def _parameter_shape(layer: schema.Message) -> Shape:
    return tuple(layer.parameter_param.shape.dim)


def parameter_params(layer: schema.Message, _bottoms: Bottoms) -> Sequence[Shape]:
    """ParameterLayer: the one blob that is its top."""
    return [_parameter_shape(layer)]


@rule("Parameter", params=parameter_params, bottoms=0, makes=1)
def parameter(layer: schema.Message, _bottoms: Bottoms) -> Sequence[Shape]:
    """ParameterLayer: a learned blob as a top."""
    return [_parameter_shape(layer)]


_HIDDEN = {"LSTM": 2, "RNN": 1}
"""The states that each type carries from step to step, and with expose_hidden takes and gives."""


def _has_static(layer: schema.Message, bottoms: Bottoms) -> bool:
    """Whether the third bottom is an input that stays the same at each step."""
    exposed = _HIDDEN[layer.type] if layer.recurrent_param.expose_hidden else 0
    extra = len(bottoms) - 2 - exposed
    if extra not in (0, 1):
        raise ShapeError(
            f"it has {len(bottoms)} bottoms, but takes {2 + exposed} or, with a static input, {3 + exposed}"
        )
    return extra == 1


def recurrent_params(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """RecurrentLayer, in the order of the unrolled net.

    LSTM: 4D×K of the input and its bias, 4D×S of the static input, 4D×D of the state. RNN: the same with D
    for 4D, then D×D of the output and its bias.
    """
    outputs = _outputs(layer.recurrent_param)
    rows = 4 * outputs if layer.type == "LSTM" else outputs
    params = [(rows, count(bottoms[0][2:])), (rows,)]
    if _has_static(layer, bottoms):
        params.append((rows, count(bottoms[2][1:])))
    params.append((rows, outputs))
    return params if layer.type == "LSTM" else [*params, (outputs, outputs), (outputs,)]


@rule("LSTM", "RNN", params=recurrent_params, bottoms=(2, None), makes=(1, None))
def recurrent(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """RecurrentLayer: T×N×... and its continuation marks, T×N, make T×N×D; exposed states are 1×N×D."""
    sequence, marks = bottoms[:2]
    outputs = _outputs(layer.recurrent_param)
    need_axes(marks, 2)
    need_least_axes(sequence, 3)
    if sequence[:2] != marks:
        raise ShapeError(f"the sequence is {show(sequence)}, its marks {show(marks)}, but both must begin with T×N")
    if _has_static(layer, bottoms):
        need_least_axes(bottoms[2], 2)
        if bottoms[2][0] != sequence[1]:
            raise ShapeError(f"the static input is {show(bottoms[2])}, but the sequence has {sequence[1]} items")
    state = (1, sequence[1], outputs)
    exposed = [state] * _HIDDEN[layer.type] if layer.recurrent_param.expose_hidden else []
    for bottom in bottoms[len(bottoms) - len(exposed) :]:
        if bottom != state:
            raise ShapeError(f"a state is {show(bottom)}, but {show(state)} is expected")
    if len(layer.top) != 1 + len(exposed):
        raise ShapeError(
            f"it has {len(layer.top)} tops, but {1 + len(exposed)} are expected, its output and each state"
        )
    return [(*sequence[:2], outputs), *exposed]


def meanfield_params(_layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """MultiStageMeanfield of CRF-RNN: spatial, bilateral and compatibility matrices, 1×1×C×C each."""
    need_axes(bottoms[0], 4)
    channels = bottoms[0][1]
    return [(1, 1, channels, channels)] * 3


@rule("MultiStageMeanfield", params=meanfield_params, bottoms=3)
def meanfield(_layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """MultiStageMeanfield of CRF-RNN refines its first bottom."""
    return [bottoms[0]]
