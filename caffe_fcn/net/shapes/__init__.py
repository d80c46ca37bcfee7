"""Infers the shape of every blob and of every parameter blob, layer by layer, without running Caffe.

The rules are those of the layer types (`net.layers`); `infer_shapes` applies them in file order.
"""

from __future__ import annotations

from caffe_fcn.net.layers.normalization import BatchNormBlobs, batch_norm_blobs
from caffe_fcn.net.layers.shape import Kind, Missing, PartialShape, Shape, Unknown, bare, show
from caffe_fcn.net.shapes.completion import channels_told
from caffe_fcn.net.shapes.inference import Shapes, infer_shapes, layouts_of, parameters_of
from caffe_fcn.net.shapes.refusals import objections, refusals_since, refuse_empty

__all__ = [
    "BatchNormBlobs",
    "Kind",
    "Missing",
    "PartialShape",
    "Shape",
    "Shapes",
    "Unknown",
    "bare",
    "batch_norm_blobs",
    "channels_told",
    "infer_shapes",
    "layouts_of",
    "objections",
    "parameters_of",
    "refusals_since",
    "refuse_empty",
    "show",
]
