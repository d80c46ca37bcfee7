"""The streamed rewrite of a caffemodel: new headers and shapes, and the same values, without loading any.

The one idea: the new file is a list of parts, each of a length known beforehand: bytes made here, ranges
of the old file, and matrices in another order. Lengths are summed first, then the parts are written once,
front to back, so a pipe will do. What no edit names is one range of the old file, unlooked at.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple, TypeAlias

from caffe_fcn import schema
from caffe_fcn.errors import WeightsError
from caffe_fcn.files.atomic import output_error
from caffe_fcn.files.blobs import BlobRecord, Values
from caffe_fcn.files.caffemodel import LayerRecord, WeightFile
from caffe_fcn.files.copying import Sink
from caffe_fcn.files.headers import carry_unknown, merge_header
from caffe_fcn.files.reorder import Reorder, reordered
from caffe_fcn.files.source import Span
from caffe_fcn.files.wire import VARINT, encode_varint, prefix

_LAYER, _BLOBS, _SHAPE = 100, 7, 7
"""The fields, by number, that a rewritten layer, and its blobs' shapes, stand in."""

UpgradeHeader: TypeAlias = Callable[[schema.Message], schema.Message]


class BlobEdit(NamedTuple):
    """A blob's new shape, in Caffe's order and of as many values, and the order its values are to be in."""

    shape: tuple[int, ...]
    order: Reorder | None = None


@dataclass(frozen=True)
class LayerEdit:
    """A layer's new header, a LayerParameter without blobs, None to keep it; which of the blobs it TAKES, by position
    and in this order, None for all; and edits of blobs, by the position that they had."""

    header: schema.Message | None = None
    blobs: Mapping[int, BlobEdit] = field(default_factory=dict)
    takes: tuple[int, ...] | None = None

    def taken(self, layer: LayerRecord) -> list[tuple[int, BlobRecord]]:
        """The blobs of LAYER that it takes, with the positions that they had."""
        positions = range(len(layer.blobs)) if self.takes is None else self.takes
        return [(position, layer.blobs[position]) for position in positions]


DROP: tuple[LayerEdit, ...] = ()
"""The edit that leaves a layer out."""

Edits: TypeAlias = Mapping[int, Sequence[LayerEdit]]
"""The layers that stand in the place of one, by its position in WeightFile.layers. The first is that layer, changed;
those behind it are new."""


class _Matrix(NamedTuple):
    """Values to be written packed, in another order."""

    values: Values
    order: Reorder


_Part: TypeAlias = bytes | Span | _Matrix


def write(
    weights: WeightFile,
    out: int | str | os.PathLike[str],
    edits: Edits,
    *,
    progress: Callable[[int], None] | None = None,
    upgrade_header: UpgradeHeader | None = None,
    head: bytes | None = None,
    name: str | None = None,
) -> int:
    """Write WEIGHTS with EDITS to OUT, an open descriptor or a path to be created or emptied; return the bytes.

    Layers without an edit keep their bytes. Where a file in a legacy format has any edit, all of its layers
    become current ones, by `upgrade_header` (V1LayerParameter to LayerParameter) unless their edit has a
    header; and what comes from HDF5 is written anew. HEAD are the fields to stand in front of the layers in
    place of all that are no layers. `progress` gets the count of bytes written so far. NAME is what errors
    call OUT.

    Raises WeightsError where an edit does not suit a blob, CaffemodelError where the source cannot be read,
    OutputError where OUT cannot be written; a reader that left a pipe is a BrokenPipeError.
    """
    parts = _plan(weights, edits, upgrade_header, head)
    name = name or (os.fspath(out) if not isinstance(out, int) else "the output")
    try:
        if isinstance(out, int):
            return write_parts(weights, Sink(weights.source, out, progress), parts)
        fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            return write_parts(weights, Sink(weights.source, fd, progress), parts)
        finally:
            os.close(fd)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output_error(name, error, needed=_size(parts)) from error


def write_parts(weights: WeightFile, sink: Sink, parts: list[_Part]) -> int:
    """Write PARTS to SINK; return the bytes."""
    for part in parts:
        if isinstance(part, Span):
            sink.copy(*part)
        elif isinstance(part, bytes):
            sink.write(part)
        else:
            for strip in reordered(weights.source, part.values, part.order):
                sink.write(strip)
    return sink.written


def _size(parts: list[_Part]) -> int:
    return sum(
        part.size if isinstance(part, Span) else len(part) if isinstance(part, bytes) else part.values.size
        for part in parts
    )


def _plan(
    weights: WeightFile, edits: Edits, upgrade_header: UpgradeHeader | None, head: bytes | None = None
) -> list[_Part]:
    """The parts of the new file."""
    if unknown := set(edits) - set(range(len(weights.layers))):
        raise ValueError(f"edits of layers {sorted(unknown)}, of {len(weights.layers)} layers")
    if edits and weights.legacy and upgrade_header is None:
        raise ValueError("edits of a legacy caffemodel need upgrade_header")
    afresh = weights.hdf5 or bool(edits and weights.legacy)
    rest = not (weights.hdf5 or head is not None)  # whether what lies between the layers is kept
    parts: list[_Part] = [weights.raw if head is None and weights.hdf5 else head or b""]
    start = 0
    for position, layer in enumerate(weights.layers):
        changes = edits.get(position, (LayerEdit(),) if afresh or not layer.span.size else None)
        if changes is None:
            parts += [] if rest else [layer.span]
            continue
        parts += [Span(start, layer.span.start)] if rest else []
        start = layer.span.end
        for number, edit in enumerate(changes):
            parts += _layer_parts(weights, layer, edit, upgrade_header, new=number > 0)
    parts += [Span(start, weights.size)] if rest else []
    return _joined(parts)


def _joined(parts: list[_Part]) -> list[_Part]:
    """The same parts with neighbours of one kind as one, and none empty."""
    out: list[_Part] = []
    for made, group in groupby(parts, lambda part: isinstance(part, bytes)):
        if made:
            out.append(b"".join(part for part in group if isinstance(part, bytes)))
            continue
        for part in group:
            last = out[-1] if out else None
            if isinstance(part, Span) and isinstance(last, Span) and last.end == part.start:
                out[-1] = Span(last.start, part.end)
            else:
                out.append(part)
    return [part for part in out if _size([part])]


def _layer_parts(
    weights: WeightFile, layer: LayerRecord, edit: LayerEdit, upgrade_header: UpgradeHeader | None, *, new: bool
) -> list[_Part]:
    """A layer with its edit, as field `layer` of the net: the header, then the blobs. One that is NEW has nothing of
    the old header."""
    if unknown := set(edit.blobs) - set(range(len(layer.blobs))):
        raise WeightsError(
            f'{weights.path}: layer "{layer.name}": expected a blob {max(unknown)}, found {len(layer.blobs)} blobs; '
            "are these weights of another net?"
        )
    own = edit.header.SerializeToString() if new and edit.header is not None else None
    parts: list[_Part] = [_header_bytes(layer, edit.header, upgrade_header) if own is None else own]
    for position, blob in edit.taken(layer):
        inner = _blob_parts(blob, edit.blobs.get(position), f'{weights.path}: layer "{layer.name}", blob {position}')
        parts += [prefix(_BLOBS, _size(inner)), *inner]
    return [prefix(_LAYER, _size(parts)), *parts]


def _header_bytes(layer: LayerRecord, header: schema.Message | None, upgrade_header: UpgradeHeader | None) -> bytes:
    """The header of a layer in the current format."""
    if layer.names_only:
        return bytes(schema.LayerParameter(name=(header or layer.header).name).SerializeToString())
    if layer.format in ("V2", "HDF5"):
        return layer.raw if header is None else merge_header(layer.raw, header)
    if header is None and upgrade_header is not None:
        header = upgrade_header(layer.header)
    return carry_unknown(layer.raw, header)


def _blob_parts(blob: BlobRecord, edit: BlobEdit | None, place: str) -> list[_Part]:
    """A blob's message. It stays as it is unless it has an edit, or is in a dialect that Caffe does not read; one
    that has an edit is packed."""
    dialect, foreign = blob.dialect, bool(blob.dialect.renumbered)
    if edit is None and not foreign:
        return [blob.span]
    if blob.absent:
        raise WeightsError(f"{place}: not in the file but with a layer that shares it, and only a prototxt says which")
    if edit is not None:
        check_blob(blob, edit, place)
    order = edit.order if edit else None
    stored = {values.number: values for values in blob.stored} if foreign or order or not blob.packed else {}
    parts: list[_Part] = [_shape_field(edit.shape if edit else blob.shape)]
    written: set[int] = set()
    for piece in blob.pieces:
        if piece.number in dialect.dims or piece.number == dialect.shape:
            continue
        if piece.number not in stored or piece.wire == VARINT:
            parts.append(piece.span)
        elif piece.number not in written:  # further pieces of the same values go with the first
            written.add(piece.number)
            number = dialect.renumbered.get(piece.number, piece.number)
            values = stored[piece.number]
            parts += [prefix(number, values.size), *value_parts(values, order)]
    return parts


def _shape_field(shape: tuple[int, ...]) -> bytes:
    dims = b"".join(encode_varint(dim) for dim in shape)
    message = prefix(1, len(dims)) + dims if dims else b""
    return prefix(_SHAPE, len(message)) + message


def value_parts(values: Values, order: Reorder | None) -> list[_Part]:
    """VALUES side by side, put into another order if there is one."""
    spans = values.spans
    if order is not None or spans is None:
        return [_Matrix(values, order or Reorder(values.count, 1))]
    return list(spans)


def check_blob(blob: BlobRecord, edit: BlobEdit, place: str) -> None:
    """Refuse an edit that speaks of another count of values than the blob has."""
    counts = {math.prod(edit.shape), edit.order.count if edit.order else math.prod(edit.shape)}
    found = {blob.count} | {values.count for values in blob.stored if edit.order}
    if len(counts | found) > 1:
        shape = "×".join(map(str, edit.shape))
        raise WeightsError(
            f"{place}: expected {math.prod(edit.shape):,} values for the shape {shape}, "
            f"found {', '.join(f'{count:,}' for count in sorted(found))}; are these weights of another net?"
        )
