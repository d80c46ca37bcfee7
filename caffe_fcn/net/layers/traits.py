"""Traits: rows with the common properties of several layer types. The row of a type changes only what differs."""

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
    """LossLayer: one number; a further top of some forks has the terms of its sum."""
    return [(), *[bottoms[0]] * (len(layer.top) - 1)]


def vanishes(order: OrderRule) -> FollowsRule:
    """The rule of a layer that reads axes in ORDER: it is dropped, and its top is a view with other axes."""

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


_PLAIN = LayerType(family="other", params=no_params, macs=no_macs)

ELEMENTWISE = _PLAIN._replace(
    family="activation",
    shape=same,
    bottoms=ONE,
    moves=keep,
    follows=one_by_one,
    value_by_value=True,
    in_its_place=True,
    keeps=same_channels,
)
"""Each value of the top is one function of the value at its place, the same at every place: activations."""

CHANNELWISE = _PLAIN._replace(
    family="normalization",
    shape=same,
    bottoms=ONE,
    moves=keep,
    follows=channelwise,
    in_its_place=True,
    keeps=same_channels,
)
"""Each channel is treated separately, and all its places alike."""

WINDOW = _PLAIN._replace(
    bottoms=ONE,
    follows=slides,
)
"""Each cell of a map depends on a window of cells, or each cell is spread to a window of cells."""

JOIN = _PLAIN._replace(
    family="join",
    bottoms=(2, None),
    moves=keep,
    maps=every_bottom,
    joins=True,
    follows=one_by_one,
    keeps=all_alike,
)
"""Several maps are joined cell by cell."""

LOSS = _PLAIN._replace(
    family="loss",
    shape=number,
    partial=True,
    bottoms=SOME,
    judges=True,
    weighs=True,
    follows=loss,
)
"""A number that compares scores with labels; inference does not need it."""

DATA = _PLAIN._replace(
    family="data",
    bottoms=(0, 0),
)
"""Layers that bring values into the net."""

RESHAPING = _PLAIN._replace(
    family="reshape",
    bottoms=ONE,
    idle=always,
    order=as_they_are,
    follows=vanishes(as_they_are),
    picks=always,
    keeps=flattened,
)
"""Layers that only change the axes of their bottom."""

OTHER = _PLAIN
"""Layers without parameters, and with nothing else in common."""

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
