"""The positions of the cells of a dense map on a picture, in its pixels."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from caffe_fcn.net.geometry import AxisGeometry, CellPhase, Reason
from caffe_fcn.net.geometry.phases import pixels
from caffe_fcn.predict.images.picture import Box

_HALF = Fraction(1, 2)


class CellAxis(NamedTuple):
    """The cells along one axis of a picture of SIZE pixels: their number, and the geometry SEES on the picture that is
    the input of the net; this picture is FACTOR times as large. If the picture is part of a larger one, it begins at
    pixel START of it, and positions are in the larger one."""

    size: int
    cells: int
    sees: AxisGeometry
    factor: Fraction = Fraction(1)
    start: int = 0

    @property
    def window(self) -> int | None:
        """The largest number of pixels that a cell sees; None for the whole axis."""
        return None if self.sees.window is None else ceil(self.sees.window * self.factor)

    @property
    def stride(self) -> Fraction:
        """The distance from cell to cell."""
        return self.sees.stride * self.factor

    @property
    def offset(self) -> Fraction:
        """The position of the first cell; 0 is the middle of the first pixel."""
        return (self.sees.offset + _HALF) * self.factor - _HALF + self.start

    def sees_of(self, cell: int) -> tuple[int, int]:
        """Return the pixels that CELL sees, with padding, whether or not the picture has them: the first, and the one
        after the last."""
        first, last = self.sees.seen(cell)
        return self.start + floor(first * self.factor), self.start + ceil((last + 1) * self.factor)

    def window_of(self, cell: int) -> tuple[int, int]:
        """Return the pixels that CELL sees, without padding: the first, and the one after the last."""
        start, end = (pixels - self.start for pixels in self.sees_of(cell))
        start = min(max(0, start), self.size)
        return self.start + start, self.start + max(start, min(end, self.size))

    @property
    def pixelwise(self) -> bool:
        """Whether there is one cell for each pixel of the input of the net, without those that pad it."""
        return self.sees.stride == 1 and self.cells * self.factor == self.size

    @property
    def placed(self) -> CellAxis:
        """The same cells, each of which sees only the pixels around its place: one stride of them."""
        stride, half = self.sees.stride, self.sees.stride / 2
        middles = [self.sees.offset + stride * phase for phase in range(len(self.sees.phases))]
        starts = [floor(middle - half + _HALF) for middle in middles]
        phases = tuple(CellPhase(start, start + ceil(stride) - 1) for start in starts)
        sees = pixels(self.sees.size) if self.pixelwise else AxisGeometry(phases, self.sees.step, self.sees.size)
        return self._replace(sees=sees)

    def cut(self, size: int) -> CellAxis:
        """Return the cells on the first SIZE pixels, after which the picture is padded: those whose middle is there,
        and at least the first one."""
        inside = ceil((size - _HALF - self.offset) / self.stride)
        return self._replace(size=size, cells=max(1, min(self.cells, inside)))

    def scaled(self, size: int) -> CellAxis:
        """Return the same cells on a picture of another SIZE, from which this one was made."""
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
        """The reasons why they are not exactly a sliding window over the picture."""
        return tuple(dict.fromkeys((*self.rows.sees.reasons, *self.columns.sees.reasons)))

    def window_of(self, row: int, column: int) -> Box:
        """Return the pixels that a cell sees."""
        top, bottom = self.rows.window_of(row)
        left, right = self.columns.window_of(column)
        return Box(top, left, bottom, right)

    @property
    def are_pixels(self) -> bool:
        """Whether there is one cell for each pixel of the picture, as in a segmentation net."""
        return all(axis.stride == 1 and axis.cells == axis.size for axis in self)

    @property
    def pixelwise(self) -> bool:
        """Whether there is one cell for each pixel of the input of the net, also if that is the picture at another
        scale."""
        return self.rows.pixelwise and self.columns.pixelwise

    @property
    def see_all(self) -> bool:
        """Whether all cells see the whole picture."""
        return self.rows.window is self.columns.window is None

    @property
    def placed(self) -> Cells:
        """The same cells, each of which sees only the pixels around its place."""
        return Cells(self.rows.placed, self.columns.placed)

    @property
    def drawn(self) -> Cells:
        """The positions for drawing on the input picture. If there is one cell for each pixel, a cell is drawn at its
        pixel, because training compares it with the label of that pixel, whatever it sees."""
        return (self.placed if self.pixelwise else self).starting(0, 0)

    def cut(self, size: tuple[int, int]) -> Cells:
        """Return the cells on a picture of SIZE, which was padded: one for each of its pixels if there is one for each
        padded pixel, else those whose middle is in the picture."""
        if self.are_pixels:
            return Cells(*(axis._replace(size=each, cells=each) for axis, each in zip(self, size, strict=True)))
        return Cells(self.rows.cut(size[0]), self.columns.cut(size[1]))

    def scaled(self, size: tuple[int, int]) -> Cells:
        """Return the same cells on a picture of another SIZE."""
        return Cells(self.rows.scaled(size[0]), self.columns.scaled(size[1]))

    def starting(self, row: int, column: int) -> Cells:
        """Return the same cells on a part of a picture that begins at pixel ROW, COLUMN of it."""
        return Cells(self.rows._replace(start=row), self.columns._replace(start=column))
