"""Layers that normalise a value by those around it: LRN, MVN, Softmax, and Normalize of SSD."""

from __future__ import annotations

from caffe_fcn.run.onnx.extents import extents, reshape
from caffe_fcn.run.onnx.registry import RefusalError, Site, axis_of, lowering

_ACROSS_CHANNELS = 0
"""LRNParameter.NormRegion."""

_LARGEST = 1023
"""The largest LRN: onnxruntime takes minutes for one that is much larger, and gigabytes."""


@lowering("LRN")
def lrn(site: Site) -> str:
    """LRNLayer: x / (k + alpha · mean of squares) ^ beta, over neighbouring channels or a square in the map.

    Within a channel, Caffe leaves k out and counts the padding. Across channels, onnxruntime computes LRN only with
    an alpha and a beta above 0; a beta of 0 leaves every value as it is.
    """
    build, value, param = site.build, site.inputs[0], site.layer.lrn_param
    size = param.local_size
    if size > _LARGEST:
        raise RefusalError(f"local_size is {size:,}, and more than {_LARGEST:,} is not supported")
    if param.beta == 0:
        return value
    if param.norm_region == _ACROSS_CHANNELS:
        for field in ("alpha", "beta"):
            if getattr(param, field) <= 0:
                raise RefusalError(f"{field} is {getattr(param, field):g}, but ONNX's LRN needs one above 0")
        return build.node("LRN", value, size=size, alpha=param.alpha, beta=param.beta, bias=param.k)
    squares = build.node("Mul", value, value)
    mean = build.node("AveragePool", squares, kernel_shape=(size, size), pads=(size // 2,) * 4, count_include_pad=1)
    around = build.node("Add", build.node("Mul", mean, build.number(param.alpha)), build.number(1))
    return build.node("Mul", value, build.node("Pow", around, build.number(-param.beta)))


@lowering("MVN")
def mvn(site: Site) -> str:
    """MVNLayer: less the mean, and by default over the deviation plus eps, of each map or of each item."""
    build, dims, param = site.build, site.bottoms[0], site.layer.mvn_param
    value = site.inputs[0]
    if len(dims) < 4:  # Caffe gives the top four axes
        value = reshape(build, value, [*extents(value, dims), *[1] * (4 - len(dims))])
    axes = build.ints((1, 2, 3) if param.across_channels else (2, 3))
    centred = build.node("Sub", value, build.node("ReduceMean", value, axes, keepdims=1))
    if not param.normalize_variance:
        return centred
    variance = build.node("ReduceMean", build.node("Mul", centred, centred), axes, keepdims=1)
    deviation = build.node("Add", build.node("Sqrt", variance), build.number(param.eps))
    return build.node("Div", centred, deviation)


@lowering("Softmax")
def softmax(site: Site) -> str:
    """SoftmaxLayer."""
    return site.build.node("Softmax", site.inputs[0], axis=axis_of(site.layer.softmax_param.axis, site.bottoms[0]))


@lowering("Normalize")
def normalize(site: Site) -> str:
    """Normalize of SSD: over the length of the channels at each place or of the whole item, times learned factors."""
    if not site.layer.HasField("norm_param") or len(site.tops) > 1:
        raise RefusalError("only Normalize of SSD, which has a norm_param and one top, is known here")
    build, value, dims, param = site.build, site.inputs[0], site.bottoms[0], site.layer.norm_param
    axes = build.ints(range(1, len(dims)) if param.across_spatial else [1])
    squares = build.node("ReduceSumSquare", value, axes, keepdims=1)
    length = build.node("Sqrt", build.node("Add", squares, build.number(param.eps)))
    factors = () if param.channel_shared else (*site.params[0], *[1] * (len(dims) - 2))
    return build.node("Mul", build.node("Div", value, length), site.weight(0, factors))
