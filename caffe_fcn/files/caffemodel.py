"""Reads an index of a caffemodel: the parsed headers of its layers, and where in the file the values of blobs are.

Almost all of a caffemodel is values, and a rewrite reads none of them. Everything of a layer except its blobs becomes
a message of the schema, with the fields that no schema has; each blob becomes a record of byte ranges. The values
stay on disk, so memory does not grow with the model. Every length is checked before it is used. The file is read by
bounded reads and not mapped: a mapping counts as memory, and truncating a mapped file kills the process.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from caffe_fcn import schema
from caffe_fcn.display import printable, visible
from caffe_fcn.errors import CaffemodelError
from caffe_fcn.files.blobs import C3D, BlobRecord, read_blob, read_stored
from caffe_fcn.files.headers import parse_header
from caffe_fcn.files.recognition import HEAD, kind_of
from caffe_fcn.files.source import Source, Span
from caffe_fcn.files.wire import LEN, Reader, WireError, WireField

if TYPE_CHECKING:
    from numpy.typing import NDArray

Format = Literal["V2", "V1", "V0", "HDF5"]

MAX_HEADERS = 64 << 20
"""The maximum size in bytes of all parts of a caffemodel except the blobs."""

_DAMAGED = "the file is damaged or incomplete; download it again"
_HDF5 = b"\x89HDF\r\n\x1a\n"


class _Place(NamedTuple):
    """The fields in which a layer of one format has its name and its blobs."""

    message: str
    name: int
    blobs: int


_PLACES: dict[Format, _Place] = {
    "V2": _Place("LayerParameter", 1, 7),
    "V1": _Place("V1LayerParameter", 4, 6),
    "V0": _Place("V0LayerParameter", 1, 50),
}
_LAYERS: dict[int, Format] = {100: "V2", 2: "V1"}
_V0_LAYER = 1


@dataclass
class LayerRecord:
    """A layer in a file. The header is a LayerParameter without blobs; in V1 and V0 it is a V1LayerParameter, and in
    HDF5 it has only the name."""

    name: str
    """The layer's name."""
    format: Format
    """The format of the layer."""
    header: schema.Message
    """The layer as a message, without its blobs."""
    blobs: tuple[BlobRecord, ...]
    """The parameter blobs, in Caffe's order: weights first, then the bias."""
    span: Span
    """The whole layer, with its tag and length."""
    raw: bytes = field(repr=False)
    """The bytes of the header in the file; in V0 without the inner `layer`."""
    names_only: bool = False
    """Whether only the name is written as the header, because the other fields have no field numbers."""

    def __repr__(self) -> str:
        kind = f" ({printable(self.header.type)})" if self.format == "V2" and self.header.type else ""
        shapes = ", ".join("×".join(map(str, blob.shape)) for blob in self.blobs)
        return f"<LayerRecord {self.name!r}{kind}: {shapes or 'no blobs'}>"


class WeightFile:
    """An open file of weights; the values stay on disk. A context manager that closes the file."""

    layers: tuple[LayerRecord, ...]
    """The layers in the order of the file. Names can repeat, for example in different phases."""
    net_header: schema.Message
    """The NetParameter without its layers: name, input and other fields."""

    def __init__(
        self, source: Source, layers: tuple[LayerRecord, ...], net_header: schema.Message, raw: bytes = b""
    ) -> None:
        self.source = source
        self.layers = layers
        self.net_header = net_header
        self.raw = raw
        """The bytes of the net header in the file."""

    def __repr__(self) -> str:
        held = sum(bool(layer.blobs) for layer in self.layers)
        return f"<WeightFile {self.path}: {len(self.layers)} layers, {held} of them with blobs>"

    @property
    def path(self) -> str:
        """The path that was opened."""
        return self.source.path

    @property
    def size(self) -> int:
        """The size of the file in bytes."""
        return self.source.size

    @cached_property
    def legacy(self) -> bool:
        """Whether layers are in an old format, V1 or V0."""
        return any(layer.format in ("V1", "V0") for layer in self.layers)

    @cached_property
    def hdf5(self) -> bool:
        """Whether it is an HDF5 file."""
        return any(layer.format == "HDF5" for layer in self.layers)

    @cached_property
    def bare(self) -> bool:
        """Whether the file has only names and values and no net: an HDF5 file, or a caffemodel made from one."""
        return not self.legacy and not any(layer.header.type for layer in self.layers)

    @cached_property
    def held(self) -> dict[str, tuple[BlobRecord, ...]]:
        """The blobs of each layer that has blobs. If a name repeats, the last layer counts, as in Caffe."""
        return {record.name: record.blobs for record in self.layers if record.blobs}

    def read_values(self, blob: BlobRecord, start: int, stop: int) -> NDArray[Any]:
        """Return values start..stop of BLOB as a flat array: float64 if the file has doubles or integers, else float32.

        It needs memory only for that slice. Raises ValueError if the shape of the blob has no such values,
        CaffemodelError if the file has fewer values.
        """
        if not 0 <= start <= stop <= max(blob.count, math.prod(blob.shape)):
            raise ValueError(f"start, stop: expected 0 <= start <= stop <= {blob.count}, found {start} and {stop}")
        if stop > blob.count:
            found = f"only {blob.count:,}; {_DAMAGED}"
            raise CaffemodelError(source=self.path, place=blob.span.start, expected=f"{stop:,} values", found=found)
        values = read_stored(self.source, blob.values, start, stop)
        return values.astype("float32" if blob.dtype in ("float16", "float32") else "float64", copy=False)

    def close(self) -> None:
        """Close the file. The records stay readable; the values do not."""
        self.source.close()

    def __enter__(self) -> WeightFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def open_caffemodel(path: str | os.PathLike[str], name: str | None = None) -> WeightFile:
    """Open and index the binary caffemodel at PATH, of any format from V0 to the current one. Messages call it NAME.

    Only headers are read. Raises CaffemodelError if PATH is not a readable caffemodel, or is truncated or damaged. The
    message gives the byte offset and, within a layer, the name of the layer.
    """
    with ExitStack() as stack:
        source = stack.enter_context(Source(path, name))
        _check_kind(source)
        weights = _Indexer(source).index()
        stack.pop_all()
    return weights


def _check_kind(source: Source) -> None:
    """Refuse files whose first bytes show another format."""
    if not source.size:
        raise CaffemodelError(
            source=source.path, expected="a caffemodel", found="an empty file", hint="download it again"
        )
    start = source.read(0, min(source.size, HEAD))
    kind = "an HDF5 file; open it with `open_weights`" if start.startswith(_HDF5) else kind_of(start)
    if kind is not None:
        raise CaffemodelError(source=source.path, expected="a binary caffemodel", found=kind)


def _guess_kind(source: Source) -> str | None:
    """Guess from the first bytes what kind of file SOURCE is, if it is not a caffemodel; None if it is unknown."""
    start = source.read(0, min(source.size, 1024))
    if re.search(rb"[^\t\n\v\f\r\x20-\xff]", start):
        # Solver states and mean images begin with a number in field 1, where a net has its name.
        return "a solverstate or a binaryproto; give the .caffemodel instead" if start[0] == 1 << 3 else None
    return "text; this is a prototxt; are the arguments swapped?"


class _Indexer:
    """Walks over a file, from the net down to the fields of its blobs."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.reader = Reader(source.peek)
        self.headers = 0
        self.layers: list[LayerRecord] = []
        self.layer: str | None = None
        """The name of the layer that is being read; "" before its name is known."""

    def index(self) -> WeightFile:
        """Return the index of the whole file."""
        others: list[Span] = []
        try:
            for part in self.reader.fields(0, self.source.size):
                if part.number in _LAYERS and part.wire == LEN:
                    self.layers.append(self._layer(part))
                    self.layer = None
                else:
                    others.append(Span(part.start, part.end))
            if not self.layers:
                raise WireError(0, "a net", "one without layers")
            raw = self._header(others)
            net_header = self._parse("NetParameter", raw, 0)
            if len({layer.format == "V2" for layer in self.layers}) > 1:
                raise WireError(0, "layers of one format", "both `layer` and `layers`, which Caffe refuses")
        except WireError as error:
            raise self._error(error) from error
        layers = tuple(self.layers)
        if any(blob.dialect is C3D for layer in layers for blob in layer.blobs):  # its headers use other numbers
            layers = tuple(replace(layer, names_only=True) for layer in layers)
        return WeightFile(self.source, layers, net_header, raw)

    def _error(self, error: WireError) -> CaffemodelError:
        """Return the CaffemodelError for bytes that are not as expected."""
        if not self.layers and (kind := _guess_kind(self.source)):
            return CaffemodelError(source=self.source.path, expected="a binary caffemodel", found=kind)
        nameless = f"offset {error.offset} (layer {len(self.layers) + 1})"
        return CaffemodelError(
            source=self.source.path,
            place=nameless if self.layer == "" else error.offset,
            layer=self.layer or None,
            expected=error.expected,
            found=error.found,
            hint=_DAMAGED,
        )

    def _layer(self, record: WireField) -> LayerRecord:
        """Return the layer in field RECORD of the net."""
        self.layer = ""
        form = _LAYERS[record.number]
        headers, blobs = self._split(form, Span(record.payload, record.end))
        raw = self._header(span for span, nested in headers if not nested)
        header = self._parse(_PLACES[form].message, raw, record.start)
        inner = [span for span, nested in headers if nested]
        if inner:
            form, inside = "V0", []
            for span in inner:
                more, found = self._split("V0", span)
                inside += [part for part, _ in more]
                blobs += found
            header.layer.MergeFrom(self._parse("V0LayerParameter", self._header(inside), record.start))
        name = header.layer.name if form == "V0" else header.name
        self.layer = name
        return LayerRecord(name, form, header, tuple(blobs), Span(record.start, record.end), raw)

    def _split(self, form: Format, span: Span) -> tuple[list[tuple[Span, bool]], list[BlobRecord]]:
        """Return the fields of the layer message at SPAN that are not blobs, joined if they are neighbours, and its
        blobs.

        A field that is the V0 layer inside a V1 layer is marked True; its span has no tag and length.
        """
        headers: list[tuple[Span, bool]] = []
        blobs: list[BlobRecord] = []
        place = _PLACES[form]
        for part in self.reader.fields(*span):
            if part.wire == LEN and part.number == place.blobs:
                blobs.append(read_blob(self.source, self.reader, Span(part.payload, part.end)))
                continue
            if part.wire == LEN and part.number == place.name:
                self._remember_name(part)
            if form == "V1" and part.wire == LEN and part.number == _V0_LAYER:
                headers.append((Span(part.payload, part.end), True))
            elif headers and headers[-1][0].end == part.start and not headers[-1][1]:
                headers[-1] = (Span(headers[-1][0].start, part.end), False)
            else:
                headers.append((Span(part.start, part.end), False))
        return headers, blobs

    def _remember_name(self, part: WireField) -> None:
        """Remember a layer's name for errors within the layer, even if it is damaged or long."""
        name = self.source.read(part.payload, min(part.end, part.payload + 80)).decode("utf-8", "backslashreplace")
        self.layer = visible(name)

    def _header(self, spans: Iterable[Span]) -> bytes:
        """Return the bytes at SPANS. Raises an error if all headers together are too large."""
        spans = list(spans)
        self.headers += sum(span.size for span in spans)
        if self.headers > MAX_HEADERS:
            found = f"{self.headers:,} bytes"
            raise WireError(
                spans[0].start, f"headers (everything except the blobs) of at most {MAX_HEADERS:,} bytes", found
            )
        return b"".join(self.source.read(*span) for span in spans)

    def _parse(self, message: str, data: bytes, offset: int) -> schema.Message:
        """Parse the header in DATA as a message of the schema."""
        parsed = parse_header(message, data)
        if parsed is None:
            raise WireError(offset, f"a {message}", "other bytes")
        if not _is_text(parsed):
            raise WireError(offset, f"a {message} with text in UTF-8", "other bytes")
        return parsed


def _is_text(message: schema.Message) -> bool:
    """Return whether all strings of MESSAGE are UTF-8; protobuf returns other strings as bytes."""
    for descriptor, value in message.ListFields():
        items = value if isinstance(value, Iterable) and not isinstance(value, str | bytes) else (value,)
        if descriptor.message_type is not None:
            fine = all(map(_is_text, items))
        else:
            fine = descriptor.type != descriptor.TYPE_STRING or not any(isinstance(item, bytes) for item in items)
        if not fine:
            return False
    return True
