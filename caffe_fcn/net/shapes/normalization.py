"""Shape rules of the layers that normalise by stored statistics, of which forks hold more blobs than BVLC Caffe.

The net rarely says which fork it is of, and forks keep their blobs in different orders. So a rule gives every layout
that the fields of the layer allow, and the weights of the net tell which it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from caffe_fcn import schema
from caffe_fcn.net.objections import Severity
from caffe_fcn.net.shapes.elementwise import channels_of, same
from caffe_fcn.net.shapes.registry import Bottoms, Shape, need_least_axes, rule, show

BATCH_STATISTICS = "use_global_stats is false, which forks with a scale in the layer take in different ways"
"""Why a BatchNorm with a scale that takes its statistics from the batch is refused."""


class BatchNormBlobs(NamedTuple):
    """Where the parameter blobs of a BatchNorm layer are, by position; None for a blob that it has not."""

    mean: int
    variance: int
    factor: int
    scale: int | None = None
    shift: int | None = None

    @property
    def statistics(self) -> tuple[int, int, int]:
        """The blobs that are measured, not learned."""
        return self.mean, self.variance, self.factor


def batch_norm_blobs(params: Sequence[Shape]) -> BatchNormBlobs:
    """Where the blobs are in the layout PARAMS: the factor is the blob of one value."""
    if len(params) > 4 and params[4] == (1,) != params[2]:
        return BatchNormBlobs(2, 3, 4, 0, 1)
    return BatchNormBlobs(0, 1, 2, 3 if len(params) > 3 else None, 4 if len(params) > 4 else None)


def stored_eps(layer: schema.Message) -> float:
    """What LAYER, a BatchNorm, adds to stored variances. NVIDIA's, of which `scale_bias` is, adds no less than what is
    the default."""
    param = layer.batch_norm_param
    least = param.DESCRIPTOR.fields_by_name["eps"].default_value
    return float(max(param.eps, least) if param.HasField("scale_bias") else param.eps)


def batch_norm_layouts(layer: schema.Message, bottoms: Bottoms) -> Sequence[Sequence[Shape]]:
    """BatchNormLayer: mean, variance and their factor. In NVIDIA's, happynear's and Intel's forks scale and shift
    follow; in some versions of Intel's, they come first."""
    channels, factor = (channels_of(bottoms[0]),), (1,)
    plain = (channels, channels, factor)
    scaled, shifted = (*plain, channels), (*plain, channels, channels)
    scale_first = (channels, channels, *plain)
    param = layer.batch_norm_param
    if param.HasField("use_weight_bias") and not param.use_weight_bias:
        return (plain,)
    if param.scale_bias or param.HasField("scale_filler"):  # not Intel's, which has neither
        return (shifted,)
    whole = (shifted, scale_first) if param.bias_term else (scaled,)
    if param.HasField("use_weight_bias") or param.HasField("bias_filler"):
        return whole
    return (plain, *whole) if param.HasField("bias_term") else (plain, shifted, scale_first, scaled)


def batch_norm_objections(layer: schema.Message, bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    """What Caffe has against a BatchNorm: a bottom without channels, statistics that the solver would change."""
    if len(bottoms[0]) == 1:
        yield Severity.ERROR, f"Caffe needs an axis 1 for the channels, found {show(bottoms[0])}"
    if len(layer.param) < 3 and any(param.lr_mult for param in layer.param):
        yield Severity.BVLC, "its statistics are not learned; BVLC Caffe wants lr_mult: 0 in every param"


rule("BatchNorm", layouts=batch_norm_layouts, makes=1, objects=batch_norm_objections)(same)


def bn_layouts(layer: schema.Message, bottoms: Bottoms) -> Sequence[Sequence[Shape]]:
    """BN of SegNet holds scale and shift, that of PSPNet also mean and variance; each is 1×C×1×1.

    Neither fork names the other, so what the layer says of itself decides, then the weights, then how many `param` it
    has.
    """
    param = layer.bn_param
    two, four = ([(1, channels_of(bottoms[0]), 1, 1)] * count for count in (2, 4))
    if any(map(param.HasField, ("bn_mode", "scale_filler", "shift_filler"))):
        return (two,)
    return (two, four) if len(layer.param) == 2 else (four, two)


@rule("BN", layouts=bn_layouts, makes=(1, None))
def batch_norm_of_forks(_layer: schema.Message, bottoms: Bottoms) -> Sequence[Shape]:
    """BN may also give the mean and the variance of the batch as further tops."""
    need_least_axes(bottoms[0], 2)
    statistics = (1, bottoms[0][1], 1, 1)
    return [bottoms[0], statistics, statistics]
