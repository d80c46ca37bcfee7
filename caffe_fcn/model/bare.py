"""Completes weights from HDF5, which have only names and values, with the layer headers of a prototxt.

With these headers and the shared blobs, such weights are like those of a caffemodel, and other modules do not
distinguish the two.
"""

from __future__ import annotations

from dataclasses import replace

from caffe_fcn import schema
from caffe_fcn.errors import WeightsError
from caffe_fcn.files.blobs import BlobRecord
from caffe_fcn.files.caffemodel import LayerRecord, WeightFile
from caffe_fcn.schema import FORKS, Message


def with_headers(weights: WeightFile, net: Message, *, forks: bool = False) -> WeightFile:
    """WEIGHTS that are `bare`, with the headers of NET, a NetParameter. Layers from HDF5 get the order of NET.

    FORKS: the text of the net has fields that only forks know. A caffemodel made from the two then holds names and
    values only, because a net without these fields would be another net. Caffe stores a shared blob in the first layer
    that has it; the others get it here. Raises WeightsError where a missing blob is not shared by the net.
    """
    layers = {layer.name: layer for layer in reversed(net.layer)}
    order = {layer.name: index for index, layer in enumerate(net.layer)}
    owners = _owners(weights, net)
    records = list(weights.layers)
    if weights.hdf5:  # the layers of a caffemodel have an order already
        records.sort(key=lambda record: order.get(record.name, len(order)))
    header = type(net)()
    header.CopyFrom(net)
    header.ClearField("layer")
    _strip(header)
    complete = tuple(
        replace(_complete(record, layers.get(record.name), owners), names_only=forks) for record in records
    )
    for record in complete:
        if record.name in layers:
            _check_whole(weights.path, record)
    return WeightFile(weights.source, complete, header, b"" if forks else header.SerializePartialToString())


def _complete(record: LayerRecord, layer: Message | None, owners: dict[str, BlobRecord]) -> LayerRecord:
    """RECORD with its shared blobs and the header of LAYER, its layer in the net, None if there is none."""
    if layer is None:
        return record
    blobs = list(record.blobs)
    for position, param in enumerate(layer.param):
        owner = owners.get(param.name) if param.name else None
        if owner is not None and position < len(blobs) and blobs[position].absent:
            blobs[position] = owner
        elif owner is not None and position == len(blobs):
            blobs.append(owner)
    header = type(layer)()
    header.CopyFrom(layer)
    _strip(header)
    return replace(record, header=header, blobs=tuple(blobs), raw=header.SerializePartialToString())


def _check_whole(path: str, record: LayerRecord) -> None:
    """Raise WeightsError where RECORD, a layer of the net, lacks a blob but has later ones."""
    gap = next((position for position, blob in enumerate(record.blobs) if blob.absent), None)
    if gap is not None:
        raise WeightsError(
            source=path,
            layer=record.name,
            expected=f"a blob {gap}",
            found="only later blobs, and no layer that shares the missing blob",
            hint="are these the weights of another net?",
        )


def _owners(weights: WeightFile, net: Message) -> dict[str, BlobRecord]:
    """The blobs in WEIGHTS that layers of the net may share, by the name of the `param`."""
    held = {record.name: record.blobs for record in weights.layers}
    owners: dict[str, BlobRecord] = {}
    for layer in net.layer:
        for param, blob in zip(layer.param, held.get(layer.name, ()), strict=False):
            if param.name and not blob.absent:
                owners.setdefault(param.name, blob)
    return owners


def _strip(message: Message) -> None:
    """Remove from MESSAGE, at every level, the fields that only forks know."""
    for field, value in message.ListFields():
        repeated = schema.is_repeated(field)
        if field.number >= FORKS:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in value if repeated else [value]:
                _strip(part)
        elif field.enum_type is not None and any(number >= FORKS for number in (value if repeated else [value])):
            message.ClearField(field.name)
