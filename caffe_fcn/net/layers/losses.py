"""Losses and measures: their top is a number; and Caffe's rules for their labels.

The answers of the net do not depend on the labels, so labels that do not fit are no shape error. But Caffe does not
build such a net, so they are an objection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.layers.following import (
    Clash,
    FollowsRule,
    Outcome,
    Passes,
    Place,
    counts,
    loss,
    off_axis,
    refuses,
    unknown,
)
from caffe_fcn.net.layers.row import SOME, LayerType, ObjectsRule
from caffe_fcn.net.layers.shape import (
    Bottoms,
    Shape,
    Top,
    Unknown,
    canonical_axis,
    count,
    legacy_shape,
    need_least_axes,
    show,
)
from caffe_fcn.net.layers.traits import LOSS
from caffe_fcn.net.objections import Severity
from caffe_fcn.schema import Message

_Labels: TypeAlias = Callable[[Message, Bottoms], None]


def _judged(most_bottoms: int, most_tops: int, *labels: _Labels, least: int = 2) -> ObjectsRule:
    """The rule for Caffe's objections to a loss. BVLC Caffe accepts at most MOST_BOTTOMS and MOST_TOPS; forks have
    more, to weigh items or for more terms. LEAST: the fewest bottoms. LABELS raise ShapeError for labels that do not
    fit."""

    def objections(layer: Message, bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
        if len(bottoms) < least:
            found = f"{len(bottoms)} bottom{'s' * (len(bottoms) != 1)}"
            yield Severity.ERROR, f"it has {found}, but Caffe takes at least {least}"
            return
        if len(bottoms) > most_bottoms:
            yield Severity.BVLC, f"it has {len(bottoms)} bottoms, but BVLC Caffe takes {most_bottoms} at most"
        if len(layer.top) > most_tops:
            yield Severity.BVLC, f"it has {len(layer.top)} tops, but BVLC Caffe makes {most_tops} at most"
        elif layer.type == "SoftmaxWithLoss" and len(layer.top) > 1:
            what = "cannot set up its second top; use a Softmax layer"
            yield Severity.BVLC, f"BVLC Caffe {what}"
        if layer.type == "InfogainLoss":
            yield from _infogain_objections(layer, bottoms)
        if not any(isinstance(bottom, Unknown) for bottom in bottoms):
            for fit in labels:
                fit(layer, bottoms)

    return objections


def _infogain_objections(layer: Message, bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    if len(layer.top) == 2 and not layer.loss_weight:
        yield Severity.BVLC, "BVLC Caffe needs a loss_weight for each of its two tops"
    if len(bottoms) < 3 and not layer.infogain_loss_param.HasField("source"):
        yield Severity.ERROR, "expected infogain_loss_param.source or a third bottom, found neither"
    if layer.loss_param.HasField("normalize"):
        yield Severity.BVLC, "BVLC Caffe does not take loss_param.normalize here; write normalization"


def _items(_layer: Message, bottoms: Bottoms) -> None:
    for bottom in bottoms[:2]:
        need_least_axes(bottom, 1)
    if bottoms[0][0] != bottoms[1][0]:
        found = f"{bottoms[0][0]} and {bottoms[1][0]} ({show(bottoms[0])} and {show(bottoms[1])})"
        raise ShapeError(f"its first two bottoms must have the same number of items, found {found}")


def _one_label_each(bottoms: Bottoms, axis: int) -> None:
    """Raise ShapeError unless there is one label for each place of the scores; AXIS is that of the classes."""
    scores, labels = bottoms[:2]
    places = scores[:axis] + scores[axis + 1 :]
    if count(places) != count(labels):
        made = f" = {show(places)}" if len(places) > 1 else ""
        raise ShapeError(
            expected="a label for each prediction",
            found=(
                f"{count(places)}{made} predictions ({show(scores)} with the classes on axis {axis}) and "
                f"{count(labels)} labels ({show(labels)})"
            ),
        )


def _softmax_labels(layer: Message, bottoms: Bottoms) -> None:
    _one_label_each(bottoms, canonical_axis(layer.softmax_param.axis, bottoms[0], "softmax_param.axis"))


def _accuracy_labels(layer: Message, bottoms: Bottoms) -> None:
    axis = canonical_axis(layer.accuracy_param.axis, bottoms[0], "accuracy_param.axis")
    _one_label_each(bottoms, axis)
    if layer.accuracy_param.top_k > bottoms[0][axis]:
        raise ShapeError(f"top_k is {layer.accuracy_param.top_k}, but there are {bottoms[0][axis]} classes")


def _infogain_labels(layer: Message, bottoms: Bottoms) -> None:
    axis = canonical_axis(layer.infogain_loss_param.axis, bottoms[0], "infogain_loss_param.axis")
    _one_label_each(bottoms, axis)
    classes = bottoms[0][axis]
    if len(bottoms) > 2 and count(bottoms[2]) != classes**2:
        raise ShapeError(expected=f"a matrix of {show((classes, classes))} as third bottom", found=show(bottoms[2]))


def _equal_counts(_layer: Message, bottoms: Bottoms) -> None:
    if count(bottoms[0]) != count(bottoms[1]):
        raise ShapeError(
            f"its bottoms must have the same number of values, found {show(bottoms[0])} and {show(bottoms[1])}"
        )


def _single_label(what: str, shape: Shape) -> None:
    if legacy_shape(shape)[1:] != (1, 1, 1):
        raise ShapeError(f"{what} must have one value for each item, found {show(shape)}")


def _multinomial_labels(_layer: Message, bottoms: Bottoms) -> None:
    _single_label("the labels", bottoms[1])


def _pair_labels(_layer: Message, bottoms: Bottoms) -> None:
    first, second = legacy_shape(bottoms[0]), legacy_shape(bottoms[1])
    if first[1] != second[1] or (*first[2:], *second[2:]) != (1,) * 4:
        found = f"{show(bottoms[0])} and {show(bottoms[1])}"
        raise ShapeError(f"its first two bottoms must be N×C with the same number of channels, found {found}")
    _single_label("the third bottom", bottoms[2])


def accuracy(layer: Message, bottoms: Bottoms) -> Sequence[Top]:
    """AccuracyLayer: one number; a second top has one for each class."""
    scores = bottoms[0]
    if len(layer.top) < 2:
        return [()]
    if isinstance(scores, Unknown):
        return [()] + [scores] * (len(layer.top) - 1)
    axis = canonical_axis(layer.accuracy_param.axis, scores, "accuracy_param.axis")
    return [()] + [(scores[axis],)] * (len(layer.top) - 1)


def seg_accuracy(layer: Message, _bottoms: Bottoms) -> Sequence[Top]:
    """SegAccuracy of DeepLab: accuracy, recall and intersection over union."""
    return [(1, 1, 1, 3)] * len(layer.top)


def hdf5_output_objections(_layer: Message, bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    """BVLC Caffe's objections to an HDF5Output: it writes data and labels only."""
    if len(bottoms) != 2:
        yield Severity.BVLC, f"it has {len(bottoms)} bottoms, but BVLC Caffe takes 2, data and labels"


def nothing(_layer: Message, _bottoms: Bottoms) -> Sequence[Shape]:
    """SilenceLayer and HDF5OutputLayer have no tops."""
    return []


# ---- After a converted layer ----


def _of_items(place: Place) -> Outcome:
    """Losses for which all values of an item are its classes."""
    for blob, view in zip(place.node.bottoms, place.views, strict=True):
        if view is not None and view.positions > 1:
            return refuses(Clash.COMPARES, place.type, blob.name)
    return loss(place)


def _along_classes(message: str, rule: Callable[..., Outcome]) -> FollowsRule:
    """The rule of losses and measures with the classes along the axis in MESSAGE; RULE gives their tops."""

    def along(place: Place) -> Outcome:
        view = place.views[0]
        if view is None:
            return rule(place)
        axis = getattr(place.node.layer, message).axis % len(view.axes)
        if not view.runs_over_channels(axis):
            return off_axis(place, view, axis)
        return rule(place, *place.along(1, view, message))

    return along


def _follows_silence(_place: Place) -> Outcome:
    return Passes(())


_BVLC = LOSS._replace(bvlc=True)
_MEASURE = _BVLC._replace(weighs=False)
_ENDING = _MEASURE._replace(shape=nothing, tops=(0, 0))

ROWS: dict[str, LayerType] = {
    "Accuracy": _MEASURE._replace(
        reads_scores=True,
        shape=accuracy,
        tops=SOME,
        follows=_along_classes("accuracy_param", counts),
        objections=_judged(2, 2, _accuracy_labels),
        reads="accuracy_param",
    ),
    "CenterLoss": LOSS._replace(params=None, follows=unknown),  # its number of centres is not in the net
    "ContrastiveLoss": _BVLC._replace(
        objections=_judged(3, 1, _items, _pair_labels, least=3), follows=_of_items, reads="contrastive_loss_param"
    ),
    "EuclideanLoss": _BVLC._replace(objections=_judged(2, 1, _items, _equal_counts)),
    "HDF5Output": _ENDING._replace(
        objections=hdf5_output_objections, follows=counts, v1="HDF5_OUTPUT", reads="hdf5_output_param"
    ),
    "HingeLoss": _BVLC._replace(
        reads_scores=True,
        objections=_judged(2, 1, _items),
        follows=_of_items,
        reads="hinge_loss_param",
    ),
    "InfogainLoss": _BVLC._replace(
        reads_scores=True,
        objections=_judged(3, 2, _items, _infogain_labels),
        follows=_along_classes("infogain_loss_param", loss),
        reads="infogain_loss_param softmax_param",
    ),
    "L1Loss": LOSS,
    "MultiBoxLoss": LOSS._replace(follows=unknown),
    "MultinomialLogisticLoss": _BVLC._replace(
        reads_scores=True,
        objections=_judged(2, 1, _items, _multinomial_labels),
        follows=_of_items,
    ),
    "RegionLoss": LOSS._replace(follows=unknown),
    "SegAccuracy": LOSS._replace(weighs=False, reads_scores=True, shape=seg_accuracy, bottoms=(2, 2), follows=unknown),
    "SigmoidCrossEntropyLoss": _BVLC._replace(
        reads_scores=True, objections=_judged(2, 1, _items, _equal_counts), contains="Sigmoid", reads="sigmoid_param"
    ),
    "Silence": _ENDING._replace(reads_scores=True, follows=_follows_silence),
    "SmoothL1Loss": LOSS,
    "SoftmaxWithLoss": _BVLC._replace(
        reads_scores=True,
        objections=_judged(2, 2, _items, _softmax_labels),
        follows=_along_classes("softmax_param", loss),
        contains="Softmax",
        v1="SOFTMAX_LOSS",
        reads="softmax_param",
    ),
}
