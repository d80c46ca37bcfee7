"""Layers that join several blobs, value by value or one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.layers.following import Clash, Outcome, Place, alike, mixture, off_axis, one_by_one, refuses, unknown
from caffe_fcn.net.layers.keeping import joined as joined_channels
from caffe_fcn.net.layers.moves import CHANNELS, keep_if, whole_map
from caffe_fcn.net.layers.row import ONE, SOME, Blobs, LayerType, always, is_alone
from caffe_fcn.net.layers.shape import (
    Bottoms,
    Shape,
    count,
    joined_axis,
    need_axes,
    need_least_axes,
    show,
)
from caffe_fcn.net.layers.traits import JOIN, OTHER
from caffe_fcn.net.layers.views import joined, with_items
from caffe_fcn.net.objections import Severity
from caffe_fcn.schema import Message

_PROD = 0
"""EltwiseParameter.EltwiseOp.PROD."""


def eltwise_objections(layer: Message, bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    """Caffe's objections to an Eltwise: coefficients of a product, and scalars."""
    if layer.eltwise_param.coeff and layer.eltwise_param.operation == _PROD:
        yield Severity.ERROR, "coeff is given, but a product has no coefficients; remove it"
    if any(bottom != bottoms[0] for bottom in bottoms):
        yield Severity.BVLC, "BVLC Caffe joins only blobs of the same shape, and not a scalar with a blob"


def eltwise(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """EltwiseLayer joins blobs of one shape; the fork of Synopsys also accepts scalars."""
    coefficients = len(layer.eltwise_param.coeff)
    if coefficients not in (0, len(bottoms)):
        raise ShapeError(f"it has {coefficients} coeff for {len(bottoms)} bottoms; give one for each, or none")
    for position, bottom in enumerate(bottoms):
        if bottom not in (bottoms[0], ()):
            raise ShapeError(
                f'its bottoms disagree: "{layer.bottom[0]}" is {show(bottoms[0])}, '
                f'"{layer.bottom[position]}" is {show(bottom)}'
            )
    return [bottoms[0]]


def axpy(_layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Axpy: a·x + y, with one factor per channel of the map x."""
    factor, x, y = bottoms
    need_least_axes(factor, 2)
    if x != y or factor[:2] != x[:2]:
        raise ShapeError(f"a is {show(factor)}, x is {show(x)}, y is {show(y)}, but x and y must agree and a give N×C")
    return [x]


def _map_and_summand(bottoms: Blobs, _position: int) -> Blobs:
    """Of a·x + y: x and y."""
    return bottoms[1:]


def _broadcast(first: Shape, second: Shape) -> Shape:
    """The shape of FIRST and SECOND joined value by value; axes of length 1 are stretched."""
    axes = max(len(first), len(second))
    pairs = zip((1,) * (axes - len(first)) + first, (1,) * (axes - len(second)) + second, strict=True)
    joined = []
    for one, other in pairs:
        if one != other and 1 not in (one, other):
            raise ShapeError(f"{show(first)} and {show(second)} cannot be joined value by value")
        joined.append(max(one, other))
    return tuple(joined)


def _own_operand(layer: Message) -> Shape:
    return tuple(layer.mul_param.mul_shape if layer.type == "Mul" else layer.add_param.add_shape)


def broadcast_params(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Mul and Add of Synopsys: the second operand, if it is not a bottom."""
    return [_own_operand(layer)] if len(bottoms) == 1 else []


def broadcast(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Mul and Add of Synopsys stretch axes of length 1, as TensorFlow does."""
    shape: Shape = bottoms[0]
    for other in bottoms[1:] if len(bottoms) > 1 else [_own_operand(layer)]:
        shape = _broadcast(shape, other)
    return [shape]


def concat(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ConcatLayer: the bottoms agree on all axes but one."""
    first: Shape = bottoms[0]
    axis = joined_axis(layer, first)
    total = 0
    for position, bottom in enumerate(bottoms):
        if len(bottom) != len(first) or bottom[:axis] != first[:axis] or bottom[axis + 1 :] != first[axis + 1 :]:
            raise ShapeError(
                f'its bottoms disagree on axes other than {axis}: "{layer.bottom[0]}" is {show(first)}, '
                f'"{layer.bottom[position]}" is {show(bottom)}'
            )
        total += bottom[axis]
    return [(*first[:axis], total, *first[axis + 1 :])]


def batch_reindex(_layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """BatchReindexLayer picks items of the batch by a list of indices."""
    bottom, indices = bottoms
    need_least_axes(bottom, 1)
    need_axes(indices, 1)
    return [(indices[0], *bottom[1:])]


def filter_(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """FilterLayer keeps the items that the last bottom selects; at set-up, all of them."""
    if len(layer.top) != len(bottoms) - 1:
        raise ShapeError(
            f"it has {len(layer.top)} tops for {len(bottoms) - 1} bottoms besides the selector; expected one for each"
        )
    for bottom in bottoms:
        need_least_axes(bottom, 1)
    selector = bottoms[-1]
    if count(selector[1:]) != 1 or any(bottom[0] != selector[0] for bottom in bottoms):
        found = ", ".join(map(show, bottoms))
        raise ShapeError(
            f"its bottoms are {found}; expected the last one, the selector, to have one value for each item of "
            "the others"
        )
    return [(bottoms[0][0], *bottom[1:]) for bottom in bottoms[:-1]]


# ---- After a converted layer ----


def _follows_broadcast(place: Place) -> Outcome:
    """Mul and Add of Synopsys. A learned operand with more than one value lies along axes of the original."""
    if len(place.views) == 1 and count(_own_operand(place.node.layer)) != 1:
        name = place.node.bottoms[0].name
        return refuses(Clash.OPERAND, place.type, name, by_axis=True)
    return one_by_one(place)


def _follows_reindex(place: Place) -> Outcome:
    """BatchReindex picks items by the indices in its second bottom."""
    view, top = place.views[0], place.tops[0]
    if view is None or place.views[1] is not None or not isinstance(top, tuple):
        return mixture(place)
    return place.passes(with_items(view, top[0]))


def _follows_concat(place: Place) -> Outcome:
    """Concat joins items, or blobs that follow each other along the channels of the map."""
    first = place.views[0]
    if first is None:
        return mixture(place)
    axis, field = joined_axis(place.node.layer, first.axes), _axis_field(place.node.layer)
    if axis == 0:
        items = sum(view.shape[0] for view in place.views if view)
        if any(view is None or not alike(with_items(view, 1), with_items(first, 1)) for view in place.views):
            return mixture(place)
        return place.passes(with_items(first, items), *place.along(0, first, "concat_param", field))
    views = [view for view in place.views if view and view.spatial == first.spatial and view.shape[0] == first.shape[0]]
    if len(views) < len(place.views):
        return mixture(place)
    view = joined(views, axis)
    return place.passes(view, *place.along(1, view, "concat_param", field)) if view else off_axis(place, first, axis)


def _axis_field(layer: Message) -> str:
    """The field with the axis of a Concat: `axis`, or its old name if the layer uses that."""
    return "concat_dim" if layer.concat_param.HasField("concat_dim") else "axis"


_BROADCAST = JOIN._replace(
    shape=broadcast, params=broadcast_params, bottoms=SOME, follows=_follows_broadcast, in_its_place=True, keeps=None
)

ROWS: dict[str, LayerType] = {
    "Add": _BROADCAST._replace(reads="add_param"),
    "Axpy": JOIN._replace(shape=axpy, bottoms=(3, 3), moves=whole_map, maps=_map_and_summand, follows=unknown),
    "BatchReindex": OTHER._replace(
        bvlc=True,
        shape=batch_reindex,
        bottoms=(2, 2),
        tops=ONE,
        follows=_follows_reindex,
        index_bottoms=1,
    ),
    "Concat": JOIN._replace(
        bvlc=True,
        shape=concat,
        bottoms=SOME,
        tops=ONE,
        moves=keep_if(lambda site: joined_axis(site.layer, site.bottom) == CHANNELS, always),
        follows=_follows_concat,
        keeps=joined_channels,
        idle=always,
        picks=always,
        shares=is_alone,
        reads="concat_param",
    ),
    "Eltwise": JOIN._replace(
        bvlc=True,
        shape=eltwise,
        tops=ONE,
        objections=eltwise_objections,
        in_its_place=True,
        reads="eltwise_param",
    ),
    "Filter": OTHER._replace(bvlc=True, shape=filter_, bottoms=(2, None), tops=SOME),
    "Mul": _BROADCAST._replace(reads="mul_param"),
}
