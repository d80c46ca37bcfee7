"""Coordinates: where the cells of a map lie in another blob, as in Caffe's python/caffe/coord_map.py.

Every layer with cells maps their coordinates: a cell lies in the middle of its window; a Deconvolution maps the other
way. These mappings compose. They begin at an origin: an input, a blob whose layer maps no coordinates, or a blob joined
from maps that do not coincide. Two blobs can be compared if they have a common origin. Fractions are exact, and more
layer types are supported than in Caffe.

Sizes are not used, so nets whose data defines them at run time only can be compared, too.
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
"""The most different mappings from one origin that are kept; a blob with more agrees with no other."""

_HALF = Fraction(1, 2)
_SOME = 1 << 20
"""The extent assumed for unknown axes, larger than what layers remove."""


class Coordinate(NamedTuple):
    """The mapping along one axis: cell i lies at OFFSET + i · STRIDE, in cells of the origin."""

    stride: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)

    def moved(self, move: Move) -> Coordinate:
        """The coordinate of the cells after MOVE."""
        if isinstance(move, Slide):
            return Coordinate(self.stride * move.stride, self.at(Fraction(move.extent - 1, 2) - move.before))
        if isinstance(move, Spread):
            middle = move.before - Fraction(move.extent - 1, 2)
            return Coordinate(self.stride / move.stride, self.at(middle / move.stride))
        return Coordinate(self.stride / move.factor, self.at((1 / move.factor - 1) * _HALF))

    def at(self, cell: Fraction) -> Fraction:
        """The place of CELL."""
        return self.offset + cell * self.stride


Place: TypeAlias = "tuple[Coordinate, ...]"
"""A coordinate for each spatial axis."""

Places: TypeAlias = "Mapping[Blob, tuple[Place, ...]]"
"""The places of a map by origin; several if the paths to it do not agree."""


def infer_coordinates(
    graph: Graph, shapes: Shapes, offsets: Mapping[int, Sequence[int]] | None = None
) -> dict[Blob, Places]:
    """The places of every blob of GRAPH; empty for a blob that is no map. OFFSETS: the offsets of Crop layers without
    one, for each spatial axis, by the index of the layer."""
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
    """The places of the top at POSITION of NODE, given the KNOWN places of its bottoms."""
    blob = node.tops[position]
    alone = _itself(blob, shapes)
    if not alone:
        return {}
    row = row_of(node.type)
    if not node.bottoms:
        return {} if row.constant else alone
    axes = len(alone[blob][0])
    ways = _ways(graph, node, shapes, axes)
    maps = [places for each in row.maps(node.bottoms, position) if (places := known.get(each))]
    if ways is None or not maps:
        return alone
    if offsets is not None:
        ways = tuple(way._replace(move=Slide(1, 1, -offset)) for way, offset in zip(ways, offsets, strict=True))
    found: dict[Blob, tuple[Place, ...]] = {}
    for places in maps:
        for origin, several in places.items():
            moved = [_moved(place, ways) for place in several if len(place) == axes]
            found[origin] = tuple(dict.fromkeys((*found.get(origin, ()), *moved)))[:_MOST_WAYS]
    if any(len(each) > 1 for each in found.values()) and row.joins:
        found.update(alone)
    return found


def _itself(blob: Blob, shapes: Shapes) -> dict[Blob, tuple[Place, ...]]:
    """The places of BLOB as an origin; none if it is no map."""
    shape = shapes.blobs[blob]
    axes = len(shape) - 2 if isinstance(shape, tuple) else 2
    return {blob: ((Coordinate(),) * axes,)} if axes > 0 else {}


def _moved(place: Place, ways: Ways) -> Place:
    return tuple(each.moved(way.move) for each, way in zip(place, ways, strict=True))


def _ways(graph: Graph, node: Node, shapes: Shapes, axes: int) -> Ways | None:
    """What NODE does along each axis; None if it maps no coordinates."""
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
