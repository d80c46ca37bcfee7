"""What files are written of: bytes, stretches of open files, and contents that are made while they are written.

Every part has a size that is known before it is written, so that sizes can be summed first and a file be written once,
front to back. A writer of weights is given tensors, of which it needs what `Tensor` says and nothing more: where the
values come from, and whether they are computed, is the business of others.
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
        """How many bytes these are."""
        return self.end - self.start


Chunk: TypeAlias = Any
"""A `Stretch`, which is copied without being looked at, or a contiguous buffer."""


class Content(Protocol):
    """Bytes that are made, or found, chunk by chunk."""

    @property
    def size(self) -> int:
        """How many bytes they are."""
        ...

    def chunks(self) -> Iterator[Chunk]:
        """All of them, in order."""
        ...


class Kept(NamedTuple):
    """The message of a blob in a file, which is kept but for its shape and some of its values."""

    blob: BlobRecord
    source: Source
    values: Mapping[int, Content] | None
    """What stands in its fields of values, by number, where that is something else; None: all stays, the shape too."""


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
        """How many values there are: one number, that which the shape asks for, unless a file holds something else."""
        ...

    @property
    def kept(self) -> Kept | None:
        """The message in a caffemodel that it stands for; None where it is new."""
        ...


Part: TypeAlias = "bytes | Stretch | Content"


def size_of(parts: Iterable[Part]) -> int:
    """How many bytes PARTS are."""
    return sum(len(part) if isinstance(part, bytes) else part.size for part in parts)


def stretches(source: Source, spans: Iterable[Span]) -> Iterator[Stretch]:
    """The SPANS of SOURCE."""
    return (Stretch(source, *span) for span in spans)


def joined(parts: Iterable[Part]) -> list[Part]:
    """PARTS with neighbours of one kind as one, and none empty."""
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
    """Write PARTS to SINK. OSErrors of writing come through as they are."""
    for part in parts:
        for chunk in [part] if isinstance(part, bytes | Stretch) else part.chunks():
            if isinstance(chunk, Stretch):
                sink.copy(*chunk)
            else:
                sink.write(chunk)
