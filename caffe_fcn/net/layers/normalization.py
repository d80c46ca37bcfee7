"""Layers that normalise: by stored statistics, by statistics of the batch, or by neighbouring values.

Forks have more parameter blobs than BVLC Caffe, in different orders, and a net rarely says which fork it is for. So a
rule gives every layout that the fields of the layer allow, and the weights of the net show which one it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from math import prod
from typing import NamedTuple

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.exactness import Cause
from caffe_fcn.net.layers.fillers import filled
from caffe_fcn.net.layers.following import Outcome, Place, along_space, off_axis, slides
from caffe_fcn.net.layers.moves import Site, Slide, Way, Ways, along, everywhere, keep, pads, whole_map
from caffe_fcn.net.layers.row import ONE, SOME, LayerType, few_terms, no_params
from caffe_fcn.net.layers.shape import (
    MAX_COUNT,
    Bottoms,
    Shape,
    canonical_axis,
    channels_of,
    legacy_shape,
    matching,
    need_axes,
    need_least_axes,
    show,
)
from caffe_fcn.net.layers.traits import CHANNELWISE, same
from caffe_fcn.net.objections import Severity
from caffe_fcn.schema import Message

BATCH_STATISTICS = "use_global_stats is false, and forks with a scale in the layer interpret this in different ways"
"""Why a BatchNorm with a scale and batch statistics is refused."""
_SCALE_AND_SHIFT, _INFERENCE = 2, 1


class BatchNormBlobs(NamedTuple):
    """The positions of the parameter blobs of a BatchNorm layer; None for a blob that it does not have."""

    mean: int
    variance: int
    factor: int
    scale: int | None = None
    shift: int | None = None

    @property
    def statistics(self) -> tuple[int, int, int]:
        """The positions of the blobs that are measured and not learned."""
        return self.mean, self.variance, self.factor


def batch_norm_blobs(params: Sequence[Shape]) -> BatchNormBlobs:
    """The positions of the blobs in the layout PARAMS. The factor is the blob with one value."""
    if len(params) > 4 and params[4] == (1,) != params[2]:
        return BatchNormBlobs(2, 3, 4, 0, 1)
    return BatchNormBlobs(0, 1, 2, 3 if len(params) > 3 else None, 4 if len(params) > 4 else None)


def stored_eps(layer: Message) -> float:
    """What LAYER, a BatchNorm, adds to stored variances. NVIDIA's BatchNorm, which has `scale_bias`, adds at least the
    default."""
    param = layer.batch_norm_param
    least = param.DESCRIPTOR.fields_by_name["eps"].default_value
    return float(max(param.eps, least) if param.HasField("scale_bias") else param.eps)


def batch_norm_layouts(layer: Message, bottoms: Bottoms) -> Sequence[Sequence[Shape]]:
    """BatchNormLayer: mean, variance and their factor. In NVIDIA's, happynear's and Intel's forks scale and shift
    follow; in some versions of Intel's, they come first."""
    channels, factor = (channels_of(bottoms[0]),), (1,)
    plain = (channels, channels, factor)
    scaled, shifted = (*plain, channels), (*plain, channels, channels)
    scale_first = (channels, channels, *plain)
    param = layer.batch_norm_param
    if param.HasField("use_weight_bias") and not param.use_weight_bias:
        return (plain,)
    if param.scale_bias or param.HasField("scale_filler"):  # Intel's fork has neither
        return (shifted,)
    whole = (shifted, scale_first) if param.bias_term else (scaled,)
    if param.HasField("use_weight_bias") or param.HasField("bias_filler"):
        return whole
    return (plain, *whole) if param.HasField("bias_term") else (plain, shifted, scale_first, scaled)


def batch_norm_objections(layer: Message, bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    """Caffe's objections to a BatchNorm: a bottom without channels, and statistics that the solver would change."""
    if len(bottoms[0]) == 1:
        yield Severity.ERROR, f"Caffe needs an axis 1 for the channels, found {show(bottoms[0])}"
    if len(layer.param) < 3 and any(param.lr_mult for param in layer.param):
        yield Severity.BVLC, "its statistics are not learned; BVLC Caffe wants lr_mult: 0 in every param"


def bn_layouts(layer: Message, bottoms: Bottoms) -> Sequence[Sequence[Shape]]:
    """BN of SegNet has scale and shift, that of PSPNet also mean and variance; each is 1×C×1×1.

    The fields of the layer decide which of the two it is, then the weights, then the number of its `param`.
    """
    param = layer.bn_param
    two, four = ([(1, channels_of(bottoms[0]), 1, 1)] * count for count in (2, 4))
    if any(map(param.HasField, ("bn_mode", "scale_filler", "shift_filler"))):
        return (two,)
    return (two, four) if len(layer.param) == 2 else (four, two)


def batch_norm_of_forks(_layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """BN may also give the mean and the variance of the batch as further tops."""
    need_least_axes(bottoms[0], 2)
    statistics = (1, bottoms[0][1], 1, 1)
    return [bottoms[0], statistics, statistics]


def _bn_statistics(_params: Sequence[Shape]) -> Collection[int]:
    """PSPNet's BN: the statistics follow scale and shift."""
    return range(2, 4)


def _statistics(params: Sequence[Shape]) -> Collection[int]:
    return batch_norm_blobs(params).statistics


def _normalized(site: Site) -> Ways | None:
    """The moves of a normalisation by stored statistics, or by those of the batch, the default in phase TRAIN."""
    if site.top != site.bottom:  # the statistics, as further tops of BN
        return None
    layer = site.layer
    if layer.type == "BN":  # SegNet's uses batch statistics unless it has INFERENCE; PSPNet's has its own field
        layouts = bn_layouts(layer, [site.bottom])
        params = (matching(layouts, site.graph.held.get(site.node.name, ())) or layouts)[0]
        of_segnet = len(params) == _SCALE_AND_SHIFT
        stored = layer.bn_param.bn_mode == _INFERENCE if of_segnet else site.graph.phase == "TEST"
    elif layer.batch_norm_param.HasField("use_global_stats"):
        stored = layer.batch_norm_param.use_global_stats
    else:
        stored = site.graph.phase == "TEST"
    return keep(site) if stored else everywhere(site, Cause.BATCH)


# ---- By neighbouring values ----


def lrn(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """LRNLayer: a map of four axes, an odd local_size."""
    need_axes(bottoms[0], 4)
    if layer.lrn_param.local_size > MAX_COUNT:  # negative in Caffe, which reads it as an int
        raise ShapeError(f"local_size is {layer.lrn_param.local_size}, but must be at most {MAX_COUNT}")
    if layer.lrn_param.local_size % 2 == 0:
        raise ShapeError(f"local_size is {layer.lrn_param.local_size}, but must be odd")
    return same(layer, bottoms)


def _around(site: Site) -> Ways:
    """The moves of LRN: across channels it keeps the place; within a channel it reads a padded square around it."""
    param = site.layer.lrn_param
    if param.norm_region == 0:
        return keep(site)
    around = Slide(param.local_size, 1, param.local_size // 2)
    return (Way(around, pads(site, param.local_size // 2)),) * site.axes


def mvn(_layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """MVNLayer: the top always has four axes."""
    return [legacy_shape(bottoms[0])]


def softmax(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """SoftmaxLayer: normalises along an axis, which must exist."""
    canonical_axis(layer.softmax_param.axis, bottoms[0], "softmax_param.axis")
    return same(layer, bottoms)


def normalize_params(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Normalize of SSD (`norm_param`): a factor per channel or one for all. That of face nets has none."""
    if not layer.HasField("norm_param"):
        return no_params(layer, bottoms)
    return [() if layer.norm_param.channel_shared else (channels_of(bottoms[0]),)]


def normalize(_layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """The top has the bottom's shape; a second top holds the norms, one per place."""
    bottom: Shape = bottoms[0]
    need_least_axes(bottom, 2)
    return [bottom, (bottom[0], 1, *bottom[2:])]


def _by_length(site: Site) -> Ways:
    return whole_map(site) if site.layer.norm_param.across_spatial else keep(site)


def _follows_softmax(place: Place) -> Outcome:
    """Softmax."""
    view = place.view
    axis = place.node.layer.softmax_param.axis % len(view.axes)
    if not view.runs_over_channels(axis):
        return off_axis(place, view, axis)
    return place.passes(view, *place.along(1, view, "softmax_param"))


def _follows_normalize(place: Place) -> Outcome:
    """Normalize of SSD divides by the length of the channels at each position, or of the whole item."""
    layer, view = place.node.layer, place.view
    if not layer.HasField("norm_param") or layer.norm_param.across_spatial:
        return along_space(place)
    return place.passes(view) if view.runs_over_channels(1) else off_axis(place, view, 1)


# ---- Rounding ----


def _of_batch(layer: Message, bottom: Shape, params: Sequence[Shape]) -> int:
    """The terms of batch statistics: all values of a channel in the batch."""
    stored = not layer.batch_norm_param.HasField("use_global_stats") or layer.batch_norm_param.use_global_stats
    return few_terms(layer, bottom, params) if stored else prod(bottom) // max(1, bottom[1 % len(bottom)])


def _lrn_terms(layer: Message, _bottom: Shape, _params: Sequence[Shape]) -> int:
    return int(layer.lrn_param.local_size) ** (2 if layer.lrn_param.norm_region else 1)


def _mvn_terms(layer: Message, bottom: Shape, _params: Sequence[Shape]) -> int:
    return prod(bottom) // max(1, bottom[0]) if layer.mvn_param.across_channels else prod(bottom[2:])


def _length_terms(layer: Message, bottom: Shape, _params: Sequence[Shape]) -> int:
    return prod(bottom) // max(1, bottom[0]) if layer.norm_param.across_spatial else bottom[1 % len(bottom)]


def _softmax_terms(layer: Message, bottom: Shape, _params: Sequence[Shape]) -> int:
    return bottom[int(layer.softmax_param.axis) % len(bottom)]


ROWS: dict[str, LayerType] = {
    "BN": CHANNELWISE._replace(
        shape=batch_norm_of_forks,
        tops=SOME,
        layouts=bn_layouts,
        measured=_bn_statistics,
        moves=_normalized,
        v1="BN",
        reads="bn_param",
    ),
    "BatchNorm": CHANNELWISE._replace(
        bvlc=True,
        tops=ONE,
        objections=batch_norm_objections,
        layouts=batch_norm_layouts,
        old_axes=(1, 1, 1),
        contents=("means", "variances", "divisor of both"),
        measured=_statistics,
        moves=_normalized,
        terms=_of_batch,
        reads="batch_norm_param",
    ),
    "LRN": CHANNELWISE._replace(
        bvlc=True,
        shape=lrn,
        tops=ONE,
        moves=_around,
        follows=slides,
        makes="values",
        terms=_lrn_terms,
        v1="LRN",
        reads="lrn_param",
    ),
    "MVN": CHANNELWISE._replace(
        bvlc=True,
        shape=mvn,
        tops=ONE,
        moves=whole_map,
        follows=along_space,
        in_its_place=False,
        makes="values",
        terms=_mvn_terms,
        v1="MVN",
        reads="mvn_param",
    ),
    "Normalize": CHANNELWISE._replace(
        shape=normalize,
        params=normalize_params,
        fillers=filled("norm_param", "scale_filler"),
        contents=("factors",),
        moves=_by_length,
        follows=_follows_normalize,
        makes="values",
        terms=_length_terms,
        reads="norm_param normalize_param",
    ),
    "Softmax": CHANNELWISE._replace(
        family="activation",
        bvlc=True,
        shape=softmax,
        tops=ONE,
        moves=along(lambda layer: int(layer.softmax_param.axis)),
        follows=_follows_softmax,
        makes="probabilities",
        reads_scores=True,
        terms=_softmax_terms,
        reads="softmax_param",
    ),
}
