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
    _insert(d, _in(_source(d, names, batch), "TRAIN"), 0)
    loss = d.net.layer.add(name="loss", type="SoftmaxWithLoss", bottom=[blob, "label"], top=["loss"])
    _in(loss, "TRAIN")
    for layer in list(d.net.layer):  # one layer for each phase, with one set of weights
        if layer.type == "BatchNorm" and not layer.batch_norm_param.HasField("use_global_stats") and d.chance(0.5):
            twin = schema.LayerParameter()
            twin.CopyFrom(layer)
            twin.batch_norm_param.use_global_stats = False
            place = list(d.net.layer).index(layer)
            _in(d.net.layer[place], "TEST")
            _insert(d, _in(twin, "TRAIN"), place)
    if d.chance(0.5):
        _in(d.net.layer.add(name="prob", type="Softmax", bottom=[blob], top=["prob"]), "TEST")


def _source(d: Draft, names: list[str], batch: int) -> Message:
    """What feeds the blobs NAMES and as many labels as are in a BATCH: pictures of a database, whose channels the
    other phase tells, or values that fillers make."""
    shape = d.shape(names[0])
    if len(names) == 1 and len(shape) == 4 and shape[2] == shape[3] and shape[0] == batch:
        source = schema.LayerParameter(name="data", type="Data", top=[*names, "label"])
        source.data_param.batch_size, source.transform_param.crop_size = batch, shape[2]
        return source
    source = schema.LayerParameter(name="data", type="DummyData", top=[*names, "label"])
    for name in names:
        source.dummy_data_param.shape.add(dim=d.shape(name))
    source.dummy_data_param.shape.add(dim=[batch])
    return source


def _in(layer: Message, phase: str) -> Message:
    layer.include.add(phase={"TRAIN": 0, "TEST": 1}[phase])
    return layer


def _insert(d: Draft, layer: Message, place: int) -> None:
    layers = list(d.net.layer)
    del d.net.layer[:]
    d.net.layer.extend([*layers[:place], layer, *layers[place:]])
