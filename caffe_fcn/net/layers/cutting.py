"""Layers that cut blobs, repeat them, or move their places: Slice, Crop, Tile, Pad, Flip, Reorg."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.layers.following import Clash, Outcome, Passes, Place, along_space, off_axis, refuses
from caffe_fcn.net.layers.keeping import same_channels
from caffe_fcn.net.layers.moves import CHANNELS, Site, Slide, Way, Ways, keep_if, pads
from caffe_fcn.net.layers.row import ONE, SOME, LayerType, always, is_alone
from caffe_fcn.net.layers.shape import (
    Bottoms,
    Shape,
    Unknown,
    canonical_axis,
    joined_axis,
    need_axes,
    show,
)
from caffe_fcn.net.layers.traits import OTHER, WINDOW, same
from caffe_fcn.net.layers.views import Segment, View, in_order, joined, with_items
from caffe_fcn.schema import Message


def slice_(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """SliceLayer: cuts at the given points, or into as many equal parts as there are tops."""
    bottom: Shape = bottoms[0]
    axis = joined_axis(layer, bottom)
    tops, extent = len(layer.top), bottom[axis]
    points = list(layer.slice_param.slice_point)
    if not points:
        if extent % tops:
            raise ShapeError(f"axis {axis} has an extent of {extent}, which is not a multiple of the {tops} tops")
        points = [extent // tops * cut for cut in range(1, tops)]
    elif len(points) != tops - 1:
        raise ShapeError(f"it has {len(points)} slice_point for {tops} tops; expected one less than tops")
    elif sorted({0, *points}) != [0, *points] or points[-1] > extent or tops > extent:  # the last part may be empty
        raise ShapeError(f"slice_point is {points}, but must grow and stay within the extent of {extent}")
    parts = [end - start for start, end in pairwise([0, *points, extent])]
    return [(*bottom[:axis], part, *bottom[axis + 1 :]) for part in parts]


def _slices(layer: Message) -> int:
    return 1 if layer.slice_param.slice_point else max(1, len(layer.top))


def _is_one_slice(layer: Message) -> bool:
    return len(layer.top) <= 1


def crop(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """CropLayer: the first bottom cut to the size of the second, from `axis` on."""
    bottom, reference = bottoms
    axis = canonical_axis(layer.crop_param.axis, bottom, "crop_param.axis")
    if len(reference) < len(bottom):
        raise ShapeError(
            f"its bottoms have {len(bottom)} and {len(reference)} axes; expected at least as many axes in the "
            "second as in the first"
        )
    for place, offset in zip(range(axis, len(bottom)), crop_offsets(layer, len(bottom) - axis), strict=True):
        if bottom[place] - offset < reference[place]:
            raise ShapeError(
                f"axis {place}: {reference[place]} cells cannot be cut from {bottom[place]} at offset {offset}"
            )
    return [(*bottom[:axis], *reference[axis : len(bottom)])]


def crop_offsets(layer: Message, axes: int) -> Shape:
    """The offset of a Crop layer on each of the AXES that it cuts."""
    offsets = tuple(layer.crop_param.offset)
    if len(offsets) not in (0, 1, axes):
        raise ShapeError(f"offset is given {len(offsets)} times; expected once or {axes} times")
    return offsets if len(offsets) == axes else (offsets or (0,)) * axes


def _cropped(site: Site) -> Ways:
    axis = site.layer.crop_param.axis % len(site.bottom)
    offsets = (0,) * axis + crop_offsets(site.layer, len(site.bottom) - axis)
    return tuple(Way(Slide(1, 1, -offset)) for offset in offsets[2:])


def tile(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """TileLayer repeats the bottom along one axis."""
    bottom: Shape = bottoms[0]
    axis = canonical_axis(layer.tile_param.axis, bottom, "tile_param.axis")
    if layer.tile_param.tiles < 1:
        raise ShapeError(f"tiles is {layer.tile_param.tiles}, but must be 1 or more")
    return [(*bottom[:axis], bottom[axis] * layer.tile_param.tiles, *bottom[axis + 1 :])]


def paddings(layer: Message, bottom: Shape) -> list[tuple[int, int]]:
    """The padding of a Pad or Padding layer before and after each axis of BOTTOM."""
    values = list(layer.pad_param.paddings)
    if not values:
        need_axes(bottom, 4)
        values = [0, 0, 0, 0, *_sides(layer)]
    if len(values) != 2 * len(bottom):
        raise ShapeError(f"paddings has {len(values)} values; expected two for each of the {len(bottom)} axes")
    return list(zip(values[::2], values[1::2], strict=True))


def pad(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Pad of Synopsys: two values for each axis. Pad and Padding of other forks: the sides of a map."""
    sides = paddings(layer, bottoms[0])
    return [tuple(before + extent + after for extent, (before, after) in zip(bottoms[0], sides, strict=True))]


def _sides(layer: Message) -> Shape:
    """Top, bottom, left, right: each from its own field, that of the axis, or that for all sides."""
    if layer.type == "Pad":
        param = layer.pad_param
        return param.pad_t, param.pad_b, param.pad_l, param.pad_r
    param = layer.padding_param
    fields = (("pad_t", "pad_h"), ("pad_b", "pad_h"), ("pad_l", "pad_w"), ("pad_r", "pad_w"))
    return tuple(getattr(param, next((name for name in names if param.HasField(name)), "pad")) for names in fields)


def _padded(site: Site) -> Ways:
    sides = paddings(site.layer, site.bottom)[2:]
    return tuple(Way(Slide(1, 1, before), pads(site, before, after)) for before, after in sides)


def flip(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Flip of face nets: a map mirrored, N×C×H×W."""
    need_axes(bottoms[0], 4)
    return same(layer, bottoms)


def _stays(layer: Message) -> bool:
    return not (layer.flip_param.flip_width or layer.flip_param.flip_height)


def _is_single(layer: Message) -> bool:
    return bool(layer.tile_param.tiles == 1)


def reorg(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Reorg of YOLO: squares of stride×stride places become channels, or the reverse."""
    bottom: Shape = bottoms[0]
    need_axes(bottom, 4)
    items, channels, *size = bottom
    stride = layer.reorg_param.stride
    if layer.reorg_param.reverse:
        if not stride or channels % stride**2:
            raise ShapeError(f"stride is {stride}, but its square must divide the {channels} channels")
        return [(items, channels // stride**2, size[0] * stride, size[1] * stride)]
    if not stride or size[0] % stride or size[1] % stride:
        raise ShapeError(f"stride is {stride}, but must divide the map of {show(tuple(size))}")
    return [(items, channels * stride**2, size[0] // stride, size[1] // stride)]


def _reorganized(site: Site) -> Ways | None:
    stride = site.layer.reorg_param.stride
    return None if site.layer.reorg_param.reverse else (Way(Slide(stride, stride, 0)),) * site.axes


# ---- After a converted layer ----


def _follows_tile(place: Place) -> Outcome:
    """Tile: a Concat of a blob with itself."""
    view, param = place.view, place.node.layer.tile_param
    axis = param.axis % len(view.axes)
    if axis == 0:
        return place.passes(with_items(view, view.shape[0] * param.tiles), *place.along(0, view, "tile_param"))
    made = joined([view] * param.tiles, axis)
    return place.passes(made, *place.along(1, view, "tile_param")) if made else off_axis(place, view, axis)


def _follows_slice(place: Place) -> Outcome:
    """Slice: cuts items or channels."""
    view = place.view
    axis, field = joined_axis(place.node.layer, view.axes), _axis_field(place.node.layer)
    if axis > 0 and not view.runs_over_channels(axis):
        return off_axis(place, view, axis)
    parts = []
    for blob, top in zip(place.node.tops, place.tops, strict=True):
        if isinstance(top, Unknown):
            return refuses(Clash.UNKNOWN_SHAPE, place.type)
        segments = view.segments if axis == 0 else (Segment(top[axis], view.positions, view.is_reordered),)
        shape = (top[0], view.channels if axis == 0 else top[axis], *view.spatial)
        parts.append(View(blob, shape, top, in_order(segments)))
    return Passes(tuple(parts), place.along(min(axis, 1), view, "slice_param", field))


def _axis_field(layer: Message) -> str:
    """The field with the axis of a Slice: `axis`, or its old name if the layer uses that."""
    return "slice_dim" if layer.slice_param.HasField("slice_dim") else "axis"


_PADDING = WINDOW._replace(family="resize", shape=pad, moves=_padded, keeps=same_channels)

ROWS: dict[str, LayerType] = {
    "Crop": WINDOW._replace(
        family="resize",
        bvlc=True,
        shape=crop,
        bottoms=(2, 2),
        tops=ONE,
        moves=_cropped,
        keeps=same_channels,
        makes="same",
        reads="crop_param",
    ),
    "Flip": OTHER._replace(
        family="reshape",
        shape=flip,
        bottoms=ONE,
        moves=keep_if(lambda site: False, _stays),
        follows=along_space,
        keeps=same_channels,
        idle=_stays,
        reads="flip_param",
    ),
    "Pad": _PADDING._replace(reads="pad_param"),
    "Padding": _PADDING._replace(reads="padding_param"),
    "Reorg": WINDOW._replace(family="reshape", shape=reorg, moves=_reorganized, reads="reorg_param"),
    "Slice": OTHER._replace(
        family="reshape",
        bvlc=True,
        shape=slice_,
        bottoms=ONE,
        tops=SOME,
        in_place=_is_one_slice,
        moves=keep_if(lambda site: joined_axis(site.layer, site.bottom) == CHANNELS, always),
        follows=_follows_slice,
        idle=always,
        parts=_slices,
        picks=always,
        shares=is_alone,
        reads="slice_param",
    ),
    "Tile": OTHER._replace(
        family="reshape",
        bvlc=True,
        shape=tile,
        bottoms=ONE,
        tops=ONE,
        moves=keep_if(lambda site: site.layer.tile_param.axis % len(site.bottom) == CHANNELS, _is_single),
        follows=_follows_tile,
        idle=_is_single,
        picks=always,
        reads="tile_param",
    ),
}
