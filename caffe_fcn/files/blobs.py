"""Describes the blobs of a caffemodel: their shape, and the place of their values in any encoding.

The values of a blob are runs of evenly spaced bytes. A packed field is a run without gaps, an unpacked one a run with
a tag before every value, and a field in several pieces is several runs. So readers of values do not depend on the
encoding.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from caffe_fcn.files.source import Source, Span
from caffe_fcn.files.wire import I32, I64, LEN, VARINT, Reader, WireError, WireField, packed_varints, signed

if TYPE_CHECKING:
    from numpy.typing import NDArray

DType = Literal["float16", "float32", "float64", "int32", "uint32", "bool"]

ITEM_SIZE: Mapping[DType, int] = {"float16": 2, "float32": 4, "float64": 8, "int32": 4, "uint32": 4, "bool": 1}
_NUMPY: Mapping[DType, str] = {
    "float16": "<f2",
    "float32": "<f4",
    "float64": "<f8",
    "int32": "<i4",
    "uint32": "<u4",
    "bool": "u1",
}
RAW_TYPES: tuple[DType, ...] = ("float64", "float32", "float16", "int32", "uint32", "bool")
"""The types of NVCaffe's raw values, by NVCaffe's number."""
_MAX_AXES = 32
_SCAN = 1 << 20


class Dialect(NamedTuple):
    """The field numbers of a blob; `data` has the fields that a net reads, the first choice first."""

    dims: tuple[int, ...]
    shape: int | None
    data: tuple[int, ...]
    types: Mapping[int, DType]
    raw: Mapping[int, int]
    """Fields of bytes; each with the field that has the type of the values."""
    renumbered: Mapping[int, int]
    """Fields of values that Caffe reads under another number. If a blob has one, Caffe cannot read the blob."""


BVLC = Dialect(
    dims=(1, 2, 3, 4),
    shape=7,
    data=(8, 5, 12),
    types={5: "float32", 6: "float32", 8: "float64", 9: "float64"},
    raw={12: 10, 13: 11},  # NVCaffe prefers it to data; it never writes both
    renumbered={},
)
# C3D 1.0 inserted the length of a video, so its fifth dimension has the field number that others use for data.
C3D = Dialect(
    dims=(1, 2, 3, 4, 5),
    shape=None,
    data=(6,),
    types={6: "float32", 7: "float32"},
    raw={},
    renumbered={6: 5, 7: 6},
)
# An HDF5 file has no such fields: these are the fields of its values in a caffemodel.
HDF5 = Dialect(
    dims=(),
    shape=None,
    data=(8, 5),
    types={5: "float32", 8: "float64"},
    raw={},
    renumbered={5: 5, 8: 8},
)


class Piece(NamedTuple):
    """A field of a blob, or neighbouring unpacked values of one field; the span includes tags."""

    number: int
    wire: int
    span: Span


@dataclass(frozen=True)
class Run:
    """Evenly spaced values: each takes `stride` bytes, and the first `lead` of them are a tag."""

    span: Span
    stride: int
    lead: int

    @property
    def count(self) -> int:
        """The number of values."""
        return self.span.size // self.stride


@dataclass(frozen=True)
class Repeated:
    """Values that are in no file: PATTERN is repeated until there are COUNT values."""

    pattern: tuple[float, ...]
    count: int


@dataclass(frozen=True)
class Values:
    """All values of one field of a blob, in order."""

    number: int
    dtype: DType
    runs: tuple[Run | Repeated, ...]

    @property
    def spans(self) -> tuple[Span, ...] | None:
        """The places of the values in the file, if they are contiguous; None if they are not, or are in no file."""
        runs = [run for run in self.runs if isinstance(run, Run) and not run.lead]
        return tuple(run.span for run in runs) if len(runs) == len(self.runs) else None

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The index of the first value of each run; the last element is the number of all values."""
        return tuple(accumulate((run.count for run in self.runs), initial=0))

    @property
    def count(self) -> int:
        """The number of values."""
        return self.starts[-1]

    @property
    def size(self) -> int:
        """The size of the packed values in bytes."""
        return self.count * ITEM_SIZE[self.dtype]


_NO_VALUES = Values(5, "float32", ())


@dataclass(frozen=True)
class BlobRecord:
    """A blob in a file: its shape, type and place, without the values."""

    shape: tuple[int, ...]
    """The shape as the file gives it."""
    legacy_shape: bool
    """The shape is given as num, channels, height, width, not in `shape`."""
    dialect: Dialect
    stored: tuple[Values, ...]
    """All fields that hold values, data and diff; Caffe reads the first of those that hold data."""
    span: Span
    pieces: tuple[Piece, ...]

    def __repr__(self) -> str:
        return f"<BlobRecord {'×'.join(map(str, self.shape)) or 'a single value'}: {self.count:,} of {self.dtype}>"

    @property
    def values(self) -> Values:
        """The values that Caffe reads; no values if the blob has none."""
        found = {values.number: values for values in self.stored}
        return next((found[number] for number in self.dialect.data if number in found), _NO_VALUES)

    @property
    def dtype(self) -> DType:
        """The type of the values."""
        return self.values.dtype

    @property
    def count(self) -> int:
        """The number of values in the file. In a damaged file it can differ from the shape."""
        return self.values.count

    @property
    def data(self) -> tuple[Span, ...]:
        """The places of the values, with the tags between them."""
        return tuple(run.span for run in self.values.runs if isinstance(run, Run))

    @property
    def packed(self) -> bool:
        """Whether the values are packed, without a tag before each value."""
        return self.values.spans is not None

    @property
    def absent(self) -> bool:
        """Whether the blob is not in the file, because HDF5 stores a shared blob only with its first layer."""
        return self.dialect is HDF5 and not self.shape and not self.stored


def read_blob(source: Source, reader: Reader, span: Span) -> BlobRecord:
    """Return the blob whose message is at SPAN. Raises WireError if there is no such message."""
    pieces, fields = [], []
    start = span.start
    while start < span.end:
        field = reader.field(start, span.end)
        end = run_end(source, field, span.end)
        fields.append(field)
        pieces.append(Piece(field.number, field.wire, Span(start, end)))
        start = end
    dialect = C3D if any(field.number == 5 and field.wire == VARINT for field in fields) else BVLC
    dims = {field.number: field.value for field in fields if field.number in dialect.dims and field.wire == VARINT}
    if dims:  # in Caffe too they take precedence over `shape`
        shape = tuple(signed(dims.get(number, 0), 32) for number in dialect.dims)
    else:
        shape = _read_shape(source, reader, [f for f in fields if f.number == dialect.shape and f.wire == LEN])
    if len(shape) > _MAX_AXES or any(dim < 0 for dim in shape):
        raise WireError(span.start, f"a shape of at most {_MAX_AXES} axes, none negative", f"{shape[: _MAX_AXES + 1]}")
    stored = _stored(dialect, fields, pieces)
    return BlobRecord(shape, bool(dims), dialect, stored, span, tuple(pieces))


def run_end(source: Source, field: WireField, end: int) -> int:
    """Return the end of FIELD. If FIELD is an unpacked value, the values of the same field that follow belong to it."""
    stride = field.end - field.start
    if field.wire not in (I32, I64) or field.payload - field.start != 1:
        return field.end
    tag = source.read(field.start, field.payload)
    start = field.end
    while (count := min((end - start) // stride, _SCAN // stride)) > 0:
        tags = source.read(start, start + count * stride)[::stride]
        same = count - len(tags.lstrip(tag))
        start += same * stride
        if same < count:
            break
    return start


def _read_shape(source: Source, reader: Reader, shapes: list[WireField]) -> tuple[int, ...]:
    """Return the dimensions in a blob's `shape` fields; if there are several fields, they are joined."""
    dims: list[int] = []
    for shape in shapes:
        for field in reader.fields(shape.payload, shape.end):
            if field.number == 1 and field.wire == VARINT:
                dims.append(field.value)
            elif field.number == 1 and field.wire == LEN:
                if field.end - field.payload > _MAX_AXES * 10:
                    raise WireError(field.start, f"at most {_MAX_AXES} dimensions", "more")
                dims += packed_varints(source.read(field.payload, field.end), field.payload)
    return tuple(signed(dim, 64) for dim in dims)


def _stored(dialect: Dialect, fields: list[WireField], pieces: list[Piece]) -> tuple[Values, ...]:
    """Return the values of each field that has some, in the order of the field numbers."""
    types = {field.number: field.value for field in fields if field.wire == VARINT}
    runs: dict[int, list[Run]] = {}
    dtypes: dict[int, DType] = dict(dialect.types)
    for field, piece in zip(fields, pieces, strict=True):
        number = field.number
        if number in dialect.raw and field.wire == LEN and dialect.raw[number] in types:
            dtypes[number] = _raw_type(types[dialect.raw[number]], field)
            runs[number] = []  # several fields of bytes are not joined: the last one counts
        if number not in dtypes or field.wire == VARINT:
            continue
        size = ITEM_SIZE[dtypes[number]]
        if field.wire == LEN:
            run = Run(Span(field.payload, field.end), size, 0)
        elif number in dialect.types and field.end - field.payload == size:
            run = Run(piece.span, field.end - field.start, field.payload - field.start)
        else:
            continue
        if run.span.size % run.stride:
            raise WireError(field.start, f"values of {size} bytes each", f"{run.span.size:,} bytes")
        runs.setdefault(number, []).append(run)
    return tuple(
        values for n in sorted(runs) if (values := Values(n, dtypes[n], tuple(r for r in runs[n] if r.count))).count
    )


def _raw_type(value: int, field: WireField) -> DType:
    if value >= len(RAW_TYPES):
        raise WireError(field.start, f"raw data of a type from 0 to {len(RAW_TYPES) - 1}", f"type {value}")
    return RAW_TYPES[value]


def empty(dtype: DType, count: int) -> NDArray[Any]:
    """Return an empty array for COUNT values of the type in which values of DTYPE are stored."""
    import numpy as np

    return np.empty(count, dtype=_NUMPY[dtype])


def read_stored(source: Source, values: Values, start: int, stop: int) -> NDArray[Any]:
    """Return values start..stop as they are stored, in an array with one axis. It needs memory only for this slice."""
    out = empty(values.dtype, stop - start)
    index = bisect_right(values.starts, start) - 1
    done = 0
    while done < len(out):
        run = values.runs[index]
        skip = start + done - values.starts[index]
        count = min(len(out) - done, run.count - skip)
        _read_run(source, run, skip, out[done : done + count])
        done, index = done + count, index + 1
    return out


def repeated(shape: tuple[int, ...], pattern: tuple[float, ...]) -> BlobRecord:
    """Return a blob of SHAPE that is in no file and repeats the values of PATTERN."""
    values = Values(5, "float32", (Repeated(pattern, prod(shape)),))
    return BlobRecord(shape, False, HDF5, (values,), Span(0, 0), (Piece(5, LEN, Span(0, 0)),))


def _read_run(source: Source, run: Run | Repeated, skip: int, out: NDArray[Any]) -> None:
    """Fill OUT with the values of RUN; the first SKIP values are left out."""
    import numpy as np

    if isinstance(run, Repeated):
        places = np.arange(skip, skip + len(out)) % len(run.pattern)
        with np.errstate(over="ignore"):
            out[:] = np.array(run.pattern, dtype=out.dtype)[places]
        return
    start = run.span.start + skip * run.stride
    if not run.lead:
        source.read_into(out.data.cast("B"), start)
        return
    pair = np.dtype([("tag", f"V{run.lead}"), ("value", out.dtype)])
    out[:] = np.frombuffer(source.read(start, start + len(out) * run.stride), pair)["value"]
