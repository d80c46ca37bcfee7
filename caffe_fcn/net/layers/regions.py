"""Object detection: default boxes, and layers that read one region of a map at a time.

The number of regions is known only when the net runs. Where the net does not define it, one region is assumed, as these
layers do at set-up.
"""

from __future__ import annotations

from collections.abc import Sequence

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.layers.keeping import no_channels, same_channels
from caffe_fcn.net.layers.row import SOME, LayerType
from caffe_fcn.net.layers.shape import Bottoms, Missing, Top, Unknown, need_axes
from caffe_fcn.net.layers.traits import OTHER
from caffe_fcn.schema import Message


def _regions(rois: object) -> int:
    return rois[0] if isinstance(rois, tuple) and rois else 1


def roi_pooling(layer: Message, bottoms: Bottoms) -> Sequence[Top]:
    """ROIPooling of Fast R-CNN: R×C×pooled_h×pooled_w."""
    if isinstance(bottoms[0], Unknown):
        return [bottoms[0]] * len(layer.top)
    need_axes(bottoms[0], 4)
    param = layer.roi_pooling_param
    if not (param.pooled_h and param.pooled_w):
        return [Missing("type", "roi_pooling_param does not give pooled_h and pooled_w")] * len(layer.top)
    return [(_regions(bottoms[1]), bottoms[0][1], param.pooled_h, param.pooled_w)]


def psroi_pooling(layer: Message, bottoms: Bottoms) -> Sequence[Top]:
    """PSROIPooling of R-FCN: R×output_dim×group_size×group_size."""
    if not isinstance(bottoms[0], Unknown):
        need_axes(bottoms[0], 4)
    param = layer.psroi_pooling_param
    if param.output_dim < 1 or param.group_size < 1:
        return [Missing("type", "psroi_pooling_param does not give output_dim and group_size")] * len(layer.top)
    return [(_regions(bottoms[1]), param.output_dim, param.group_size, param.group_size)]


def proposal(_layer: Message, _bottoms: Bottoms) -> Sequence[Top]:
    """Proposal of Faster R-CNN: regions of 5 numbers each, and their scores."""
    return [(1, 5), (1, 1, 1, 1)]


def detection_output(_layer: Message, _bottoms: Bottoms) -> Sequence[Top]:
    """DetectionOutput of SSD: boxes of 7 numbers each."""
    return [(1, 1, 1, 7)]


def prior_box(layer: Message, bottoms: Bottoms) -> Sequence[Top]:
    """PriorBox of SSD: 1×2×(4 numbers for each default box at each place of the first bottom)."""
    if isinstance(bottoms[0], Unknown):
        return [bottoms[0]]
    need_axes(bottoms[0], 4)
    param = layer.prior_box_param
    if not param.min_size:
        raise ShapeError("prior_box_param.min_size is missing")
    ratios = [1.0]
    for ratio in param.aspect_ratio:
        if ratio <= 0:
            raise ShapeError(f"aspect_ratio is {ratio}, but must be positive")
        if all(abs(ratio - other) >= 1e-6 for other in ratios):
            ratios += [ratio, 1 / ratio] if param.flip else [ratio]
    boxes = len(ratios) * len(param.min_size) + len(param.max_size)
    return [(1, 2, bottoms[0][2] * bottoms[0][3] * boxes * 4)]


_DETECTION = OTHER._replace(family="detection", partial=True)
_ROI_POOLING = _DETECTION._replace(
    shape=roi_pooling, bottoms=(2, None), regions=True, keeps=same_channels, reads="roi_pooling_param"
)
_PSROI_POOLING = _ROI_POOLING._replace(shape=psroi_pooling, keeps=None, reads="psroi_pooling_param")

ROWS: dict[str, LayerType] = {
    "DetectionOutput": _DETECTION._replace(
        makes="values", shape=detection_output, bottoms=(3, None), counted=2, reads="detection_output_param"
    ),
    "PSROIAlign": _PSROI_POOLING,
    "PSROIPooling": _PSROI_POOLING._replace(index_bottoms=1),
    "PriorBox": _DETECTION._replace(
        makes="values", shape=prior_box, bottoms=(2, 2), keeps=no_channels, reads="prior_box_param"
    ),
    "Proposal": _DETECTION._replace(makes="values", shape=proposal, bottoms=SOME, counted=0, reads="proposal_param"),
    "ROIAlign": _ROI_POOLING._replace(makes="values"),
    "ROIPooling": _ROI_POOLING._replace(makes="values", index_bottoms=1, v1="ROIPOOLING ROI_POOLING"),
    "ROIWarping": _ROI_POOLING,
}
