"""The positions of everything in a drawing. SVG and PNG are two ways to paint it.

The unit is a CSS pixel; x goes to the right, y goes down. A box and the labels of its blobs below it are one cell of
the layout. Every rank of cells is a band, and edges bend only between bands, so no edge crosses a box or a label.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from caffe_fcn.diagram.colours import FAMILY_NAMES
from caffe_fcn.diagram.layering import Edge, Layers, layered
from caffe_fcn.diagram.lines import Line, Point, line
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
_STUB = 5
"""How far the mark of an output is above the end of its cell."""


class PlacedBox(NamedTuple):
    """A box, at its upper left corner, with the places of its parts in it."""

    box: DrawnBox
    x: int
    y: int
    measure: Measure


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
    lines: Sequence[Line]


class _Laid(NamedTuple):
    """A part of the drawing that is connected: its BOXES, which have NUMBERS in the diagram, and its lines. The origin
    is at its upper left corner."""

    width: int
    height: int
    numbers: Sequence[int]
    boxes: Sequence[PlacedBox]
    lines: Sequence[Line]


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
    lines: list[Line] = []
    height = top
    for part, x, y in shelved:
        height = max(height, top + y + part.height)
        for number, one in zip(part.numbers, part.boxes, strict=True):
            placed[number] = one._replace(x=left + x + one.x, y=top + y + one.y)
        lines += [each.moved(left + x, top + y, part.numbers) for each in part.lines]
    boxes = [placed[box] for box in range(len(diagram.boxes))]
    return NetDrawing(diagram, width + 2 * MARGIN, height + MARGIN, above, boxes, lines)


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


def _lay_out(numbers: Sequence[int], wires: Sequence[Wire], diagram: Diagram) -> _Laid:
    """The layout of the boxes with NUMBERS in DIAGRAM and of WIRES, which are connected."""
    local = {number: box for box, number in enumerate(numbers)}
    boxes = [diagram.boxes[number] for number in numbers]
    measures = [measure(box) for box in boxes]
    edges = []
    for wire in wires:
        source = local[wire.source]
        edges.append(Edge(source, wire.position, local[wire.target], measures[source].ports[wire.position].shift))
    layers = layered(len(boxes), edges)
    far: dict[int, list[str]] = defaultdict(list)
    for edge in edges:
        if layers.between(edge) > layers.longest:
            far[edge.target].append(boxes[edge.source].blobs[edge.port].name)
    for box, names in far.items():
        measures[box] = measure(boxes[box], names)
    order(layers)
    at = place(layers, [each.width // 2 for each in measures])
    bands = _bands(layers, measures, at)
    placed = [
        PlacedBox(box, at[cell] - size.width // 2, bands[layers.rank[cell]][0], size)
        for cell, (box, size) in enumerate(zip(boxes, measures, strict=True))
    ]
    right = max(at[cell] + (measures[cell].width // 2 if cell < len(boxes) else 0) for cell in range(len(at)))
    return _Laid(right, bands[-1][1], numbers, placed, [*_lines(placed, edges, layers, at, bands)])


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


def _lines(
    boxes: Sequence[PlacedBox],
    edges: Sequence[Edge],
    layers: Layers,
    at: Sequence[int],
    bands: Sequence[tuple[int, int]],
) -> Iterator[Line]:
    """The lines of all ports of BOXES, in the order of the net."""
    found: dict[tuple[int, int], list[Edge]] = defaultdict(list)
    for edge in edges:
        if layers.between(edge) <= layers.longest:
            found[edge.source, edge.port].append(edge)
    for source, placed in enumerate(boxes):
        for position, port in enumerate(placed.measure.ports):
            x, y = placed.x + placed.measure.width // 2 + port.shift, placed.y + placed.measure.height
            if port.output:
                end = Point(x, placed.y + placed.measure.reach - _STUB)
                yield Line(source, position, ((Point(x, y), end),), (), end)
            if (source, position) not in found:
                continue
            trunk = [(Point(x, y), Point(x, bands[layers.rank[source]][1]))]
            for bend in layers.trunks[source, position]:
                top, bottom = bands[layers.rank[bend]]
                trunk.append((Point(at[bend], top), Point(at[bend], bottom)))
            branches = []
            for edge in found[source, position]:
                end = Point(at[edge.target], bands[layers.rank[edge.target]][0])
                branches.append((edge.target, layers.between(edge) + 1, end))
            yield line(source, position, trunk, branches)


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
