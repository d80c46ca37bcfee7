"""Reads two parameter blobs side by side, a few megabytes at a time, one of them in the order of the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from caffe_fcn.model.tensors import Stored, Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

Values: TypeAlias = "NDArray[Any]"

BLOCK = 1 << 20
"""How many values are read at once; a single row or column of a matrix is never divided."""


class MatrixOrder(NamedTuple):
    """The layout of a matrix of ROWS × columns in the original's blob: transposed or not, and the order of COLUMNS."""

    rows: int
    columns: Values
    transposed: bool


def count_of(blob: Tensor) -> int:
    """The number of values of BLOB, which may differ from that of its shape."""
    return blob.values.count if isinstance(blob, Stored) else blob.count


def _read(blob: Tensor, start: int, stop: int) -> Values:
    """The values start..stop of BLOB, flat, in single precision, or in double if the blob has it."""
    return blob.read(start, stop).astype("f4" if blob.dtype in ("float16", "float32") else "f8", copy=False)


def is_sorted(columns: Values) -> bool:
    """Whether COLUMNS are in the order of their numbers."""
    import numpy as np

    return bool(np.array_equal(columns, np.arange(len(columns))))


def side_by_side(
    blob: Tensor, other: Tensor, slack: Tensor | None, order: MatrixOrder | None, block: int = BLOCK
) -> Iterator[tuple[Values, Values, Values | None]]:
    """The values of both blobs and the SLACK of the first, BLOCK at a time, in the order of the second."""
    if order is None or (not order.transposed and is_sorted(order.columns)):
        count = count_of(blob)
        for start in range(0, count, block):
            stop = min(start + block, count)
            allowed = None if slack is None else _read(slack, start, stop)
            yield _read(blob, start, stop), _read(other, start, stop), allowed
        return
    width = len(order.columns)
    height = max(1, block // width)
    columns: Any = slice(None) if is_sorted(order.columns) else order.columns
    for first in range(0, order.rows, height):
        last = min(first + height, order.rows)
        read = _transposed if order.transposed else _rows
        allowed = None if slack is None else read(slack, order, first, last)[:, columns]
        theirs = _read(other, first * width, last * width).reshape(-1, width)
        yield read(blob, order, first, last)[:, columns], theirs, allowed


def _rows(blob: Tensor, order: MatrixOrder, first: int, last: int) -> Values:
    width = len(order.columns)
    return _read(blob, first * width, last * width).reshape(-1, width)


def _transposed(blob: Tensor, order: MatrixOrder, first: int, last: int) -> Values:
    """The rows FIRST..LAST of a matrix that is stored column by column."""
    import numpy as np

    starts = range(0, count_of(blob), order.rows)
    return np.stack([_read(blob, start + first, start + last) for start in starts], axis=1)
