"""Random nets as they are trained: labels, losses, accuracies, and layers of one phase only."""

from __future__ import annotations

from caffe_fcn import schema
from caffe_fcn.schema import Message
from tests.random.draft import Draft


def for_training(d: Draft) -> None:
    """Give the net in the draft a training phase, or labels and losses in both phases."""
    scores = [name for name in d.unread if len(d.shape(name)) == 2]
    if not scores:
        return
    blob = d.pick(scores)
    shape, loss_and_more = d.shape(blob), d.pick([_both_phases, _train_val])
    loss_and_more(d, blob, shape[0])


def _both_phases(d: Draft, blob: str, batch: int) -> None:
    """A label is fed in either phase."""
    label = schema.LayerParameter(name="label", type="Input", top=["label"])
    label.input_param.shape.add(dim=[batch])
    _insert(d, label, 0)
    d.net.layer.add(name="loss", type="SoftmaxWithLoss", bottom=[blob, "label"], top=["loss"])
    if d.chance(0.5):
        _in(d.net.layer.add(name="accuracy", type="Accuracy", bottom=[blob, "label"], top=["accuracy"]), "TEST")


def _train_val(d: Draft, blob: str, batch: int) -> None:
    """Pictures and labels come from a data layer in training."""
    for layer in d.net.layer:
        if layer.type == "Input":
            _in(layer, "TEST")
    names = [layer.top[0] for layer in d.net.layer if layer.type == "Input"]
    source = schema.LayerParameter(name="data", type="DummyData", top=[*names, "label"])
    for name in names:
        source.dummy_data_param.shape.add(dim=d.shape(name))
    source.dummy_data_param.shape.add(dim=[batch])
    _insert(d, _in(source, "TRAIN"), 0)
    loss = d.net.layer.add(name="loss", type="SoftmaxWithLoss", bottom=[blob, "label"], top=["loss"])
    _in(loss, "TRAIN")
    if d.chance(0.5):
        _in(d.net.layer.add(name="prob", type="Softmax", bottom=[blob], top=["prob"]), "TEST")


def _in(layer: Message, phase: str) -> Message:
    layer.include.add(phase=schema.enum_number("NetState", "Phase", phase) if False else {"TRAIN": 0, "TEST": 1}[phase])
    return layer


def _insert(d: Draft, layer: Message, place: int) -> None:
    layers = list(d.net.layer)
    del d.net.layer[:]
    d.net.layer.extend([*layers[:place], layer, *layers[place:]])
