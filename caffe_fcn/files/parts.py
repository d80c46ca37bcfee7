"""The parts of a file to be written: bytes, stretches of open files, and contents that are computed during writing.

The size of each part is known before it is written. So sizes can be added first, and a file is written once, front to
back. A writer of weights gets tensors and uses only what `Tensor` declares: it does not know where the values come from
and whether they are computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import groupby
from typing import Any, NamedTuple, Protocol, TypeAlias

from caffe_fcn.files.blobs import BlobRecord, DType
from caffe_fcn.files.copying import Sink
from caffe_fcn.files.source import Source, Span


class Stretch(NamedTuple):
    """Bytes start..end of an open file."""

    source: Source
    start: int
    end: int

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self.end - self.start


Chunk: TypeAlias = Any
"""A `Stretch`, which is copied without being read by this process, or a contiguous buffer."""


class Content(Protocol):
    """Bytes that are computed or read chunk by chunk."""

    @property
    def size(self) -> int:
        """The size in bytes."""
        ...

    def chunks(self) -> Iterator[Chunk]:
        """Return all chunks in order."""
        ...


class Kept(NamedTuple):
    """The message of a blob in a file. It is kept except for its shape and some of its values."""

    blob: BlobRecord
    source: Source
    values: Mapping[int, Content] | None
    """The new contents of the fields of values, by number; None if everything stays, the shape too."""


class Tensor(Content, Protocol):
    """The values of a parameter blob, packed and little-endian."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, in Caffe's order."""
        ...

    @property
    def dtype(self) -> DType:
        """The type of the values."""
        ...

    @property
    def counts(self) -> Set[int]:
        """The possible numbers of values: only the number that fits the shape, unless a file has another number."""
        ...

    @property
    def kept(self) -> Kept | None:
        """The message in a caffemodel from which the tensor comes; None if it is new."""
        ...


Part: TypeAlias = "bytes | Stretch | Content"


def size_of(parts: Iterable[Part]) -> int:
    """Return the size of PARTS in bytes."""
    return sum(len(part) if isinstance(part, bytes) else part.size for part in parts)


def stretches(source: Source, spans: Iterable[Span]) -> Iterator[Stretch]:
    """Return the SPANS of SOURCE as stretches."""
    return (Stretch(source, *span) for span in spans)


def joined(parts: Iterable[Part]) -> list[Part]:
    """Join neighbours of one kind in PARTS, and leave out empty parts."""
    out: list[Part] = []
    for made, group in groupby(parts, lambda part: isinstance(part, bytes)):
        if made:
            out.append(b"".join(part for part in group if isinstance(part, bytes)))
            continue
        for part in group:
            last = out[-1] if out else None
            if isinstance(part, Stretch) and isinstance(last, Stretch) and part[:2] == (last.source, last.end):
                out[-1] = Stretch(last.source, last.start, part.end)
            else:
                out.append(part)
    return [part for part in out if size_of([part])]


def write_parts(sink: Sink, parts: Iterable[Part]) -> None:
    """Write PARTS to SINK. OSErrors of writing are not changed."""
    for part in parts:
        for chunk in [part] if isinstance(part, bytes | Stretch) else part.chunks():
            if isinstance(chunk, Stretch):
                sink.copy(*chunk)
            else:
                sink.write(chunk)
