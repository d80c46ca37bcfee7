"""The gradients of a net's parameters, one function a layer type: what `forward` made, walked back.

A gradient is a function of the layer, its bottom, its top and the gradient of its top. All
blobs of the forward pass are kept, so nothing else needs to be remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from forward import Array, Model, Params, columns, pooling_view, run

from caffe_fcn.net.graph import Blob
from caffe_fcn.net.layers.windows import Windows, convolution_windows, pooling_windows
from caffe_fcn.schema import Message


class _Step(NamedTuple):
    """A layer on the way back."""

    layer: Message
    params: Params
    bottom: Array
    top: Array
    wanted: bool
    """Whether the gradient of the bottom is needed; that of the image is not."""


_Gradients = tuple[Array | None, Params]
"""The gradient of the bottom, None where it is not wanted, and those of the parameters."""


def gradients(model: Model, images: Array, targets: Array) -> tuple[float, dict[str, Params]]:
    """The mean cross-entropy of MODEL on IMAGES, and its gradients by layer name.

    The last layer is a Softmax over N×K, and TARGETS are the probabilities it should give, N×K.
    """
    blobs = run(model, images)
    *nodes, softmax = model.graph.nodes
    found = blobs[softmax.tops[0]]
    loss = float(-(targets * np.log(np.maximum(found, 1e-12))).sum() / len(images))
    deltas: dict[Blob, Array] = {softmax.bottoms[0]: (found - targets) / np.float32(len(images))}
    made: dict[str, Params] = {}
    for node in reversed([node for node in nodes if node.bottoms]):
        bottom, top = node.bottoms[0], node.tops[0]
        wanted = bool(model.graph.producer[bottom].bottoms)
        step = _Step(node.layer, model.params.get(node.name, ()), blobs[bottom], blobs[top], wanted)
        below, params = _RULES[node.type](step, deltas.pop(top))
        if below is not None:
            deltas[bottom] = below
        if params:
            made[node.name] = params
    return loss, made


def _spread(pieces: Array, windows: Windows, like: Array) -> Array:
    """PIECES, N×C×H×W×KH×KW, each added where its window lies on a map LIKE the bottom."""
    total = np.zeros_like(like)
    high, wide = windows.stride
    rows, across = pieces.shape[2:4]
    for y in range(windows.kernel[0]):
        for x in range(windows.kernel[1]):
            total[:, :, y : y + rows * high : high, x : x + across * wide : wide] += pieces[..., y, x]
    return total


def _convolution(step: _Step, delta: Array) -> _Gradients:
    windows = convolution_windows(step.layer, 2)
    weights = step.params[0]
    number, outputs, high, wide = delta.shape
    rows = delta.transpose(0, 2, 3, 1).reshape(-1, outputs)
    params = [(rows.T @ columns(step.bottom, windows)).reshape(weights.shape), rows.sum(axis=0)]
    if not step.wanted:
        return None, params
    pieces = (rows @ weights.reshape(outputs, -1)).reshape(number, high, wide, *weights.shape[1:])
    return _spread(pieces.transpose(0, 3, 1, 2, 4, 5), windows, step.bottom), params


def _pooling(step: _Step, delta: Array) -> _Gradients:
    """The first of the largest values of a window gets all. Every window must be whole, as in training it is."""
    found = pooling_view(step.layer, step.bottom)
    flat = found.reshape(*found.shape[:4], -1)
    pieces = np.zeros_like(flat)
    np.put_along_axis(pieces, flat.argmax(axis=-1)[..., None], delta[..., None], axis=-1)
    windows = pooling_windows(step.layer, step.bottom.shape[2:])
    return _spread(pieces.reshape(found.shape), windows, step.bottom), ()


def _inner_product(step: _Step, delta: Array) -> _Gradients:
    rows = step.bottom.reshape(len(step.bottom), -1)
    below = (delta @ step.params[0]).reshape(step.bottom.shape) if step.wanted else None
    return below, [delta.T @ rows, delta.sum(axis=0)]


def _relu(step: _Step, delta: Array) -> _Gradients:
    return delta * (step.top > 0), ()


_RULES: dict[str, Callable[[_Step, Array], _Gradients]] = {
    "Convolution": _convolution,
    "InnerProduct": _inner_product,
    "Pooling": _pooling,
    "ReLU": _relu,
}
