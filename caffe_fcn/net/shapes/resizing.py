"""Shape rules of the layers of forks that resize maps, to a size given or by a factor."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import floor

from caffe_fcn import schema
from caffe_fcn.errors import ShapeError
from caffe_fcn.net.shapes.registry import MAX_COUNT, Bottoms, Shape, need_axes, rule, show


@rule("Upsample", bottoms=(1, 2))
def upsample(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Upsample of SegNet, with or without a mask: to a given size, or by a factor less the padding."""
    need_axes(bottoms[0], 4)
    param = layer.upsample_param
    *outer, height, width = bottoms[0]
    if param.HasField("upsample_h") and param.HasField("upsample_w"):
        return [(*outer, param.upsample_h, param.upsample_w)]
    high = param.scale_h if param.HasField("scale_h") else param.scale
    wide = param.scale_w if param.HasField("scale_w") else param.scale
    return [(*outer, height * high - param.pad_out_h, width * wide - param.pad_out_w)]


@rule("UpsampleDarknet")
def upsample_darknet(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """UpsampleDarknet of Synopsys repeats each place stride×stride times."""
    need_axes(bottoms[0], 4)
    *outer, height, width = bottoms[0]
    stride = layer.upsample_darknet_param.stride
    return [(*outer, height * stride, width * stride)]


@rule("Interp", bottoms=(1, 2))
def interp(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
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


def _interpolated(size: int, param: schema.Message) -> int:
    """SIZE shrunk, then zoomed, the corner points staying at the corners."""
    if param.shrink_factor < 1 or param.zoom_factor < 1:
        raise ShapeError("shrink_factor and zoom_factor must be 1 or more")
    shrunk = (size - 1) // param.shrink_factor + 1
    return int(shrunk + (shrunk - 1) * (param.zoom_factor - 1))


@rule("ResizeBilinear", "ResizeNearestNeighbor", bottoms=(1, 2))
def resize(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ResizeBilinear and ResizeNearestNeighbor of Synopsys; "NHWC" has the channels last."""
    bottom: Shape = bottoms[0]
    need_axes(bottom, 4)
    nearest = layer.type == "ResizeNearestNeighbor"
    param = layer.resize_nearest_neighbor_param if nearest else layer.resize_bilinear_param
    first = 1 if param.data_format == "NHWC" else 2
    high = param.output_height if param.HasField("output_height") else _scaled(bottom[first], param.scale_height)
    wide = param.output_width if param.HasField("output_width") else _scaled(bottom[first + 1], param.scale_width)
    return [(*bottom[:first], high, wide, *bottom[first + 2 :])]


def _scaled(size: int, scale: float) -> int:
    """SIZE times SCALE in single precision, as Caffe multiplies: 10 · 0.7 is 7 there, but less in double."""
    product = size * scale
    if not 0 <= product <= MAX_COUNT:
        raise ShapeError(f"the scale is {scale}, which makes no size of {size}")
    single: float = struct.unpack("f", struct.pack("f", product))[0]
    return floor(single)
