"""Describes what an upgrade changes in a net and in blobs."""

from __future__ import annotations

from collections.abc import Iterator

from caffe_fcn.files.blobs import C3D
from caffe_fcn.files.caffemodel import LayerRecord
from caffe_fcn.net.upgrade import (
    has_legacy_batch_norm,
    has_legacy_inputs,
    has_legacy_transforms,
    input_layer,
    is_halfway,
)
from caffe_fcn.schema import Message


def net_changes(net: Message, *, whole: bool = True, fields: bool = True) -> Iterator[str]:
    """What the upgrade changes in NET, as it was written. Padding layers are merged only in a net that is WHOLE."""
    old = [layer for layer in net.layers if layer.HasField("layer")]
    if net.layers:
        yield f"{_count(len(net.layers), 'layer')} in format {'V0' if old else 'V1'}"
    padding = sum(layer.layer.type == "padding" for layer in old)
    if padding and whole:
        yield f"{_count(padding, 'padding layer')} merged into the next layers"
    if has_legacy_transforms(net):
        yield "scale, mean, crop and mirror of data layers move to transform_param"
    if is_halfway(net):
        yield "V1 names in layers of the current format"
    if has_legacy_inputs(net) and (fields or input_layer(net, "") is None):
        made = "become an Input layer" if input_layer(net, "") else "are removed, because a layer makes their blobs"
        yield f"input fields of the net {made}"
    if has_legacy_batch_norm(net):
        yield "learning rates of BatchNorm statistics become 0, because these are measured and not learned"


def blob_changes(layers: tuple[LayerRecord, ...]) -> Iterator[str]:
    """What the upgrade changes in the blobs."""
    blobs = [blob for record in layers for blob in record.blobs]
    shapes = sum(blob.legacy_shape for blob in blobs)
    if shapes:
        yield f"{_count(shapes, 'blob')} with num, channels, height and width instead of a shape"
    unpacked = sum(not blob.packed for blob in blobs)
    if unpacked:
        yield f"{_count(unpacked, 'blob')} with unpacked values"
    video = sum(blob.dialect is C3D for blob in blobs)
    if video:
        yield f"{_count(video, 'blob')} with the field numbers of C3D"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"
