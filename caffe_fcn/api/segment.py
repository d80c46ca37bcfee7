"""The library: make a segmentation net of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.options import given
from caffe_fcn.passes.planning import planned
from caffe_fcn.passes.segment_options import SegmentOptions
from caffe_fcn.passes.segmentation import Segmentation
from caffe_fcn.report.segment import document

if TYPE_CHECKING:
    from caffe_fcn.api.net import Net


@checked(SegmentOptions)
def segment(
    self: Net,
    classes: int | None = SegmentOptions.classes,
    *,
    keep_classifier: bool = SegmentOptions.keep_classifier,
    style: Literal["32s", "16s", "8s"] | None = SegmentOptions.style,
    skip: str | Sequence[str] = SegmentOptions.skip,
    pad: int | str = SegmentOptions.pad,
    at: str | None = SegmentOptions.at,
    drop_pooling: bool = SegmentOptions.drop_pooling,
    learn_upsampling: bool = SegmentOptions.learn_upsampling,
    dense_upsampling: bool = SegmentOptions.dense_upsampling,
    init: Literal["zero", "xavier"] = SegmentOptions.init,
    seed: int = SegmentOptions.seed,
    expand_score: bool = SegmentOptions.expand_score,
    prefix: str = SegmentOptions.prefix,
    input_channels: int | None = SegmentOptions.input_channels,
    input_size: int | Sequence[int] | None = SegmentOptions.input_size,
) -> Net:
    """Return the segmentation net of this classifier, with a score of each class for every pixel. Nothing is written.

    The net becomes fully convolutional. New scores take the place of its last classifier layer, or that stays with
    KEEP_CLASSIFIER; bilinear Deconvolutions upsample them, the scores of finer blobs are added, and exact crops cut
    them to the size of the input. The new scores have to be trained. A training net first becomes its deploy net, as in
    `deploy`. Raises SurgeryError, ShapeError or NetError, with the name of the layer, if that cannot be done;
    ValueError for options that exclude each other.
    """
    asked = Segmentation(given(SegmentOptions, locals()))
    return self._of(planned(self.model, asked.passes, resized=True), document)
