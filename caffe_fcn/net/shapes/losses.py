"""Shape rules of losses and measures: a scalar, whatever goes in; and what Caffe asks of their labels.

Whether the labels fit is no matter of shapes: the answer of the net does not depend on it. Caffe, though, does not
build the net, so it is an objection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from caffe_fcn import schema
from caffe_fcn.errors import ShapeError
from caffe_fcn.net.objections import Severity
from caffe_fcn.net.shapes.registry import (
    Bottoms,
    Shape,
    Top,
    Unknown,
    canonical_axis,
    count,
    legacy_shape,
    need_least_axes,
    rule,
    show,
)

_MOST = {  # bottoms and tops
    "Accuracy": (2, 2),
    "ContrastiveLoss": (3, 1),
    "EuclideanLoss": (2, 1),
    "HingeLoss": (2, 1),
    "InfogainLoss": (3, 2),
    "MultinomialLogisticLoss": (2, 1),
    "SigmoidCrossEntropyLoss": (2, 1),
    "SoftmaxWithLoss": (2, 2),
}
"""The most bottoms and tops that BVLC Caffe takes; forks weigh items, or give more terms."""


def objections(layer: schema.Message, bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    """What Caffe has against a loss: its bottoms and tops, its fields, its labels."""
    most_bottoms, most_tops = _MOST[layer.type]
    least = 3 if layer.type == "ContrastiveLoss" else 2
    if len(bottoms) < least:
        yield (
            Severity.ERROR,
            f"it has {len(bottoms)} bottom{'s' * (len(bottoms) != 1)}, but Caffe takes at least {least}",
        )
        return
    if len(bottoms) > most_bottoms:
        yield Severity.BVLC, f"it has {len(bottoms)} bottoms, but BVLC Caffe takes {most_bottoms} at most"
    if len(layer.top) > most_tops:
        yield Severity.BVLC, f"it has {len(layer.top)} tops, but BVLC Caffe makes {most_tops} at most"
    elif layer.type == "SoftmaxWithLoss" and len(layer.top) > 1:
        yield Severity.BVLC, "BVLC Caffe cannot set up its second top, whatever the loss_weight; use a Softmax layer"
    if layer.type == "InfogainLoss":
        if len(layer.top) == 2 and not layer.loss_weight:
            yield Severity.BVLC, "BVLC Caffe needs a loss_weight for each of its two tops"
        if len(bottoms) < 3 and not layer.infogain_loss_param.HasField("source"):
            yield Severity.ERROR, "expected infogain_loss_param.source or a third bottom, found neither"
        if layer.loss_param.HasField("normalize"):
            yield Severity.BVLC, "BVLC Caffe does not take loss_param.normalize here; write normalization"
    if not any(isinstance(bottom, Unknown) for bottom in bottoms):
        if layer.type != "Accuracy":
            _agree_in_items(bottoms)
        if layer.type in _LABELS:
            _LABELS[layer.type](layer, bottoms)


def _agree_in_items(bottoms: Bottoms) -> None:
    for bottom in bottoms[:2]:
        need_least_axes(bottom, 1)
    if bottoms[0][0] != bottoms[1][0]:
        found = f"{bottoms[0][0]} and {bottoms[1][0]} ({show(bottoms[0])} and {show(bottoms[1])})"
        raise ShapeError(f"its first two bottoms must have as many items, found {found}")


def _one_label_each(bottoms: Bottoms, axis: int) -> None:
    """Raise ShapeError unless there is one label for each place of the scores beside the AXIS of the classes."""
    scores, labels = bottoms[:2]
    places = scores[:axis] + scores[axis + 1 :]
    if count(places) != count(labels):
        made = f" = {show(places)}" if len(places) > 1 else ""
        raise ShapeError(
            f"expected a label for each prediction, found {count(places)}{made} predictions ({show(scores)} with the "
            f"classes on axis {axis}) and {count(labels)} labels ({show(labels)})"
        )


def _softmax_labels(layer: schema.Message, bottoms: Bottoms) -> None:
    _one_label_each(bottoms, canonical_axis(layer.softmax_param.axis, bottoms[0], "softmax_param.axis"))


def _accuracy_labels(layer: schema.Message, bottoms: Bottoms) -> None:
    axis = canonical_axis(layer.accuracy_param.axis, bottoms[0], "accuracy_param.axis")
    _one_label_each(bottoms, axis)
    if layer.accuracy_param.top_k > bottoms[0][axis]:
        raise ShapeError(f"top_k is {layer.accuracy_param.top_k}, but there are {bottoms[0][axis]} classes")


def _infogain_labels(layer: schema.Message, bottoms: Bottoms) -> None:
    axis = canonical_axis(layer.infogain_loss_param.axis, bottoms[0], "infogain_loss_param.axis")
    _one_label_each(bottoms, axis)
    classes = bottoms[0][axis]
    if len(bottoms) > 2 and count(bottoms[2]) != classes**2:
        raise ShapeError(f"expected a matrix of {show((classes, classes))} as third bottom, found {show(bottoms[2])}")


def _equal_counts(_layer: schema.Message, bottoms: Bottoms) -> None:
    if count(bottoms[0]) != count(bottoms[1]):
        raise ShapeError(f"its bottoms must have as many values, found {show(bottoms[0])} and {show(bottoms[1])}")


def _single_label(what: str, shape: Shape) -> None:
    if legacy_shape(shape)[1:] != (1, 1, 1):
        raise ShapeError(f"{what} must have one value for each item, found {show(shape)}")


def _multinomial_labels(_layer: schema.Message, bottoms: Bottoms) -> None:
    _single_label("the labels", bottoms[1])


def _pair_labels(_layer: schema.Message, bottoms: Bottoms) -> None:
    first, second = legacy_shape(bottoms[0]), legacy_shape(bottoms[1])
    if first[1] != second[1] or (*first[2:], *second[2:]) != (1,) * 4:
        found = f"{show(bottoms[0])} and {show(bottoms[1])}"
        raise ShapeError(f"its first two bottoms must be N×C with as many channels, found {found}")
    _single_label("the third bottom", bottoms[2])


_LABELS: dict[str, Callable[[schema.Message, Bottoms], None]] = {
    "Accuracy": _accuracy_labels,
    "ContrastiveLoss": _pair_labels,
    "EuclideanLoss": _equal_counts,
    "InfogainLoss": _infogain_labels,
    "MultinomialLogisticLoss": _multinomial_labels,
    "SigmoidCrossEntropyLoss": _equal_counts,
    "SoftmaxWithLoss": _softmax_labels,
}
"""What each loss asks of its labels; a HingeLoss asks for as many items, no more."""


def loss(layer: schema.Message, bottoms: Bottoms) -> Sequence[Top]:
    """LossLayer: one number; a further top, as some forks have, the terms it is the sum of."""
    return [(), *[bottoms[0]] * (len(layer.top) - 1)]


rule(*(_MOST.keys() - {"Accuracy"}), bottoms=(1, None), partial=True, objects=objections)(loss)
rule("L1Loss", "MultiBoxLoss", "RegionLoss", "SmoothL1Loss", bottoms=(1, None), partial=True)(loss)
rule("CenterLoss", params=None, bottoms=(1, None), partial=True)(loss)  # its centres are of a number it does not tell


@rule("Accuracy", bottoms=(1, None), partial=True, makes=(1, None), objects=objections)
def accuracy(layer: schema.Message, bottoms: Bottoms) -> Sequence[Top]:
    """AccuracyLayer: one number, and on demand one for each class."""
    scores = bottoms[0]
    if len(layer.top) < 2:
        return [()]
    if isinstance(scores, Unknown):
        return [()] + [scores] * (len(layer.top) - 1)
    axis = canonical_axis(layer.accuracy_param.axis, scores, "accuracy_param.axis")
    return [()] + [(scores[axis],)] * (len(layer.top) - 1)


@rule("SegAccuracy", bottoms=2, partial=True)
def seg_accuracy(layer: schema.Message, _bottoms: Bottoms) -> Sequence[Top]:
    """SegAccuracy of DeepLab: accuracy, recall and intersection over union."""
    return [(1, 1, 1, 3)] * len(layer.top)
