"""Finds the cells of a converted net's map that can equal the answers of the original for a window.

The original reads a window as an input of the nominal size. From the first converted layer on, layers of the converted
net have neighbours on a larger input where those of the original have the border of a nominal map: padding, a partial
window, or fewer inputs. So only cells that depend on no such border can be compared. A classifier has one cell, which
an InnerProduct computes from its whole input without a border. But a padded 3×3 convolution after an InnerProduct or a
global pooling sees the border in its only cell; then the answers never equal those of the original. Borders of earlier
layers do not matter: they are those of the whole input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from typing import NamedTuple

from caffe_fcn.net.exactness import Cause, Reason
from caffe_fcn.net.geometry.inference import Geometry, maps_of, ways_of
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers.moves import Move, Slide, Spread
from caffe_fcn.net.shapes import Shapes

_NONE = range(0)


class Inner(NamedTuple):
    """The cells of a nominal map along each axis that see no border, and the REASONS why others do."""

    axes: tuple[range, ...]
    reasons: tuple[Reason, ...] = ()

    @property
    def lost(self) -> tuple[Reason, ...]:
        """Why no cell can equal the original's answer for a window; empty if some can."""
        return () if all(self.axes) else self.reasons

    @property
    def slices(self) -> tuple[slice, ...]:
        """The cells along each axis, as slices of the nominal map."""
        return tuple(slice(cells.start, cells.stop) for cells in self.axes)


def inner_cells(
    graph: Graph, shapes: Shapes, geometry: Mapping[Blob, Geometry | None], late: Callable[[Node], bool]
) -> dict[Blob, Inner]:
    """The cells of each map in GRAPH, a converted net with its nominal SHAPES and GEOMETRY, that see no border of the
    bottoms of layers that LATE accepts: the converted ones and all after them."""
    found: dict[Blob, Inner] = {}
    for node in graph.nodes:
        for position, blob in enumerate(node.tops):
            shape = shapes.blobs[blob]
            if not isinstance(shape, tuple) or geometry.get(blob) is None:
                continue
            whole = Inner(tuple(map(range, shape[2:])))
            maps = maps_of(node, position, shapes, geometry, shape) if late(node) else ()
            ways = ways_of(graph, node, maps, shapes, shape)
            if ways is None:
                found[blob] = whole
                continue
            moves = [way.move for way in ways]
            bottoms = [found[bottom] for bottom in maps]
            sizes = [dims[2:] for bottom in maps if isinstance(dims := shapes.blobs[bottom], tuple)]
            own = _moved([Inner(tuple(map(range, size))) for size in sizes], moves, whole) != whole.axes
            reasons = [reason for each in bottoms for reason in each.reasons]
            reasons += [Reason(Cause.NOMINAL_BORDERS, node.name)] * own
            found[blob] = Inner(_moved(bottoms, moves, whole), tuple(dict.fromkeys(reasons)))
    return found


def _moved(bottoms: Iterable[Inner], moves: Sequence[Move], whole: Inner) -> tuple[range, ...]:
    """The cells of the WHOLE top that, by MOVES, depend only on the cells of BOTTOMS."""
    kept = list(whole.axes)
    for bottom in bottoms:
        for place, (cells, move) in enumerate(zip(bottom.axes, moves, strict=True)):
            kept[place] = _common(kept[place], _made_of(cells, move))
    return tuple(kept)


def _made_of(cells: range, move: Move) -> range:
    """The cells that, by MOVE, depend on CELLS only."""
    if not cells:
        return _NONE
    if isinstance(move, Slide):
        first = -((-cells.start - move.before) // move.stride)
        return range(first, (cells.stop - move.extent + move.before) // move.stride + 1)
    if isinstance(move, Spread):
        first = move.stride * (cells.start - 1) + move.extent - move.before
        return range(first, move.stride * cells.stop - move.before)
    return range(ceil(cells.start * move.factor), ceil(cells.stop * move.factor))


def _common(one: range, other: range) -> range:
    made = range(max(one.start, other.start), min(one.stop, other.stop))
    return made or _NONE
