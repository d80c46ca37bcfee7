"""Shape rules of losses and measures: a scalar, whatever goes in.

What a loss demands of its labels is not checked here: label shapes come from data that the net does not
describe, and nothing depends on the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from caffe_fcn import schema
from caffe_fcn.net.shapes.registry import Bottoms, Top, Unknown, canonical_axis, rule


@rule(
    *("ContrastiveLoss", "EuclideanLoss", "HingeLoss", "MultinomialLogisticLoss"),
    *("L1Loss", "MultiBoxLoss", "RegionLoss", "SmoothL1Loss"),
    bottoms=(1, None),
    partial=True,
)
def loss(layer: schema.Message, bottoms: Bottoms) -> Sequence[Top]:
    """LossLayer: one number; a further top, as some forks have, the terms it is the sum of."""
    return [(), *[bottoms[0]] * (len(layer.top) - 1)]


rule("CenterLoss", params=None, bottoms=(1, None), partial=True)(loss)  # its centres are of a number it does not tell


@rule("SoftmaxWithLoss", "SigmoidCrossEntropyLoss", "InfogainLoss", bottoms=(1, None), partial=True)
def loss_of_scores(_layer: schema.Message, bottoms: Bottoms) -> Sequence[Top]:
    """The loss and, as a second top, the probabilities it is computed from."""
    return [(), bottoms[0]]


@rule("Accuracy", bottoms=2, partial=True)
def accuracy(layer: schema.Message, bottoms: Bottoms) -> Sequence[Top]:
    """AccuracyLayer: one number, and on demand one for each class."""
    scores = bottoms[0]
    if len(layer.top) < 2:
        return [()]
    if isinstance(scores, Unknown):
        return [(), scores]
    return [(), (scores[canonical_axis(layer.accuracy_param.axis, scores, "accuracy_param.axis")],)]


@rule("SegAccuracy", bottoms=2, partial=True)
def seg_accuracy(layer: schema.Message, _bottoms: Bottoms) -> Sequence[Top]:
    """SegAccuracy of DeepLab: accuracy, recall and intersection over union."""
    return [(1, 1, 1, 3)] * len(layer.top)
