"""Layer types that installed packages add, each by an entry point: NAME = the package's row.

Where that cannot be loaded, the error is told where the shapes of the layer are asked for, and nowhere else: a net can
still be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.layers.row import LayerType
from caffe_fcn.net.layers.shape import Bottoms, Top
from caffe_fcn.schema import Message

ENTRY_POINTS = "caffe_fcn.layers"
"""The group of entry points by which other packages add layer types: NAME = a LayerType."""


@cache
def installed_row(layer_type: str) -> LayerType | None:
    """The row that an installed package has for LAYER_TYPE; None where no package has one."""
    from importlib.metadata import entry_points

    for entry_point in entry_points(group=ENTRY_POINTS, name=layer_type):
        try:
            row = entry_point.load()
        except (ImportError, AttributeError) as error:
            return _refused(f"the entry point {entry_point.value} for this type cannot be loaded: {error}")
        if isinstance(row, LayerType):
            return row
        found = type(row).__name__
        return _refused(f"expected a LayerType as the entry point {entry_point.value} for this type, found {found}")
    return None


def _refused(why: str) -> LayerType:
    """A row whose shape rule says WHY there is none."""

    def shape(_layer: Message, _bottoms: Bottoms) -> Sequence[Top]:
        raise ShapeError(why)

    return LayerType(shape=shape, partial=True)
