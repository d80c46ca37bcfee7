"""Lowers layers that move values: join, cut, flatten, reshape, permute, crop, repeat, select."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from caffe_fcn.net.layers.cutting import crop_offsets, paddings
from caffe_fcn.net.layers.shape import joined_axis
from caffe_fcn.onnx.extents import Wanted, extents, reshape, vector
from caffe_fcn.onnx.graph import Builder, Dims
from caffe_fcn.onnx.registry import FixedSizeError, LoweringSite, RefusalError, axis_of, lowering

_INT64 = 7
_END = 2**63 - 1
"""The end in ONNX's Slice that means the end of the value."""


def _sized(dims: Dims) -> tuple[int, ...]:
    """Return DIMS for a shape rule that only counts axes: unknown extents become 1."""
    return tuple(1 if extent is None else extent for extent in dims)


# ---- Joining and cutting ----


@lowering("Concat")
def concat(site: LoweringSite) -> str:
    """Lower ConcatLayer."""
    return site.build.node("Concat", *site.inputs, axis=joined_axis(site.layer, _sized(site.bottoms[0])))


@lowering("Slice")
def slice_(site: LoweringSite) -> Sequence[str]:
    """Lower SliceLayer: at the points given, or in equal parts."""
    build, value, dims = site.build, site.inputs[0], site.bottoms[0]
    axis = joined_axis(site.layer, _sized(dims))
    points = list(site.layer.slice_param.slice_point)
    if not points:
        return build.split("Split", value, outputs=len(site.tops), axis=axis, num_outputs=len(site.tops))
    return [_cut(build, value, axis, start, end) for start, end in pairwise([0, *points, _END])]


def _cut(build: Builder, value: str, axis: int, start: int, end: int) -> str:
    return build.node("Slice", value, build.ints([start]), build.ints([end]), build.ints([axis]))


@lowering("Crop")
def crop(site: LoweringSite) -> str:
    """Lower CropLayer: the first bottom from its offset on, with the size of the second."""
    build, (value, reference), dims = site.build, site.inputs, site.bottoms[0]
    axis = axis_of(site.layer.crop_param.axis, dims)
    offsets = crop_offsets(site.layer, len(dims) - axis)
    sizes = extents(reference, site.bottoms[1], axis, len(dims))
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) == len(sizes):
        ends = build.ints([offset + size for offset, size in zip(offsets, known, strict=True)])
    else:
        ends = build.node("Add", vector(build, sizes), build.ints(offsets))
    return build.node("Slice", value, build.ints(offsets), ends, build.ints(range(axis, len(dims))))


@lowering("BatchReindex")
def batch_reindex(site: LoweringSite) -> str:
    """Lower BatchReindexLayer: the items of the first bottom that the second lists."""
    items, indices = site.inputs
    return site.build.node("Gather", items, site.build.node("Cast", indices, to=_INT64), axis=0)


# ---- The same values in another shape ----


@lowering("Flatten")
def flatten(site: LoweringSite) -> str:
    """Lower FlattenLayer: the axes from `axis` to `end_axis` become one."""
    value, dims = site.inputs[0], site.bottoms[0]
    start, end = (axis_of(axis, dims) for axis in (site.layer.flatten_param.axis, site.layer.flatten_param.end_axis))
    if start == 1 and end == len(dims) - 1:
        return site.build.node("Flatten", value, axis=1)
    return reshape(site.build, value, [*extents(value, dims, 0, start), -1, *extents(value, dims, end + 1)])


@lowering("Reshape")
def reshape_(site: LoweringSite) -> str:
    """Lower ReshapeLayer: among the axes it replaces, 0 copies an extent and -1 is computed from the rest."""
    value, dims, param = site.inputs[0], site.bottoms[0], site.layer.reshape_param
    start = param.axis if param.axis >= 0 else len(dims) + param.axis + 1
    end = len(dims) if param.num_axes == -1 else start + param.num_axes
    copied = extents(value, dims)
    made = [copied[start + place] if dim == 0 else int(dim) for place, dim in enumerate(param.shape.dim)]
    return reshape(site.build, value, [*copied[:start], *made, *copied[end:]])


@lowering("Squeeze")
def squeeze(site: LoweringSite) -> str:
    """Lower Squeeze of Synopsys: the axes named, or all of extent 1, are dropped."""
    value, dims = site.inputs[0], site.bottoms[0]
    named = {axis_of(axis, dims) for axis in site.layer.squeeze_param.axis}
    if not named and None in dims:
        raise FixedSizeError("the axes that it drops depend on the size")
    gone = [axis for axis, extent in enumerate(dims) if extent == 1 and (axis in named or not named)]
    return site.build.node("Squeeze", value, site.build.ints(gone))


@lowering("Permute")
def permute(site: LoweringSite) -> str:
    """Lower Permute of SSD: the axes in a new order; those not named follow."""
    return _permuted(site, list(site.layer.permute_param.order))


@lowering("Transpose")
def transpose(site: LoweringSite) -> str | list[str]:
    """Lower Transpose of CRNN like Permute; another fork's has no bottom, and nothing is done."""
    return _permuted(site, list(site.layer.transpose_param.dim)) if site.inputs else []


def _permuted(site: LoweringSite, order: list[int]) -> str:
    rest = [axis for axis in range(len(site.bottoms[0])) if axis not in order]
    return site.build.node("Transpose", site.inputs[0], perm=(*order, *rest))


@lowering("ShuffleChannel")
def shuffle_channel(site: LoweringSite) -> str:
    """Lower ShuffleChannel: the channels of the groups are interleaved."""
    build, value, dims = site.build, site.inputs[0], site.bottoms[0]
    groups, channels = site.layer.shuffle_channel_param.group, dims[1]
    if channels is None:
        raise FixedSizeError("its number of channels depends on the size")
    apart = reshape(build, value, [*extents(value, dims, 0, 1), groups, channels // groups, -1])
    dealt = build.node("Transpose", apart, perm=(0, 2, 1, 3))
    return reshape(build, dealt, extents(value, dims))


# ---- More values, or the same ones again ----


@lowering("Tile")
def tile(site: LoweringSite) -> str:
    """Lower TileLayer: the bottom several times along one axis."""
    repeats = [1] * len(site.bottoms[0])
    repeats[axis_of(site.layer.tile_param.axis, site.bottoms[0])] = site.layer.tile_param.tiles
    return site.build.node("Tile", site.inputs[0], site.build.ints(repeats))


@lowering("Pad", "Padding")
def pad(site: LoweringSite) -> str:
    """Lower Pad and Padding of forks: zeros around the map."""
    sides = paddings(site.layer, _sized(site.bottoms[0]))
    wanted = [before for before, _ in sides] + [after for _, after in sides]
    return site.build.node("Pad", site.inputs[0], site.build.ints(wanted))


@lowering("UpsampleDarknet")
def upsample_darknet(site: LoweringSite) -> str:
    """Lower UpsampleDarknet of Synopsys: each position becomes a square of positions."""
    build, stride = site.build, float(site.layer.upsample_darknet_param.stride)
    scales = build.floats((1, 1, stride, stride))
    attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return build.node("Resize", site.inputs[0], "", scales, **attributes)


@lowering("Interp")
def interp(site: LoweringSite) -> str:
    """Lower Interp of DeepLab: linear interpolation that keeps the corners."""
    build, value, dims, top = site.build, site.inputs[0], site.bottoms[0], site.tops[0]
    param = site.layer.interp_param
    if max(param.pad_beg, param.pad_end) > 0:
        raise RefusalError("pad_beg and pad_end crop the map and cannot be above 0")
    if param.pad_beg or param.pad_end:
        value = build.node("Pad", value, build.ints([0, 0, *[param.pad_beg] * 2, 0, 0, *[param.pad_end] * 2]))
    sizes: Wanted
    if None not in top:
        sizes = [extent for extent in top if extent is not None]
    elif param.height and param.width:
        sizes = [*extents(value, dims, 0, 2), param.height, param.width]
    elif len(site.inputs) > 1:
        sizes = [*extents(value, dims, 0, 2), *extents(site.inputs[1], site.bottoms[1], 2)]
    else:
        raise FixedSizeError("its factors are fixed for one size")
    aligned = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    return build.node("Resize", value, "", "", vector(build, sizes), **aligned)


@lowering("Flip")
def flip(site: LoweringSite) -> str:
    """Lower Flip of face nets: mirrored along width, height or both."""
    build, param, axes = site.build, site.layer.flip_param, len(site.bottoms[0])
    turned = [axes - 1] * bool(param.flip_width) + [axes - 2] * bool(param.flip_height)
    return mirrored(build, site.inputs[0], turned) if turned else site.inputs[0]


def mirrored(build: Builder, value: str, axes: Sequence[int]) -> str:
    """Return VALUE reversed along AXES."""
    each = len(axes)
    return build.node(
        "Slice", value, build.ints([-1] * each), build.ints([-_END] * each), build.ints(axes), build.ints([-1] * each)
    )
