"""Layers that read a blob value by value and make no map of it: losses, measures, InnerProducts that stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from caffe_fcn.surgery.edits import SetParameter
from caffe_fcn.surgery.following.place import Outcome, Passes, Place, Refuses, off_axis


def counts(place: Place, *changes: SetParameter) -> Outcome:
    """The layer reads the values of its bottoms in their order, and its tops are as they were."""
    for blob, view in zip(place.node.bottoms, place.views, strict=True):
        if view is not None and view.is_reordered:
            return Refuses(
                f"({place.type}) reads {blob.name!r} cell after cell, and the twin holds it channel after channel"
            )
    return Passes((None,) * len(place.node.tops), changes)


def loss(place: Place, *changes: SetParameter) -> Outcome:
    """A loss: a number, and as a further top the scores that it was computed from."""
    result, view = counts(place, *changes), place.views[0]
    if isinstance(result, Refuses) or view is None:
        return result
    return Passes(
        tuple(replace(view, blob=top) if position else None for position, top in enumerate(place.node.tops)), changes
    )


def loss_of_items(place: Place) -> Outcome:
    """Losses that take all values of an item for its classes."""
    for blob, view in zip(place.node.bottoms, place.views, strict=True):
        if view is not None and view.positions > 1:
            return Refuses(f"({place.type}) compares all values of an item of {blob.name!r}, of all positions")
    return loss(place)


def along_classes(message: str, rule: Callable[..., Outcome]) -> Callable[[Place], Outcome]:
    """The rule of losses and measures whose classes lie along the axis in MESSAGE; RULE says what they make."""

    def along(place: Place) -> Outcome:
        view = place.views[0]
        if view is None:
            return rule(place)
        axis = getattr(place.node.layer, message).axis % len(view.axes)
        if not view.runs_over_channels(axis):
            return off_axis(place, view, axis)
        return rule(place, *place.along(1, view, message))

    return along


def inner_product(place: Place) -> Outcome:
    """An InnerProduct that stays: right at the nominal size, and only there."""
    view = place.view
    axis = place.node.layer.inner_product_param.axis % len(view.axes)
    if axis != 1:
        return off_axis(place, view, axis)
    return counts(place, *place.along(1, view, "inner_product_param"))


def reduction(place: Place) -> Outcome:
    """Reduction sums up all axes from one on: a loss, or else something that grows with the map."""
    if place.tops[0] == () and any(place.node.layer.loss_weight):
        return counts(place)
    return Refuses("(Reduction) sums up all positions, and a larger input has more of them", by_axis=True)


def unknown(place: Place) -> Outcome:
    """A layer type without a rule: a loss, if it makes numbers or nothing."""
    if all(shape == () for shape in place.tops):
        return counts(place)
    return Refuses(f"({place.type}) is not known to take a map in a vector's place", makes_map=True)
