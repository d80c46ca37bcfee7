"""The table of lowerings: one for each layer type, in the module of its family, and those of installed packages.

The modules in this directory register their functions in `onnx.registry` when they are imported. All of them are
imported."""

from __future__ import annotations

from functools import cache
from typing import cast

from caffe_fcn.net.families import modules_of
from caffe_fcn.net.layers.installed import entry_points
from caffe_fcn.onnx.registry import LOWERINGS, Lowering, LoweringSite, RefusalError

ENTRY_POINTS = "caffe_fcn.onnx"
"""The group of entry points by which other packages add lowerings: NAME = function(site)."""

modules_of(__name__, __path__)


def find_lowering(layer_type: str) -> Lowering | None:
    """Return the lowering of LAYER_TYPE: ours, else that of an installed package, else None."""
    return LOWERINGS.get(layer_type) or _installed_lowering(layer_type)


@cache
def _installed_lowering(layer_type: str) -> Lowering | None:
    """Return the lowering of an installed package for LAYER_TYPE; one that cannot be loaded refuses each layer."""
    for entry_point in entry_points(ENTRY_POINTS, layer_type):
        try:
            return cast(Lowering, entry_point.load())
        except (ImportError, AttributeError) as error:
            return _refusing(f"the entry point {entry_point.value} for this type cannot be loaded: {error}")
    return None


def _refusing(why: str) -> Lowering:
    def refuse(_site: LoweringSite) -> str:
        raise RefusalError(why)

    return refuse
