"""Tensors: the values of parameter blobs, with a known shape and type, read only when they are needed.

A `Tensor` is *stored* (a range of bytes in a file, or a repeated pattern), *reordered* (the values of another tensor in
another order) or *computed* (a function of other tensors). A computed tensor is a frozen dataclass derived from
`Tensor` that defines `shape`, `dtype` and `rows`; it needs no more memory than one panel of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from caffe_fcn.files.blobs import ITEM_SIZE, BlobRecord, DType, Values, read_stored
from caffe_fcn.files.parts import Chunk, Content, Kept, Stretch, stretches
from caffe_fcn.files.source import Source
from caffe_fcn.model.reorder import Reorder, reordered, rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

PANEL = 4 << 20
"""The bytes of a panel of rows; a single row is never divided."""

_STRIP = 1 << 18
"""How many values are read at once, where they cannot be copied."""

_NUMPY: Mapping[DType, str] = {"float16": "<f2", "float32": "<f4", "float64": "<f8"}


class Tensor(ABC):
    """Values of a known shape and type. They are written packed and little-endian."""

    if TYPE_CHECKING:  # at run time, dataclasses would take the property for the default of a field

        @property
        def shape(self) -> tuple[int, ...]:
            """The shape, in Caffe's order."""
            ...

        @property
        def dtype(self) -> DType:
            """The type of the values."""
            ...

    @abstractmethod
    def rows(self, first: int, last: int) -> NDArray[Any]:
        """The values first..last along the first axis: (last - first) × the other axes."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'×'.join(map(str, self.shape)) or 'a single value'} of {self.dtype}>"

    @property
    def count(self) -> int:
        """The number of values, by the shape."""
        return prod(self.shape)

    @property
    def size(self) -> int:
        """The number of bytes of the written values."""
        return self.count * ITEM_SIZE[self.dtype]

    @property
    def counts(self) -> Set[int]:
        """The possible numbers of values: `count`, unless a file holds another number."""
        return {self.count}

    @property
    def stretch(self) -> Stretch | None:
        """The range of a file that holds the values; None if there is no single range."""
        return None

    @property
    def kept(self) -> Kept | None:
        """The blob's message in a caffemodel; None for a new tensor."""
        return None

    @property
    def slack(self) -> Tensor | None:
        """The largest difference of each value to the same sum computed in another order, in single precision; None
        where values are copied and must be equal."""
        return None

    def reshaped(self, shape: tuple[int, ...]) -> Tensor:
        """The same values in another shape."""
        return Reshaped(self, shape)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The values start..stop, flat. Only the rows that contain them are computed."""
        width = prod(self.shape[1:])
        if stop <= start or not width:
            return self.rows(0, 0).reshape(-1)
        first = start // width
        return self.rows(first, -(-stop // width)).reshape(-1)[start - first * width : stop - first * width]

    def chunks(self) -> Iterator[Chunk]:
        """All values, in order."""
        import numpy as np

        rows, width = (self.shape[0], prod(self.shape[1:])) if self.shape else (1, 1)
        step = max(1, PANEL // max(1, width * ITEM_SIZE[self.dtype]))
        for first in range(0, rows if width else 0, step):
            panel = self.rows(first, min(first + step, rows))
            yield np.ascontiguousarray(panel, dtype=_NUMPY.get(self.dtype, panel.dtype))


class Moving(Tensor):
    """Values of another tensor, OF, at other places. A tensor derived from it is a frozen dataclass with this field."""

    if TYPE_CHECKING:
        of: Tensor

    @property
    def slack(self) -> Tensor | None:
        """That of the other, at the same places."""
        slack = self.of.slack
        return None if slack is None else replace(self, of=slack)  # type: ignore[type-var]


class _Flat(Tensor):
    """A tensor with random access to its values."""

    @abstractmethod
    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The values start..stop, flat."""

    def rows(self, first: int, last: int) -> NDArray[Any]:
        """The values at first..last of the first axis."""
        width = prod(self.shape[1:])
        return self.read(first * width, last * width).reshape(last - first, *self.shape[1:])

    def chunks(self) -> Iterator[Chunk]:
        """All values, in order."""
        for start in range(0, self.count, _STRIP):
            yield self.read(start, min(start + _STRIP, self.count))


@dataclass(frozen=True, repr=False)
class Stored(_Flat):
    """The values of a BLOB in a file, SOURCE: its field VALUES, in the shape of the file or one that is GIVEN."""

    source: Source
    blob: BlobRecord
    values: Values
    given: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The given shape, or that of the file."""
        return self.blob.shape if self.given is None else self.given

    @property
    def dtype(self) -> DType:
        """The type of the values in the file."""
        return self.values.dtype

    @property
    def counts(self) -> Set[int]:
        """The number of values in the file, if a shape was given."""
        return {self.count if self.given is None else self.values.count}

    @property
    def size(self) -> int:
        """The number of bytes of the values."""
        return self.values.size

    @property
    def stretch(self) -> Stretch | None:
        """The range of the file that holds the values; None if there are several."""
        spans = self.values.spans
        return Stretch(self.source, *spans[0]) if spans is not None and len(spans) == 1 else None

    @property
    def kept(self) -> Kept:
        """The blob's message. It stays unchanged unless the blob got a shape, or is in a dialect that Caffe does not
        read. A blob that got a shape is packed."""
        blob, foreign = self.blob, bool(self.blob.dialect.renumbered)
        if self.given is None and not foreign:
            return Kept(blob, self.source, None)
        fields: dict[int, Content] = {}
        if foreign or not blob.packed:
            fields = {values.number: Stored(self.source, blob, values) for values in blob.stored}
        return Kept(blob, self.source, fields)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The values start..stop, flat."""
        return read_stored(self.source, self.values, start, stop)

    def chunks(self) -> Iterator[Chunk]:
        """All values, as ranges of the file where they can be copied."""
        spans = self.values.spans
        if spans is not None:
            yield from stretches(self.source, spans)
        else:
            for start in range(0, self.values.count, _STRIP):
                yield self.read(start, min(start + _STRIP, self.values.count))

    def reshaped(self, shape: tuple[int, ...]) -> Tensor:
        """The same values in another shape."""
        return replace(self, given=shape)


@dataclass(frozen=True, repr=False)
class Reshaped(_Flat):
    """The values of another tensor in another shape with as many values."""

    of: Tensor
    shape: tuple[int, ...]

    @property
    def dtype(self) -> DType:
        """That of the other."""
        return self.of.dtype

    @property
    def counts(self) -> Set[int]:
        """How many values the other has."""
        return self.of.counts

    @property
    def slack(self) -> Tensor | None:
        """That of the other."""
        return self.of.slack

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The values start..stop, flat."""
        return self.of.read(start, stop)

    def chunks(self) -> Iterator[Chunk]:
        """Those of the other."""
        return self.of.chunks()


@dataclass(frozen=True, repr=False)
class Reordered(Moving, _Flat):
    """The values of another tensor in another order, in a shape with as many values."""

    of: Tensor
    order: Reorder
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.order.count != self.count:
            raise ValueError(f"{self.order.count:,} values in the shape {self.shape}")

    @property
    def dtype(self) -> DType:
        """That of the other."""
        return self.of.dtype

    @property
    def counts(self) -> Set[int]:
        """The numbers of values of the other tensor, in all fields that are reordered."""
        kept = self.of.kept
        return self.of.counts if kept is None else {values.count for values in kept.blob.stored}

    @property
    def kept(self) -> Kept | None:
        """The message of the other tensor, with all fields of values in the new order."""
        kept = self.of.kept
        if kept is None:
            return None
        fields: dict[int, Tensor] = {
            values.number: Stored(kept.source, kept.blob, values) for values in kept.blob.stored
        }
        fields.update((number, each) for number, each in (kept.values or {}).items() if isinstance(each, Tensor))
        return Kept(kept.blob, kept.source, {number: replace(self, of=each) for number, each in fields.items()})

    def reshaped(self, shape: tuple[int, ...]) -> Tensor:
        """The same values in another shape."""
        return replace(self, shape=shape)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The values start..stop, flat."""
        width = self.order.cols
        first = start // width if width else 0
        made = rows(self.of, self.order, first, -(-stop // width) if width else 0)
        return made.reshape(-1)[start - first * width : stop - first * width]

    def chunks(self) -> Iterator[Chunk]:
        """All values, a panel of rows at a time."""
        return reordered(self.of, self.order)


@dataclass(frozen=True, repr=False)
class Repeating(_Flat):
    """Values that no file holds: a PATTERN, repeated, such as zeros or a bilinear kernel."""

    shape: tuple[int, ...]
    pattern: tuple[float, ...]
    dtype: DType = "float32"

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The values start..stop, flat."""
        import numpy as np

        places = np.arange(start, stop) % len(self.pattern)
        return np.array(self.pattern, dtype=_NUMPY[self.dtype])[places]


@dataclass(frozen=True, repr=False)
class Columns(Moving, _Flat):
    """The columns FIRST..LAST of a matrix, OF, with COLUMNS columns, in a SHAPE with as many values."""

    of: Tensor
    columns: int
    first: int
    last: int
    shape: tuple[int, ...]

    @property
    def dtype(self) -> DType:
        """That of the other."""
        return self.of.dtype

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The values start..stop, flat."""
        import numpy as np

        width = self.last - self.first
        out = np.empty(stop - start, dtype=_NUMPY[self.dtype])
        done = start
        while done < stop:
            row, place = divmod(done, width)
            count = min(width - place, stop - done)
            begin = row * self.columns + self.first + place
            out[done - start : done - start + count] = self.of.read(begin, begin + count)
            done += count
        return out


@dataclass(frozen=True, repr=False)
class Cast(_Flat):
    """The values of another tensor in another type."""

    of: Tensor
    dtype: DType

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the other."""
        return self.of.shape

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The values start..stop, flat."""
        return self.of.read(start, stop).astype(_NUMPY[self.dtype], copy=False)

    def chunks(self) -> Iterator[Chunk]:
        """All values; those of the other tensor if the type is the same."""
        return self.of.chunks() if self.of.dtype == self.dtype else super().chunks()


def stored(source: Source, blob: BlobRecord) -> Stored:
    """The values that Caffe reads from BLOB, a blob of the file SOURCE."""
    return Stored(source, blob, blob.values)
