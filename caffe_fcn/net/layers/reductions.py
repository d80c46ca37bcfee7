"""Layers that reduce many values to few: indices of the largest values, sums, norms."""

from __future__ import annotations

from collections.abc import Sequence

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.layers.following import Clash, Outcome, Place, counts, off_axis, refuses
from caffe_fcn.net.layers.moves import CHANNELS, keep_if
from caffe_fcn.net.layers.row import ONE, LayerType, never
from caffe_fcn.net.layers.shape import Bottoms, Shape, canonical_axis, count, need_least_axes
from caffe_fcn.net.layers.traits import OTHER
from caffe_fcn.net.layers.views import Segment, View, in_order
from caffe_fcn.schema import Message


def argmax(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ArgMaxLayer: along an axis, or over all axes but the first; then the top has at least three axes."""
    bottom: Shape = bottoms[0]
    need_least_axes(bottom, 1)
    param = layer.argmax_param
    axis = canonical_axis(param.axis, bottom, "argmax_param.axis") if param.HasField("axis") else None
    candidates = count(bottom[1:]) if axis is None else bottom[axis]
    if not 1 <= param.top_k <= candidates:
        raise ShapeError(f"top_k is {param.top_k}, but must be 1 to {candidates}")
    if axis is not None:
        return [(*bottom[:axis], param.top_k, *bottom[axis + 1 :])]
    top = [1] * max(3, len(bottom))
    top[0], top[1], top[2] = bottom[0], 2 if param.out_max_val else 1, param.top_k
    return [tuple(top)]


def reduction(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ReductionLayer: one value of all axes from `axis` on."""
    return [bottoms[0][: canonical_axis(layer.reduction_param.axis, bottoms[0], "reduction_param.axis")]]


def _follows_argmax(place: Place) -> Outcome:
    """ArgMax, along an axis or over the whole item."""
    view, param, top = place.view, place.node.layer.argmax_param, place.tops[0]
    if not isinstance(top, tuple):
        return refuses(Clash.UNKNOWN_SHAPE, place.type)
    if param.HasField("axis"):
        axis = param.axis % len(view.axes)
        if not view.runs_over_channels(axis):
            return off_axis(place, view, axis)
        changes = place.along(1, view, "argmax_param")
    elif param.out_max_val:
        return refuses(Clash.GIVES_TWO, place.type)
    elif view.positions > 1:
        return refuses(Clash.LARGEST, place.type, by_axis=True)
    else:
        changes = (place.change("argmax_param", "axis", 1),)
    shape = (view.shape[0], param.top_k, *view.spatial)
    segments = in_order((Segment(param.top_k, view.positions, view.is_reordered),))
    return place.passes(View(view.blob, shape, top, segments), *changes)


def _follows_reduction(place: Place) -> Outcome:
    """Reduction: sums over all axes from one on. It is a loss, or its result grows with the map."""
    if place.tops[0] == () and any(place.node.layer.loss_weight):
        return counts(place)
    return refuses(Clash.SUMS, place.type, by_axis=True)


def _all(_layer: Message, bottom: Shape, _params: Sequence[Shape]) -> int:
    return count(bottom)


ROWS: dict[str, LayerType] = {
    "ArgMax": OTHER._replace(
        bvlc=True,
        shape=argmax,
        bottoms=ONE,
        tops=ONE,
        moves=keep_if(lambda site: site.layer.argmax_param.axis == CHANNELS, never),
        follows=_follows_argmax,
        makes="values",
        reads_scores=True,
        index_tops=0,
        v1="ARGMAX",
        reads="argmax_param",
    ),
    "Reduction": OTHER._replace(
        bvlc=True,
        shape=reduction,
        bottoms=ONE,
        tops=ONE,
        follows=_follows_reduction,
        makes="values",
        terms=_all,
        reads="reduction_param",
    ),
}
