"""Layer types of installed packages, each given by an entry point: NAME = the package's row.

If an entry point cannot be loaded, the error is raised when the shapes of such a layer are inferred, so the net can
still be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.layers.row import LayerType
from caffe_fcn.net.layers.shape import Bottoms, Top
from caffe_fcn.schema import Message

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "caffe_fcn.layers"
"""The group of entry points by which other packages add layer types: NAME = a LayerType."""


@cache
def installed_row(layer_type: str) -> LayerType | None:
    """The row of an installed package for LAYER_TYPE; None if there is none."""
    for entry_point in entry_points(ENTRY_POINTS, layer_type):
        try:
            row = entry_point.load()
        except (ImportError, AttributeError) as error:
            return _refused(f"the entry point {entry_point.value} for this type cannot be loaded: {error}")
        if isinstance(row, LayerType):
            return row
        found = type(row).__name__
        return _refused(f"expected a LayerType as the entry point {entry_point.value} for this type, found {found}")
    return None


def entry_points(group: str, name: str) -> Sequence[EntryPoint]:
    """The entry points NAME in GROUP of installed packages."""
    from importlib import metadata  # here, because it takes longer than to read most nets

    return [*metadata.entry_points(group=group, name=name)]


def _refused(why: str) -> LayerType:
    """A row whose shape rule raises ShapeError with WHY."""

    def shape(_layer: Message, _bottoms: Bottoms) -> Sequence[Top]:
        raise ShapeError(why)

    return LayerType(shape=shape, partial=True)
