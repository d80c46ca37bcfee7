"""Makes a segmentation net from a classifier: a label for each pixel, in the published way (FCN-32s, 16s and 8s).

The net is already fully convolutional. `rescore` replaces its classifier by new scores, or keeps it. `upsample` brings
the scores to the size of the image. Both work on one phase of a net that is alone in its file.
"""

from __future__ import annotations

from caffe_fcn.passes.segment.changes import AddHead, SetPad, Stage
from caffe_fcn.passes.segment.classifier import Classifier, find
from caffe_fcn.passes.segment.layers import Bilinear, Scoring
from caffe_fcn.passes.segment.rescoring import Rescored, rescore, trim
from caffe_fcn.passes.segment.skips import Skip, asked, check_before, of_style, parse_skip
from caffe_fcn.passes.segment.upsample import Upsampled, upsample

__all__ = [
    "AddHead",
    "Bilinear",
    "Classifier",
    "Rescored",
    "Scoring",
    "SetPad",
    "Skip",
    "Stage",
    "Upsampled",
    "asked",
    "check_before",
    "find",
    "of_style",
    "parse_skip",
    "rescore",
    "trim",
    "upsample",
]
