"""Caffe's layers that slide a window, in numpy: convolutions, poolings, Im2col."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from caffe_fcn.schema import Message
from tests.net.reference import pooled
from tests.random.basics import Array, axis_of, need


def per_axis(values: Sequence[int], axes: int, default: int) -> list[int]:
    given = list(values) or [default]
    need(len(given) in (1, axes), f"{len(given)} values for {axes} axes")
    return given * axes if len(given) == 1 else given


def _window(param: Message, axes: int) -> tuple[list[int], list[int], list[int], list[int]]:
    """Kernel, stride, padding and dilation of a convolution."""
    sides = [
        [getattr(param, f"{name}_h"), getattr(param, f"{name}_w")] if param.HasField(f"{name}_h") else None
        for name in ("kernel", "stride", "pad")
    ]
    kernel = sides[0] or per_axis(param.kernel_size, axes, 0)
    stride = sides[1] or per_axis(param.stride, axes, 1)
    pad = sides[2] or per_axis(param.pad, axes, 0)
    return kernel, stride, pad, per_axis(param.dilation, axes, 1)


def window(layer: Message) -> tuple[Sequence[int], ...] | None:
    """Kernel, stride, padding and dilation of LAYER over two axes, if it slides a window."""
    if layer.type in ("Convolution", "Deconvolution"):
        return _window(layer.convolution_param, 2)
    if layer.type == "Pooling":
        param = layer.pooling_param
        return _pair(param, "kernel"), _pair(param, "stride"), _pair(param, "pad"), (1, 1)
    return None


def _columns(x: Array, kernel: list[int], stride: list[int], pad: list[int], dilation: list[int]) -> Array:
    """The windows of X, B×C×spatial, as B×C×places×kernel."""
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    sizes = [n + 2 * p for n, p in zip(x.shape[2:], pad, strict=True)]
    need(all(n - e > -s for n, e, s in zip(sizes, extent, stride, strict=True)), "the kernel is larger than the map")
    more = [max(0, e - n) for n, e in zip(sizes, extent, strict=True)]  # C++ truncates toward zero: one window is left
    x = np.pad(x, [(0, 0), (0, 0), *((p, p + m) for p, m in zip(pad, more, strict=True))])
    windows = sliding_window_view(x, extent, axis=tuple(range(2, x.ndim)))
    places = tuple(slice(None, None, s) for s in stride)
    return windows[(slice(None), slice(None), *places, *(slice(None, None, d) for d in dilation))]


def convolution(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """ConvolutionLayer."""
    param, tops = layer.convolution_param, []
    for x in bottoms:
        axis = axis_of(param.axis, x.ndim)
        need(x.size > 0, "no values")
        folded = x.reshape(-1, *x.shape[axis:])
        spatial, weight = x.ndim - axis - 1, blobs[0]
        group = param.group
        need(folded.shape[1] % group == 0 and len(weight) % group == 0, "group does not divide")
        need(weight.shape[1] == folded.shape[1] // group, "channels of the weights")
        columns = _columns(folded, *_window(param, spatial))
        taps, places = [1, *range(2 + spatial, 2 + 2 * spatial)], list(range(1, 2 + spatial))
        parts = [
            np.tensordot(part, kernels, (taps, places))
            for part, kernels in zip(np.split(columns, group, 1), np.split(weight, group), strict=True)
        ]
        made = np.moveaxis(np.concatenate(parts, -1), -1, 1)
        if param.bias_term:
            made = made + blobs[1].reshape(-1, *[1] * spatial)
        tops.append(made.reshape(*x.shape[:axis], *made.shape[1:]))
    return tops


def deconvolution(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """DeconvolutionLayer, along the channels of axis 1."""
    param, tops = layer.convolution_param, []
    for x in bottoms:
        weight, spatial = blobs[0], x.ndim - 2
        need(x.shape[1] == len(weight), "channels of the weights")
        kernel, stride, pad, dilation = _window(param, spatial)
        sizes = [
            s * (n - 1) + d * (k - 1) + 1 for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
        ]
        need(all(n > 2 * p for n, p in zip(sizes, pad, strict=True)), "nothing is left of the map")
        parts = []
        for part, kernels in zip(np.split(x, param.group, 1), np.split(weight, param.group), strict=True):
            taps = kernels.reshape(*kernels.shape[:2], -1)
            made = np.zeros((len(x), kernels.shape[1], *sizes))
            for number, tap in enumerate(product(*map(range, kernel))):
                place = tuple(
                    slice(t * d, t * d + s * (n - 1) + 1, s)
                    for t, d, s, n in zip(tap, dilation, stride, x.shape[2:], strict=True)
                )
                spread = np.moveaxis(np.tensordot(part, taps[:, :, number], ((1,), (0,))), -1, 1)
                made[(slice(None), slice(None), *place)] += spread
            parts.append(made)
        inner = tuple(slice(p, n - p) for p, n in zip(pad, sizes, strict=True))
        top = np.concatenate(parts, 1)[(slice(None), slice(None), *inner)]
        tops.append(top + blobs[1].reshape(-1, *[1] * spatial) if param.bias_term else top)
    return tops


def pooling(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """PoolingLayer; the second top of a MAX pooling says where in its channel each maximum is."""
    param, x = layer.pooling_param, bottoms[0]
    need(x.ndim == 4, "Pooling takes four axes")
    high, wide = x.shape[2:]
    if param.global_pooling:
        kernel, stride, pad = (high, wide), (1, 1), (0, 0)
    else:
        kernel, stride, pad = _pair(param, "kernel"), _pair(param, "stride"), _pair(param, "pad")
    need(not any(pad) or all(p < k for p, k in zip(pad, kernel, strict=True)), "the padding is the kernel or more")
    need(all(n + 2 * p - k > -s for n, p, k, s in zip(x.shape[2:], pad, kernel, stride, strict=True)), "no window")
    method = param.PoolMethod.Name(param.pool)
    tops = [pooled(x, kernel, stride, pad, method)]
    if len(layer.top) > 1:
        need(method == "MAX", "a mask is for maxima")
        places = np.broadcast_to(np.arange(high * wide, dtype=float).reshape(high, wide), x.shape)
        tops.append(_places(x, places, tops[0].shape, (kernel, stride, pad)))
    return tops


def _pair(param: Message, name: str) -> tuple[int, int]:
    if param.HasField(f"{name}_h") or param.HasField(f"{name}_w"):
        return getattr(param, f"{name}_h"), getattr(param, f"{name}_w")
    return (getattr(param, "kernel_size" if name == "kernel" else name),) * 2


def _places(x: Array, places: Array, shape: Sequence[int], windows: Sequence[tuple[int, int]]) -> Array:
    top = np.empty(shape)
    for cell in product(*map(range, shape[2:])):
        first = [c * s - p for c, s, p in zip(cell, windows[1], windows[2], strict=True)]
        window = tuple(slice(max(f, 0), f + k) for f, k in zip(first, windows[0], strict=True))
        values, here = (each[(slice(None), slice(None), *window)].reshape(*x.shape[:2], -1) for each in (x, places))
        need(values.shape[2] > 0, "a window outside the map")
        best = np.argmax(values, 2)[..., None]
        top[(slice(None), slice(None), cell[0], cell[1])] = np.take_along_axis(here, best, 2)[..., 0]
    return top


def spp(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """SPPLayer: poolings into 1, 4, 16 ... bins, flattened and joined; a single one is not flattened."""
    param, x = layer.spp_param, bottoms[0]
    need(x.ndim == 4, "SPP takes four axes")
    parts = []
    for level in range(param.pyramid_height):
        kernel = [-(-n // 2**level) for n in x.shape[2:]]
        pad = [(k * 2**level - n + 1) // 2 for n, k in zip(x.shape[2:], kernel, strict=True)]
        need(all(p < k for p, k in zip(pad, kernel, strict=True)), "the map has fewer levels")
        high, wide = ((k, p) for k, p in zip(kernel, pad, strict=True))
        windows = ((high[0], wide[0]), (high[0], wide[0]), (high[1], wide[1]))
        parts.append(pooled(x, *windows, param.PoolMethod.Name(param.pool)))
    return parts if len(parts) == 1 else [np.concatenate([part.reshape(len(x), -1) for part in parts], 1)]


def im2col(layer: Message, bottoms: Sequence[Array], blobs: Sequence[Array]) -> list[Array]:
    """Im2colLayer: the values of each window as channels."""
    param, tops = layer.convolution_param, []
    for x in bottoms:
        axis = axis_of(param.axis, x.ndim)
        spatial = x.ndim - axis - 1
        folded = x.reshape(-1, *x.shape[axis:])
        columns = _columns(folded, *_window(param, spatial))
        moved = np.moveaxis(columns, range(2, 2 + spatial), range(-spatial, 0))
        tops.append(moved.reshape(*x.shape[:axis], -1, *columns.shape[2 : 2 + spatial]))
    return tops
