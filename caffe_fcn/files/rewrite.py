"""A caffemodel written in a stream: layers with headers and tensors, without loading any value.

The new file is a list of parts, each of a size known beforehand. Sizes are summed first, then the parts are written
once, front to back, so a pipe will do. What did not change is one range of the old file, unlooked at.
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
"""The fields, by number, that a written layer, its blobs, and what is in these stand in."""
_DATA: dict[DType, int] = {"float32": 5, "float64": 8}
"""The fields for new values of these types; others are NVCaffe's raw bytes."""


@dataclass(frozen=True)
class Entry:
    """A layer to be written: its HEADER, a LayerParameter without blobs, and its TENSORS.

    RECORD is the layer of the old file that it was, of whose header all is kept that HEADER does not change; without
    HEADER it keeps all of it.
    """

    header: schema.Message | None
    tensors: tuple[Tensor, ...]
    record: LayerRecord | None = None

    def __repr__(self) -> str:
        shapes = ", ".join("×".join(map(str, tensor.shape)) for tensor in self.tensors)
        return f"<Entry {self.name!r}: {shapes or 'no blobs'}>"

    @property
    def name(self) -> str:
        """The layer's name, as it is written."""
        if self.header is not None:
            return str(self.header.name)
        return "" if self.record is None else self.record.name

    @property
    def unchanged(self) -> bool:
        """Whether the layer is the record, byte for byte."""
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
    """Write LAYERS, what became of those of WEIGHTS, to OUT, an open descriptor or a path to be created or emptied;
    return the bytes.

    Where a file in a legacy format changes at all, each of its layers needs a header in the current one; and what comes
    from HDF5 is written anew. HEAD are the fields to stand in front of the layers in place of all that are no layers.
    `progress` gets the count of bytes written so far. NAME is what errors call OUT.

    Raises WeightsError where a tensor has other values than its shape asks for, CaffemodelError where the source cannot
    be read, OutputError where OUT cannot be written; a reader that left a pipe is a BrokenPipeError.
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
    """The parts of the new file."""
    places = {id(record): place for place, record in enumerate(weights.layers)}
    if any(entry.record is not None and id(entry.record) not in places for entry in layers):
        raise ValueError("layers of another file")
    unchanged = {id(entry) for entry in layers if entry.unchanged}
    afresh = weights.hdf5 or (weights.legacy and not len(unchanged) == len(layers) == len(weights.layers))
    rest = not (weights.hdf5 or head is not None)  # whether what lies between the layers is kept
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
    """A layer, as field `layer` of the net: the header, then the blobs."""
    parts: list[Part] = [_header_bytes(entry)]
    name = entry.name if entry.record is None else entry.record.name
    for position, tensor in enumerate(entry.tensors):
        with located(source=weights.path, layer=name, place=f"blob {position}"):
            inner = blob_parts(tensor)
        parts += [prefix(_BLOBS, size_of(inner)), *inner]
    return [prefix(_LAYER, size_of(parts)), *parts]


def _header_bytes(entry: Entry) -> bytes:
    """The header of a layer in the current format."""
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
    """The message of a blob."""
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
    """The fields of a blob's message but for its shape, with VALUES in the place of those of the same number."""
    dialect = kept.blob.dialect
    written: set[int] = set()
    for piece in kept.blob.pieces:
        if piece.number in dialect.dims or piece.number == dialect.shape:
            continue
        if piece.number not in values or piece.wire == VARINT:
            yield Stretch(kept.source, *piece.span)
        elif piece.number not in written:  # further pieces of the same values go with the first
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
    """Raise WeightsError unless TENSOR has as many values as its shape asks for."""
    expected = math.prod(tensor.shape)
    if tensor.counts != {expected}:
        shape = "×".join(map(str, tensor.shape))
        raise WeightsError(
            expected=f"{expected:,} values for the shape {shape}",
            found=", ".join(f"{count:,}" for count in sorted(tensor.counts)),
            hint="do these weights belong to another net?",
        )
