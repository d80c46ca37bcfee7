"""The layers of the weights of a model: headers, and tensors that can be read and changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from caffe_fcn.errors import NetError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.rewrite import Entry
from caffe_fcn.model.fitting import loads
from caffe_fcn.model.tensors import Stored, Tensor, stored
from caffe_fcn.net.blobs import current_shape
from caffe_fcn.net.shapes import Shape
from caffe_fcn.net.upgrade import upgrade_layer_header
from caffe_fcn.schema import Message


@dataclass(frozen=True, repr=False)
class Held(Entry):
    """A layer of the weights of a model, as it will be written."""

    tensors: tuple[Tensor, ...]


def held_in(weights: WeightFile) -> tuple[Held, ...]:
    """The layers of WEIGHTS, unchanged."""
    return tuple(
        Held(None, tuple(stored(weights.source, blob) for blob in record.blobs), record) for record in weights.layers
    )


def held_shapes(layers: Iterable[Entry]) -> dict[str, list[Shape]]:
    """The shapes of the parameter blobs of LAYERS by layer name; without layers that lack a blob."""
    return {
        entry.name: [tensor.shape for tensor in entry.tensors]
        for entry in layers
        if entry.tensors and not any(tensor.kept is not None and tensor.kept.blob.absent for tensor in entry.tensors)
    }


def current_header(entry: Entry, types: Mapping[str, str]) -> Message:
    """The header of ENTRY as a LayerParameter, whatever its format. TYPES: the types of the net's layers by name; they
    take precedence over a legacy number."""
    if entry.header is not None or entry.record is None:
        return entry.header
    header = entry.record.header
    if entry.record.format not in ("V1", "V0"):
        return header
    try:
        return upgrade_layer_header(header, type_name=types.get(entry.name))
    except NetError:
        if entry.name in types:
            raise
        return upgrade_layer_header(header, type_name="Unknown")


def with_current_headers(layers: Iterable[Held], types: Mapping[str, str]) -> tuple[Held, ...]:
    """LAYERS, with a header in the current format for each layer of a legacy format."""
    return tuple(
        replace(entry, header=current_header(entry, types))
        if entry.header is None and entry.record is not None and entry.record.format in ("V1", "V0")
        else entry
        for entry in layers
    )


def with_current_shapes(
    layers: Iterable[Held], types: Mapping[str, str], params: Mapping[str, Sequence[Shape]]
) -> tuple[Held, ...]:
    """LAYERS, with a shape for every blob that has a legacy shape or unpacked values.

    TYPES: the types of the net's layers by name; the file has the types of other layers. PARAMS: the shapes that the
    net gives the blobs; for other blobs the shape follows from the type.
    """
    return tuple(_with_current_shapes(entry, types, params) for entry in layers)


def _with_current_shapes(entry: Held, types: Mapping[str, str], params: Mapping[str, Sequence[Shape]]) -> Held:
    if entry.record is None or not any(map(_is_old, entry.tensors)):
        return entry
    kind = types.get(entry.name) or current_header(entry, types).type
    told = params.get(entry.name, ())
    return replace(
        entry,
        tensors=tuple(
            tensor.reshaped(told[index] if index < len(told) else current_shape(kind, index, tensor.shape))
            if _is_old(tensor)
            else tensor
            for index, tensor in enumerate(entry.tensors)
        ),
    )


def _is_old(tensor: Tensor) -> bool:
    """Whether TENSOR is an unchanged blob of a file in an encoding that is no longer written."""
    return isinstance(tensor, Stored) and tensor.given is None and (tensor.blob.legacy_shape or not tensor.blob.packed)


def fitted(entry: Held, params: Sequence[Shape]) -> Held:
    """ENTRY, with the shapes PARAMS for those blobs of a file that Caffe would refuse although only axes of length 1
    differ."""
    pairs = zip(entry.tensors, params, strict=False)
    shaped = [tensor.reshaped(shape) if _misses(tensor, shape) else tensor for tensor, shape in pairs]
    tensors = (*shaped, *entry.tensors[len(shaped) :])
    same = all(one is other for one, other in zip(tensors, entry.tensors, strict=True))
    return entry if same else replace(entry, tensors=tensors)


def _misses(tensor: Tensor, shape: Shape) -> bool:
    return isinstance(tensor, Stored) and tensor.given is None and not loads(tensor.blob, shape)
