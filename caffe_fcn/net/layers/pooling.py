"""Layers that pool maps: by windows, or into the bins of a pyramid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.exactness import Cause
from caffe_fcn.net.layers.following import along_space
from caffe_fcn.net.layers.keeping import same_channels
from caffe_fcn.net.layers.moves import Site, Way, Ways, pads
from caffe_fcn.net.layers.row import ONE, LayerType
from caffe_fcn.net.layers.shape import Bottoms, Shape, count, need_axes, show
from caffe_fcn.net.layers.traits import OTHER, WINDOW
from caffe_fcn.net.layers.windows import Windows, moves_of, pooled, pooling_windows, rounds_down
from caffe_fcn.net.objections import Severity
from caffe_fcn.schema import Message

_MAX, _STOCHASTIC = 0, 2
"""PoolingParameter.PoolMethod."""


def pooling_objections(layer: Message, bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    """Caffe's objections to a Pooling: padding of a stochastic one."""
    windows = pooling_windows(layer, bottoms[0][2:])
    if layer.pooling_param.pool == _STOCHASTIC and any(windows.before):
        yield Severity.ERROR, "Caffe pads for MAX and AVE only, not for STOCHASTIC; remove the padding"


def pooling(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """PoolingLayer; a second top holds the mask of maxima."""
    bottom: Shape = bottoms[0]
    if layer.type == "Pooling" and not layer.pooling_param.HasField("kernel_depth"):
        need_axes(bottom, 4)
    if len(layer.top) > 1 and layer.pooling_param.pool != _MAX:
        raise ShapeError("it has 2 tops, but only a MAX pooling has a second one, the mask of its maxima")
    windows = pooling_windows(layer, bottom[2:])
    top = (*bottom[:2], *pooled(windows, bottom[2:], down=rounds_down(layer)))
    return [top] * max(1, len(layer.top))


def _windows(layer: Message, bottom: Shape) -> Windows:
    return pooling_windows(layer, bottom[2:])


def _pooled(site: Site) -> Ways:
    windows = pooling_windows(site.layer, site.bottom[2:])
    reasons = (site.reason(Cause.WHOLE_MAP, whole=False),) if site.layer.pooling_param.global_pooling else ()
    sides = zip(moves_of(windows), windows.before, windows.after, windows.padded(site.bottom[2:]), strict=True)
    ways = []
    for (move, before, after, size), made in zip(sides, site.top[2:], strict=True):
        partial = (made - 1) * move.stride + move.kernel > size
        cut = (site.reason(Cause.PARTIAL_WINDOW),) if partial else ()
        ways.append(Way(move, (*pads(site, before, after), *reasons, *cut)))
    if site.position:  # where the maxima were
        mask = site.reason(Cause.BY_INDEX)
        return tuple(way._replace(reasons=(*way.reasons, mask)) for way in ways)
    return tuple(ways)


def _is_maximum(layer: Message) -> bool:
    return bool(layer.pooling_param.pool == _MAX)


def _terms(layer: Message, bottom: Shape, _params: Sequence[Shape]) -> int:
    return 1 if _is_maximum(layer) else count(pooling_windows(layer, bottom[2:]).kernel)


def _is_global(layer: Message) -> bool:
    return bool(layer.pooling_param.global_pooling)


def spp(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """SPPLayer: level i pools into 2^i×2^i bins. Several levels are flattened and joined; a single one is not."""
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


_POOLING = WINDOW._replace(
    family="pooling",
    shape=pooling,
    tops=(1, 2),
    objections=pooling_objections,
    moves=_pooled,
    windows=_windows,
    by_size=_is_global,
    keeps=same_channels,
)
_PYRAMID = OTHER._replace(family="pooling", shape=spp, bottoms=ONE, tops=ONE, follows=along_space)

ROWS: dict[str, LayerType] = {
    "Pooling": _POOLING._replace(bvlc=True, picks=_is_maximum, terms=_terms, index_tops=1, reads="pooling_param"),
    "Pooling3D": _POOLING._replace(v1="POOLING3D", reads="pooling3d_param pooling_param"),
    "SPP": _PYRAMID._replace(bvlc=True, reads="spp_param"),
    "SpatialPyramidPooling": _PYRAMID,
}
