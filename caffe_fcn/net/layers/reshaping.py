"""Layers that only change the axes of their bottom: they flatten, reshape, squeeze, permute."""

from __future__ import annotations

from collections.abc import Sequence

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.layers.keeping import in_order
from caffe_fcn.net.layers.moves import keep_if
from caffe_fcn.net.layers.row import ONE, SOME, LayerType, OrderRule, Test, always, never
from caffe_fcn.net.layers.shape import Bottoms, Shape, canonical_axis, count, need_least_axes, show
from caffe_fcn.net.layers.traits import RESHAPING, vanishes
from caffe_fcn.schema import Message


def flatten(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """FlattenLayer: joins several axes into one."""
    bottom: Shape = bottoms[0]
    start = canonical_axis(layer.flatten_param.axis, bottom, "flatten_param.axis")
    end = canonical_axis(layer.flatten_param.end_axis, bottom, "flatten_param.end_axis")
    if end < start - 1:  # one before inserts an axis of 1, the product of no extents
        raise ShapeError(f"end_axis is {end}, but must not be less than axis, {start}")
    return [(*bottom[:start], count(bottom[start : end + 1]), *bottom[end + 1 :])]


def reshape(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ReshapeLayer: among the new axes, 0 copies an extent and -1 takes the remaining values."""
    bottom: Shape = bottoms[0]
    param = layer.reshape_param
    axes = len(bottom)
    start = param.axis if param.axis >= 0 else axes + param.axis + 1
    end = axes if param.num_axes == -1 else start + param.num_axes
    if not 0 <= start <= end <= axes:
        raise ShapeError(f"axis {param.axis} and num_axes {param.num_axes} do not lie within {show(bottom)}")
    made = [_copied(bottom, start + place) if dim == 0 else int(dim) for place, dim in enumerate(param.shape.dim)]
    if made.count(-1) > 1 or min(made, default=0) < -1:
        raise ShapeError(
            f"the requested shape is {show(tuple(param.shape.dim))}; expected at most one -1 and no extent below -1"
        )
    top = (*bottom[:start], *made, *bottom[end:])
    if -1 in made:
        known = count(tuple(extent for extent in top if extent != -1))
        if known == 0 or count(bottom) % known:
            raise ShapeError(
                f"{show(bottom)} has {count(bottom)} elements, which is not a multiple of {known}, the rest of "
                "the shape"
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


# ---- Layers of forks ----


def permute(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Permute of SSD: the axes in a new order; axes that are not named follow."""
    return [_permuted(bottoms[0], list(layer.permute_param.order), "order")]


def transpose(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Transpose of CRNN: as Permute. Another fork's Transpose works on weights alone and has no bottom."""
    return [_permuted(bottom, list(layer.transpose_param.dim), "dim") for bottom in bottoms]


def _permuted(bottom: Shape, order: list[int], field: str) -> Shape:
    need_least_axes(bottom, 1)
    if len(set(order)) != len(order) or any(not 0 <= axis < len(bottom) for axis in order):
        raise ShapeError(f"{field} is {order}; expected each of the {len(bottom)} axes of {show(bottom)} at most once")
    rest = [axis for axis in range(len(bottom)) if axis not in order]
    return tuple(bottom[axis] for axis in order + rest)


def squeeze(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Squeeze of Synopsys: drops the named axes, or all axes of extent 1."""
    bottom: Shape = bottoms[0]
    axes = {canonical_axis(axis, bottom, "squeeze_param.axis") for axis in layer.squeeze_param.axis}
    for axis in axes:
        if bottom[axis] != 1:
            raise ShapeError(f"axis {axis} of {show(bottom)} cannot be dropped, because its extent is not 1")
    axes = axes or set(range(len(bottom)))
    return [tuple(extent for axis, extent in enumerate(bottom) if extent != 1 or axis not in axes)]


def _whole(named: Sequence[int], axes: int) -> tuple[int, ...]:
    """The order of AXES that begins with the axes NAMED; the others follow in their own order."""
    return (*named, *(axis for axis in range(axes) if axis not in named))


def _permute_order(layer: Message, axes: int) -> tuple[int, ...]:
    return _whole(layer.permute_param.order, axes)


def _transpose_order(layer: Message, axes: int) -> tuple[int, ...]:
    return _whole(layer.transpose_param.dim, axes)


def _permutes_nothing(layer: Message) -> bool:
    return all(place == axis for place, axis in enumerate(layer.permute_param.order))


def _transposes_nothing(layer: Message) -> bool:
    return all(place == axis for place, axis in enumerate(layer.transpose_param.dim))


def _reordering(order: OrderRule, idle: Test) -> LayerType:
    return RESHAPING._replace(
        moves=keep_if(lambda site: False, idle), follows=vanishes(order), idle=idle, order=order, keeps=in_order(order)
    )


_FLATTENING = RESHAPING._replace(
    moves=keep_if(lambda site: False, always),
    by_size=always,
    shares=always,
)

ROWS: dict[str, LayerType] = {
    "Flatten": _FLATTENING._replace(
        makes="same",
        bvlc=True,
        shape=flatten,
        tops=ONE,
        in_place=never,
        reads="flatten_param",
    ),
    "Permute": _reordering(_permute_order, _permutes_nothing)._replace(
        shape=permute,
        tops=SOME,
        shares=_permutes_nothing,
        reads="permute_param",
    ),
    "Reshape": _FLATTENING._replace(
        makes="same",
        bvlc=True,
        shape=reshape,
        tops=ONE,
        in_place=never,
        reads="reshape_param",
    ),
    "Squeeze": _FLATTENING._replace(shape=squeeze, tops=SOME, reads="squeeze_param"),
    "Transpose": _reordering(_transpose_order, _transposes_nothing)._replace(
        shape=transpose,
        bottoms=(0, 1),
        reads="transpose_param",
    ),
}
