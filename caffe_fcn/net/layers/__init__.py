"""The table of layer types: one row for each, in the module of its family, and the rows of installed packages.

A row holds all that is known about a type (`row.LayerType`): shapes, parameters, formats, geometry, cost. Other modules
ask for the row of a layer's type and have no lists of types of their own. Each module here that has `ROWS` is a family;
it is found by its place."""

from __future__ import annotations

from caffe_fcn.net.families import modules_of
from caffe_fcn.net.layers.installed import installed_row
from caffe_fcn.net.layers.row import LayerType

FAMILIES = tuple(module for module in modules_of(__name__, __path__) if hasattr(module, "ROWS"))
"""The modules that hold rows."""

LAYERS: dict[str, LayerType] = {name: row for family in FAMILIES for name, row in family.ROWS.items()}
"""Layer type to row."""

UNKNOWN_TYPE = LayerType()
"""The row of an unknown type."""


def row_of(layer_type: str) -> LayerType:
    """The row of LAYER_TYPE: from this package, else from an installed package, else that of an unknown type."""
    return LAYERS.get(layer_type) or installed_row(layer_type) or UNKNOWN_TYPE


__all__ = ["FAMILIES", "LAYERS", "UNKNOWN_TYPE", "LayerType", "row_of"]
