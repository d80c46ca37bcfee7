"""Layers with a factor, summand or slope for each channel, and layers that shuffle channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.exactness import Cause
from caffe_fcn.net.layers.fillers import filled
from caffe_fcn.net.layers.following import Outcome, Place, apart, channelwise, mixture
from caffe_fcn.net.layers.keeping import with_operand
from caffe_fcn.net.layers.moves import KEEP, Site, Way, Ways, keep
from caffe_fcn.net.layers.row import ONE, LayerType, every_bottom
from caffe_fcn.net.layers.shape import (
    Bottoms,
    Shape,
    canonical_axis,
    legacy_shape,
    need_least_axes,
    show,
)
from caffe_fcn.net.layers.traits import CHANNELWISE, same
from caffe_fcn.net.objections import Severity
from caffe_fcn.schema import Message


def prelu_params(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """PReLULayer: one slope per channel, or one for all."""
    need_least_axes(bottoms[0], 2)
    return [() if layer.prelu_param.channel_shared else (bottoms[0][1],)]


def prelu_objections(_layer: Message, bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    """Caffe's objections to a PReLU: more than four axes."""
    legacy_shape(bottoms[0])
    return iter(())


def shuffle_channel(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ShuffleChannel: the channels are divided into equal groups."""
    need_least_axes(bottoms[0], 2)
    group, channels = layer.shuffle_channel_param.group, bottoms[0][1]
    if group < 1 or channels % group:
        raise ShapeError(f"group is {group}, but must divide the {channels} channels")
    return same(layer, bottoms)


def _follows_prelu(place: Place) -> Outcome:
    """PReLU: a single slope does not depend on the axis of the channels."""
    return place.passes(place.view) if place.node.layer.prelu_param.channel_shared else channelwise(place)


# ---- Scale and Bias ----


def _operand(layer: Message, bottoms: Bottoms, param: Message, field: str) -> Shape:
    """The shape of what Scale and Bias multiply or add: the second bottom or a learned blob."""
    bottom: Shape = bottoms[0]
    if len(bottoms) > 1:
        axis = 0 if not bottoms[1] else canonical_axis(param.axis, bottom, f"{field}.axis")
        operand: Shape = bottoms[1]
        if bottom[axis : axis + len(operand)] != operand:
            raise ShapeError(
                f"the second bottom is {show(operand)}, which does not match {show(bottom)} from axis {axis} on"
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


def scale_params(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ScaleLayer: the factors, unless they are the second bottom, and a bias of the same shape if bias_term is true."""
    operand = _operand(layer, bottoms, layer.scale_param, "scale_param")
    return [operand] * ((len(bottoms) == 1) + layer.scale_param.bias_term)


def scale(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ScaleLayer: the operand must lie within the bottom."""
    _operand(layer, bottoms, layer.scale_param, "scale_param")
    return same(layer, bottoms)


def bias_params(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """BiasLayer: the summands, unless they are the second bottom."""
    operand = _operand(layer, bottoms, layer.bias_param, "bias_param")
    return [operand] if len(bottoms) == 1 else []


def bias(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """BiasLayer: the operand must lie within the bottom."""
    _operand(layer, bottoms, layer.bias_param, "bias_param")
    return same(layer, bottoms)


def _scale_fillers(layer: Message, _params: Sequence[Shape]) -> Sequence[str]:
    """The fields of the fillers. If the factors are the second bottom, the only blob is the bias."""
    return ("scale_param.filler", "scale_param.bias_filler")[len(layer.bottom) > 1 :]


def _param(layer: Message) -> Message:
    return layer.scale_param if layer.type == "Scale" else layer.bias_param


def _operand_axis(layer: Message) -> int:
    return int(_param(layer).axis)


def _scaled(site: Site) -> Ways:
    """A factor for each channel holds for every cell; a factor for each row or column depends on the place."""
    if len(site.node.bottoms) > 1:
        return keep(site)
    param = _param(site.layer)
    start = param.axis % len(site.bottom)
    own = range(start, len(site.bottom) if param.num_axes < 0 else start + param.num_axes)
    reasons = (site.reason(Cause.BY_PLACE),)
    return tuple(Way(KEEP, reasons if axis in own else ()) for axis in range(2, len(site.bottom)))


def _follows_scale(place: Place) -> Outcome:
    """Scale and Bias, with learned values along some axes, or with a second bottom that covers the first."""
    param, view = _param(place.node.layer), place.views[0]
    message = "scale_param" if place.type == "Scale" else "bias_param"
    if len(place.views) == 2:
        other = place.views[1]
        if view is None or other is None or (view.shape, view.segments) != (other.shape, other.segments):
            return mixture(place)
        return place.passes(view, *place.along(0, view, message))
    view = place.view
    axis = param.axis % len(view.axes)
    if param.num_axes == 0:
        return place.passes(view, *place.along(1, view, message))
    operand = view.axes[axis:] if param.num_axes == -1 else view.axes[axis : axis + param.num_axes]
    if not view.runs_over_channels(axis) or len(operand) != 1:
        return apart(place, view, axis)
    single = () if param.num_axes == 1 else (place.change(message, "num_axes", 1),)
    return place.passes(view, *place.along(1, view, message), *single)


_SCALE = CHANNELWISE._replace(
    bvlc=True,
    bottoms=(1, 2),
    tops=ONE,
    moves=_scaled,
    maps=every_bottom,
    joins=True,
    operand_axis=_operand_axis,
    keeps=with_operand(_operand_axis),
    follows=_follows_scale,
)

ROWS: dict[str, LayerType] = {
    "Bias": _SCALE._replace(
        shape=bias,
        params=bias_params,
        fillers=filled("bias_param", "filler"),
        contents=("bias",),
        old_axes=(1,),
        reads="bias_param",
    ),
    "PReLU": CHANNELWISE._replace(
        family="activation",
        bvlc=True,
        params=prelu_params,
        tops=ONE,
        objections=prelu_objections,
        fillers=filled("prelu_param", "filler"),
        contents=("slopes",),
        follows=_follows_prelu,
        old_axes=(1,),
        v1="PRELU",
        reads="prelu_param",
    ),
    "Scale": _SCALE._replace(
        shape=scale,
        params=scale_params,
        fillers=_scale_fillers,
        contents=("factors",),
        old_axes=(1, 1),
        reads="scale_param bias_param",
    ),
    "ShuffleChannel": CHANNELWISE._replace(
        family="reshape",
        shape=shuffle_channel,
        in_its_place=False,
        keeps=None,
        reads="shuffle_channel_param",
    ),
}
