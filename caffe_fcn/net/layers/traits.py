"""What layer types have in common: rows to begin with, of which a type says only where it differs."""

from __future__ import annotations

from collections.abc import Sequence

from caffe_fcn.net.layers.following import (
    Clash,
    FollowsRule,
    Outcome,
    Place,
    Vanishes,
    channelwise,
    loss,
    one_by_one,
    refuses,
    slides,
)
from caffe_fcn.net.layers.keeping import all_alike, flattened, same_channels
from caffe_fcn.net.layers.moves import keep
from caffe_fcn.net.layers.row import ONE, SOME, LayerType, OrderRule, always, every_bottom, no_macs, no_params
from caffe_fcn.net.layers.shape import Bottoms, Shape, Top, Unknown
from caffe_fcn.net.layers.views import reshaped
from caffe_fcn.schema import Message


def same(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Every top has the shape of the first bottom."""
    return [bottoms[0]] * max(1, len(layer.top))


def number(layer: Message, bottoms: Bottoms) -> Sequence[Top]:
    """LossLayer: one number; a further top, as some forks have, the terms it is the sum of."""
    return [(), *[bottoms[0]] * (len(layer.top) - 1)]


def vanishes(order: OrderRule) -> FollowsRule:
    """The layer takes axes in ORDER: the twin does without, and what it makes is read with other axes."""

    def follows(place: Place) -> Outcome:
        view, top = place.views[0], place.tops[0]
        if view is None or isinstance(top, Unknown):
            return refuses(Clash.FIXED_SHAPE, place.type)
        axes = len(view.axes)
        found = order(place.node.layer, axes)
        made = reshaped(view, found, top)
        if made is not None:
            return Vanishes(made)
        if found == tuple(range(axes)):
            return refuses(Clash.SHAPE, place.type, top)
        return refuses(Clash.REORDERS, place.type)

    return follows


def as_they_are(_layer: Message, axes: int) -> tuple[int, ...]:
    """All axes of a bottom in their own order."""
    return tuple(range(axes))


_PLAIN = LayerType(params=no_params, macs=no_macs)

ELEMENTWISE = _PLAIN._replace(
    shape=same,
    bottoms=ONE,
    moves=keep,
    follows=one_by_one,
    value_by_value=True,
    in_its_place=True,
    keeps=same_channels,
)
"""Each value of the top is one function of the value in its place, wherever that lies: activations."""

CHANNELWISE = _PLAIN._replace(
    shape=same,
    bottoms=ONE,
    moves=keep,
    follows=channelwise,
    in_its_place=True,
    keeps=same_channels,
)
"""Each channel is treated in a way of its own, all its places alike."""

WINDOW = _PLAIN._replace(
    bottoms=ONE,
    follows=slides,
)
"""Each cell of a map is made of a window of cells, or a window of cells of a cell."""

JOIN = _PLAIN._replace(
    bottoms=(2, None),
    moves=keep,
    maps=every_bottom,
    joins=True,
    follows=one_by_one,
    keeps=all_alike,
)
"""Several maps are put together, cell by cell."""

LOSS = _PLAIN._replace(
    shape=number,
    partial=True,
    bottoms=SOME,
    judges=True,
    follows=loss,
)
"""A number tells how far scores are from labels; a net in use does without."""

DATA = _PLAIN._replace(
    bottoms=(0, 0),
)
"""Values come into the net."""

RESHAPING = _PLAIN._replace(
    bottoms=ONE,
    idle=always,
    order=as_they_are,
    follows=vanishes(as_they_are),
    picks=always,
    keeps=flattened,
)
"""Values get other axes, and nothing is computed."""

OTHER = _PLAIN
"""Nothing in common with other types but that nothing is learned."""

__all__ = [
    "CHANNELWISE",
    "DATA",
    "ELEMENTWISE",
    "JOIN",
    "LOSS",
    "OTHER",
    "RESHAPING",
    "WINDOW",
    "as_they_are",
    "number",
    "same",
    "vanishes",
]
