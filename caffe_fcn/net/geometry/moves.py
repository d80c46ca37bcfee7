"""How layers make the cells of their tops from those of their bottoms, along each spatial axis.

One table, layer type to rule: receptive fields (`inference`) and coordinates (`coordinates`) are both worked out from
it. A rule says the move along each axis, and why the top is not a sliding window exactly; tops of types that have no
rule are no maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple, TypeAlias

from caffe_fcn.net.geometry.exactness import Cause, Reason
from caffe_fcn.net.geometry.idle import keeps_values
from caffe_fcn.net.geometry.phases import KEEP, Slide, Spread
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.shapes import VALUE_BY_VALUE, Shape, parameters_of
from caffe_fcn.net.shapes.reshaping import crop_offsets, joined_axis, paddings
from caffe_fcn.net.shapes.windows import (
    DECONVOLUTIONS,
    DEPTHWISE,
    Windows,
    convolution_windows,
    pooling_windows,
    windows_over,
)
from caffe_fcn.schema import Message

CHANNELS = 1
"""The axis of the channels; the spatial axes follow."""

CONSTANTS = frozenset({"DummyData", "Parameter"})
"""Types whose tops do not depend on the input."""

JOINS = frozenset({"Add", "Axpy", "Bias", "Concat", "Eltwise", "Mul", "Scale"})
"""Types that put several maps together, cell by cell."""

CONVOLUTIONS = frozenset({"Convolution", "Convolution3D", "Im2col"}) | DEPTHWISE
"""Types that slide a window and round down."""

_SCALE_AND_SHIFT, _INFERENCE = 2, 1


class Resample(NamedTuple):
    """How a layer makes FACTOR times as many cells, each of the one at its place."""

    factor: Fraction


Move: TypeAlias = "Slide | Spread | Resample"


class Way(NamedTuple):
    """What a layer does along one axis: its MOVE, the REASONS why that is not exact, and the reasons for cells that
    lack inputs at the BORDER which others of their phase have."""

    move: Move = KEEP
    reasons: tuple[Reason, ...] = ()
    border: tuple[Reason, ...] = ()


Ways: TypeAlias = "tuple[Way, ...]"


class Site(NamedTuple):
    """A layer in its surroundings: the shapes of its bottom that is a map, and of its top."""

    node: Node
    graph: Graph
    bottom: Shape
    top: Shape

    @property
    def layer(self) -> Message:
        """The layer's message."""
        return self.node.layer

    @property
    def axes(self) -> int:
        """How many spatial axes there are."""
        return len(self.bottom) - 2

    def reason(self, cause: Cause, *, axis: int = 0, whole: bool = False) -> Reason:
        """A reason in this layer, because of which cells see the WHOLE axis of the input or do not."""
        return Reason(cause, self.node.name, axis=axis, whole=whole)


def bottoms_of(node: Node, position: int) -> Sequence[Blob]:
    """The bottoms of NODE that may be maps of which it makes the top at POSITION."""
    if node.type == "Axpy":
        return node.bottoms[1:]
    if node.type in JOINS or node.type == "Upsample":
        return node.bottoms
    if node.type in CONVOLUTIONS | DECONVOLUTIONS:  # which make a top of each
        return node.bottoms[position : position + 1]
    return node.bottoms[:1]


Rule: TypeAlias = Callable[[Site], "Ways | None"]


def rule_for(layer_type: str) -> Rule | None:
    """The rule of LAYER_TYPE; None where its tops are no maps."""
    return _RULES.get(layer_type)


def _keep(site: Site) -> Ways:
    return (Way(),) * site.axes


def _keep_if(test: Callable[[Site], bool] = lambda site: False) -> Rule:
    """Cells keep their place if the layer stands a TEST, or does nothing."""
    return lambda site: _keep(site) if test(site) or keeps_values(site.node, site.bottom, site.top) else None


def _everywhere(site: Site, cause: Cause) -> Ways:
    """Each value depends on the whole map."""
    return (Way(KEEP, (site.reason(cause, whole=True),)),) * site.axes


def _along(axis: Callable[[Message], int]) -> Rule:
    """Values change each other along the AXIS that the layer names."""

    def rule(site: Site) -> Ways:
        found = axis(site.layer) % len(site.bottom)
        if found == CHANNELS:
            return _keep(site)
        if found < CHANNELS:
            return _everywhere(site, Cause.BATCH)
        there = Way(KEEP, (site.reason(Cause.ALONG_AXIS, axis=found, whole=True),))
        return tuple(there if place == found else Way() for place in range(2, len(site.bottom)))

    return rule


def _normalized(site: Site) -> Ways | None:
    """By stored statistics, or by those of the batch: which is what a TRAIN phase takes unless it is told."""
    if site.top != site.bottom:  # the statistics, as further tops of BN
        return None
    layer = site.layer
    if layer.type == "BN":  # of SegNet, which learns, unless it says INFERENCE, and of PSPNet
        of_segnet = len(parameters_of(site.node, [site.bottom], site.graph) or ()) == _SCALE_AND_SHIFT
        stored = layer.bn_param.bn_mode == _INFERENCE if of_segnet else site.graph.phase == "TEST"
    elif layer.batch_norm_param.HasField("use_global_stats"):
        stored = layer.batch_norm_param.use_global_stats
    else:
        stored = site.graph.phase == "TEST"
    return _keep(site) if stored else _everywhere(site, Cause.BATCH)


def _windows(windows: Windows) -> Iterable[Slide]:
    axes = zip(windows.kernel, windows.stride, windows.before, windows.dilation, strict=True)
    return (Slide(kernel, stride, before, dilation) for kernel, stride, before, dilation in axes)


def _pads(site: Site, *amounts: int) -> tuple[Reason, ...]:
    return (site.reason(Cause.PADS),) if any(amounts) else ()


def _convolution(site: Site) -> Ways | None:
    if getattr(site.layer.convolution_param, "axis", CHANNELS) not in (CHANNELS, CHANNELS - len(site.bottom)):
        return None
    windows = windows_over(site.layer, site.bottom[2:])
    sides = zip(_windows(windows), windows.before, windows.after, strict=True)
    return tuple(Way(move, _pads(site, before, after)) for move, before, after in sides)


def _deconvolution(site: Site) -> Ways:
    windows = convolution_windows(site.layer, site.axes)
    axes = zip(windows.extent, windows.stride, windows.before, site.bottom[2:], site.top[2:], strict=True)
    return tuple(Way(Spread(*axis), border=(site.reason(Cause.FEWER_INPUTS),)) for axis in axes)


def _pooling(site: Site) -> Ways:
    windows = pooling_windows(site.layer, site.bottom[2:])
    whole = (site.reason(Cause.WHOLE_MAP),) if site.layer.pooling_param.global_pooling else ()
    sides = zip(_windows(windows), windows.before, windows.after, windows.padded(site.bottom[2:]), strict=True)
    ways = []
    for (move, before, after, size), made in zip(sides, site.top[2:], strict=True):
        partial = (made - 1) * move.stride + move.kernel > size
        cut = (site.reason(Cause.PARTIAL_WINDOW),) if partial else ()
        ways.append(Way(move, (*_pads(site, before, after), *whole, *cut)))
    return tuple(ways)


def _lrn(site: Site) -> Ways:
    """Across channels LRN stays in its place; within a channel it looks at a padded square around it."""
    param = site.layer.lrn_param
    if param.norm_region == 0:
        return _keep(site)
    around = Slide(param.local_size, 1, param.local_size // 2)
    return (Way(around, _pads(site, param.local_size // 2)),) * site.axes


def _crop(site: Site) -> Ways:
    axis = site.layer.crop_param.axis % len(site.bottom)
    offsets = (0,) * axis + crop_offsets(site.layer, len(site.bottom) - axis)
    return tuple(Way(Slide(1, 1, -offset)) for offset in offsets[2:])


def _pad(site: Site) -> Ways:
    sides = paddings(site.layer, site.bottom)[2:]
    return tuple(Way(Slide(1, 1, before), _pads(site, before, after)) for before, after in sides)


def _reorg(site: Site) -> Ways | None:
    stride = site.layer.reorg_param.stride
    return None if site.layer.reorg_param.reverse else (Way(Slide(stride, stride, 0)),) * site.axes


def _repeat(site: Site) -> Ways | None:
    """Each cell repeated in a square of cells."""
    if 0 in site.top or 0 in site.bottom:
        return None
    factors = [Fraction(made, size) for made, size in zip(site.top[2:], site.bottom[2:], strict=True)]
    by_size = (site.reason(Cause.BY_SIZE, whole=True),)  # forks differ in how they round: any cell may be meant
    return tuple(Way(Resample(each), by_size if each.denominator != 1 else ()) for each in factors)


def _unpool(site: Site) -> Ways | None:
    """Each value goes to the place that a mask says: within the window of the pooling that made it, if one did."""
    if len(site.node.bottoms) < 2:
        return _repeat(site)
    maker = site.graph.producer[site.node.bottoms[1]]
    if maker.type == "Pooling" and not maker.layer.pooling_param.global_pooling:
        windows = pooling_windows(maker.layer, site.bottom[2:])
        axes = zip(windows.extent, windows.stride, windows.before, site.bottom[2:], site.top[2:], strict=True)
        return tuple(Way(Spread(*axis), (site.reason(Cause.BY_MASK),)) for axis in axes)
    repeated = _repeat(site)
    return repeated and tuple(way._replace(reasons=(site.reason(Cause.BY_MASK, whole=True),)) for way in repeated)


def _own_axes(site: Site) -> Sequence[int]:
    """The axes of the bottom along which a Scale or a Bias has values of its own."""
    param = site.layer.scale_param if site.node.type == "Scale" else site.layer.bias_param
    start = param.axis % len(site.bottom)
    return range(start, len(site.bottom) if param.num_axes < 0 else start + param.num_axes)


def _scale(site: Site) -> Ways:
    """What is learned for each channel keeps its place; what is learned for each row or column is bound to it."""
    if len(site.node.bottoms) > 1:
        return _keep(site)
    own, reasons = _own_axes(site), (site.reason(Cause.BY_PLACE),)
    return tuple(Way(KEEP, reasons if axis in own else ()) for axis in range(2, len(site.bottom)))


_RULES: dict[str, Rule] = {
    **dict.fromkeys((*VALUE_BY_VALUE, "PReLU", "ShuffleChannel"), _keep),
    **dict.fromkeys(("Add", "Eltwise", "Mul"), _keep),
    **dict.fromkeys(("BN", "BatchNorm"), _normalized),
    **dict.fromkeys(CONVOLUTIONS, _convolution),
    **dict.fromkeys(DECONVOLUTIONS, _deconvolution),
    **dict.fromkeys(("Pooling", "Pooling3D"), _pooling),
    **dict.fromkeys(("Bias", "Scale"), _scale),
    **dict.fromkeys(("Concat", "Slice"), _keep_if(lambda site: joined_axis(site.layer, site.bottom) == CHANNELS)),
    **dict.fromkeys(("Flatten", "Flip", "Permute", "Reshape", "Squeeze", "Transpose"), _keep_if()),
    **dict.fromkeys(("ResizeNearestNeighbor", "UpsampleDarknet"), _repeat),
    **dict.fromkeys(("Pad", "Padding"), _pad),
    "ArgMax": _keep_if(lambda site: site.layer.argmax_param.axis == CHANNELS),
    "Axpy": lambda site: _everywhere(site, Cause.WHOLE_MAP),
    "Crop": _crop,
    "LRN": _lrn,
    "MVN": lambda site: _everywhere(site, Cause.WHOLE_MAP),
    "Normalize": lambda site: (
        _everywhere(site, Cause.WHOLE_MAP) if site.layer.norm_param.across_spatial else _keep(site)
    ),
    "Reorg": _reorg,
    "Softmax": _along(lambda layer: layer.softmax_param.axis),
    "Tile": _keep_if(lambda site: site.layer.tile_param.axis % len(site.bottom) == CHANNELS),
    "Upsample": _unpool,
}
"""Layer type to the way it makes cells of cells; tops of other types are no maps."""
