"""Options of the segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from caffe_fcn.options import option_field
from caffe_fcn.passes.options import input_channels_field

PADS = ("auto", "least", "keep")
"""The words for a padding."""


@dataclass(frozen=True)
class SegmentOptions:
    """How a classifier becomes a segmentation net."""

    classes: int | None = option_field(None, "Number of classes, with the background: the channels of the new scores.")
    keep_classifier: bool = option_field(
        False, "Keep the last classifier layer with its weights and its classes, for dense labels without training."
    )
    style: Literal["32s", "16s", "8s"] | None = option_field(
        None, "The skips of FCN-32s (none), FCN-16s (one) or FCN-8s (two), where the net has the strides 16 and 8."
    )
    skip: tuple[str, ...] = option_field(
        (), "Add the scores of this finer blob; :SCALE multiplies the blob by a fixed factor before: pool4:0.01."
    )
    pad: int | str = option_field(
        "auto",
        "Padding of the first convolution. A number: in pixels. auto: the smallest with which all crops fit, at every "
        "input size. least: the same, but only from the smallest input size of the net on. keep: unchanged.",
    )
    at: str | None = option_field(None, "The last classifier layer, if the net has several.", "found")
    prefix: str = option_field("", "Prefix of the names of new layers and blobs.")
    learn_upsampling: bool = option_field(False, "Let training change the upsampling kernels.")
    dense_upsampling: bool = option_field(
        False, "Upsample with one group and kernels on the diagonal, not with one group per class."
    )
    drop_pooling: bool = option_field(False, "Remove the pooling that the classifier ends with, and score its input.")
    init: Literal["zero", "xavier"] = option_field("zero", "Initial weights of the new scores.")
    seed: int = option_field(0, "Seed of random initial weights.")
    expand_score: bool = option_field(False, "Copy the weights of the old classes into the first of the new classes.")
    input_channels: int | None = input_channels_field()
    input_size: tuple[int, ...] | None = option_field(
        None, "Spatial size of the input in the written net, H×W in pixels; one number for a square.", "unchanged"
    )
