"""Lowers layers that normalize a value by those around it: LRN, MVN, Softmax, and Normalize of SSD."""

from __future__ import annotations

import struct

from caffe_fcn.onnx.extents import extents, reshape
from caffe_fcn.onnx.graph import Builder
from caffe_fcn.onnx.registry import LoweringSite, RefusalError, axis_of, lowering

_ACROSS_CHANNELS = 0
"""LRNParameter.NormRegion."""

_LARGEST = 1023
"""The largest local_size of LRN: for a much larger one onnxruntime takes minutes, and gigabytes."""

MAX_BAND = 512
"""The maximum number of channels for which sums of neighbours are a 1×1 Convolution. Its time and its matrix grow with
the square of the channels: with 96 channels it takes half the time of a Convolution along them, with 512 the same, in 1
MiB."""


@lowering("LRN")
def lrn(site: LoweringSite) -> str:
    """Lower LRNLayer: x / (k + alpha · mean of squares) ^ beta, over neighbouring channels or a square in the map.

    Within a channel, Caffe leaves k out and counts the padding. Across channels, ONNX has an operator for an alpha and
    a beta above 0. It is slow in onnxruntime, so EXPAND_LRN replaces it by a Convolution and a power, as is done for
    other values too. A beta of 0 leaves every value unchanged.
    """
    build, value, param = site.build, site.inputs[0], site.layer.lrn_param
    size = param.local_size
    if size > _LARGEST:
        raise RefusalError(f"local_size is {size:,}; at most {_LARGEST:,} is supported")
    if param.beta == 0:
        return value
    if param.norm_region == _ACROSS_CHANNELS and not site.expand_lrn and min(param.alpha, param.beta) > 0:
        return build.node("LRN", value, size=size, alpha=param.alpha, beta=param.beta, bias=param.k)
    squares = build.node("Mul", value, value)
    if param.norm_region == _ACROSS_CHANNELS:
        return _over_power(build, value, _across_channels(site, squares), param.beta)
    mean = build.node("AveragePool", squares, kernel_shape=(size, size), pads=(size // 2,) * 4, count_include_pad=1)
    around = build.node("Add", build.node("Mul", mean, build.number(param.alpha)), build.number(1))
    return _over_power(build, value, around, param.beta)


def _across_channels(site: LoweringSite, squares: str) -> str:
    """Return k + alpha / size · the sum of SQUARES over neighbouring channels, by a Convolution: 1×1 with a banded
    matrix, or for many channels along the axis of channels."""
    build, dims, param = site.build, site.bottoms[0], site.layer.lrn_param
    channels, reach, factor = dims[1], param.local_size // 2, param.alpha / param.local_size
    if channels is not None and channels <= MAX_BAND:
        zero, one = struct.pack("<f", 0), struct.pack("<f", factor)
        spans = ((max(0, at - reach), min(channels, at + reach + 1)) for at in range(channels))
        rows = (zero * start + one * (stop - start) + zero * (channels - stop) for start, stop in spans)
        band = build.packed(b"".join(rows), (channels, channels, 1, 1))
        return build.node("Conv", squares, band, build.floats([param.k] * channels), kernel_shape=(1, 1))
    size = param.local_size
    planes = reshape(build, squares, [*extents(squares, dims, 0, 1), 1, *extents(squares, dims, 1, 2), -1])
    kernel = build.floats([factor] * size, (1, 1, size, 1))
    window = {"kernel_shape": (size, 1), "pads": (reach, 0, reach, 0)}
    sums = build.node("Conv", planes, kernel, build.floats([param.k]), **window)
    return reshape(build, sums, extents(squares, dims))


def _over_power(build: Builder, value: str, base: str, exponent: float) -> str:
    """Return VALUE / BASE ^ EXPONENT. Square roots take a fraction of the time of a power."""
    if exponent == 0.75:
        root = build.node("Sqrt", base)
        return build.node("Div", value, build.node("Mul", root, build.node("Sqrt", root)))
    if exponent in (0.5, 1):
        return build.node("Div", value, build.node("Sqrt", base) if exponent == 0.5 else base)
    return build.node("Mul", value, build.node("Pow", base, build.number(-exponent)))


@lowering("MVN")
def mvn(site: LoweringSite) -> str:
    """Lower MVNLayer: minus the mean, and by default divided by the deviation plus eps, of each map or of each item."""
    build, dims, param = site.build, site.bottoms[0], site.layer.mvn_param
    value = site.inputs[0]
    if len(dims) < 4:  # Caffe's top has four axes
        value = reshape(build, value, [*extents(value, dims), *[1] * (4 - len(dims))])
    axes = build.ints((1, 2, 3) if param.across_channels else (2, 3))
    centred = build.node("Sub", value, build.node("ReduceMean", value, axes, keepdims=1))
    if not param.normalize_variance:
        return centred
    variance = build.node("ReduceMean", build.node("Mul", centred, centred), axes, keepdims=1)
    deviation = build.node("Add", build.node("Sqrt", variance), build.number(param.eps))
    return build.node("Div", centred, deviation)


@lowering("Softmax")
def softmax(site: LoweringSite) -> str:
    """Lower SoftmaxLayer."""
    return site.build.node("Softmax", site.inputs[0], axis=axis_of(site.layer.softmax_param.axis, site.bottoms[0]))


@lowering("Normalize")
def normalize(site: LoweringSite) -> str:
    """Lower Normalize of SSD: divided by the norm of the channels at each position or of the whole item, times learned
    factors."""
    if not site.layer.HasField("norm_param") or len(site.tops) > 1:
        raise RefusalError("only the Normalize of SSD, with a norm_param and one top, is supported")
    build, value, dims, param = site.build, site.inputs[0], site.bottoms[0], site.layer.norm_param
    axes = build.ints(range(1, len(dims)) if param.across_spatial else [1])
    squares = build.node("ReduceSumSquare", value, axes, keepdims=1)
    length = build.node("Sqrt", build.node("Add", squares, build.number(param.eps)))
    factors = () if param.channel_shared else (*site.params[0], *[1] * (len(dims) - 2))
    return build.node("Mul", build.node("Div", value, length), site.weight(0, factors))
