"""Layers of forks that resize maps to a given size or by a factor."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import floor

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.exactness import Cause
from caffe_fcn.net.layers.following import Clash, FollowsRule, Outcome, Place, refuses, slides
from caffe_fcn.net.layers.keeping import same_channels
from caffe_fcn.net.layers.moves import Resample, Site, Spread, Way, Ways
from caffe_fcn.net.layers.row import LayerType, always, every_bottom
from caffe_fcn.net.layers.shape import MAX_COUNT, Bottoms, Shape, need_axes, show
from caffe_fcn.net.layers.traits import WINDOW
from caffe_fcn.net.layers.windows import pooling_windows
from caffe_fcn.schema import Message


def upsample(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Upsample of SegNet, with or without a mask: to a given size, or by a factor less the padding."""
    need_axes(bottoms[0], 4)
    param = layer.upsample_param
    *outer, height, width = bottoms[0]
    if param.HasField("upsample_h") and param.HasField("upsample_w"):
        return [(*outer, param.upsample_h, param.upsample_w)]
    high = param.scale_h if param.HasField("scale_h") else param.scale
    wide = param.scale_w if param.HasField("scale_w") else param.scale
    return [(*outer, height * high - param.pad_out_h, width * wide - param.pad_out_w)]


def upsample_darknet(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """UpsampleDarknet of Synopsys repeats each place stride×stride times."""
    need_axes(bottoms[0], 4)
    *outer, height, width = bottoms[0]
    stride = layer.upsample_darknet_param.stride
    return [(*outer, height * stride, width * stride)]


def interp(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Interp of DeepLab: to a size, by a factor, or to the size of the second bottom."""
    need_axes(bottoms[0], 4)
    outer, sizes = bottoms[0][:2], bottoms[0][2:]
    param = layer.interp_param
    made: Shape
    if param.height and param.width:
        made = (param.height, param.width)
    elif len(bottoms) > 1:
        made = bottoms[1][2:]
    else:
        made = tuple(_interpolated(size + param.pad_beg + param.pad_end, param) for size in sizes)
    if len(made) != 2 or min(made) < 1:
        raise ShapeError(f"the map of {show(sizes)} would become {show(made)}")
    return [(*outer, *made)]


def _interpolated(size: int, param: Message) -> int:
    """SIZE shrunk, then zoomed; the corner points stay at the corners."""
    if param.shrink_factor < 1 or param.zoom_factor < 1:
        raise ShapeError("shrink_factor and zoom_factor must be 1 or more")
    shrunk = (size - 1) // param.shrink_factor + 1
    return int(shrunk + (shrunk - 1) * (param.zoom_factor - 1))


def resize(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ResizeBilinear and ResizeNearestNeighbor of Synopsys; "NHWC" has the channels last."""
    bottom: Shape = bottoms[0]
    need_axes(bottom, 4)
    param = _resize_param(layer)
    first = 1 if param.data_format == "NHWC" else 2
    high = param.output_height if param.HasField("output_height") else _scaled(bottom[first], param.scale_height)
    wide = param.output_width if param.HasField("output_width") else _scaled(bottom[first + 1], param.scale_width)
    return [(*bottom[:first], high, wide, *bottom[first + 2 :])]


def _scaled(size: int, scale: float) -> int:
    """SIZE times SCALE in single precision, as Caffe multiplies: 10 · 0.7 is 7 there, but less in double."""
    product = size * scale
    if not 0 <= product <= MAX_COUNT:
        raise ShapeError(f"the scale {scale} cannot be applied to the size {size}")
    single: float = struct.unpack("f", struct.pack("f", product))[0]
    return floor(single)


# ---- Geometry ----


def _repeated(site: Site) -> Ways | None:
    """Each cell repeated in a square of cells."""
    if 0 in site.top or 0 in site.bottom:
        return None
    factors = [Fraction(made, size) for made, size in zip(site.top[2:], site.bottom[2:], strict=True)]
    by_size = (site.reason(Cause.BY_SIZE, whole=True),)  # forks round differently, so the source cell is unknown
    return tuple(Way(Resample(each), by_size if each.denominator != 1 else ()) for each in factors)


def _unpooled(site: Site) -> Ways | None:
    """Each value goes to the place that a mask gives: within the window of the pooling that made the mask, if any."""
    if len(site.node.bottoms) < 2:
        return _repeated(site)
    maker = site.graph.producer[site.node.bottoms[1]]
    if maker.type == "Pooling" and not maker.layer.pooling_param.global_pooling:
        windows = pooling_windows(maker.layer, site.bottom[2:])
        axes = zip(windows.extent, windows.stride, windows.before, site.bottom[2:], site.top[2:], strict=True)
        return tuple(Way(Spread(*axis), (site.reason(Cause.BY_MASK),)) for axis in axes)
    repeated = _repeated(site)
    return repeated and tuple(way._replace(reasons=(site.reason(Cause.BY_MASK, whole=True),)) for way in repeated)


# ---- After a converted layer ----


def _unless(fixed: Callable[[Place], bool]) -> FollowsRule:
    """The layer resizes a map. It refuses if its size is FIXED in the net."""

    def follows(place: Place) -> Outcome:
        return refuses(Clash.FIXED_MAP, place.type, makes_map=True) if fixed(place) else slides(place)

    return follows


def _interpolates_to_size(place: Place) -> bool:
    return len(place.views) == 1 and bool(place.node.layer.interp_param.height > 0)


def _upsamples_to_size(place: Place) -> bool:
    return bool(place.node.layer.upsample_param.HasField("upsample_h"))


def _resizes_to_size(place: Place) -> bool:
    param = _resize_param(place.node.layer)
    return bool(param.HasField("output_height") or param.HasField("output_width") or param.data_format == "NHWC")


def _resize_param(layer: Message) -> Message:
    return layer.resize_nearest_neighbor_param if layer.type == "ResizeNearestNeighbor" else layer.resize_bilinear_param


_RESIZING = WINDOW._replace(
    family="resize", shape=resize, bottoms=(1, 2), keeps=same_channels, follows=_unless(_resizes_to_size)
)

ROWS: dict[str, LayerType] = {
    "Interp": _RESIZING._replace(shape=interp, follows=_unless(_interpolates_to_size), reads="interp_param"),
    "ResizeBilinear": _RESIZING._replace(reads="resize_bilinear_param"),
    "ResizeNearestNeighbor": _RESIZING._replace(moves=_repeated, by_size=always, reads="resize_nearest_neighbor_param"),
    "Upsample": _RESIZING._replace(
        shape=upsample,
        index_bottoms=1,
        moves=_unpooled,
        maps=every_bottom,
        follows=_unless(_upsamples_to_size),
        by_size=always,
        reads="upsample_param",
    ),
    "UpsampleDarknet": WINDOW._replace(
        family="resize",
        shape=upsample_darknet,
        keeps=same_channels,
        moves=_repeated,
        by_size=always,
        reads="upsample_darknet_param",
    ),
}
