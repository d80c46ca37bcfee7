"""Shape rules of the layers that pool maps: by windows, or into the bins of a pyramid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from caffe_fcn import schema
from caffe_fcn.errors import ShapeError
from caffe_fcn.net.objections import Severity
from caffe_fcn.net.shapes.registry import Bottoms, Shape, count, need_axes, rule, show
from caffe_fcn.net.shapes.windows import Windows, pooled, pooling_windows, rounds_down

_MAX, _STOCHASTIC = 0, 2
"""PoolingParameter.PoolMethod."""


def pooling_objections(layer: schema.Message, bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    """What Caffe has against a Pooling: padding where values are drawn by chance."""
    windows = pooling_windows(layer, bottoms[0][2:])
    if layer.pooling_param.pool == _STOCHASTIC and any(windows.before):
        yield Severity.ERROR, "Caffe pads for MAX and AVE only, not for STOCHASTIC; remove the padding"


@rule("Pooling", "Pooling3D", makes=(1, 2), objects=pooling_objections)
def pooling(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """PoolingLayer; a second top holds the mask of maxima."""
    bottom: Shape = bottoms[0]
    if layer.type == "Pooling" and not layer.pooling_param.HasField("kernel_depth"):
        need_axes(bottom, 4)
    if len(layer.top) > 1 and layer.pooling_param.pool != _MAX:
        raise ShapeError("it has 2 tops, but only a MAX pooling has a second one, the mask of its maxima")
    windows = pooling_windows(layer, bottom[2:])
    top = (*bottom[:2], *pooled(windows, bottom[2:], down=rounds_down(layer)))
    return [top] * max(1, len(layer.top))


@rule("SPP", "SpatialPyramidPooling", makes=1)
def spp(layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """SPPLayer: level i pools into 2^i×2^i bins; all levels are flattened and joined, a single one is not."""
    bottom: Shape = bottoms[0]
    need_axes(bottom, 4)
    height = layer.spp_param.pyramid_height
    if height < 1:
        raise ShapeError("pyramid_height is missing")
    if height == 1:
        return [(*bottom[:2], 1, 1)]
    bins = 0
    for level in range(height):
        kernel = tuple(-(-size // 2**level) for size in bottom[2:])
        pad = tuple((k * 2**level - size + 1) // 2 for k, size in zip(kernel, bottom[2:], strict=True))
        if any(p >= k for p, k in zip(pad, kernel, strict=True)):
            raise ShapeError(f"pyramid_height is {height}, but a map of {show(bottom[2:])} has only {level} levels")
        bins += count(pooled(Windows(kernel, kernel, pad, pad, (1, 1)), bottom[2:], down=False))
    return [(bottom[0], bottom[1] * bins)]
