"""A picture cut into tiles such that the maps of the tiles, put together, are the map of the picture.

A cell depends on the pixels of its window alone, but for the borders: where a layer pads, or has a partial window,
the border itself plays a part. Hence three rules for a tile, along each axis:

1. It holds the whole windows of the cells that are taken from it; where these reach over the picture's border, the
   tile ends there too, and is padded as the picture is. Other cells, which see borders that are none, are left out.
2. It begins at a multiple of the steps in which all maps repeat, so that every layer has its windows where they were.
3. It is as long as the picture but for a multiple of these steps, so that sizes round, and paths join, as they did.

A layer that crops takes cells away at both ends of a tile, though not of the picture. So a window here also holds the
place of the cell itself, and those of all cells that it is made of, counted by their strides from either end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, lcm
from typing import NamedTuple

from caffe_fcn.net.geometry import AxisGeometry, Exactness, Reason, infer_geometry
from caffe_fcn.net.graph import Blob, Graph
from caffe_fcn.net.shapes import Shapes
from caffe_fcn.predict.cells import CellAxis


class Reach(NamedTuple):
    """Along one axis, in pixels: ALIGN is a multiple of the steps of all maps, NEEDED the pixels that cells of the
    output need to be made as they are on the whole picture."""

    align: int
    needed: AxisGeometry

    @property
    def window(self) -> int:
        """The most pixels that a cell needs."""
        return self.needed.size if self.needed.window is None else self.needed.window


class TileSpan(NamedTuple):
    """A tile along one axis: the pixels from START to before STOP; of the cells of its own map CELLS are taken, before
    which SKIP others come. They are put into the whole map from the cell FIRST on, at every STEP-th place."""

    start: int
    stop: int
    first: int
    cells: int
    skip: int = 0
    step: int = 1

    @property
    def size(self) -> int:
        """How many pixels it has."""
        return self.stop - self.start

    @property
    def taken(self) -> slice:
        """Which cells of its own map are taken."""
        return slice(self.skip, self.skip + self.cells)

    def shifted(self, pixels: int, shift: int, step: int) -> TileSpan:
        """The same tile of a picture that begins so many PIXELS later, whose cells are put at every STEP-th place from
        SHIFT on."""
        return TileSpan(
            self.start + pixels, self.stop + pixels, self.first * step + shift, self.cells, self.skip, self.step * step
        )


def whole_axis(size: int, cells: int) -> TileSpan:
    """All SIZE pixels along an axis, and all their CELLS."""
    return TileSpan(0, size, 0, cells)


def obstacle(reasons: Sequence[Reason]) -> Reason | None:
    """Which of the REASONS why a map is not exact keeps it from being put together from tiles; None if none does."""
    return next((reason for reason in reasons if reason.exactness is Exactness.NOWHERE), None)


def reach(graph: Graph, shapes: Shapes, blob: Blob, axis: int) -> Reach:
    """The `Reach` of BLOB, a map of GRAPH, along its spatial AXIS, on a picture that gives the blobs their SHAPES."""
    known = infer_geometry(graph, shapes, in_place=True)
    maps = [found.axes[axis] for found in known.values() if found is not None and axis < len(found.axes)]
    needed = known[blob]
    assert needed is not None  # a map
    return Reach(lcm(*(each.step for each in maps)), needed.axes[axis])


def spans(axis: CellAxis, reach: Reach, most: int, least: int = 1) -> Iterator[TileSpan]:
    """The tiles along AXIS, in the order of their cells, of at least LEAST pixels, the fewest that the net takes, and
    of at most MOST, unless a single cell needs more (see `longest`)."""
    first = 0
    while first < axis.cells:
        span = _span(axis, reach, first, first + 1, least)
        low, high = first + 1, axis.cells
        while low < high:  # the last cell with which the tile is not too long
            middle = (low + high + 1) // 2
            longer = _span(axis, reach, first, middle, least)
            if longer.size <= most:
                low, span = middle, longer
            else:
                high = middle - 1
        yield span
        first += span.cells


def longest(axis: CellAxis, reach: Reach, least: int) -> int:
    """The longest tile that a single cell needs: of those near the ends, and of a whole period in the middle."""
    period = min(1000, max(1, ceil(reach.align / axis.stride)))
    near = 2 * period + ceil((reach.window + least) / axis.stride)
    middle = axis.cells // 2
    ranges = range(near), range(middle, middle + period), range(axis.cells - near, axis.cells)
    cells = {cell for each in ranges for cell in each if 0 <= cell < axis.cells}
    return max(_span(axis, reach, cell, cell + 1, least).size for cell in cells)


def _span(axis: CellAxis, reach: Reach, first: int, end: int, least: int) -> TileSpan:
    """The tile for the cells FIRST to before END."""
    low, high = reach.needed.first(first), reach.needed.last(end - 1) + 1
    start = max(0, min(low, axis.size - 1)) // reach.align * reach.align
    stop = _stop(axis, reach, max(high, 1))
    if stop - start < least:
        stop = _stop(axis, reach, start + least)
    if stop - start < least:
        start = max(0, stop - least) // reach.align * reach.align
    return TileSpan(start, stop, first, end - first, first - int(start / axis.stride))


def _stop(axis: CellAxis, reach: Reach, high: int) -> int:
    """The first end from HIGH on that is a multiple of the strides from the picture's end, or that end itself."""
    return axis.size - max(0, axis.size - high) // reach.align * reach.align
