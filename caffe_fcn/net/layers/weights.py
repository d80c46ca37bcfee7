"""Layers with a weight matrix or a table, recurrent layers, and learned blobs."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.layers.fillers import weight_and_bias
from caffe_fcn.net.layers.following import Outcome, Place, counts, off_axis
from caffe_fcn.net.layers.row import ONE, SOME, LayerType, always, few_terms
from caffe_fcn.net.layers.shape import Bottoms, Shape, canonical_axis, count, need_axes, need_least_axes, show
from caffe_fcn.net.layers.traits import DATA, OTHER
from caffe_fcn.schema import Message


def _outputs(param: Message) -> int:
    if param.num_output < 1:
        raise ShapeError("num_output is missing")
    return int(param.num_output)


def inner_product_params(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """InnerProductLayer: weights O×K, or K×O if transposed, and the bias, O."""
    param = layer.inner_product_param
    outputs = _outputs(param)
    inputs = count(bottoms[0][canonical_axis(param.axis, bottoms[0], "inner_product_param.axis") :])
    weight = (inputs, outputs) if param.transpose else (outputs, inputs)
    return [weight, (outputs,)] if param.bias_term else [weight]


def inner_product(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """InnerProductLayer: all axes from `axis` on become one of num_output."""
    param = layer.inner_product_param
    axis = canonical_axis(param.axis, bottoms[0], "inner_product_param.axis")
    return [(*bottoms[0][:axis], _outputs(param))]


def margin_params(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """MarginInnerProduct of SphereFace: weights O×K, no bias."""
    param = layer.margin_inner_product_param
    axis = canonical_axis(param.axis, bottoms[0], "margin_inner_product_param.axis")
    return [(_outputs(param), count(bottoms[0][axis:]))]


def margin_inner_product(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """MarginInnerProduct of SphereFace: as InnerProduct; a second top holds lambda."""
    param = layer.margin_inner_product_param
    axis = canonical_axis(param.axis, bottoms[0], "margin_inner_product_param.axis")
    return [(*bottoms[0][:axis], _outputs(param)), (1,)]


def embed_params(layer: Message, _bottoms: Bottoms) -> Sequence[Shape]:
    """EmbedLayer: a table of input_dim×O and the bias, O."""
    param = layer.embed_param
    if param.input_dim < 1:
        raise ShapeError("embed_param.input_dim is missing")
    table = (int(param.input_dim), _outputs(param))
    return [table, (_outputs(param),)] if param.bias_term else [table]


def embed(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """EmbedLayer adds an axis of num_output."""
    return [(*bottoms[0], _outputs(layer.embed_param))]


def _parameter_shape(layer: Message) -> Shape:
    return tuple(layer.parameter_param.shape.dim)


def parameter_params(layer: Message, _bottoms: Bottoms) -> Sequence[Shape]:
    """ParameterLayer: its only blob is its top."""
    return [_parameter_shape(layer)]


def parameter(layer: Message, _bottoms: Bottoms) -> Sequence[Shape]:
    """ParameterLayer: a learned blob as a top."""
    return [_parameter_shape(layer)]


def _stays(place: Place) -> Outcome:
    """An InnerProduct that stays: it works at the nominal input size only."""
    view = place.view
    axis = place.node.layer.inner_product_param.axis % len(view.axes)
    if axis != 1:
        return off_axis(place, view, axis)
    return counts(place, *place.along(1, view, "inner_product_param"))


# ---- Sequences ----

_HIDDEN = {"LSTM": 2, "RNN": 1}
"""The states that each type carries from step to step; with expose_hidden they are also bottoms and tops."""


def _has_static(layer: Message, bottoms: Bottoms) -> bool:
    """Whether the third bottom is an input that stays the same at each step."""
    exposed = _HIDDEN[layer.type] if layer.recurrent_param.expose_hidden else 0
    extra = len(bottoms) - 2 - exposed
    if extra not in (0, 1):
        raise ShapeError(
            f"it has {len(bottoms)} bottoms, but takes {2 + exposed} or, with a static input, {3 + exposed}"
        )
    return extra == 1


def recurrent_params(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
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


def recurrent(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """RecurrentLayer: T×N×... and its continuation marks, T×N, make T×N×D; exposed states are 1×N×D."""
    sequence, marks = bottoms[:2]
    outputs = _outputs(layer.recurrent_param)
    need_axes(marks, 2)
    need_least_axes(sequence, 3)
    if sequence[:2] != marks:
        raise ShapeError(
            f"the sequence is {show(sequence)} and its marks are {show(marks)}; expected both to begin with T×N"
        )
    if _has_static(layer, bottoms):
        need_least_axes(bottoms[2], 2)
        if bottoms[2][0] != sequence[1]:
            raise ShapeError(f"the static input is {show(bottoms[2])}, but the sequence has {sequence[1]} items")
    state = (1, sequence[1], outputs)
    exposed = [state] * _HIDDEN[layer.type] if layer.recurrent_param.expose_hidden else []
    for bottom in bottoms[len(bottoms) - len(exposed) :]:
        if bottom != state:
            raise ShapeError(f"a state is {show(bottom)}, expected {show(state)}")
    if len(layer.top) != 1 + len(exposed):
        raise ShapeError(f"it has {len(layer.top)} tops; expected {1 + len(exposed)}, its output and each state")
    return [(*sequence[:2], outputs), *exposed]


def lstm_unit(_layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """LSTMUnitLayer: the cell state 1×N×D, the four gates 1×N×4D, the continuation 1×N."""
    cell, gates, _ = bottoms
    need_axes(cell, 3)
    if cell[0] != 1:
        raise ShapeError(f"the cell state is {show(cell)}, expected one time step, 1×N×D")
    if gates != (*cell[:2], 4 * cell[2]):
        raise ShapeError(f"the gates are {show(gates)}, expected {show((*cell[:2], 4 * cell[2]))}")
    return [cell, cell]


def meanfield_params(_layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """MultiStageMeanfield of CRF-RNN: spatial, bilateral and compatibility matrices, 1×1×C×C each."""
    need_axes(bottoms[0], 4)
    channels = bottoms[0][1]
    return [(1, 1, channels, channels)] * 3


def meanfield(_layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """MultiStageMeanfield of CRF-RNN refines its first bottom."""
    return [bottoms[0]]


# ---- Cost ----


def _product_macs(_bottoms: Sequence[Shape], tops: Sequence[Shape], params: Sequence[Shape]) -> int:
    """Each vector is multiplied by every weight once."""
    return prod(tops[0][:-1]) * prod(params[0])


_WITH_STATIC = frozenset({4, 6})
"""The numbers of parameter blobs of an LSTM and an RNN with a static input; without one they have 3 and 5."""


def _product_terms(layer: Message, bottom: Shape, params: Sequence[Shape]) -> int:
    if not params or not params[0]:
        return few_terms(layer, bottom, params)
    return max(1, prod(params[0]) // max(1, int(layer.inner_product_param.num_output)))


def _recurrent_macs(bottoms: Sequence[Shape], _tops: Sequence[Shape], params: Sequence[Shape]) -> int:
    """Each item is multiplied by every matrix once per step. The matrix of the static input, between that of the input
    and those of the state, is used once per sequence."""
    steps, items = bottoms[0][:2]
    matrices = [prod(shape) for shape in params if len(shape) == 2]
    static = matrices.pop(1) if len(params) in _WITH_STATIC else 0
    return items * (steps * sum(matrices) + static)


_RECURRENT = OTHER._replace(
    bvlc=True,
    shape=recurrent,
    params=recurrent_params,
    bottoms=(2, None),
    tops=SOME,
    fillers=weight_and_bias("recurrent_param"),
    sequence=True,
    time_first=True,
    macs=_recurrent_macs,
    reads="recurrent_param",
)

ROWS: dict[str, LayerType] = {
    "Embed": OTHER._replace(
        bvlc=True,
        shape=embed,
        params=embed_params,
        bottoms=ONE,
        tops=ONE,
        fillers=weight_and_bias("embed_param"),
        old_axes=(2, 1),
        sequence=True,
        index_bottoms=0,
        reads="embed_param",
    ),
    "InnerProduct": OTHER._replace(
        family="inner_product",
        bvlc=True,
        shape=inner_product,
        params=inner_product_params,
        linear=True,
        bottoms=ONE,
        tops=ONE,
        fillers=weight_and_bias("inner_product_param"),
        old_axes=(2, 1),
        follows=_stays,
        terms=_product_terms,
        macs=_product_macs,
        reads="inner_product_param",
    ),
    "LSTM": _RECURRENT,
    "LSTMUnit": OTHER._replace(bvlc=True, shape=lstm_unit, bottoms=(3, 3), tops=(2, 2), sequence=True),
    "MarginInnerProduct": OTHER._replace(
        family="inner_product",
        shape=margin_inner_product,
        params=margin_params,
        bottoms=(2, 2),
        follows=counts,
        macs=_product_macs,
        reads="margin_inner_product_param",
    ),
    "MultiStageMeanfield": OTHER._replace(
        shape=meanfield,
        params=meanfield_params,
        bottoms=(3, 3),
        macs=None,  # the number of iterations is in a field that the schema does not have
    ),
    "Parameter": DATA._replace(
        bvlc=True,
        shape=parameter,
        params=parameter_params,
        tops=ONE,
        constant=True,
        shares=always,
        reads="parameter_param",
    ),
    "RNN": _RECURRENT,
}
