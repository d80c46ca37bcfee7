"""Cuts a picture into tiles such that the maps of the tiles, put together, are the map of the picture.

A cell depends only on the pixels of its window, except at borders: if a layer pads, or has a partial window, the border
itself has an effect. Hence three rules for a tile, along each axis:

1. It contains the whole windows of the cells that are used from it. If these extend over the picture's border, the tile
   ends there too, and is padded like the picture. Other cells see a border that the picture does not have; they are
   left out.
2. It begins at a multiple of the steps in which all maps repeat, so every layer has its windows at the same pixels.
3. Its length differs from that of the picture by a multiple of these steps, so that sizes are rounded in the same way.

A layer that crops removes cells at both ends of a tile, but not of the picture. So a window here also contains the
place of the cell itself, and of all cells on which it depends, counted by their strides from both ends.
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
    output need so that they are as on the whole picture."""

    align: int
    needed: AxisGeometry

    @property
    def window(self) -> int:
        """The largest number of pixels that a cell needs."""
        return self.needed.size if self.needed.window is None else self.needed.window


class TileSpan(NamedTuple):
    """A tile along one axis: the pixels from START to before STOP. CELLS cells of its own map are used; SKIP others
    come before them. They go to every STEP-th position of the whole map, from FIRST on."""

    start: int
    stop: int
    first: int
    cells: int
    skip: int = 0
    step: int = 1

    @property
    def size(self) -> int:
        """The number of its pixels."""
        return self.stop - self.start

    @property
    def taken(self) -> slice:
        """The slice of its own map that is used."""
        return slice(self.skip, self.skip + self.cells)

    def shifted(self, pixels: int, shift: int, step: int) -> TileSpan:
        """Return the same tile of a picture that begins PIXELS later; its cells go to every STEP-th position from SHIFT
        on."""
        return TileSpan(
            self.start + pixels, self.stop + pixels, self.first * step + shift, self.cells, self.skip, self.step * step
        )


def whole_axis(size: int, cells: int) -> TileSpan:
    """Return the tile with all SIZE pixels along an axis, and all CELLS cells."""
    return TileSpan(0, size, 0, cells)


def obstacle(reasons: Sequence[Reason]) -> Reason | None:
    """Return the first of REASONS that prevents putting a map together from tiles; None if none does."""
    return next((reason for reason in reasons if reason.exactness is Exactness.NOWHERE), None)


def reach(graph: Graph, shapes: Shapes, blob: Blob, axis: int) -> Reach:
    """Return the `Reach` of BLOB, a map of GRAPH, along its spatial AXIS, on a picture with the SHAPES of blobs."""
    known = infer_geometry(graph, shapes, in_place=True)
    maps = [found.axes[axis] for found in known.values() if found is not None and axis < len(found.axes)]
    needed = known[blob]
    assert needed is not None  # BLOB is a map
    return Reach(lcm(*(each.step for each in maps)), needed.axes[axis])


def spans(axis: CellAxis, reach: Reach, most: int, least: int = 1) -> Iterator[TileSpan]:
    """Return the tiles along AXIS, in the order of their cells. They have at least LEAST pixels, the fewest that the
    net accepts, and at most MOST, unless a single cell needs more (see `longest`)."""
    first = 0
    while first < axis.cells:
        span = _span(axis, reach, first, first + 1, least)
        low, high = first + 1, axis.cells
        while low < high:  # the last cell for which the tile is not too long
            middle = (low + high + 1) // 2
            longer = _span(axis, reach, first, middle, least)
            if longer.size <= most:
                low, span = middle, longer
            else:
                high = middle - 1
        yield span
        first += span.cells


def longest(axis: CellAxis, reach: Reach, least: int) -> int:
    """Return the longest tile that a single cell needs; cells near the ends, and of one period in the middle are
    tried."""
    period = min(1000, max(1, ceil(reach.align / axis.stride)))
    near = 2 * period + ceil((reach.window + least) / axis.stride)
    middle = axis.cells // 2
    ranges = range(near), range(middle, middle + period), range(axis.cells - near, axis.cells)
    cells = {cell for each in ranges for cell in each if 0 <= cell < axis.cells}
    return max(_span(axis, reach, cell, cell + 1, least).size for cell in cells)


def _span(axis: CellAxis, reach: Reach, first: int, end: int, least: int) -> TileSpan:
    """Return the tile for the cells FIRST to before END."""
    low, high = reach.needed.first(first), reach.needed.last(end - 1) + 1
    start = max(0, min(low, axis.size - 1)) // reach.align * reach.align
    stop = _stop(axis, reach, max(high, 1))
    if stop - start < least:
        stop = _stop(axis, reach, start + least)
    if stop - start < least:
        start = max(0, stop - least) // reach.align * reach.align
    return TileSpan(start, stop, first, end - first, first - int(start / axis.stride))


def _stop(axis: CellAxis, reach: Reach, high: int) -> int:
    """Return the first end from HIGH on that is a multiple of the strides from the picture's end, or that end
    itself."""
    return axis.size - max(0, axis.size - high) // reach.align * reach.align
