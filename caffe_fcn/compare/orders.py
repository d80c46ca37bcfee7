"""Finds the order in which a parameter blob has the values of another: transposed, or with its columns in another
order.

An order is a guess from the two shapes, which the values then prove. So no knowledge of the net is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from math import prod

from caffe_fcn.compare.reading import MatrixOrder, Values, count_of
from caffe_fcn.compare.values import same_in_order
from caffe_fcn.model.tensors import Tensor
from caffe_fcn.net.shapes import Shape, bare

_MOST_COLUMNS = 1 << 20
"""A matrix with longer rows is not compared in other orders: a row has to fit into memory several times."""
_MOST_ROWS = 1 << 16
"""A matrix with more rows is not transposed: a value of each row is read one by one."""
_PICTURE = 3
"""The channels of a picture in colour."""


class Reordering(Enum):
    """An order in which values may be stored."""

    REVERSED = "channels reversed"
    """As RGB and BGR: the second axis runs backwards."""
    TRANSPOSED = "transposed"
    FIRST = "channels last to channels first"
    LAST = "channels first to channels last"
    SWAPPED = "height and width swapped"


def found_order(old: Tensor, new: Tensor) -> Reordering | None:
    """The order in which NEW has the values of OLD, which are not in the same order; None if it has other values.

    Raises CaffemodelError if they cannot be read.
    """
    before, after, count = bare(old.shape), bare(new.shape), count_of(old)
    if not before or not after or not 1 < count == count_of(new) == prod(before) == prod(after):
        return None
    return next((name for name, order in _guesses(before, after) if same_in_order(old, new, order)), None)


def _guesses(before: Shape, after: Shape) -> Iterator[tuple[Reordering, MatrixOrder]]:
    """The orders that the shapes BEFORE and AFTER allow."""
    rows, width = before[0], prod(before[1:])
    flipped = (len(before) == 2 and after[0] == width) or (len(after) == 2 and after == (width, rows))
    if flipped and rows <= min(_MOST_ROWS, _MOST_COLUMNS):
        yield Reordering.TRANSPOSED, MatrixOrder(width, _numbers(rows), transposed=True)
    if after[0] != rows or width > _MOST_COLUMNS:
        return
    if before == after and len(after) > 2 and after[1] == _PICTURE:
        yield Reordering.REVERSED, _columns(before, lambda numbers: numbers[::-1])
    if len(after) > 2:
        yield Reordering.FIRST, _columns((rows, *after[2:], after[1]), lambda numbers: _moved(numbers, -1, 0))
    if len(before) > 2:
        yield Reordering.LAST, _columns(before, lambda numbers: _moved(numbers, 0, -1))
    maps = after if len(after) == 4 else before
    if len(maps) == 4:
        swapped = (rows, maps[1], maps[3], maps[2])
        yield Reordering.SWAPPED, _columns(swapped, lambda numbers: numbers.swapaxes(-1, -2))


def _columns(shape: Shape, moved: Callable[[Values], Values]) -> MatrixOrder:
    """The order of the columns of a matrix with a row for each item of SHAPE, MOVED in the other axes."""
    order: Values = moved(_numbers(prod(shape[1:])).reshape(shape[1:])).reshape(-1)
    return MatrixOrder(shape[0], order, transposed=False)


def _numbers(count: int) -> Values:
    import numpy as np

    return np.arange(count)


def _moved(numbers: Values, start: int, end: int) -> Values:
    import numpy as np

    return np.moveaxis(numbers, start, end)
