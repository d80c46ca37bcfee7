"""The positions of everything in a drawing. SVG and PNG are two ways to paint it.

The unit is a CSS pixel; x goes to the right, y goes down. A box and the labels of its blobs below it are one cell of
the layout. Every rank of cells is a band, and edges bend only between bands, so no edge crosses a box or a label.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from caffe_fcn.diagram.colours import FAMILY_NAMES
from caffe_fcn.diagram.layering import Edge, Layers, layered
from caffe_fcn.diagram.measures import NAME, TYPE, Measure, measure
from caffe_fcn.diagram.ordering import order
from caffe_fcn.diagram.placing import GAP, place
from caffe_fcn.diagram.records import Diagram, DrawnBox, Wire
from caffe_fcn.diagram.text import fitted
from caffe_fcn.diagram.text import width as width_of
from caffe_fcn.net.layers.row import Family

MARGIN = 24
_LEAST_WIDE = 420
"""The least width of a drawing with a heading, without its margins."""
_STEEP = 0.12
"""The height of the space between two bands grows with the widest edge in it."""
_SPACE, _MOST_SPACE = 30, 110


class Point(NamedTuple):
    """A place in a drawing."""

    x: float
    y: float


class PlacedBox(NamedTuple):
    """A box, at its upper left corner, with the places of its parts in it."""

    box: DrawnBox
    x: int
    y: int
    measure: Measure


class Curve(NamedTuple):
    """An edge: the points where it is vertical, from the port of its box down to the top of another."""

    wire: Wire
    points: tuple[Point, ...]


class LegendSwatch(NamedTuple):
    """A family in the legend, at the upper left corner of its colour."""

    x: int
    y: int
    family: Family


class DrawingHeading(NamedTuple):
    """The title above a drawing, at its upper left corner, with a legend below it."""

    x: int
    y: int
    title: str
    entries: tuple[LegendSwatch, ...]


class NetDrawing(NamedTuple):
    """A drawing with all positions."""

    diagram: Diagram
    width: int
    height: int
    heading: DrawingHeading | None
    boxes: Sequence[PlacedBox]
    curves: Sequence[Curve]


class _Laid(NamedTuple):
    """A part of the drawing that is connected: its boxes, by their positions in the diagram, and its curves. The origin
    is at its upper left corner."""

    width: int
    height: int
    boxes: Mapping[int, PlacedBox]
    curves: Sequence[Curve]


def drawing_of(diagram: Diagram, *, heading: bool = True) -> NetDrawing:
    """The layout of DIAGRAM, with a title and a legend if HEADING."""
    parts = [_lay_out(boxes, wires, diagram) for boxes, wires in _components(diagram)]
    shelved = list(_shelved(parts))
    drawn = max((x + part.width for part, x, _ in shelved), default=0)
    width = max(drawn, _LEAST_WIDE if heading else 0)
    above = _heading(diagram, width) if heading else None
    left = MARGIN + (width - drawn) // 2
    top = MARGIN if above is None else above.entries[-1].y + 2 * MARGIN if above.entries else 3 * MARGIN
    placed: dict[int, PlacedBox] = {}
    curves: list[Curve] = []
    height = top
    for part, x, y in shelved:
        height = max(height, top + y + part.height)
        for box, one in part.boxes.items():
            placed[box] = one._replace(x=left + x + one.x, y=top + y + one.y)
        for curve in part.curves:
            curves.append(curve._replace(points=tuple(Point(left + x + at.x, top + y + at.y) for at in curve.points)))
    boxes = [placed[box] for box in range(len(diagram.boxes))]
    return NetDrawing(diagram, width + 2 * MARGIN, height + MARGIN, above, boxes, curves)


def _heading(diagram: Diagram, room: int) -> DrawingHeading:
    """The title of DIAGRAM and its legend, in rows not wider than ROOM."""
    there = {layer.family for box in diagram.boxes for layer in box.layers}
    x, y = MARGIN, MARGIN + 24
    entries = []
    for family in filter(there.__contains__, FAMILY_NAMES):
        size = 20 + math.ceil(width_of(FAMILY_NAMES[family], TYPE)) + 16
        if x > MARGIN and x + size > MARGIN + room:
            x, y = MARGIN, y + 20
        entries.append(LegendSwatch(x, y, family))
        x += size
    return DrawingHeading(MARGIN, MARGIN, fitted(diagram.title, NAME, room, bold=True), tuple(entries))


def _components(diagram: Diagram) -> Iterator[tuple[list[int], list[Wire]]]:
    """The boxes of DIAGRAM that are connected, with their wires, in the order of the net."""
    root = list(range(len(diagram.boxes)))

    def find(box: int) -> int:
        while root[box] != box:
            root[box] = root[root[box]]
            box = root[box]
        return box

    for wire in diagram.wires:
        one, other = sorted((find(wire.source), find(wire.target)))
        root[other] = one
    boxes: dict[int, list[int]] = defaultdict(list)
    wires: dict[int, list[Wire]] = defaultdict(list)
    for box in range(len(root)):
        boxes[find(box)].append(box)
    for wire in diagram.wires:
        wires[find(wire.source)].append(wire)
    return ((boxes[first], wires[first]) for first in boxes)


def _lay_out(boxes: Sequence[int], wires: Sequence[Wire], diagram: Diagram) -> _Laid:
    """The layout of BOXES and WIRES of DIAGRAM, which are connected."""
    local = {box: at for at, box in enumerate(boxes)}
    measures = [measure(diagram.boxes[box]) for box in boxes]
    edges = {}
    for wire in wires:
        shift = measures[local[wire.source]].ports[wire.position].shift
        edges[wire] = Edge(local[wire.source], wire.position, local[wire.target], shift)
    layers = layered(len(boxes), list(edges.values()))
    far: dict[int, list[str]] = defaultdict(list)
    for wire, edge in edges.items():
        if edge not in layers.paths:
            far[edge.target].append(diagram.boxes[wire.source].blobs[wire.position].name)
    for box, names in far.items():
        measures[box] = measure(diagram.boxes[boxes[box]], names)
    order(layers)
    at = place(layers, [each.width // 2 for each in measures])
    bands = _bands(layers, measures, at)
    placed = {}
    for box, cell in local.items():
        size = measures[cell]
        placed[box] = PlacedBox(diagram.boxes[box], at[cell] - size.width // 2, bands[layers.rank[cell]][0], size)
    curves = []
    for wire, edge in edges.items():
        if edge in layers.paths:
            curves.append(Curve(wire, _points(edge, layers, measures, at, bands)))
    right = [at[cell] + (measures[cell].width // 2 if cell < len(boxes) else 0) for cell in range(len(at))]
    return _Laid(max(right), bands[-1][1], placed, curves)


def _bands(layers: Layers, measures: Sequence[Measure], at: Sequence[int]) -> list[tuple[int, int]]:
    """The top and the bottom of each rank."""
    widest = [0] * len(layers.rows)
    for link in layers.links:
        rank = layers.rank[link.above]
        widest[rank] = max(widest[rank], abs(at[link.above] + link.shift - at[link.below]))
    bands = []
    top = 0
    for rank, row in enumerate(layers.rows):
        bottom = top + max((measures[cell].reach for cell in row if cell < layers.boxes), default=0)
        bands.append((top, bottom))
        top = bottom + min(_MOST_SPACE, _SPACE + round(_STEEP * widest[rank]))
    return bands


def _points(
    edge: Edge, layers: Layers, measures: Sequence[Measure], at: Sequence[int], bands: Sequence[tuple[int, int]]
) -> tuple[Point, ...]:
    """The points of EDGE; of those in one vertical line only the first and the last."""
    first, last = bands[layers.rank[edge.source]], bands[layers.rank[edge.target]]
    x = at[edge.source] + edge.shift
    found = [Point(x, first[0] + measures[edge.source].height), Point(x, first[1])]
    for bend in layers.paths[edge]:
        top, bottom = bands[layers.rank[bend]]
        found += [Point(at[bend], top), Point(at[bend], bottom)]
    found.append(Point(at[edge.target], last[0]))
    kept: list[Point] = []
    for point in found:
        if len(kept) > 1 and kept[-1].x == kept[-2].x == point.x:
            kept.pop()
        kept.append(point)
    return tuple(kept)


def _shelved(parts: Sequence[_Laid]) -> Iterator[tuple[_Laid, int, int]]:
    """PARTS with their places: side by side, in several rows if there are many."""
    area = sum((part.width + GAP) * (part.height + GAP) for part in parts)
    room = max([round(area**0.5 * 1.5), *(part.width for part in parts)], default=0)
    x, y, tallest = 0, 0, 0
    for part in parts:
        if x and x + part.width > room:
            x, y, tallest = 0, y + tallest + 2 * GAP, 0
        yield part, x, y
        x, tallest = x + part.width + 2 * GAP, max(tallest, part.height)
