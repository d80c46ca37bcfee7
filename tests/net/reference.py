"""Layers of Caffe in a few lines of numpy each, written from docs/caffe-facts.md, and what Caffe itself measured."""

from __future__ import annotations

from itertools import product
from math import ceil
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from caffe_fcn import schema
from tests.paths import GOLDEN

Array: TypeAlias = NDArray[Any]
Pair: TypeAlias = tuple[int, int]

_LEAST = -float(np.finfo(np.float32).max)
"""Caffe's maximum of nothing."""


class Case(NamedTuple):
    """A measured layer: what went in, what came out by the blob's name, and the parameter blobs."""

    bottoms: list[Array]
    tops: dict[str, Array]
    params: list[Array]


def measured(name: str) -> Case:
    directory = GOLDEN / "layers" / name
    net = schema.NetParameter.FromString((directory / "net.caffemodel").read_bytes())
    params = [_array(blob) for each in net.layer if each.name == "layer" for blob in each.blobs]
    with np.load(directory / "io.npz") as stored:
        values = {key: stored[key].astype(np.float64) for key in stored.files}
    bottoms = [values[key] for key in sorted(values) if key.startswith("in:")]
    return Case(bottoms, {key[4:]: values[key] for key in values if key.startswith("out:")}, params)


def _array(blob: Any) -> Array:
    return np.array(blob.data, np.float64).reshape([*blob.shape.dim])


def assert_measured(computed: Array, case: Case, top: str = "out") -> None:
    assert computed.shape == case.tops[top].shape
    np.testing.assert_allclose(computed, case.tops[top], rtol=1e-5, atol=1e-5)


def pooled_size(size: int, kernel: int, stride: int, pad: int, *, any_pad: bool) -> int:
    """The formula of the page."""
    windows = ceil((size + 2 * pad - kernel) / stride) + 1
    return windows - 1 if any_pad and (windows - 1) * stride >= size + pad else windows


def pooled(x: Array, kernel: Pair, stride: Pair, pad: Pair, method: str) -> Array:
    """Pooling as the page tells it."""
    sizes = x.shape[2:]
    axes = zip(sizes, kernel, stride, pad, strict=True)
    top = np.empty((*x.shape[:2], *(pooled_size(n, k, s, p, any_pad=any(pad)) for n, k, s, p in axes)))
    for cell in product(*map(range, top.shape[2:])):
        first = [c * s - p for c, s, p in zip(cell, stride, pad, strict=True)]
        last = [min(f + k, n + p) for f, k, n, p in zip(first, kernel, sizes, pad, strict=True)]
        area = (last[0] - first[0]) * (last[1] - first[1])
        window = x[:, :, max(first[0], 0) : last[0], max(first[1], 0) : last[1]]  # a slice ends with the map
        average = window.sum((2, 3)) / area if area else np.nan
        top[:, :, cell[0], cell[1]] = window.max((2, 3), initial=_LEAST) if method == "MAX" else average
    return top


def convolved(x: Array, weight: Array, stride: int = 1, pad: int = 0, dilation: int = 1, group: int = 1) -> Array:
    """Convolution as the page tells it."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    outputs, channels, *kernel = weight.shape
    sizes = [(n - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(x.shape[2:], kernel, strict=True)]
    top = np.zeros((len(x), outputs, *sizes))
    for output, row, column in product(range(outputs), range(kernel[0]), range(kernel[1])):
        first = output // (outputs // group) * channels
        rows = slice(row * dilation, row * dilation + (sizes[0] - 1) * stride + 1, stride)
        columns = slice(column * dilation, column * dilation + (sizes[1] - 1) * stride + 1, stride)
        taps = weight[output, :, row, column]
        top[:, output] += np.einsum("nchw,c->nhw", x[:, first : first + channels, rows, columns], taps)
    return top
