"""Blobs that are not of the number and the shapes that the net gives its layers are refused, whatever the type."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path

import pytest

from caffe_fcn import schema
from caffe_fcn.errors import WeightsError
from caffe_fcn.files import prototxt
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.net.shapes import RULES, infer_shapes
from caffe_fcn.net.source import interpret, read_net
from caffe_fcn.surgery.meeting import Trained, meet
from tests.net.nets import data, graph_of, layer
from tests.paths import CASES, GOLDEN

Shape = tuple[int, ...]
MEASURED = [
    case for case in sorted((GOLDEN / "layers").iterdir()) if "blobs {" in str(schema.NetParameter.FromString(
        (case / "net.caffemodel").read_bytes()
    ))
]
"""Layers that have parameters, as BVLC Caffe wrote them."""

CONV = "num_output: 4 kernel_size: 3"
OTHERS = {
    "BN": ("bn_param { eps: 0.1 }", data(2, 6, 5, 5)),
    "ConvolutionDepthwise": (f"convolution_param {{ num_output: 6 kernel_size: 3 }}", data(2, 6, 5, 5)),
    "DepthwiseConvolution": (f"convolution_param {{ num_output: 6 kernel_size: 3 group: 6 }}", data(2, 6, 5, 5)),
    "Convolution3D": ("convolution_param { num_output: 4 kernel_size: 3 kernel_depth: 2 }", data(1, 3, 4, 5, 5)),
    "Deconvolution3D": ("convolution_param { num_output: 4 kernel_size: 3 kernel_depth: 2 }", data(1, 3, 4, 5, 5)),
    "Normalize": ("norm_param { channel_shared: false }", data(2, 6, 5, 5)),
    "Mul": ("mul_param { mul_shape: 6 mul_shape: 5 }", data(2, 6, 5)),
    "Add": ("add_param { add_shape: 6 add_shape: 5 }", data(2, 6, 5)),
    "RNN": (
        "recurrent_param { num_output: 4 }",
        data(5, 2, 3) + data(5, 2, name="marks"),
    ),
    "MarginInnerProduct": (
        "margin_inner_product_param { num_output: 4 }",
        data(2, 3) + data(2, name="label"),
    ),
    "MultiStageMeanfield": ("", data(1, 3, 4, 4) + data(1, 3, 4, 4, name="b") + data(1, 3, 4, 4, name="c")),
}
"""Layers of which no measured case has parameters: the type, its fields, its bottoms."""


def of_forks(kind: str) -> str:
    """A net of one layer of the type KIND."""
    fields, inputs = OTHERS[kind]
    names = [each.name for each in schema.NetParameter.FromString(
        interpret(prototxt.parse(inputs, "net.prototxt")).net.SerializeToString()
    ).layer]
    return inputs + layer(kind, fields, " ".join(names))


def blobs_of(text: str) -> list[Shape]:
    """The shapes of the parameter blobs of the last layer of the net TEXT, by its rule."""
    graph = graph_of(text)
    return list(infer_shapes(graph).params[graph.nodes[-1].index])
