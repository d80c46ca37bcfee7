"""Asks the row of a layer's type what the layer does if its bottoms become maps."""

from __future__ import annotations

from collections.abc import Sequence

from caffe_fcn.net.graph import Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.following import Outcome, Place
from caffe_fcn.net.layers.traits import as_they_are
from caffe_fcn.net.layers.views import View, map_of
from caffe_fcn.net.shapes import Shape, Unknown


def outcome(
    node: Node, views: Sequence[View | None], bottoms: Sequence[Shape | Unknown], tops: Sequence[Shape | Unknown]
) -> Outcome:
    """What NODE does when its bottoms become VIEWS; None stands for a bottom that does not change.

    BOTTOMS and TOPS are the shapes in the original net. At least one bottom is a view.
    """
    known = zip(node.bottoms, views, bottoms, strict=True)
    complete = tuple(view or map_of(blob, shape) for blob, view, shape in known)
    return row_of(node.type).follows(Place(node, complete, tuple(tops)))


def reshapes(node: Node) -> bool:
    """Whether NODE only changes the axes of its bottom and computes nothing."""
    return row_of(node.type).order is not None


def keeps_order(node: Node) -> bool:
    """Whether NODE only changes the axes of its bottom and always keeps the order of the values."""
    return row_of(node.type).order is as_they_are


def order_of(node: Node, axes: int) -> tuple[int, ...]:
    """The order in which NODE reads the AXES of its bottom; their own order if NODE does not change it."""
    order = row_of(node.type).order
    return tuple(range(axes)) if order is None else order(node.layer, axes)
