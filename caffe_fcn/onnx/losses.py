"""Losses and measures, which a net that is used does without.

A deploy net ends in what the loss of the training net computes first: the Softmax in a SoftmaxWithLoss, the
Sigmoid in a SigmoidCrossEntropyLoss. Of the others nothing is left, and their labels are not needed.
"""

from __future__ import annotations

from caffe_fcn import schema
from caffe_fcn.net.layers import row_of
from caffe_fcn.schema import Message


def contained(loss: Message, bottom: str, top: str) -> Message:
    """The layer within LOSS, which makes the blob TOP of the scores BOTTOM."""
    kind = row_of(loss.type).contains
    layer = schema.LayerParameter(name=loss.name, type=kind, bottom=[bottom], top=[top])
    if kind == "Softmax":
        layer.softmax_param.CopyFrom(loss.softmax_param)
    return layer
