"""Shape rules of the layers that move values about: join, cut, flatten, permute, reduce, pad."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from caffe_fcn import schema
from caffe_fcn.errors import ShapeError
from caffe_fcn.net.objections import Severity
from caffe_fcn.net.shapes.registry import (
    Bottoms,
    Shape,
    canonical_axis,
    count,
    need_axes,
    need_least_axes,
    rule,
    show,
)


def hdf5_output_objections(_layer: schema.Message, bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    """What BVLC Caffe has against an HDF5Output: it writes data and labels."""
    if len(bottoms) != 2:
        yield Severity.BVLC, f"it has {len(bottoms)} bottoms, but BVLC Caffe takes 2, data and labels"


@rule("Silence", bottoms=(1, None), partial=True, makes=0)
def nothing(_layer: schema.Message, _bottoms: Bottoms) -> Sequence[Shape]:
    """SilenceLayer and HDF5OutputLayer have no tops."""
    return []


rule("HDF5Output", bottoms=(1, None), partial=True, makes=0, objects=hdf5_output_objections)(nothing)


def joined_axis(layer: schema.Message, bottom: Shape) -> int:
    """The axis along which a Concat joins or a Slice cuts; `concat_dim` and `slice_dim` are their old names."""
    param, old = (layer.concat_param, "concat_dim") if layer.type == "Concat" else (layer.slice_param, "slice_dim")
    if not param.HasField(old):
        return canonical_axis(param.axis, bottom, "axis")
    if param.HasField("axis"):
        raise ShapeError(f"axis and {old} are both given; keep axis")
    return canonical_axis(getattr(param, old), bottom, old)


@rule("Concat", bottoms=(1, None), makes=1)
def concat(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ConcatLayer: the bottoms agree but for one axis."""
    first: Shape = bottoms[0]
    axis = joined_axis(layer, first)
    total = 0
    for position, bottom in enumerate(bottoms):
        if len(bottom) != len(first) or bottom[:axis] != first[:axis] or bottom[axis + 1 :] != first[axis + 1 :]:
            raise ShapeError(
                f'its bottoms disagree beside axis {axis}: "{layer.bottom[0]}" is {show(first)}, '
                f'"{layer.bottom[position]}" is {show(bottom)}'
            )
        total += bottom[axis]
    return [(*first[:axis], total, *first[axis + 1 :])]


@rule("Slice", makes=(1, None))
def slice_(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """SliceLayer: at the points given, or in as many equal parts as there are tops."""
    bottom: Shape = bottoms[0]
    axis = joined_axis(layer, bottom)
    tops, extent = len(layer.top), bottom[axis]
    points = list(layer.slice_param.slice_point)
    if not points:
        if extent % tops:
            raise ShapeError(f"axis {axis} has an extent of {extent}, which {tops} tops do not divide")
        points = [extent // tops * cut for cut in range(1, tops)]
    elif len(points) != tops - 1:
        raise ShapeError(f"it has {tops} tops and {len(points)} slice_point, but one point less than tops is expected")
    elif sorted({0, *points}) != [0, *points] or points[-1] > extent or tops > extent:  # the last part may be empty
        raise ShapeError(f"slice_point is {points}, but must grow and stay within the extent of {extent}")
    parts = [end - start for start, end in pairwise([0, *points, extent])]
    return [(*bottom[:axis], part, *bottom[axis + 1 :]) for part in parts]


@rule("Flatten", makes=1)
def flatten(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """FlattenLayer makes one axis of several."""
    bottom: Shape = bottoms[0]
    start = canonical_axis(layer.flatten_param.axis, bottom, "flatten_param.axis")
    end = canonical_axis(layer.flatten_param.end_axis, bottom, "flatten_param.end_axis")
    if end < start - 1:  # one before inserts an axis of 1, the product of no extents
        raise ShapeError(f"end_axis is {end}, which comes before axis, {start}")
    return [(*bottom[:start], count(bottom[start : end + 1]), *bottom[end + 1 :])]


@rule("Reshape", makes=1)
def reshape(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ReshapeLayer: in the axes it replaces, 0 copies an extent and -1 takes what is left."""
    bottom: Shape = bottoms[0]
    param = layer.reshape_param
    axes = len(bottom)
    start = param.axis if param.axis >= 0 else axes + param.axis + 1
    end = axes if param.num_axes == -1 else start + param.num_axes
    if not 0 <= start <= end <= axes:
        raise ShapeError(f"axis {param.axis} and num_axes {param.num_axes} do not lie within {show(bottom)}")
    made = [_copied(bottom, start + place) if dim == 0 else int(dim) for place, dim in enumerate(param.shape.dim)]
    if made.count(-1) > 1 or min(made, default=0) < -1:
        raise ShapeError(f"the shape asked for is {show(tuple(param.shape.dim))}; one -1 at most, nothing below it")
    top = (*bottom[:start], *made, *bottom[end:])
    if -1 in made:
        known = count(tuple(extent for extent in top if extent != -1))
        if known == 0 or count(bottom) % known:
            raise ShapeError(
                f"{show(bottom)} has {count(bottom)} elements, which {known}, the rest of the shape, does not divide"
            )
        top = tuple(count(bottom) // known if extent == -1 else extent for extent in top)
    if count(top) != count(bottom):
        raise ShapeError(
            f"{show(bottom)} has {count(bottom)} elements, but {show(top)} has {count(top)}; the counts must agree"
        )
    return [top]


def _copied(bottom: Shape, axis: int) -> int:
    if axis >= len(bottom):
        raise ShapeError(f"the shape has a 0 for axis {axis}, but the bottom ({show(bottom)}) has no such axis to copy")
    return bottom[axis]


@rule("Crop", bottoms=2, makes=1)
def crop(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """CropLayer: the first bottom cut to the size of the second, from `axis` on."""
    bottom, reference = bottoms
    axis = canonical_axis(layer.crop_param.axis, bottom, "crop_param.axis")
    if len(reference) < len(bottom):
        raise ShapeError(f"its bottoms have {len(bottom)} and {len(reference)} axes, but the second must not have less")
    for place, offset in zip(range(axis, len(bottom)), crop_offsets(layer, len(bottom) - axis), strict=True):
        if bottom[place] - offset < reference[place]:
            raise ShapeError(f"axis {place}: {reference[place]} are to be cut from {bottom[place]} at offset {offset}")
    return [(*bottom[:axis], *reference[axis : len(bottom)])]


def crop_offsets(layer: schema.Message, axes: int) -> Shape:
    """Where a Crop layer begins on each of the AXES that it cuts."""
    offsets = tuple(layer.crop_param.offset)
    if len(offsets) not in (0, 1, axes):
        raise ShapeError(f"offset is given {len(offsets)} times, but once or {axes} times is expected")
    return offsets if len(offsets) == axes else (offsets or (0,)) * axes


@rule("Tile", makes=1)
def tile(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """TileLayer repeats the bottom along one axis."""
    bottom: Shape = bottoms[0]
    axis = canonical_axis(layer.tile_param.axis, bottom, "tile_param.axis")
    if layer.tile_param.tiles < 1:
        raise ShapeError(f"tiles is {layer.tile_param.tiles}, but must be 1 or more")
    return [(*bottom[:axis], bottom[axis] * layer.tile_param.tiles, *bottom[axis + 1 :])]


@rule("Reduction", makes=1)
def reduction(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ReductionLayer: one value of all axes from `axis` on."""
    return [bottoms[0][: canonical_axis(layer.reduction_param.axis, bottoms[0], "reduction_param.axis")]]


@rule("ArgMax", makes=1)
def argmax(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ArgMaxLayer: along an axis, or else over everything but the first, with at least three axes in the top."""
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


@rule("BatchReindex", bottoms=2, makes=1)
def batch_reindex(_layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """BatchReindexLayer picks items of the batch by a list of indices."""
    bottom, indices = bottoms
    need_least_axes(bottom, 1)
    need_axes(indices, 1)
    return [(indices[0], *bottom[1:])]


@rule("Filter", bottoms=(2, None), makes=(1, None))
def filter_(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """FilterLayer keeps the items that the last bottom selects; at set-up, all of them."""
    if len(layer.top) != len(bottoms) - 1:
        raise ShapeError(
            f"it has {len(layer.top)} tops for {len(bottoms) - 1} bottoms beside the selector; give each one"
        )
    for bottom in bottoms:
        need_least_axes(bottom, 1)
    selector = bottoms[-1]
    if count(selector[1:]) != 1 or any(bottom[0] != selector[0] for bottom in bottoms):
        found = ", ".join(map(show, bottoms))
        raise ShapeError(
            f"its bottoms are {found}; the last one must select, with one value for each item of the others"
        )
    return [(bottoms[0][0], *bottom[1:]) for bottom in bottoms[:-1]]


# ---- Layers of forks ----


@rule("Permute", makes=(1, None))
def permute(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Permute of SSD: the axes in a new order; those not named follow."""
    return [_permuted(bottoms[0], list(layer.permute_param.order), "order")]


@rule("Transpose", bottoms=(0, 1))
def transpose(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Transpose of CRNN: as Permute. Another fork's Transpose works on weights alone and has no bottom."""
    return [_permuted(bottom, list(layer.transpose_param.dim), "dim") for bottom in bottoms]


def _permuted(bottom: Shape, order: list[int], field: str) -> Shape:
    need_least_axes(bottom, 1)
    if len(set(order)) != len(order) or any(not 0 <= axis < len(bottom) for axis in order):
        raise ShapeError(f"{field} is {order}, but each of the {len(bottom)} axes of {show(bottom)} can be named once")
    rest = [axis for axis in range(len(bottom)) if axis not in order]
    return tuple(bottom[axis] for axis in order + rest)


@rule("Squeeze", makes=(1, None))
def squeeze(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Squeeze of Synopsys drops the axes named, or all, whose extent is 1."""
    bottom: Shape = bottoms[0]
    axes = {canonical_axis(axis, bottom, "squeeze_param.axis") for axis in layer.squeeze_param.axis}
    for axis in axes:
        if bottom[axis] != 1:
            raise ShapeError(f"axis {axis} of {show(bottom)} is to be dropped, but only an extent of 1 can be")
    axes = axes or set(range(len(bottom)))
    return [tuple(extent for axis, extent in enumerate(bottom) if extent != 1 or axis not in axes)]


def paddings(layer: schema.Message, bottom: Shape) -> list[tuple[int, int]]:
    """What a Pad or Padding layer adds before and after each axis of BOTTOM."""
    values = list(layer.pad_param.paddings)
    if not values:
        need_axes(bottom, 4)
        values = [0, 0, 0, 0, *_sides(layer)]
    if len(values) != 2 * len(bottom):
        raise ShapeError(f"paddings has {len(values)} values, but two for each of the {len(bottom)} axes are expected")
    return list(zip(values[::2], values[1::2], strict=True))


@rule("Pad", "Padding")
def pad(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Pad of Synopsys: two values for each axis. Elsewhere Pad and Padding give the sides of a map."""
    sides = paddings(layer, bottoms[0])
    return [tuple(before + extent + after for extent, (before, after) in zip(bottoms[0], sides, strict=True))]


def _sides(layer: schema.Message) -> Shape:
    """Top, bottom, left, right: each from its own field, the axis's, or the one for all."""
    if layer.type == "Pad":
        param = layer.pad_param
        return param.pad_t, param.pad_b, param.pad_l, param.pad_r
    param = layer.padding_param
    fields = (("pad_t", "pad_h"), ("pad_b", "pad_h"), ("pad_l", "pad_w"), ("pad_r", "pad_w"))
    return tuple(getattr(param, next((name for name in names if param.HasField(name)), "pad")) for names in fields)


@rule("Reorg")
def reorg(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Reorg of YOLO: squares of stride×stride places become channels, or the reverse."""
    bottom: Shape = bottoms[0]
    need_axes(bottom, 4)
    items, channels, *size = bottom
    stride = layer.reorg_param.stride
    if layer.reorg_param.reverse:
        if not stride or channels % stride**2:
            raise ShapeError(f"stride is {stride}, whose square does not divide the {channels} channels")
        return [(items, channels // stride**2, size[0] * stride, size[1] * stride)]
    if not stride or size[0] % stride or size[1] % stride:
        raise ShapeError(f"stride is {stride}, which does not divide the map of {show(tuple(size))}")
    return [(items, channels * stride**2, size[0] // stride, size[1] // stride)]
