"""Writes a caffemodel as a stream: layers with headers and tensors, without loading the values.

The new file is a list of parts, and the size of each is known. Sizes are added first, then the parts are written once,
front to back, so the output can be a pipe. Unchanged parts are copied as ranges of the old file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from caffe_fcn import schema
from caffe_fcn.errors import WeightsError, located
from caffe_fcn.files.atomic import output_error
from caffe_fcn.files.blobs import RAW_TYPES, DType
from caffe_fcn.files.caffemodel import LayerRecord, WeightFile
from caffe_fcn.files.copying import Sink
from caffe_fcn.files.headers import as_forks_number_it, carry_unknown, merge_header
from caffe_fcn.files.parts import Content, Kept, Part, Stretch, Tensor, joined, size_of, write_parts
from caffe_fcn.files.wire import VARINT, encode_varint, prefix

_LAYER, _BLOBS, _SHAPE, _RAW_TYPE, _RAW = 100, 7, 7, 10, 12
"""The field numbers of a written layer, its blobs, and the fields in these."""
_DATA: dict[DType, int] = {"float32": 5, "float64": 8}
"""The fields for new values of these types; other types are written as NVCaffe's raw bytes."""


@dataclass(frozen=True)
class Entry:
    """A layer to be written: its HEADER, a LayerParameter without blobs, and its TENSORS.

    RECORD is the layer in the old file. Its header is kept except for the changes in HEADER; without HEADER all of it
    is kept.
    """

    header: schema.Message | None
    tensors: tuple[Tensor, ...]
    record: LayerRecord | None = None

    def __repr__(self) -> str:
        shapes = ", ".join("×".join(map(str, tensor.shape)) for tensor in self.tensors)
        return f"<Entry {self.name!r}: {shapes or 'no blobs'}>"

    @property
    def name(self) -> str:
        """The name of the layer in the new file."""
        if self.header is not None:
            return str(self.header.name)
        return "" if self.record is None else self.record.name

    @property
    def unchanged(self) -> bool:
        """Whether the layer is the same as the record, byte for byte."""
        if self.record is None or self.header is not None or len(self.tensors) != len(self.record.blobs):
            return False
        kept = [tensor.kept for tensor in self.tensors]
        pairs = zip(kept, self.record.blobs, strict=True)
        return all(each is not None and each.values is None and each.blob is blob for each, blob in pairs)


def write(
    weights: WeightFile,
    out: int | str | os.PathLike[str],
    layers: Sequence[Entry],
    *,
    progress: Callable[[int], None] | None = None,
    head: bytes | None = None,
    name: str | None = None,
) -> int:
    """Write LAYERS to OUT, an open descriptor or a path to be created or emptied, and return the number of bytes.
    LAYERS are the layers of WEIGHTS after the changes.

    If a file in a legacy format is changed, each of its layers needs a header in the current format. Weights from HDF5
    are always written anew. HEAD has the fields before the layers; it replaces all fields that are not layers.
    `progress` gets the number of bytes written so far. Errors call OUT by NAME.

    Raises WeightsError if the number of values of a tensor does not fit its shape, CaffemodelError if the source cannot
    be read, OutputError if OUT cannot be written, BrokenPipeError if the reader of a pipe has ended.
    """
    parts = joined(_parts(weights, layers, head))
    name = name or (os.fspath(out) if not isinstance(out, int) else "the output")
    try:
        if isinstance(out, int):
            write_parts(Sink(out, progress), parts)
            return size_of(parts)
        fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            write_parts(Sink(fd, progress), parts)
            return size_of(parts)
        finally:
            os.close(fd)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output_error(name, error, needed=size_of(parts)) from error


def _parts(weights: WeightFile, layers: Sequence[Entry], head: bytes | None) -> Iterator[Part]:
    """Return the parts of the new file."""
    places = {id(record): place for place, record in enumerate(weights.layers)}
    if any(entry.record is not None and id(entry.record) not in places for entry in layers):
        raise ValueError("layers of another file")
    unchanged = {id(entry) for entry in layers if entry.unchanged}
    afresh = weights.hdf5 or (weights.legacy and not len(unchanged) == len(layers) == len(weights.layers))
    rest = not (weights.hdf5 or head is not None)  # whether the bytes between the layers are kept
    yield weights.raw if head is None and weights.hdf5 else head or b""
    start = passed = 0
    for entry in layers:
        place = passed if entry.record is None else places[id(entry.record)] + 1
        for record in weights.layers[passed:place] if rest else ():
            yield Stretch(weights.source, start, record.span.start)
            start = record.span.end
        passed = max(passed, place)
        if entry.record is not None and id(entry) in unchanged and not afresh and entry.record.span.size:
            yield Stretch(weights.source, *entry.record.span)
        else:
            yield from _layer_parts(weights, entry)
    for record in weights.layers[passed:] if rest else ():
        yield Stretch(weights.source, start, record.span.start)
        start = record.span.end
    if rest:
        yield Stretch(weights.source, start, weights.size)


def _layer_parts(weights: WeightFile, entry: Entry) -> list[Part]:
    """Return the parts of a layer, as field `layer` of the net: the header, then the blobs."""
    parts: list[Part] = [_header_bytes(entry)]
    name = entry.name if entry.record is None else entry.record.name
    for position, tensor in enumerate(entry.tensors):
        with located(source=weights.path, layer=name, place=f"blob {position}"):
            inner = blob_parts(tensor)
        parts += [prefix(_BLOBS, size_of(inner)), *inner]
    return [prefix(_LAYER, size_of(parts)), *parts]


def _header_bytes(entry: Entry) -> bytes:
    """Return the header of a layer in the current format."""
    header, record = entry.header, entry.record
    if record is None:
        return b"" if header is None else bytes(as_forks_number_it(header).SerializeToString())
    if record.names_only:
        return bytes(schema.LayerParameter(name=(header or record.header).name).SerializeToString())
    if record.format in ("V2", "HDF5"):
        return record.raw if header is None else merge_header(record.raw, header)
    if header is None:
        raise ValueError(f"layer {record.name!r} in a legacy format needs a header in the current format")
    return carry_unknown(record.raw, header)


def blob_parts(tensor: Tensor) -> list[Part]:
    """Return the parts of the message of a blob."""
    kept = tensor.kept
    if kept is None:
        check_count(tensor)
        number = _DATA.get(tensor.dtype, _RAW)
        kind = b"" if number in _DATA.values() else _varint_field(_RAW_TYPE, RAW_TYPES.index(tensor.dtype))
        return [_shape_field(tensor.shape), kind, prefix(number, tensor.size), tensor]
    if kept.values is None:
        return [Stretch(kept.source, *kept.blob.span)]
    if kept.blob.absent:
        raise WeightsError(
            "its values are stored in a layer that shares it", hint="give the prototxt, which names that layer"
        )
    check_count(tensor)
    return [_shape_field(tensor.shape), *_fields(kept, kept.values)]


def _fields(kept: Kept, values: Mapping[int, Content]) -> Iterator[Part]:
    """Return the fields of a blob's message without its shape; VALUES replace fields of the same number."""
    dialect = kept.blob.dialect
    written: set[int] = set()
    for piece in kept.blob.pieces:
        if piece.number in dialect.dims or piece.number == dialect.shape:
            continue
        if piece.number not in values or piece.wire == VARINT:
            yield Stretch(kept.source, *piece.span)
        elif piece.number not in written:  # further pieces of the same values belong to the first
            written.add(piece.number)
            content = values[piece.number]
            yield prefix(dialect.renumbered.get(piece.number, piece.number), content.size)
            yield content


def _shape_field(shape: tuple[int, ...]) -> bytes:
    dims = b"".join(encode_varint(dim) for dim in shape)
    message = prefix(1, len(dims)) + dims if dims else b""
    return prefix(_SHAPE, len(message)) + message


def _varint_field(number: int, value: int) -> bytes:
    return encode_varint(number << 3 | VARINT) + encode_varint(value)


def check_count(tensor: Tensor) -> None:
    """Raise WeightsError if the number of values of TENSOR does not fit its shape."""
    expected = math.prod(tensor.shape)
    if tensor.counts != {expected}:
        shape = "×".join(map(str, tensor.shape))
        raise WeightsError(
            expected=f"{expected:,} values for the shape {shape}",
            found=", ".join(f"{count:,}" for count in sorted(tensor.counts)),
            hint="do these weights belong to another net?",
        )
