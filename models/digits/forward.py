"""Runs a net on numpy arrays, one function a layer type, as many types as the digits need.

The net is what its prototxt says. Sizes come from the shape rules of caffe_fcn, layers run in
file order, and a converted net runs on a picture of any size with the same functions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import reduce
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.net.graph import Blob, Graph, build_graph
from caffe_fcn.net.layers.windows import (
    Windows,
    convolution_windows,
    pooled,
    pooling_windows,
    rounds_down,
)
from caffe_fcn.net.shapes import infer_shapes
from caffe_fcn.net.source import read_net
from caffe_fcn.schema import Message, enum_number

Array: TypeAlias = NDArray[np.float32]
Params: TypeAlias = Sequence[Array]
"""The parameter blobs of a layer: weights, then bias."""

MAX = enum_number("PoolingParameter", "PoolMethod", "MAX")


class Model(NamedTuple):
    """A net in its TEST phase and its parameters by layer name."""

    graph: Graph
    params: dict[str, Params]


def load(net: str | os.PathLike[str], weights: str | os.PathLike[str]) -> Model:
    """The prototxt NET with the caffemodel WEIGHTS. Raises CaffeFcnError where either cannot be read, and
    KeyError or ValueError where the weights are another net's."""
    source = read_net(net)
    graph = build_graph(source.net, source=source.name)
    shapes = infer_shapes(graph).params
    params: dict[str, Params] = {}
    with open_caffemodel(weights) as file:
        records = {record.name: record.blobs for record in file.layers}
        for node in graph.nodes:
            if shapes[node.index]:
                pairs = zip(records[node.name], shapes[node.index], strict=True)
                params[node.name] = [file.read_values(blob, 0, blob.count).reshape(shape) for blob, shape in pairs]
    return Model(graph, params)


def run(model: Model, images: Array) -> dict[Blob, Array]:
    """Every blob that MODEL makes of IMAGES, N×C×H×W. Raises ValueError for a layer that has no function here."""
    blobs: dict[Blob, Array] = {}
    for node in model.graph.nodes:
        if node.type == "Input":
            blobs[node.tops[0]] = images
            continue
        rule = _RULES.get(node.type)
        if rule is None:
            raise ValueError(f'layer "{node.name}": no function for the type "{node.type}", only for {sorted(_RULES)}')
        blobs[node.tops[0]] = rule(node.layer, model.params.get(node.name, ()), blobs[node.bottoms[0]])
    return blobs


def predict(model: Model, images: Array) -> Array:
    """The output of MODEL: N×K from a classifier, N×K×H×W from a fully convolutional net."""
    (output,) = model.graph.outputs
    return run(model, images)[output]


def gather(bottom: Array, windows: Windows) -> Array:
    """The windows of BOTTOM, a view of N×C×H×W×KH×KW: those that lie in it wholly."""
    if any(windows.before + windows.after) or windows.dilation != (1, 1):
        raise ValueError(f"padding and dilation have no function here; found {windows}")
    high, wide = windows.stride
    view = np.lib.stride_tricks.sliding_window_view(bottom, windows.kernel, axis=(2, 3))
    return view[:, :, ::high, ::wide]


def columns(bottom: Array, windows: Windows) -> Array:
    """The windows of BOTTOM, one a row of C·KH·KW values: N·H·W×C·KH·KW, to be multiplied with the weights."""
    found = gather(bottom, windows)
    return found.transpose(0, 2, 3, 1, 4, 5).reshape(-1, bottom.shape[1] * prod(windows.kernel))


def _convolution(layer: Message, params: Params, bottom: Array) -> Array:
    windows = convolution_windows(layer, 2)
    high, wide = gather(bottom, windows).shape[2:4]
    weights = params[0].reshape(len(params[0]), -1)
    top = columns(bottom, windows) @ weights.T + params[1]
    return np.ascontiguousarray(top.reshape(len(bottom), high, wide, -1).transpose(0, 3, 1, 2))


def pooling_view(layer: Message, bottom: Array) -> Array:
    """The windows that a MAX pooling compares, N×C×H×W×KH×KW; what overhangs the map is minus infinity."""
    if layer.pooling_param.pool != MAX:
        raise ValueError(f'layer "{layer.name}": only MAX pooling has a function here')
    sizes = bottom.shape[2:]
    windows = pooling_windows(layer, sizes)
    made = pooled(windows, sizes, down=rounds_down(layer))
    axes = zip(made, windows.stride, windows.kernel, sizes, strict=True)
    overhang = [(0, max(0, (m - 1) * s + k - size)) for m, s, k, size in axes]
    if any(after for _, after in overhang):
        bottom = np.pad(bottom, [(0, 0), (0, 0), *overhang], constant_values=-np.inf)
    return gather(bottom, windows)


def _pooling(layer: Message, params: Params, bottom: Array) -> Array:
    view = pooling_view(layer, bottom)
    kernel = np.ndindex(view.shape[4:])
    return reduce(np.maximum, (view[..., y, x] for y, x in kernel))  # faster than one maximum over both axes


def _inner_product(layer: Message, params: Params, bottom: Array) -> Array:
    return bottom.reshape(len(bottom), -1) @ params[0].T + params[1]


def _relu(layer: Message, params: Params, bottom: Array) -> Array:
    return np.maximum(bottom, np.float32(0))


def _softmax(layer: Message, params: Params, bottom: Array) -> Array:
    powers = np.exp(bottom - bottom.max(axis=1, keepdims=True))
    found: Array = powers / powers.sum(axis=1, keepdims=True)
    return found


_RULES: dict[str, Callable[[Message, Params, Array], Array]] = {
    "Convolution": _convolution,
    "InnerProduct": _inner_product,
    "Pooling": _pooling,
    "ReLU": _relu,
    "Softmax": _softmax,
}
