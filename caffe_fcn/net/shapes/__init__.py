"""The shape of every blob and of every parameter blob, layer by layer, without running Caffe.

Rules live in the modules beside this file, one function per layer type; to add a type, write its
function in the family it belongs to. `infer_shapes` asks them in file order.
"""

from __future__ import annotations

from caffe_fcn.net.shapes import (
    data,
    elementwise,
    losses,
    normalization,
    pooling,
    regions,
    reshaping,
    resizing,
    weights,
    windows,
)
from caffe_fcn.net.shapes.completion import channels_told
from caffe_fcn.net.shapes.elementwise import VALUE_BY_VALUE
from caffe_fcn.net.shapes.inference import Shapes, infer_shapes, layouts_of, matching_layouts, parameters_of
from caffe_fcn.net.shapes.normalization import BatchNormBlobs, batch_norm_blobs
from caffe_fcn.net.shapes.refusals import objections, refuse_empty
from caffe_fcn.net.shapes.regions import REGION_LAYERS
from caffe_fcn.net.shapes.registry import (
    BVLC_LAYERS,
    RULES,
    Kind,
    Missing,
    PartialShape,
    Rule,
    Shape,
    Unknown,
    bare,
    find_rule,
    rule,
    show,
)

FAMILIES = (data, elementwise, losses, normalization, pooling, regions, reshaping, resizing, weights, windows)
"""The modules that fill the registry when they are imported."""

__all__ = [
    "BVLC_LAYERS",
    "FAMILIES",
    "REGION_LAYERS",
    "RULES",
    "VALUE_BY_VALUE",
    "BatchNormBlobs",
    "Kind",
    "Missing",
    "PartialShape",
    "Rule",
    "Shape",
    "Shapes",
    "Unknown",
    "bare",
    "batch_norm_blobs",
    "channels_told",
    "find_rule",
    "infer_shapes",
    "layouts_of",
    "matching_layouts",
    "objections",
    "parameters_of",
    "refuse_empty",
    "rule",
    "show",
]
