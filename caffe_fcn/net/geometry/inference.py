"""Where each cell of a map lies on the input: its window (receptive field), its stride, its first centre.

A layer composes with what is before it like an affine map: a window of extent e and stride s over cells of
stride t covers (e - 1)·t pixels more and makes cells of stride s·t. What keeps a map from being exactly a
sliding window over the image (padding, partial or global windows) is collected as reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import NamedTuple, TypeAlias

from caffe_fcn.net.geometry.exactness import Cause, Exactness, Reason, exactness_of
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.shapes import VALUE_BY_VALUE, Shape, Shapes, Unknown, parameters_of
from caffe_fcn.net.shapes.reshaping import crop_offsets, joined_axis, paddings
from caffe_fcn.net.shapes.windows import Windows, convolution_windows, pooling_windows
from caffe_fcn.schema import Message

_CHANNELS = 1
_SCALE_AND_SHIFT, _INFERENCE = 2, 1
_ONE, _HALF = Fraction(1), Fraction(1, 2)
_CONSTANTS = frozenset({"DummyData", "Parameter"})
JOINS = frozenset({"Add", "Axpy", "Bias", "Concat", "Eltwise", "Mul", "Scale"})
"""Types that put several maps together, cell by cell."""


@dataclass(frozen=True)
class Geometry:
    """Per spatial axis, in pixels of the input: what a cell sees and where it lies.

    WINDOW is the extent a cell sees, STRIDE the way from cell to cell, OFFSET the centre of the first cell,
    the first pixel's centre being 0; REASONS say why it is not exactly a sliding window.
    """

    window: tuple[int, ...]
    stride: tuple[Fraction, ...]
    offset: tuple[Fraction, ...]
    reasons: tuple[Reason, ...] = ()

    @property
    def exactness(self) -> Exactness:
        """Where each cell is the same function of its window."""
        return exactness_of(self.reasons)


class _Place(NamedTuple):
    """A layer in its surroundings: the geometry and shape of its first bottom that is a map, its top's shape."""

    graph: Graph
    node: Node
    known: Mapping[Blob, Geometry | None]
    first: Geometry
    bottom: Shape
    top: Shape


_Rule: TypeAlias = Callable[[_Place], "Geometry | None"]


def infer_geometry(graph: Graph, shapes: Shapes) -> dict[Blob, Geometry | None]:
    """The geometry of every blob of GRAPH that is a map (N×C×spatial axes) over an input; None for the others."""
    known: dict[Blob, Geometry | None] = {}
    for node in graph.nodes:
        for blob in node.tops:
            shape = shapes.blobs[blob]
            known[blob] = None if isinstance(shape, Unknown) else _geometry(graph, node, shapes, known, shape)
    return known


def _geometry(
    graph: Graph, node: Node, shapes: Shapes, known: Mapping[Blob, Geometry | None], top: Shape
) -> Geometry | None:
    axes = len(top) - 2
    if axes < 1:
        return None
    if not node.bottoms:
        return None if node.type in _CONSTANTS else Geometry((1,) * axes, (_ONE,) * axes, (Fraction(0),) * axes)
    rule = _RULES.get(node.type)
    if rule is None:
        return None
    for blob in node.bottoms if node.type in JOINS else node.bottoms[:1]:
        first, bottom = known[blob], shapes.blobs[blob]
        if first is not None and not isinstance(bottom, Unknown) and len(bottom) == len(top):
            return rule(_Place(graph, node, known, first, bottom, top))
    return None


def _because(geometry: Geometry, *reasons: Reason) -> Geometry:
    return replace(geometry, reasons=tuple(dict.fromkeys((*geometry.reasons, *reasons)))) if reasons else geometry


def _keep(place: _Place) -> Geometry | None:
    return place.first


def _keep_if(test: Callable[[_Place], bool]) -> _Rule:
    return lambda place: place.first if test(place) else None


def _whole(place: _Place) -> Geometry | None:
    """A value depends on the whole map."""
    return _because(place.first, Reason(Cause.WHOLE_MAP, place.node.name))


def _along(axis: Callable[[Message], int]) -> _Rule:
    """Values change each other along the AXIS that the layer names."""

    def rule(place: _Place) -> Geometry | None:
        found = axis(place.node.layer) % len(place.bottom)
        if found == _CHANNELS:
            return place.first
        cause = Cause.ALONG_AXIS if found > _CHANNELS else Cause.BATCH
        return _because(place.first, Reason(cause, place.node.name, axis=found))

    return rule


def _normalized(place: _Place) -> Geometry | None:
    """By stored statistics, or by those of the batch: which is what a TRAIN phase takes unless it is told."""
    layer = place.node.layer
    if layer.type == "BN":  # of SegNet, which learns, unless it says INFERENCE, and of PSPNet
        of_segnet = len(parameters_of(place.node, [place.bottom], place.graph) or ()) == _SCALE_AND_SHIFT
        stored = layer.bn_param.bn_mode == _INFERENCE if of_segnet else place.graph.phase == "TEST"
    elif layer.batch_norm_param.HasField("use_global_stats"):
        stored = layer.batch_norm_param.use_global_stats
    else:
        stored = place.graph.phase == "TEST"
    return place.first if stored else _because(place.first, Reason(Cause.BATCH, place.node.name))


def _slide(geometry: Geometry, extent: Sequence[int], stride: Sequence[int], before: Sequence[int]) -> Geometry:
    """Windows of EXTENT cells every STRIDE cells, the first one BEFORE cells ahead of the map."""
    axes = list(zip(geometry.window, geometry.stride, geometry.offset, extent, stride, before, strict=True))
    return Geometry(
        window=tuple(ceil(w + (e - 1) * t) for w, t, _, e, _, _ in axes),
        stride=tuple(t * s for _, t, _, _, s, _ in axes),
        offset=tuple(o + (Fraction(e - 1, 2) - b) * t for _, t, o, e, _, b in axes),
        reasons=geometry.reasons,
    )


def _padding(place: _Place, windows: Windows) -> list[Reason]:
    return [Reason(Cause.PADS, place.node.name)] if any(windows.before + windows.after) else []


def _convolution(place: _Place) -> Geometry | None:
    if getattr(place.node.layer.convolution_param, "axis", _CHANNELS) not in (_CHANNELS, _CHANNELS - len(place.bottom)):
        return None
    windows = convolution_windows(place.node.layer, len(place.bottom) - 2)
    moved = _slide(place.first, windows.extent, windows.stride, windows.before)
    return _because(moved, *_padding(place, windows))


def _deconvolution(place: _Place) -> Geometry | None:
    """Output y gathers the inputs i with s·i - p + t = y for a tap t of the kernel: ceil(k / s) of them."""
    windows = convolution_windows(place.node.layer, len(place.bottom) - 2)
    first = place.first
    axes = list(
        zip(first.window, first.stride, first.offset, windows.extent, windows.stride, windows.before, strict=True)
    )
    made = Geometry(
        window=tuple(ceil(w + (-(-e // s) - 1) * t) for w, t, _, e, s, _ in axes),
        stride=tuple(t / s for _, t, _, _, s, _ in axes),
        offset=tuple(o + (b - Fraction(e - 1, 2)) * t / s for _, t, o, e, s, b in axes),
        reasons=first.reasons,
    )
    whole = all(b >= e - s for _, _, _, e, s, b in axes)
    return made if whole else _because(made, Reason(Cause.FEWER_INPUTS, place.node.name))


def _pooling(place: _Place) -> Geometry | None:
    layer, name = place.node.layer, place.node.name
    windows = pooling_windows(layer, place.bottom[2:])
    reasons = _padding(place, windows)
    if layer.pooling_param.global_pooling:
        reasons.append(Reason(Cause.WHOLE_MAP, name))
    axes = zip(place.top[2:], windows.stride, windows.kernel, windows.padded(place.bottom[2:]), strict=True)
    if any((made - 1) * stride + kernel > size for made, stride, kernel, size in axes):
        reasons.append(Reason(Cause.PARTIAL_WINDOW, name))
    return _because(_slide(place.first, windows.kernel, windows.stride, windows.before), *reasons)


def _lrn(place: _Place) -> Geometry | None:
    """Across channels LRN stays in its place; within a channel it looks at a padded square around it."""
    param = place.node.layer.lrn_param
    if param.norm_region == 0:
        return place.first
    axes = len(place.bottom) - 2
    around = _slide(place.first, (param.local_size,) * axes, (1,) * axes, (param.local_size // 2,) * axes)
    return _because(around, Reason(Cause.PADS, place.node.name))


def _join(place: _Place) -> Geometry | None:
    """Cells of one grid joined: they see what any of them sees. None if the grids differ."""
    maps = []
    joined = place.first
    for blob in place.node.bottoms:
        geometry = place.known[blob]
        if geometry is not None:
            maps.append(geometry)
        elif place.graph.producer[blob].type not in _CONSTANTS:
            joined = _because(joined, Reason(Cause.OTHER_INPUT, place.node.name, blob=blob.name))
    for other in maps:
        if other.stride != joined.stride:
            return None
        joined = _because(_union(joined, other), *other.reasons)
    return joined


def _union(one: Geometry, other: Geometry) -> Geometry:
    if one.window == other.window and one.offset == other.offset:
        return one
    axes = list(zip(one.offset, one.window, other.offset, other.window, strict=True))
    low = [min(o - (w - 1) * _HALF, p - (v - 1) * _HALF) for o, w, p, v in axes]
    high = [max(o + (w - 1) * _HALF, p + (v - 1) * _HALF) for o, w, p, v in axes]
    return replace(
        one,
        window=tuple(ceil(end - start) + 1 for start, end in zip(low, high, strict=True)),
        offset=tuple((start + end) / 2 for start, end in zip(low, high, strict=True)),
    )


def _gate(place: _Place) -> Geometry | None:
    """Axpy: a map times one factor per channel, plus a map like it."""
    geometry = place.known[place.node.bottoms[1]]
    return None if geometry is None else _whole(place._replace(first=geometry))


def _crop(place: _Place) -> Geometry | None:
    axis = place.node.layer.crop_param.axis % len(place.bottom)
    offsets = (0,) * axis + crop_offsets(place.node.layer, len(place.bottom) - axis)
    ones = (1,) * (len(place.bottom) - 2)
    return _slide(place.first, ones, ones, tuple(-offset for offset in offsets[2:]))


def _pad(place: _Place) -> Geometry | None:
    sides = paddings(place.node.layer, place.bottom)[2:]
    ones = (1,) * len(sides)
    moved = _slide(place.first, ones, ones, tuple(before for before, _ in sides))
    return _because(moved, Reason(Cause.PADS, place.node.name))


def _reorg(place: _Place) -> Geometry | None:
    stride = (place.node.layer.reorg_param.stride,) * 2
    return None if place.node.layer.reorg_param.reverse else _slide(place.first, stride, stride, (0, 0))


def _enlarge(place: _Place) -> Geometry | None:
    """Each cell repeated in a square of cells."""
    first = place.first
    if 0 in place.top or 0 in place.bottom:
        return None
    factors = [Fraction(made, size) for made, size in zip(place.top[2:], place.bottom[2:], strict=True)]
    made = replace(
        first,
        stride=tuple(t / f for t, f in zip(first.stride, factors, strict=True)),
        offset=tuple(o + (1 / f - 1) * t / 2 for o, t, f in zip(first.offset, first.stride, factors, strict=True)),
    )
    if len(place.node.bottoms) > 1:
        return _because(made, Reason(Cause.BY_MASK, place.node.name))
    by_size = any(factor.denominator != 1 for factor in factors)
    return _because(made, Reason(Cause.BY_SIZE, place.node.name)) if by_size else made


_RULES: dict[str, _Rule] = {
    **dict.fromkeys((*VALUE_BY_VALUE, "PReLU", "ShuffleChannel"), _keep),
    **dict.fromkeys(("BN", "BatchNorm"), _normalized),
    **dict.fromkeys("Convolution Convolution3D ConvolutionDepthwise DepthwiseConvolution Im2col".split(), _convolution),
    **dict.fromkeys(("Deconvolution", "Deconvolution3D"), _deconvolution),
    **dict.fromkeys(("Pooling", "Pooling3D"), _pooling),
    **dict.fromkeys(JOINS - {"Axpy", "Concat"}, _join),
    **dict.fromkeys(("ResizeNearestNeighbor", "Upsample", "UpsampleDarknet"), _enlarge),
    **dict.fromkeys(("Pad", "Padding"), _pad),
    "ArgMax": _keep_if(lambda place: place.node.layer.argmax_param.axis == _CHANNELS),
    "Axpy": _gate,
    "Concat": lambda place: _join(place) if joined_axis(place.node.layer, place.bottom) == _CHANNELS else None,
    "Crop": _crop,
    "LRN": _lrn,
    "MVN": _whole,
    "Normalize": lambda place: _whole(place) if place.node.layer.norm_param.across_spatial else place.first,
    "Reorg": _reorg,
    "Reshape": _keep_if(lambda place: place.top == place.bottom),
    "Slice": _keep_if(lambda place: joined_axis(place.node.layer, place.bottom) == _CHANNELS),
    "Softmax": _along(lambda layer: layer.softmax_param.axis),
    "Tile": _keep_if(lambda place: place.node.layer.tile_param.axis % len(place.bottom) == _CHANNELS),
}
"""Layer type to the way it moves windows; tops of other types are no maps."""
