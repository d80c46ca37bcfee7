"""A picture cut into tiles such that the maps of the tiles, put together, are the map of the picture.

A cell depends on the pixels of its window alone, but for the borders: where a layer pads, or has a partial window,
the border itself plays a part. Hence three rules for a tile, along each axis:

1. It holds the whole windows of the cells that are taken from it; where these reach over the picture's border, the
   tile ends there too, and is padded as the picture is. Other cells, which see borders that are none, are left out.
2. It begins at a multiple of the strides of all maps, so that every layer has its windows where they were.
3. It is as long as the picture but for a multiple of these strides, so that sizes round, and paths join, as they did.

A layer that makes its map finer (a deconvolution) moves the middle of what a cell sees by up to half a cell of the
map before; so much more is added to the windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import ceil, floor, lcm
from typing import NamedTuple

from caffe_fcn.net.geometry import Exactness, Geometry, Reason
from caffe_fcn.net.graph import Blob, Graph
from caffe_fcn.run.cells import Axis

_HALF = Fraction(1, 2)


class Reach(NamedTuple):
    """Along one axis, in pixels: ALIGN is a multiple of all strides, SLACK how much more than its window a cell of
    the output may see, on either side."""

    align: int
    slack: Fraction


class Span(NamedTuple):
    """A tile along one axis: the pixels it holds, and the cells of the whole map that are taken from its own map,
    in which SKIP others come before them."""

    start: int
    stop: int
    first: int
    end: int
    skip: int


def obstacle(reasons: Sequence[Reason]) -> Reason | None:
    """Which of the REASONS why a map is not exact keeps it from being put together from tiles; None if none does."""
    return next((reason for reason in reasons if reason.exactness is Exactness.NOWHERE), None)


def reaches(graph: Graph, known: Mapping[Blob, Geometry | None]) -> tuple[Reach, Reach]:
    """The `Reach` along the height and along the width; KNOWN is the geometry of the blobs of GRAPH."""
    align, slack = [1, 1], [Fraction(0), Fraction(0)]
    for node in graph.nodes:
        tops = [found for blob in node.tops if (found := known[blob]) is not None]
        bottoms = [found for blob in node.bottoms if (found := known[blob]) is not None]
        for axis in range(2):
            strides = [found.stride[axis] for found in tops if axis < len(found.stride)]
            before = max((found.stride[axis] for found in bottoms if axis < len(found.stride)), default=Fraction(0))
            align[axis] = lcm(align[axis], *(stride.numerator for stride in strides))
            if any(stride < before for stride in strides):
                slack[axis] += before * _HALF
    return Reach(align[0], slack[0]), Reach(align[1], slack[1])


def spans(axis: Axis, reach: Reach, most: int, least: int = 1) -> Iterator[Span]:
    """The tiles along AXIS, in the order of their cells, of at least LEAST pixels, the fewest that the net takes, and
    of at most MOST, unless a single cell needs more (see `longest`)."""
    first = 0
    while first < axis.cells:
        span = _span(axis, reach, first, first + 1, least)
        low, high = first + 1, axis.cells
        while low < high:  # the last cell with which the tile is not too long
            middle = (low + high + 1) // 2
            longer = _span(axis, reach, first, middle, least)
            if longer.stop - longer.start <= most:
                low, span = middle, longer
            else:
                high = middle - 1
        yield span
        first = span.end


def longest(axis: Axis, reach: Reach, least: int) -> int:
    """The longest tile that a single cell needs: of those near the ends, and of a whole period in the middle."""
    period = min(1000, max(1, ceil(reach.align / axis.stride)))
    near = 2 * period + ceil((axis.window + 2 * reach.slack + least) / axis.stride)
    middle = axis.cells // 2
    ranges = range(near), range(middle, middle + period), range(axis.cells - near, axis.cells)
    cells = {cell for each in ranges for cell in each if 0 <= cell < axis.cells}
    return max(span.stop - span.start for cell in cells if (span := _span(axis, reach, cell, cell + 1, least)))


def _span(axis: Axis, reach: Reach, first: int, end: int, least: int) -> Span:
    """The tile for the cells FIRST to before END."""
    around = (axis.window - 1) * _HALF + reach.slack
    low = floor(axis.offset + first * axis.stride - around)
    high = ceil(axis.offset + (end - 1) * axis.stride + around) + 1
    start = max(0, min(low, axis.size - 1)) // reach.align * reach.align
    stop = _stop(axis, reach, max(high, 1))
    if stop - start < least:
        stop = _stop(axis, reach, start + least)
    if stop - start < least:
        start = max(0, stop - least) // reach.align * reach.align
    return Span(start, stop, first, end, first - int(start / axis.stride))


def _stop(axis: Axis, reach: Reach, high: int) -> int:
    """The first end from HIGH on that is a multiple of the strides from the picture's end, or that end itself."""
    return axis.size - max(0, axis.size - high) // reach.align * reach.align
