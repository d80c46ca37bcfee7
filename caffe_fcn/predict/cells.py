"""Where the cells of a dense map lie on a picture, in its pixels."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from caffe_fcn.net.geometry import AxisGeometry, Reason
from caffe_fcn.net.geometry.phases import pixels
from caffe_fcn.predict.images.picture import Box

_HALF = Fraction(1, 2)


class CellAxis(NamedTuple):
    """The cells along one axis of a picture of SIZE pixels: how many there are, and what each SEES of the picture that
    the net is fed, of which this one is FACTOR times as large. A picture that is part of a larger one begins at its
    pixel START, and places are told in the larger one."""

    size: int
    cells: int
    sees: AxisGeometry
    factor: Fraction = Fraction(1)
    start: int = 0

    @property
    def window(self) -> int | None:
        """The most pixels that a cell sees; None where that is all of the axis."""
        return None if self.sees.window is None else ceil(self.sees.window * self.factor)

    @property
    def stride(self) -> Fraction:
        """The way from cell to cell."""
        return self.sees.stride * self.factor

    @property
    def offset(self) -> Fraction:
        """Where the first cell lies, the first pixel's middle being 0."""
        return (self.sees.offset + _HALF) * self.factor - _HALF + self.start

    def window_of(self, cell: int) -> tuple[int, int]:
        """The pixels that CELL sees, without those that padding adds: the first, and the one behind the last."""
        first, last = self.sees.seen(cell)
        start, end = floor(first * self.factor), ceil((last + 1) * self.factor)
        start = min(max(0, start), self.size)
        return self.start + start, self.start + max(start, min(end, self.size))

    def scaled(self, size: int) -> CellAxis:
        """The same cells on a picture of another SIZE, from which this one was made."""
        return CellAxis(size, self.cells, self.sees, self.factor * Fraction(size, self.size))


class Cells(NamedTuple):
    """The cells of a map."""

    rows: CellAxis
    columns: CellAxis

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.cells, self.columns.cells

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why they are not exactly a window sliding over the picture."""
        return tuple(dict.fromkeys((*self.rows.sees.reasons, *self.columns.sees.reasons)))

    def window_of(self, row: int, column: int) -> Box:
        """The pixels that a cell sees."""
        top, bottom = self.rows.window_of(row)
        left, right = self.columns.window_of(column)
        return Box(top, left, bottom, right)

    @property
    def are_pixels(self) -> bool:
        """Whether there is one for each pixel of the picture, as a segmentation net has them."""
        return all(axis.stride == 1 and axis.cells == axis.size for axis in self)

    @property
    def drawn(self) -> Cells:
        """Where they are drawn on the picture that the net was fed. Those that are pixels are drawn there: training
        compares each with the label of that pixel, whatever it sees."""
        if self.are_pixels:
            return Cells(*(CellAxis(axis.size, axis.cells, pixels(axis.size)) for axis in self))
        return self.starting(0, 0)

    def scaled(self, size: tuple[int, int]) -> Cells:
        """The same cells on a picture of another SIZE."""
        return Cells(self.rows.scaled(size[0]), self.columns.scaled(size[1]))

    def starting(self, row: int, column: int) -> Cells:
        """The same cells on a part of a picture that begins at the pixel ROW, COLUMN of it."""
        return Cells(self.rows._replace(start=row), self.columns._replace(start=column))
