"""Weights of a fully connected layer put into another order, in memory that does not grow with them.

The one idea: the wanted matrix is made a panel of rows at a time. Rows that are columns in the file are
fetched piece by piece with positioned reads, which costs little while the file is in the page cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.files.blobs import ITEM_SIZE, Values, empty, read_stored
from caffe_fcn.files.source import Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

PANEL = 8 << 20
"""The bytes of a panel that is held at once; a single row is never divided."""

_STRIP = 1 << 20


class Segment(NamedTuple):
    """A part of a matrix' columns: a flattened map of C channels and H·W positions.

    The wanted order is channels first, C×H×W; `channels_last` says that the file has H×W×C.
    """

    channels: int
    positions: int
    channels_last: bool

    @property
    def columns(self) -> int:
        """How many columns these are."""
        return self.channels * self.positions


@dataclass(frozen=True)
class Reorder:
    """How the wanted matrix, rows × cols, comes out of the file's.

    With `transpose` the file holds it as cols × rows. `segments`, from the first column on, say in which
    order the file's columns stand; none at all means the wanted one. Raises ValueError where the segments
    do not make up the columns.
    """

    rows: int
    cols: int
    transpose: bool = False
    segments: tuple[Segment, ...] = ()

    def __post_init__(self) -> None:
        columns = sum(segment.columns for segment in self.segments)
        if self.segments and columns != self.cols:
            raise ValueError(f"segments of {columns} columns in a matrix of {self.cols}")

    @property
    def count(self) -> int:
        """How many values the matrix has."""
        return self.rows * self.cols


def reordered(source: Source, values: Values, order: Reorder) -> Iterator[NDArray[Any]]:
    """The wanted matrix, flat and in order, in C-contiguous arrays; VALUES are order.count values."""
    if not order.count:
        return
    for strip in _columns(source, values, order) if order.transpose else _rows(source, values, order):
        yield _channels_first(strip, order.segments)


def _rows(source: Source, values: Values, order: Reorder) -> Iterator[NDArray[Any]]:
    """Strips of wanted rows that are rows in the file."""
    height = max(1, _STRIP // (order.cols * ITEM_SIZE[values.dtype]))
    for first in range(0, order.rows, height):
        last = min(first + height, order.rows)
        yield read_stored(source, values, first * order.cols, last * order.cols).reshape(last - first, order.cols)


def _columns(source: Source, values: Values, order: Reorder) -> Iterator[NDArray[Any]]:
    """Strips of wanted rows that are columns in the file."""
    import numpy as np

    item = ITEM_SIZE[values.dtype]
    width = max(1, PANEL // (order.cols * item))
    height = max(1, _STRIP // (order.cols * item))
    for first in range(0, order.rows, width):
        panel = _panel(source, values, order, first, min(first + width, order.rows))
        for row in range(0, panel.shape[1], height):
            yield np.ascontiguousarray(panel[:, row : row + height].T)


def _panel(source: Source, values: Values, order: Reorder, first: int, last: int) -> NDArray[Any]:
    """Columns first..last of the file's matrix, cols × (last - first)."""
    if last - first == order.rows:
        return read_stored(source, values, 0, order.count).reshape(order.cols, order.rows)
    panel = empty(values, order.cols * (last - first)).reshape(order.cols, last - first)
    spans = values.spans
    if spans is not None and len(spans) == 1:
        start, item = spans[0].start, panel.itemsize
        view, width = panel.data.cast("B"), (last - first) * item
        for row in range(order.cols):
            source.read_into(view[row * width : (row + 1) * width], start + (row * order.rows + first) * item)
    else:
        for row in range(order.cols):
            panel[row] = read_stored(source, values, row * order.rows + first, row * order.rows + last)
    return panel


def _channels_first(strip: NDArray[Any], segments: tuple[Segment, ...]) -> NDArray[Any]:
    """The columns of STRIP in the wanted order."""
    if not any(segment.channels_last for segment in segments):
        return strip
    import numpy as np

    out, start = np.empty_like(strip), 0
    for segment in segments:
        end = start + segment.columns
        part = strip[:, start:end]
        if segment.channels_last:
            part = part.reshape(-1, segment.positions, segment.channels).swapaxes(1, 2).reshape(part.shape)
        out[:, start:end] = part
        start = end
    return out
