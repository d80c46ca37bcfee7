"""Reads an index of the initializers of an ONNX file: their names, shapes, and where their values are.

Only the wire format is read; the onnx package is not needed, and values stay on disk. Values may be in the file or in
a file beside it, which must be in the same folder. Every length is checked before it is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from math import prod
from types import TracebackType
from typing import NamedTuple

from caffe_fcn.errors import CaffemodelError
from caffe_fcn.files.blobs import ITEM_SIZE, BlobRecord, Dialect, DType, Run, Values, run_end
from caffe_fcn.files.source import Source, Span
from caffe_fcn.files.wire import LEN, VARINT, Reader, WireError, WireField, packed_varints, signed

_GRAPH, _OPSETS = 7, 8
"""Fields of ModelProto: the graph, and the operator sets, without which there is no model."""
_INITIALIZER = 5
"""GraphProto.initializer."""
_DIMS, _TYPE, _FLOATS, _NAME, _RAW, _DOUBLES, _EXTERNAL, _LOCATION = 1, 2, 4, 8, 9, 10, 13, 14
"""Fields of TensorProto."""
_ELSEWHERE = 1
"""TensorProto.DataLocation: the values are in another file."""
_TYPES: Mapping[int, DType] = {
    1: "float32",
    6: "int32",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
}
"""The types that are read, by TensorProto.DataType."""
_TYPED: Mapping[int, DType] = {_FLOATS: "float32", _DOUBLES: "float64"}
"""Fields with values of one type, one by one or packed."""
_FIELDS = Dialect(dims=(), shape=None, data=(_RAW, *_TYPED), types=_TYPED, raw={}, renumbered={})
_MAX_AXES, _LONGEST, _MAX_FILES = 32, 4096, 64
_DAMAGED = "the file is damaged or incomplete; download it again"


class Initializer(NamedTuple):
    """A constant of an ONNX graph. RECORD describes its values, which are in SOURCE; None if they are of a type, or
    stored in a way, that is not read."""

    name: str
    shape: tuple[int, ...]
    source: Source
    record: BlobRecord | None


class InitializerFile:
    """An open ONNX file and the files with its values, as a context manager that closes them."""

    def __init__(self, path: str, initializers: Mapping[str, Initializer], stack: ExitStack) -> None:
        self.path, self.initializers, self._stack = path, initializers, stack

    def __enter__(self) -> InitializerFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()


def is_onnx(path: str | os.PathLike[str], name: str | None = None) -> bool:
    """Return whether the file at PATH is an ONNX model, by its first fields; also one that is cut off within its graph
    or after it. Messages call it NAME. Raises CaffemodelError if it cannot be read."""
    with Source(path, name) as source:
        seen: set[tuple[int, int]] = set()
        try:
            for field in Reader(source.peek).fields(0, source.size):
                if not seen and (field.number, field.wire) != (1, VARINT):
                    return False
                seen.add((field.number, field.wire))
        except WireError as error:
            cut = source.read(error.offset, min(error.offset + 1, source.size)) == bytes([_GRAPH << 3 | LEN])
            return (1, VARINT) in seen and (cut or (_OPSETS, LEN) in seen)
        return {(1, VARINT), (_GRAPH, LEN), (_OPSETS, LEN)} <= seen


def open_initializers(path: str, name: str | None = None) -> InitializerFile:
    """Open and index the ONNX file at PATH. Messages call it NAME; then its folder is not known, and no other file is
    read.

    Raises CaffemodelError if it is damaged, or if values are outside of its folder or of a file.
    """
    with ExitStack() as stack:
        source = stack.enter_context(Source(path, name))
        index = _Index(source, None if name else os.path.dirname(os.path.abspath(path)), stack)
        try:
            found = {each.name: each for each in index.initializers()}
        except WireError as error:
            raise CaffemodelError(
                source=source.path, place=error.offset, expected=error.expected, found=error.found, hint=_DAMAGED
            ) from error
        return InitializerFile(source.path, found, stack.pop_all())


class _Index:
    """Walks over the fields of a file, from the model down to its tensors."""

    def __init__(self, source: Source, folder: str | None, stack: ExitStack) -> None:
        self.source, self.folder, self.stack = source, folder, stack
        self.reader = Reader(source.peek)
        self.others: dict[str, Source] = {}

    def initializers(self) -> Iterator[Initializer]:
        """Return all initializers of the graph. Raises WireError, CaffemodelError."""
        for field in self.reader.fields(0, self.source.size):
            if field.number == _GRAPH and field.wire == LEN:
                for part in self.reader.fields(field.payload, field.end):
                    if part.number == _INITIALIZER and part.wire == LEN:
                        yield self._tensor(Span(part.payload, part.end))

    def _tensor(self, span: Span) -> Initializer:
        dims: list[int] = []
        name, kind, elsewhere = "", 0, False
        runs: dict[int, list[Run]] = {}
        places: dict[str, str] = {}
        start = span.start
        while start < span.end:
            field = self.reader.field(start, span.end)
            start = run_end(self.source, field, span.end) if field.number in _TYPED else field.end
            if field.number == _DIMS:
                dims += self._varints(field, len(dims))
            elif field.number == _TYPE and field.wire == VARINT:
                kind = field.value
            elif field.number == _NAME and field.wire == LEN:
                name = self._text(field)
            elif field.number == _LOCATION and field.wire == VARINT:
                elsewhere = field.value == _ELSEWHERE
            elif field.number == _EXTERNAL and field.wire == LEN:
                places.update(self._entry(field))
            elif field.number == _RAW and field.wire == LEN:
                runs[_RAW] = [Run(Span(field.payload, field.end), ITEM_SIZE[_TYPES.get(kind, "bool")], 0)]
            elif field.number in _TYPED:
                runs.setdefault(field.number, []).append(_run(field, start, ITEM_SIZE[_TYPED[field.number]]))
        shape = tuple(signed(dim, 64) for dim in dims)
        if any(dim < 0 for dim in shape):
            raise WireError(span.start, "a shape without negative extents", str(shape))
        dtype = _TYPES.get(kind)
        if dtype is None:
            return Initializer(name, shape, self.source, None)
        if elsewhere:
            return self._external(name, shape, dtype, places)
        made = self._values(dtype, runs)
        if made is not None and made.count != prod(shape):
            raise WireError(span.start, f"{prod(shape):,} values of {name!r}", f"{made.count:,}")
        return Initializer(name, shape, self.source, None if made is None else _record(shape, made))

    def _values(self, dtype: DType, runs: Mapping[int, list[Run]]) -> Values | None:
        """Return the values in RUNS, by field; None if they are in a field that is not read."""
        size = ITEM_SIZE[dtype]
        for run in runs.get(_RAW, ()):
            # The type may follow the values in the file.
            if run.span.size % size:
                raise WireError(run.span.start, f"values of {size} bytes each", f"{run.span.size:,} bytes")
            return Values(_RAW, dtype, (Run(run.span, size, 0),) if run.span.size else ())
        for number, kind in _TYPED.items():
            if kind == dtype and not runs.keys() - {number}:
                return Values(number, dtype, tuple(run for run in runs.get(number, ()) if run.count))
        return None

    def _external(self, name: str, shape: tuple[int, ...], dtype: DType, places: Mapping[str, str]) -> Initializer:
        location = places.get("location", "")
        source = self._beside(name, location)
        size = prod(shape) * ITEM_SIZE[dtype]
        start = self._number(name, places, "offset", 0)
        if self._number(name, places, "length", size) != size or start + size > source.size:
            raise CaffemodelError(
                f"initializer {name!r}: expected {size:,} bytes from {start:,} on in {location!r}, "
                f"which has {source.size:,} bytes",
                source=self.source.path,
                hint=_DAMAGED,
            )
        runs = (Run(Span(start, start + size), ITEM_SIZE[dtype], 0),) if size else ()
        return Initializer(name, shape, source, _record(shape, Values(_RAW, dtype, runs)))

    def _beside(self, name: str, location: str) -> Source:
        """Return the file at LOCATION in the folder of the model, with values of the initializer NAME."""
        if location in self.others:
            return self.others[location]
        if self.folder is None:
            found, hint = f"a model whose folder is not known, and values in {location!r}", "name the file itself"
            raise CaffemodelError(source=self.source.path, expected="values in the file", found=found, hint=hint)
        folder = os.path.realpath(self.folder)
        path = os.path.realpath(os.path.join(folder, location.replace("\0", "")))
        if "\0" in location or not path.startswith(os.path.join(folder, "")):
            raise CaffemodelError(
                source=self.source.path,
                expected=f"values of {name!r} in a file in the folder of the model",
                found=repr(location),
            )
        if len(self.others) == _MAX_FILES:
            expected = f"values in at most {_MAX_FILES} files"
            raise CaffemodelError(source=self.source.path, expected=expected, found="more")
        self.others[location] = self.stack.enter_context(Source(path))
        return self.others[location]

    def _number(self, name: str, places: Mapping[str, str], key: str, default: int) -> int:
        text = places.get(key)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            expected = f"a number for {key} of initializer {name!r}"
            raise CaffemodelError(source=self.source.path, expected=expected, found=repr(text))
        return int(text)

    def _varints(self, field: WireField, known: int) -> list[int]:
        """Return the extents in FIELD, which follow KNOWN ones."""
        values = [field.value]
        if field.wire == LEN:
            size = field.end - field.payload
            values = packed_varints(self.source.read(field.payload, field.end), field.payload) if size < 400 else []
            known += _MAX_AXES * (size >= 400)
        if known + len(values) > _MAX_AXES:
            raise WireError(field.start, f"at most {_MAX_AXES} axes", "more")
        return values

    def _text(self, field: WireField) -> str:
        size = field.end - field.payload
        if size > _LONGEST:
            raise WireError(field.start, f"a name of at most {_LONGEST:,} bytes", f"{size:,} bytes")
        return self.source.read(field.payload, field.end).decode("utf-8", "backslashreplace")

    def _entry(self, field: WireField) -> dict[str, str]:
        """Return the key and the value of an entry of external_data."""
        parts = {part.number: self._text(part) for part in self.reader.fields(field.payload, field.end)}
        return {parts.get(1, ""): parts.get(2, "")}


def _run(field: WireField, end: int, size: int) -> Run:
    """Return the values in FIELD and, if they are not packed, in those like it up to END."""
    if field.wire != LEN and field.end - field.payload == size:
        return Run(Span(field.start, end), field.end - field.start, field.payload - field.start)
    if field.wire != LEN or (field.end - field.payload) % size:
        raise WireError(field.start, f"values of {size} bytes each", f"{field.end - field.payload:,} bytes")
    return Run(Span(field.payload, field.end), size, 0)


def _record(shape: tuple[int, ...], values: Values) -> BlobRecord:
    return BlobRecord(shape, False, _FIELDS, (values,), Span(0, 0), ())
