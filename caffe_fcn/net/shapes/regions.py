"""Shape rules of object detection: default boxes, and layers that look at one region of a map at a time.

How many regions there are is known only when the net runs. Where the net does not say, one is taken, as
these layers do when they are set up.
"""

from __future__ import annotations

from collections.abc import Sequence

from caffe_fcn import schema
from caffe_fcn.errors import ShapeError
from caffe_fcn.net.shapes.registry import Bottoms, Missing, Top, Unknown, need_axes, rule

REGION_LAYERS = frozenset({"PSROIAlign", "PSROIPooling", "ROIAlign", "ROIPooling", "ROIWarping"})
"""Types whose top holds one item per region; what follows no longer depends on the size of the image."""

COUNTED = {"DetectionOutput": 2, "Proposal": 0}
"""Types whose tops are as long along an axis, here numbered, as there are detections or regions."""


def _regions(rois: object) -> int:
    return rois[0] if isinstance(rois, tuple) and rois else 1


@rule("ROIPooling", "ROIAlign", "ROIWarping", bottoms=(2, None), partial=True)
def roi_pooling(layer: schema.Message, bottoms: Bottoms) -> Sequence[Top]:
    """ROIPooling of Fast R-CNN: R×C×pooled_h×pooled_w."""
    if isinstance(bottoms[0], Unknown):
        return [bottoms[0]] * len(layer.top)
    need_axes(bottoms[0], 4)
    param = layer.roi_pooling_param
    if not (param.pooled_h and param.pooled_w):
        return [Missing("type", "roi_pooling_param does not give pooled_h and pooled_w")] * len(layer.top)
    return [(_regions(bottoms[1]), bottoms[0][1], param.pooled_h, param.pooled_w)]


@rule("PSROIPooling", "PSROIAlign", bottoms=(2, None), partial=True)
def psroi_pooling(layer: schema.Message, bottoms: Bottoms) -> Sequence[Top]:
    """PSROIPooling of R-FCN: R×output_dim×group_size×group_size."""
    if not isinstance(bottoms[0], Unknown):
        need_axes(bottoms[0], 4)
    param = layer.psroi_pooling_param
    if param.output_dim < 1 or param.group_size < 1:
        return [Missing("type", "psroi_pooling_param does not give output_dim and group_size")] * len(layer.top)
    return [(_regions(bottoms[1]), param.output_dim, param.group_size, param.group_size)]


@rule("Proposal", bottoms=(1, None), partial=True)
def proposal(_layer: schema.Message, _bottoms: Bottoms) -> Sequence[Top]:
    """Proposal of Faster R-CNN: regions of 5 numbers each, and their scores."""
    return [(1, 5), (1, 1, 1, 1)]


@rule("DetectionOutput", bottoms=(3, None), partial=True)
def detection_output(_layer: schema.Message, _bottoms: Bottoms) -> Sequence[Top]:
    """DetectionOutput of SSD: boxes of 7 numbers each."""
    return [(1, 1, 1, 7)]


@rule("PriorBox", bottoms=2, partial=True)
def prior_box(layer: schema.Message, bottoms: Bottoms) -> Sequence[Top]:
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
