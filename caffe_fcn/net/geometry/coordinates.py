"""Where the cells of a map lie in the coordinates of another blob, as Caffe's coordinate map has it.

Every layer that makes cells of cells maps their coordinates: behind a window cell j lies in the middle of it, and a
Deconvolution goes the other way. Such maps compose. They begin at an origin: an input, a blob whose layer maps no
coordinates, or a blob that is joined from maps which do not lie on each other. Two blobs can be compared where they
have an origin in common. This is python/caffe/coord_map.py in exact fractions, and knows more types of layers.

Sizes play no part, so that nets whose data tells them only when it is read can be compared as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple, TypeAlias

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.moves import Move, Site, Slide, Spread, Ways
from caffe_fcn.net.shapes import Shapes

_MOST_WAYS = 8
"""No more different maps from one origin are kept; one that has so many agrees with nothing."""

_HALF = Fraction(1, 2)
_SOME = 1 << 20
"""An extent for axes of which none is known, larger than what layers take away."""


class Coordinate(NamedTuple):
    """Along one axis: cell i lies at OFFSET + i · STRIDE, in cells of the origin."""

    stride: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)

    def moved(self, move: Move) -> Coordinate:
        """That of the cells that MOVE makes."""
        if isinstance(move, Slide):
            return Coordinate(self.stride * move.stride, self.at(Fraction(move.extent - 1, 2) - move.before))
        if isinstance(move, Spread):
            middle = move.before - Fraction(move.extent - 1, 2)
            return Coordinate(self.stride / move.stride, self.at(middle / move.stride))
        return Coordinate(self.stride / move.factor, self.at((1 / move.factor - 1) * _HALF))

    def at(self, cell: Fraction) -> Fraction:
        """Where CELL lies."""
        return self.offset + cell * self.stride


Place: TypeAlias = "tuple[Coordinate, ...]"
"""A coordinate for each spatial axis."""

Places: TypeAlias = "Mapping[Blob, tuple[Place, ...]]"
"""By origin, the places that a map has in it: several where ways to it do not agree."""


def infer_coordinates(
    graph: Graph, shapes: Shapes, offsets: Mapping[int, Sequence[int]] | None = None
) -> dict[Blob, Places]:
    """The places of every blob of GRAPH; none for what is no map. OFFSETS are those of Crop layers that give none, for
    each spatial axis, by the index of the layer."""
    known: dict[Blob, Places] = {}
    for node in graph.nodes:
        for position, blob in enumerate(node.tops):
            known[blob] = places_of_top(graph, node, position, shapes, known, (offsets or {}).get(node.index))
    return known


def places_of_top(
    graph: Graph,
    node: Node,
    position: int,
    shapes: Shapes,
    known: Mapping[Blob, Places],
    offsets: Sequence[int] | None = None,
) -> Places:
    """The places of the top at POSITION of NODE, those of its bottoms being KNOWN."""
    blob = node.tops[position]
    shape = shapes.blobs[blob]
    if isinstance(shape, tuple) and len(shape) < 3:
        return {}
    axes = len(shape) - 2 if isinstance(shape, tuple) else 2
    itself: Place = (Coordinate(),) * axes
    row = row_of(node.type)
    if not node.bottoms:
        return {} if row.constant else {blob: (itself,)}
    ways = _ways(graph, node, shapes, axes)
    maps = [places for each in row.maps(node.bottoms, position) if (places := known.get(each))]
    if ways is None or not maps:
        return {blob: (itself,)}
    if offsets is not None:
        ways = tuple(way._replace(move=Slide(1, 1, -offset)) for way, offset in zip(ways, offsets, strict=True))
    found: dict[Blob, tuple[Place, ...]] = {}
    for places in maps:
        for origin, several in places.items():
            moved = [_moved(place, ways) for place in several if len(place) == axes]
            found[origin] = tuple(dict.fromkeys((*found.get(origin, ()), *moved)))[:_MOST_WAYS]
    if any(len(each) > 1 for each in found.values()) and row.joins:
        found[blob] = (itself,)
    return found


def _moved(place: Place, ways: Ways) -> Place:
    return tuple(each.moved(way.move) for each, way in zip(place, ways, strict=True))


def _ways(graph: Graph, node: Node, shapes: Shapes, axes: int) -> Ways | None:
    """What NODE does along each axis; None where it maps no coordinates."""
    row = row_of(node.type)
    if row.moves is None:
        return None
    bottom, top = (shapes.blobs[blob] for blob in (row.maps(node.bottoms, 0)[0], node.tops[0]))
    if not isinstance(bottom, tuple) or not isinstance(top, tuple):
        if row.by_size(node.layer):
            return None
        bottom = top = (1, 1, *(_SOME,) * axes)
    try:
        return row.moves(Site(node, graph, bottom, top)) if len(bottom) == axes + 2 else None
    except ShapeError:
        return None
