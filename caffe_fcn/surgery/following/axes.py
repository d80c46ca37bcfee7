"""Layers that work along an axis: they stay where that axis of the original is the channels of the twin."""

from __future__ import annotations

from caffe_fcn.model.reorder import Segment
from caffe_fcn.surgery.following.place import Outcome, Place, Refuses, along_space, apart, mixture, off_axis
from caffe_fcn.surgery.views import View, in_order


def channelwise(place: Place) -> Outcome:
    """Layers that work along axis 1, whatever is behind it: PReLU, BatchNorm."""
    shared = place.type == "PReLU" and place.node.layer.prelu_param.channel_shared
    if not shared and not place.view.runs_over_channels(1):
        return apart(place, place.view, 1)
    return place.passes(place.view)


def scale(place: Place) -> Outcome:
    """Scale and Bias, with learned values along some axes, or with a second bottom that covers the first."""
    message = "scale_param" if place.type == "Scale" else "bias_param"
    param, view = getattr(place.node.layer, message), place.views[0]
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


def softmax(place: Place) -> Outcome:
    """Softmax."""
    view = place.view
    axis = place.node.layer.softmax_param.axis % len(view.axes)
    if not view.runs_over_channels(axis):
        return off_axis(place, view, axis)
    return place.passes(view, *place.along(1, view, "softmax_param"))


def normalize(place: Place) -> Outcome:
    """Normalize of SSD divides by the length of the channels at each position, or of the whole item."""
    layer, view = place.node.layer, place.view
    if not layer.HasField("norm_param") or layer.norm_param.across_spatial:
        return along_space(place)
    return place.passes(view) if view.runs_over_channels(1) else off_axis(place, view, 1)


def argmax(place: Place) -> Outcome:
    """ArgMax, along an axis or over the whole item."""
    view, param, top = place.view, place.node.layer.argmax_param, place.tops[0]
    if not isinstance(top, tuple):
        return Refuses("(ArgMax) makes a blob of unknown shape")
    if param.HasField("axis"):
        axis = param.axis % len(view.axes)
        if not view.runs_over_channels(axis):
            return off_axis(place, view, axis)
        changes = place.along(1, view, "argmax_param")
    elif param.out_max_val:
        return Refuses("(ArgMax with out_max_val) gives index and value, and can give only one of them per position")
    elif view.positions > 1:
        return Refuses("(ArgMax) looks for the largest value of all positions", by_axis=True)
    else:
        changes = (place.change("argmax_param", "axis", 1),)
    shape = (view.shape[0], param.top_k, *view.spatial)
    segments = in_order((Segment(param.top_k, view.positions, view.is_reordered),))
    return place.passes(View(view.blob, shape, top, segments), *changes)
