"""The forms in which nets and weights are met: old and current, with and without shapes, with and without headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from caffe_fcn import schema
from caffe_fcn.schema import Message
from tests.files.encodings import bytes_field, varint_field
from tests.random.basics import Array

_V1 = {
    "AbsVal": "ABSVAL",
    "Accuracy": "ACCURACY",
    "ArgMax": "ARGMAX",
    "BNLL": "BNLL",
    "Concat": "CONCAT",
    "Convolution": "CONVOLUTION",
    "Deconvolution": "DECONVOLUTION",
    "Dropout": "DROPOUT",
    "DummyData": "DUMMY_DATA",
    "Eltwise": "ELTWISE",
    "Exp": "EXP",
    "Flatten": "FLATTEN",
    "Im2col": "IM2COL",
    "InnerProduct": "INNER_PRODUCT",
    "LRN": "LRN",
    "MVN": "MVN",
    "Pooling": "POOLING",
    "Power": "POWER",
    "ReLU": "RELU",
    "Sigmoid": "SIGMOID",
    "Slice": "SLICE",
    "Softmax": "SOFTMAX",
    "SoftmaxWithLoss": "SOFTMAX_LOSS",
    "Split": "SPLIT",
    "TanH": "TANH",
    "Threshold": "THRESHOLD",
}
"""The types that V1 has, and its names for them."""

ENCODINGS = ("float", "double", "raw", "legacy")


@dataclass(frozen=True)
class Form:
    """How a net is written: its text as V1 says it or not, its blobs in one of ENCODINGS, and layers in the weights
    with all they have in the net (FULL), as Caffe writes them, or by name alone."""

    v1: bool = False
    encoding: str = "float"
    full: bool = False


def chosen(net: Message, random: np.random.Generator) -> Form:
    """A form for NET, mostly the plain one."""
    v1 = bool(random.random() < 0.25) and can_be_v1(net)
    encoding = ENCODINGS[int(random.choice(len(ENCODINGS), p=[0.6, 0.1, 0.1, 0.2]))]
    return Form(v1, encoding, bool(random.random() < 0.4))


def text_of(net: Message, form: Form) -> Message:
    """NET as the message that its text says."""
    if not form.v1:
        return net
    made = schema.NetParameter()
    made.CopyFrom(net)
    del made.layer[:]
    made.layers.extend(_v1_layer(layer) for layer in net.layer)
    return made


def weights_of(net: Message, blobs: Mapping[str, Sequence[Array]], form: Form) -> Message:
    """The weights of NET, BLOBS by layer, as the message in a caffemodel."""
    made = schema.NetParameter(name=net.name)
    written: set[str] = set()
    for layer in net.layer:
        if layer.name in written or (layer.name not in blobs and not form.full):
            continue
        stored = schema.LayerParameter(name=layer.name, type=layer.type)
        if form.full:
            stored.CopyFrom(layer)
            stored.ClearField("include")
        for values in blobs.get(layer.name, ()):
            stored.blobs.append(_blob(values, form.encoding))
        written.add(layer.name)
        if form.v1:
            made.layers.append(_v1_layer(stored))
        else:
            made.layer.append(stored)
    return made


def can_be_v1(net: Message) -> bool:
    """Whether V1 has words for all of NET."""
    fields = schema.V1LayerParameter.DESCRIPTOR.fields_by_name
    return bool(net.input) and all(
        layer.type in _V1 and all(field.name in fields or field.name == "param" for field, _ in layer.ListFields())
        for layer in net.layer
    )


def _v1_layer(layer: Message) -> Message:
    made = schema.V1LayerParameter(type=schema.enum_number("V1LayerParameter", "LayerType", _V1[layer.type]))
    for field, value in layer.ListFields():
        if field.name in ("type", "param"):
            continue
        if schema.is_repeated(field):
            getattr(made, field.name).extend(value)
        elif field.message_type is not None:
            getattr(made, field.name).CopyFrom(value)
        else:
            setattr(made, field.name, value)
    if any(spec.name for spec in layer.param):
        made.param.extend(spec.name for spec in layer.param)
    if any(spec.HasField("lr_mult") for spec in layer.param):
        made.blobs_lr.extend(spec.lr_mult for spec in layer.param)
    return made


def _blob(values: Array, encoding: str) -> Message:
    made = schema.BlobProto()
    if encoding == "legacy" and values.ndim <= 4:
        dims = [1] * (4 - values.ndim) + list(values.shape)
        made.num, made.channels, made.height, made.width = dims
    else:
        made.shape.dim.extend(values.shape)
        made.shape.SetInParent()
    if encoding == "double":
        made.double_data.extend(values.ravel())
    elif encoding == "raw":
        made.MergeFromString(_raw(values))
    else:
        made.data.extend(values.ravel())
    return made


def _raw(values: Array) -> bytes:
    """NVCaffe's fields of a blob: its type, float, and the values as bytes."""
    data = np.asarray(values, "<f4").tobytes()
    return varint_field(10, 1) + bytes_field(12, data)
