"""Reorders the weights of a fully connected layer in constant memory.

The new matrix is made one panel of rows at a time. Rows that are columns in the file are read in pieces with
positioned reads, which is fast while the file is in the page cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from caffe_fcn.files.blobs import ITEM_SIZE, DType, empty
from caffe_fcn.files.parts import Stretch
from caffe_fcn.net.layers.views import Segment

if TYPE_CHECKING:
    from numpy.typing import NDArray

PANEL = 8 << 20
"""The bytes of a panel in memory; a single row is never divided."""

_STRIP = 1 << 20


@dataclass(frozen=True)
class Reorder:
    """How to make the wanted matrix, rows × cols, from that in the file.

    With `transpose` the file holds it as cols × rows. `segments` give the order of the file's columns, from the first
    one on; empty means the wanted order. Raises ValueError where the segments do not add up to the columns.
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
        """The number of values."""
        return self.rows * self.cols


class Flat(Protocol):
    """A flat sequence of values with random access."""

    @property
    def dtype(self) -> DType:
        """The type of the values."""
        ...

    @property
    def stretch(self) -> Stretch | None:
        """The range of a file that holds the values; None if there is no single range."""
        ...

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The values start..stop."""
        ...


def reordered(values: Flat, order: Reorder) -> Iterator[NDArray[Any]]:
    """The wanted matrix as C-contiguous flat arrays, in order. VALUES has order.count values."""
    if not order.count:
        return
    for strip in _columns(values, order) if order.transpose else _rows(values, order):
        yield _channels_first(strip, order.segments)


def rows(values: Flat, order: Reorder, first: int, last: int) -> NDArray[Any]:
    """Rows first..last of the wanted matrix, C-contiguous."""
    import numpy as np

    if order.transpose:
        strip = np.ascontiguousarray(_panel(values, order, first, last).T)
    else:
        strip = values.read(first * order.cols, last * order.cols).reshape(last - first, order.cols)
    return _channels_first(strip, order.segments)


def _rows(values: Flat, order: Reorder) -> Iterator[NDArray[Any]]:
    """Strips of wanted rows, where these are rows in the file."""
    height = max(1, _STRIP // (order.cols * ITEM_SIZE[values.dtype]))
    for first in range(0, order.rows, height):
        last = min(first + height, order.rows)
        yield values.read(first * order.cols, last * order.cols).reshape(last - first, order.cols)


def _columns(values: Flat, order: Reorder) -> Iterator[NDArray[Any]]:
    """Strips of wanted rows, where these are columns in the file."""
    import numpy as np

    item = ITEM_SIZE[values.dtype]
    width = max(1, PANEL // (order.cols * item))
    height = max(1, _STRIP // (order.cols * item))
    for first in range(0, order.rows, width):
        panel = _panel(values, order, first, min(first + width, order.rows))
        for row in range(0, panel.shape[1], height):
            yield np.ascontiguousarray(panel[:, row : row + height].T)


def _panel(values: Flat, order: Reorder, first: int, last: int) -> NDArray[Any]:
    """Columns first..last of the file's matrix, cols × (last - first)."""
    if last - first == order.rows:
        return values.read(0, order.count).reshape(order.cols, order.rows)
    panel = empty(values.dtype, order.cols * (last - first)).reshape(order.cols, last - first)
    place = values.stretch
    if place is not None:
        item, view = panel.itemsize, panel.data.cast("B")
        width = (last - first) * item
        for row in range(order.cols):
            start = place.start + (row * order.rows + first) * item
            place.source.read_into(view[row * width : (row + 1) * width], start)
    else:
        for row in range(order.cols):
            panel[row] = values.read(row * order.rows + first, row * order.rows + last)
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
