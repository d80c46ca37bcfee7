"""Where the cells of a dense map lie on a picture, in its pixels."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import NamedTuple

from caffe_fcn.net.geometry import Reason
from caffe_fcn.run.images import Box

_HALF = Fraction(1, 2)


class Axis(NamedTuple):
    """The cells along one axis of a picture of SIZE pixels: how many, what each sees, the way between them, and the
    centre of the first, the first pixel's centre being 0."""

    size: int
    cells: int
    window: int
    stride: Fraction
    offset: Fraction

    def window_of(self, cell: int) -> tuple[int, int]:
        """The pixels that CELL sees, without those that padding adds."""
        first = floor(self.offset + cell * self.stride - (self.window - 1) * _HALF + _HALF)
        return min(max(0, first), self.size), max(0, min(first + self.window, self.size))

    def scaled(self, size: int) -> Axis:
        """The same cells on a picture of another SIZE, from which this one was made."""
        factor = Fraction(size, self.size)
        window = max(1, round(self.window * factor))
        return Axis(size, self.cells, window, self.stride * factor, (self.offset + _HALF) * factor - _HALF)


class Cells(NamedTuple):
    """The cells of a map, and why they are not exactly a window sliding over the picture."""

    rows: Axis
    columns: Axis
    reasons: tuple[Reason, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.cells, self.columns.cells

    def window_of(self, row: int, column: int) -> Box:
        """The pixels that a cell sees."""
        top, bottom = self.rows.window_of(row)
        left, right = self.columns.window_of(column)
        return Box(top, left, bottom, right)

    def scaled(self, size: tuple[int, int]) -> Cells:
        """The same cells on a picture of another SIZE."""
        return Cells(self.rows.scaled(size[0]), self.columns.scaled(size[1]), self.reasons)
