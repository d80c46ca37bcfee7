"""Losses and measures, which a net that is used does without.

A deploy net ends in what the loss of the training net computes first: the Softmax in a SoftmaxWithLoss, the
Sigmoid in a SigmoidCrossEntropyLoss. Of the others nothing is left, and their labels are not needed.
"""

from __future__ import annotations

from caffe_fcn import schema
from caffe_fcn.schema import Message

LEFT_OUT = frozenset(
    "Accuracy CenterLoss ContrastiveLoss EuclideanLoss HDF5Output HingeLoss InfogainLoss L1Loss MultiBoxLoss "
    "MultinomialLogisticLoss RegionLoss SegAccuracy Silence SmoothL1Loss".split()
)
"""Types of which nothing is left."""

CONTAINED = {"SigmoidCrossEntropyLoss": "Sigmoid", "SoftmaxWithLoss": "Softmax"}
"""Loss to the layer that it contains."""


def contained(loss: Message, bottom: str, top: str) -> Message:
    """The layer within LOSS, which makes the blob TOP of the scores BOTTOM."""
    layer = schema.LayerParameter(name=loss.name, type=CONTAINED[loss.type], bottom=[bottom], top=[top])
    if loss.type == "SoftmaxWithLoss":
        layer.softmax_param.CopyFrom(loss.softmax_param)
    return layer
