"""Layers that slide a window over the spatial axes: convolutions, Im2col, poolings and the pyramid of SPP.

ONNX counts windows as Caffe does, with two exceptions. Caffe's channels may be on any axis: the axes before them are
joined into one and split again. And without padding Caffe keeps a pooling window that begins beyond the map, which is
possible only if the stride is larger than the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import add

from caffe_fcn import schema
from caffe_fcn.net.layers.windows import (
    Windows,
    convolution_windows,
    pooling_windows,
    rounds_down,
    windows_over,
)
from caffe_fcn.net.shapes import Shape
from caffe_fcn.onnx.extents import Extent, Wanted, extents, reshape, shape_from, vector
from caffe_fcn.onnx.graph import Builder, Dims
from caffe_fcn.onnx.layers.elementwise import rectified
from caffe_fcn.onnx.registry import FixedSizeError, LoweringSite, RefusalError, axis_of, lowering

MAX_TAPS = 1024
"""The maximum number of values in a window of Im2col; the kernel that selects them has the square of it."""

_LOWEST = -3.4028234663852886e38
"""Caffe's maximum of an empty window."""
_MAX, _AVE, _AVE_EXC_PAD, _AVE_TF = 0, 1, 60000, 60001
"""PoolingParameter.PoolMethod, and SPPParameter's."""


# ---- Convolutions ----


@lowering("Convolution", "Convolution3D", "ConvolutionDepthwise", "DepthwiseConvolution")
def convolution(site: LoweringSite) -> Sequence[str]:
    """Lower ConvolutionLayer, with one or several bottoms."""
    weight = site.params[0]
    channels = site.bottoms[0][_channel_axis(site)]
    groups = (channels or 1) // weight[1]
    made = [_convolve(site, "Conv", value, groups) for value in site.inputs]
    param = site.layer.convolution_param
    return [rectified(site.build, value, param.negative_slope) for value in made] if param.relu else made


@lowering("Deconvolution", "Deconvolution3D")
def deconvolution(site: LoweringSite) -> Sequence[str]:
    """Lower DeconvolutionLayer: weights are C×(O/group)×kernel in Caffe and in ONNX."""
    if site.layer.convolution_param.relu:
        raise RefusalError(
            "convolution_param.relu is a field of Intel's Convolution; its effect in this layer type is unknown"
        )
    outputs = site.tops[0][_channel_axis(site)]
    groups = (outputs or 1) // site.params[0][1]
    return [_convolve(site, "ConvTranspose", value, groups) for value in site.inputs]


def _channel_axis(site: LoweringSite) -> int:
    return len(site.bottoms[0]) - (len(site.params[0]) - 2) - 1


def _convolve(site: LoweringSite, op: str, value: str, groups: int) -> str:
    build, dims, weight = site.build, site.bottoms[0], site.params[0]
    axis, spatial = _channel_axis(site), len(weight) - 2
    windows = _windows(site, axis) if op == "Conv" else convolution_windows(site.layer, spatial)
    tail = () if spatial else (1,)  # ONNX needs at least one spatial axis
    folded = value
    if axis != 1 or tail:
        folded = reshape(build, value, [-1 if axis else 1, *extents(value, dims, axis), *tail])
    inputs = [folded, site.weight(0, (*weight, *tail))]
    if len(site.params) > 1:
        inputs.append(site.weight(1))
    made = build.node(op, *inputs, group=groups, **_window_attributes(windows, tail))
    if axis == 1 and not tail:
        return made
    out: Wanted = [*extents(value, dims, 0, axis), *_behind(made, site.tops[0][axis:], 1)]
    return reshape(build, made, out)


def _windows(site: LoweringSite, axis: int) -> Windows:
    """Return the window of a Convolution or Im2col whose channels are on AXIS, and add zeros after a map that is
    smaller than the kernel."""
    windows = windows_over(site.layer, site.nominal[0][axis + 1 :])
    plain = convolution_windows(site.layer, len(site.nominal[0]) - axis - 1)
    after = zip(windows.after, plain.after, site.bottoms[0][axis + 1 :], strict=True)
    if any(more != given and extent is None for more, given, extent in after):
        raise FixedSizeError("its kernel is larger than its map at the nominal size")
    return windows


def _window_attributes(windows: Windows, tail: Shape = ()) -> dict[str, tuple[int, ...]]:
    """Return the attributes of ONNX's convolutions for WINDOWS, and for axes of extent 1 after them, as in TAIL."""
    none = (0,) * len(tail)
    return {
        "kernel_shape": (*windows.kernel, *tail),
        "strides": (*windows.stride, *tail),
        "dilations": (*windows.dilation, *tail),
        "pads": (*windows.before, *none, *windows.after, *none),
    }


def _behind(value: str, dims: Dims, start: int) -> list[int | Extent]:
    """Return DIMS as extents of VALUE, in which they begin at axis START."""
    return [Extent(value, start + place) if extent is None else extent for place, extent in enumerate(dims)]


@lowering("Im2col")
def im2col(site: LoweringSite) -> Sequence[str]:
    """Lower Im2colLayer as a convolution: tap t of every channel becomes a channel by a kernel that is 1 only at t."""
    build, made = site.build, []
    for value, dims, top in zip(site.inputs, site.bottoms, site.tops, strict=True):
        axis = axis_of(site.layer.convolution_param.axis, dims)
        windows = _windows(site, axis)
        taps = prod(windows.kernel)
        if taps > MAX_TAPS or not windows.kernel:
            raise RefusalError(f"its window has {taps:,} values; 1 to {MAX_TAPS:,} are supported")
        picks = [float(tap == other) for other in range(taps) for tap in range(taps)]
        kernel = build.floats(picks, (taps, 1, *windows.kernel))
        planes = reshape(build, value, [-1, 1, *extents(value, dims, axis + 1)])
        columns = build.node("Conv", planes, kernel, **_window_attributes(windows))
        front = extents(value, dims, 0, axis)
        made.append(reshape(build, columns, [*front, *_channels(top[axis]), *_behind(columns, top[axis + 1 :], 2)]))
    return made


def _channels(extent: int | None) -> list[int]:
    if extent is None:
        raise FixedSizeError("its number of channels depends on the size")
    return [extent]


# ---- Poolings ----


@lowering("Pooling", "Pooling3D")
def pooling(site: LoweringSite) -> Sequence[str]:
    """Lower PoolingLayer; a second top has the position of each maximum within the map."""
    value, sizes = site.inputs[0], site.bottoms[0][2:]
    own = site.layer.pooling3d_param if site.layer.HasField("pooling3d_param") else site.layer.pooling_param
    method, everywhere = _method(own), site.layer.pooling_param.global_pooling
    masked = len(site.tops) > 1
    if masked and method != _MAX:
        raise RefusalError("a mask is supported only for MAX pooling")
    if everywhere and not masked:
        return [_pool_everywhere(site.build, value, method)]
    if everywhere and None in sizes:
        raise FixedSizeError("it is a global pooling with a mask")
    windows = pooling_windows(site.layer, tuple(extent or 1 for extent in sizes))
    if masked:
        return _masked(site.build, value, windows, sizes, down=rounds_down(site.layer))
    return [pool(site.build, value, method, windows, sizes, down=rounds_down(site.layer))]


def _method(param: schema.Message) -> int:
    """Return MAX, AVE or AVE_EXC_PAD. The last is Synopsys's name (once AVE_TF) for AVE with Intel's avg_include_pad:
    false."""
    if param.pool == _AVE_TF or (param.pool == _AVE and not getattr(param, "avg_include_pad", True)):
        return _AVE_EXC_PAD
    if param.pool not in (_MAX, _AVE, _AVE_EXC_PAD):
        raise RefusalError("stochastic pooling has no ONNX operator")
    return int(param.pool)


def _pool_everywhere(build: Builder, value: str, method: int) -> str:
    return build.node("GlobalMaxPool" if method == _MAX else "GlobalAveragePool", value)


def pool(build: Builder, value: str, method: int, windows: Windows, sizes: Dims, *, down: bool) -> str:
    """Add the pooling of VALUE, a map of the spatial SIZES, by METHOD as PoolingLayer does it.

    MAX clips a window to the map. AVE divides by the window clipped to the map and its padding, AVE_EXC_PAD by the
    window clipped to the map.
    """
    if _may_lie_outside(windows, sizes, down):
        if method != _MAX:
            raise _no_average(sizes)
        return _max_with_outside(build, value, windows)
    attributes = _pool_attributes(windows, sizes, down)
    if method == _MAX:
        return build.node("MaxPool", value, **attributes)
    pads = {*windows.before, *windows.after}
    if method == _AVE and any(pads) and (len(pads) > 1 or len(sizes) != 2):
        return _averages(build, value, windows, sizes, down)
    return build.node("AveragePool", value, count_include_pad=int(method == _AVE), **attributes)


def _averages(build: Builder, value: str, windows: Windows, sizes: Dims, down: bool) -> str:
    """Add averages as sums divided by counts, both by convolutions with ones. If paddings differ, onnxruntime's
    AveragePool, up to 1.23 at least, divides by a window clipped to the padding of another axis."""
    kernels, strides, before, after = windows[:4]
    if not down:
        for size, kernel, stride, pad in zip(sizes, kernels, strides, after, strict=True):
            if size is None and pad > kernel - stride:
                raise FixedSizeError("at some sizes its last window begins outside the map and is dropped")
    ends = [(pad, 0) for pad in after] if down else list(map(_end, sizes, before, after, kernels, strides))
    after, more = tuple(pad for pad, _ in ends), tuple(overhang for _, overhang in ends)
    slid: dict[str, tuple[int, ...]] = {"kernel_shape": kernels, "strides": strides}
    ones = build.node("Expand", build.number(1), build.ints((1, 1, *kernels)))
    spatial = extents(value, (None, None, *sizes), 2)
    planes = reshape(build, value, [-1, 1, *spatial])
    sums = build.node("Conv", planes, ones, pads=(*before, *map(add, after, more)), **slid)
    whole = build.node("Add", vector(build, [1, 1, *spatial]), build.ints([0, 0, *map(add, before, after)]))
    counted = build.node("Expand", build.number(1), whole)
    counts = build.node("Conv", counted, ones, pads=(*[0] * len(more), *more), **slid)
    means = build.node("Div", sums, counts)
    return reshape(build, means, [*extents(value, (None, None)), *extents(means, (None,) * (2 + len(sizes)), 2)])


def _no_average(sizes: Dims) -> Exception:
    if None in sizes:
        return FixedSizeError("its stride is larger than its kernel, so at some sizes a window averages no values")
    return RefusalError("its last window is completely outside the map, so Caffe averages no values; pad or resize")


def _may_lie_outside(windows: Windows, sizes: Dims, down: bool) -> bool:
    """Return whether a window may begin beyond the map: there is no padding, and a stride is larger than the kernel."""
    if down or any(windows.before + windows.after):
        return False
    for size, kernel, stride in zip(sizes, windows.kernel, windows.stride, strict=True):
        if stride > kernel and (size is None or -(-(size - kernel) // stride) * stride >= size):
            return True
    return False


def _max_with_outside(build: Builder, value: str, windows: Windows) -> str:
    """Add maxima including windows that begin beyond the map, as in Caffe: the map is extended by Caffe's maximum of an
    empty window, so that rounding down gives the size that rounding up gave."""
    axes = len(windows.kernel)
    more = [0] * (2 + axes + 2) + [stride - 1 for stride in windows.stride]
    padded = build.node("Pad", value, build.ints(more), build.number(_LOWEST))
    return build.node("MaxPool", padded, kernel_shape=windows.kernel, strides=windows.stride)


def _pool_attributes(windows: Windows, sizes: Dims, down: bool) -> dict[str, int | tuple[int, ...]]:
    """Return the attributes of ONNX's poolings; they round up only if that makes a difference."""
    if any(pad >= kernel for pad, kernel in zip(windows.before + windows.after, windows.kernel * 2, strict=True)):
        raise RefusalError("its padding is not smaller than its kernel")
    kernels, strides, before, after = windows[:4]
    ends = [(pad, 0) for pad in after] if down else list(map(_end, sizes, before, after, kernels, strides))
    after = tuple(pad for pad, _ in ends)
    attributes: dict[str, int | tuple[int, ...]] = {"kernel_shape": kernels, "strides": strides}
    if any(before + after):
        attributes["pads"] = (*before, *after)
    if any(overhang for _, overhang in ends):
        attributes["ceil_mode"] = 1
    return attributes


def _end(size: int | None, before: int, after: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the padding after a map of SIZE, and how far, at most, the last window extends beyond it.

    Caffe, if there is any padding, and onnxruntime drop a window that begins beyond the map. Other tools count it, so
    if the size is known, the padding under it is left out.
    """
    if size is None:
        return after, stride - 1
    room = size + before + after - kernel
    last = -(-room // stride) * stride
    if last < size + before:
        return after, last - room
    return max(0, last - stride + kernel - size - before), 0


def _masked(build: Builder, value: str, windows: Windows, sizes: Dims, *, down: bool) -> Sequence[str]:
    """Add maxima and their positions. ONNX counts positions in the whole blob, Caffe within a map."""
    if _may_lie_outside(windows, sizes, down):
        reason = "its stride is larger than its kernel and it has a mask"
        raise FixedSizeError(reason) if None in sizes else RefusalError(reason)
    made, places = build.split("MaxPool", value, outputs=2, **_pool_attributes(windows, sizes, down))
    if None in sizes:
        cells = build.node("ReduceProd", shape_from(build, value, 2), keepdims=0)
    else:
        cells = build.ints([prod(size or 1 for size in sizes)], ())
    mask = build.node("Cast", build.node("Mod", places, cells), to=1)
    return [made, mask]


@lowering("SPP", "SpatialPyramidPooling")
def spp(site: LoweringSite) -> str:
    """Lower SPPLayer: poolings into 1, 4, 16 ... bins, flattened and joined. The size of the map gives its windows."""
    build, value, sizes = site.build, site.inputs[0], site.bottoms[0][2:]
    param = site.layer.spp_param
    method = _method(param)
    if param.pyramid_height == 1:
        return _pool_everywhere(build, value, method)
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        raise FixedSizeError("its windows depend on the size of the map")
    parts = []
    for level in range(param.pyramid_height):
        kernel = tuple(-(-size // 2**level) for size in known)
        pad = tuple((k * 2**level - size + 1) // 2 for k, size in zip(kernel, known, strict=True))
        windows = Windows(kernel, kernel, pad, pad, (1,) * len(kernel))
        parts.append(build.node("Flatten", pool(build, value, method, windows, sizes, down=False), axis=1))
    return build.node("Concat", *parts, axis=1)
