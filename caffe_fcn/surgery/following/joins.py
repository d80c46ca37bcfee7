"""Layers that make each value of the values in its place, and layers that join, repeat and cut blobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from caffe_fcn.model.reorder import Segment
from caffe_fcn.net.layers.shape import joined_axis
from caffe_fcn.net.shapes import Unknown
from caffe_fcn.surgery.following.place import Outcome, Passes, Place, Refuses, mixture, off_axis
from caffe_fcn.surgery.views import View, in_order


def one_by_one(place: Place) -> Outcome:
    """Each value of a top is made of the values in the same place of the bottoms."""
    first = place.views[0]
    if first is None or any(not _alike(first, view) for view in place.views):
        return mixture(place)
    return Passes(tuple(replace(first, blob=top) for top in place.node.tops))


def broadcast(place: Place) -> Outcome:
    """Mul and Add of Synopsys. A learned operand that is more than a number is stretched along axes of the original."""
    layer = place.node.layer
    operand = layer.mul_param.mul_shape if place.type == "Mul" else layer.add_param.add_shape
    if len(place.views) == 1 and prod(operand) != 1:
        name = place.node.bottoms[0].name
        return Refuses(f"({place.type}) has an operand of its own that lies along axes of {name!r}", by_axis=True)
    return one_by_one(place)


def reindex(place: Place) -> Outcome:
    """BatchReindex picks items by the indices in its second bottom."""
    view, top = place.views[0], place.tops[0]
    if view is None or place.views[1] is not None or not isinstance(top, tuple):
        return mixture(place)
    return place.passes(_with_items(view, top[0]))


def concat(place: Place) -> Outcome:
    """Concat joins items, or blobs that lie one behind the other in the channels of the twin."""
    first = place.views[0]
    if first is None:
        return mixture(place)
    axis, field = joined_axis(place.node.layer, first.axes), _axis_field(place, "concat")
    if axis == 0:
        items = sum(view.shape[0] for view in place.views if view)
        if any(view is None or not _alike(_with_items(view, 1), _with_items(first, 1)) for view in place.views):
            return mixture(place)
        return place.passes(_with_items(first, items), *place.along(0, first, "concat_param", field))
    views = [view for view in place.views if view and view.spatial == first.spatial and view.shape[0] == first.shape[0]]
    if len(views) < len(place.views):
        return mixture(place)
    view = _joined(views, axis)
    return place.passes(view, *place.along(1, view, "concat_param", field)) if view else off_axis(place, first, axis)


def tile(place: Place) -> Outcome:
    """Tile is a Concat of one blob with itself."""
    view, param = place.view, place.node.layer.tile_param
    axis = param.axis % len(view.axes)
    if axis == 0:
        return place.passes(_with_items(view, view.shape[0] * param.tiles), *place.along(0, view, "tile_param"))
    made = _joined([view] * param.tiles, axis)
    return place.passes(made, *place.along(1, view, "tile_param")) if made else off_axis(place, view, axis)


def slice_(place: Place) -> Outcome:
    """Slice cuts items, or channels."""
    view = place.view
    axis, field = joined_axis(place.node.layer, view.axes), _axis_field(place, "slice")
    if axis > 0 and not view.runs_over_channels(axis):
        return off_axis(place, view, axis)
    parts = []
    for blob, top in zip(place.node.tops, place.tops, strict=True):
        if isinstance(top, Unknown):
            return Refuses("(Slice) makes a blob of unknown shape")
        segments = view.segments if axis == 0 else (Segment(top[axis], view.positions, view.is_reordered),)
        shape = (top[0], view.channels if axis == 0 else top[axis], *view.spatial)
        parts.append(View(blob, shape, top, in_order(segments)))
    return Passes(tuple(parts), place.along(min(axis, 1), view, "slice_param", field))


def _alike(one: View, other: View | None) -> bool:
    """Whether two views are of one shape and one order, and have the same axes."""
    return other is not None and replace(one, blob=other.blob) == other


def _with_items(view: View, items: int) -> View:
    return replace(view, shape=(items, *view.shape[1:]), axes=(items, *view.axes[1:]))


def _joined(views: Sequence[View], axis: int) -> View | None:
    """VIEWS one behind the other along AXIS, from 1 on; None if that is not one behind the other in the channels."""
    first = views[0]
    shape = (first.shape[0], sum(view.channels for view in views), *first.spatial)
    axes = (*first.axes[:axis], sum(view.axes[axis] for view in views), *first.axes[axis + 1 :])
    if first.before(axis) == 1:
        segments = [segment for view in views for segment in view.segments]
    elif all(view.runs_over_channels(axis) and view.after(axis) == 1 for view in views):
        segments = [Segment(shape[1], first.positions, True)]
    else:
        return None
    return View(first.blob, shape, axes, in_order(segments))


def _axis_field(place: Place, kind: str) -> str:
    """The field in which a Concat or Slice says its axis: `axis`, or the old name if it is that which is given."""
    old = f"{kind}_dim"
    return old if getattr(place.node.layer, f"{kind}_param").HasField(old) else "axis"
