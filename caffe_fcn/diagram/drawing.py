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
from caffe_fcn.diagram.levels import common_ranks
from caffe_fcn.diagram.lines import Line, Point, line
from caffe_fcn.diagram.measures import NAME, SIGNS, TYPE, Measure, measure
from caffe_fcn.diagram.ordering import order
from caffe_fcn.diagram.placing import GAP, place
from caffe_fcn.diagram.records import Comparison, Diagram, DrawnBox, Mark, Wire
from caffe_fcn.diagram.text import fitted
from caffe_fcn.diagram.text import width as width_of
from caffe_fcn.net.layers.row import Family

MARGIN = 24
_LEAST_WIDE = 420
"""The least width of a drawing with a heading, without its margins."""
_STEEP = 0.12
"""The height of the space between two bands grows with the widest edge in it."""
_SPACE, _MOST_SPACE = 30, 110
_LEAST_SIDE, _BETWEEN = 240, 80
"""The least width of a net in a comparison, and the space between two nets."""
_STUB = 5
"""How far the mark of an output is above the end of its cell."""


class PlacedBox(NamedTuple):
    """A box, at its upper left corner, with the places of its parts in it."""

    box: DrawnBox
    x: int
    y: int
    measure: Measure


class LegendSwatch(NamedTuple):
    """A family or a mark in the legend, at the upper left corner of its colour."""

    x: int
    y: int
    text: str
    family: Family | None
    mark: Mark


class DrawingHeading(NamedTuple):
    """The title above a drawing, at its upper left corner, with a legend below it, and CAPTIONS of two nets."""

    x: int
    y: int
    title: str
    entries: tuple[LegendSwatch, ...]
    captions: tuple[tuple[int, int, str], ...] = ()


class NetDrawing(NamedTuple):
    """A drawing with all positions."""

    diagram: Diagram
    width: int
    height: int
    heading: DrawingHeading | None
    boxes: Sequence[PlacedBox]
    lines: Sequence[Line]


class _Arranged(NamedTuple):
    """Boxes, which have NUMBERS in a diagram, with their sizes, edges and ranks; AT: the places of cells from left to
    right."""

    numbers: Sequence[int]
    boxes: Sequence[DrawnBox]
    measures: Sequence[Measure]
    edges: Sequence[Edge]
    layers: Layers
    at: Sequence[int]


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
    parts = []
    for numbers, wires in _components(diagram):
        part = _arranged(numbers, wires, diagram)
        parts.append(_laid(part, _bands([part])))
    return _assembled(diagram, [*_shelved(parts)], heading=heading)


def comparison_drawing(both: Comparison) -> NetDrawing:
    """The layout of two nets side by side, with twins at one height where their order allows it."""
    parts = []
    for diagram, ranks in zip((both.old, both.new), common_ranks(both), strict=True):
        parts.append(_arranged(range(len(diagram.boxes)), diagram.wires, diagram, ranks))
    bands = _bands(parts)
    old, new = (_laid(part, bands) for part in parts)
    first, apart = len(both.old.boxes), max(old.width, _LEAST_SIDE) + _BETWEEN
    new = new._replace(numbers=range(first, first + len(both.new.boxes)))
    wires = [Wire(wire.source + first, wire.position, wire.target + first) for wire in both.new.wires]
    diagram = Diagram(both.title, [*both.old.boxes, *both.new.boxes], [*both.old.wires, *wires])
    captions = ((0, both.old.title, max(old.width, _LEAST_SIDE)), (apart, both.new.title, max(new.width, _LEAST_SIDE)))
    return _assembled(diagram, [(old, 0, 0), (new, apart, 0)], captions)


def _assembled(
    diagram: Diagram,
    parts: Sequence[tuple[_Laid, int, int]],
    captions: Sequence[tuple[int, str, int]] = (),
    *,
    heading: bool = True,
) -> NetDrawing:
    """PARTS of DIAGRAM at their places, with a title and a legend if HEADING. CAPTIONS: where they are, and their
    texts, not wider than the last number."""
    drawn = max([x + part.width for part, x, _ in parts] + [x + room for x, _, room in captions], default=0)
    width = max(drawn, _LEAST_WIDE if heading else 0)
    above = _heading(diagram, width) if heading else None
    left = MARGIN + (width - drawn) // 2
    top = MARGIN if above is None else above.entries[-1].y + 2 * MARGIN if above.entries else 3 * MARGIN
    if captions and above is not None:
        words = [(left + x, top + 8, fitted(text, NAME, room, bold=True)) for x, text, room in captions]
        above, top = above._replace(captions=tuple(words)), top + MARGIN
    placed: dict[int, PlacedBox] = {}
    lines: list[Line] = []
    height = top
    for part, x, y in parts:
        height = max(height, top + y + part.height)
        for number, one in zip(part.numbers, part.boxes, strict=True):
            placed[number] = one._replace(x=left + x + one.x, y=top + y + one.y)
        lines += [each.moved(left + x, top + y, part.numbers) for each in part.lines]
    boxes = [placed[box] for box in range(len(diagram.boxes))]
    return NetDrawing(diagram, width + 2 * MARGIN, height + MARGIN, above, boxes, lines)


def _heading(diagram: Diagram, room: int) -> DrawingHeading:
    """The title of DIAGRAM and its legend, in rows not wider than ROOM."""
    layers = [layer for box in diagram.boxes for layer in box.layers]
    families, marks = {layer.family for layer in layers}, {layer.mark for layer in layers}
    shown: list[tuple[str, Family | None, Mark]] = [
        (name, family, "") for family, name in FAMILY_NAMES.items() if family in families
    ]
    shown += [(f"{sign}{mark}", None, mark) for mark, sign in SIGNS.items() if mark and mark in marks]
    x, y = MARGIN, MARGIN + 24
    entries = []
    for text, family, mark in shown:
        size = 20 + math.ceil(width_of(text, TYPE)) + 16
        if x > MARGIN and x + size > MARGIN + room:
            x, y = MARGIN, y + 20
        entries.append(LegendSwatch(x, y, text, family, mark))
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


def _arranged(
    numbers: Sequence[int], wires: Sequence[Wire], diagram: Diagram, ranks: Sequence[int] | None = None
) -> _Arranged:
    """The ranks of the boxes with NUMBERS in DIAGRAM, if RANKS are not given, and the places of boxes and WIRES from
    left to right."""
    local = {number: box for box, number in enumerate(numbers)}
    boxes = [diagram.boxes[number] for number in numbers]
    measures = [measure(box) for box in boxes]
    edges = []
    for wire in wires:
        source = local[wire.source]
        edges.append(Edge(source, wire.position, local[wire.target], measures[source].ports[wire.position].shift))
    layers = layered(len(boxes), edges, ranks)
    far: dict[int, list[str]] = defaultdict(list)
    for edge in edges:
        if layers.between(edge) > layers.longest:
            far[edge.target].append(boxes[edge.source].blobs[edge.port].name)
    for box, names in far.items():
        measures[box] = measure(boxes[box], names)
    order(layers)
    return _Arranged(numbers, boxes, measures, edges, layers, place(layers, [each.width // 2 for each in measures]))


def _laid(part: _Arranged, bands: Sequence[tuple[int, int]]) -> _Laid:
    """PART with its ranks in BANDS."""
    at, layers = part.at, part.layers
    placed = [
        PlacedBox(box, at[cell] - size.width // 2, bands[layers.rank[cell]][0], size)
        for cell, (box, size) in enumerate(zip(part.boxes, part.measures, strict=True))
    ]
    right = [at[cell] + (part.measures[cell].width // 2 if cell < len(placed) else 0) for cell in range(len(at))]
    height = bands[len(layers.rows) - 1][1] if layers.rows else 0
    return _Laid(max(right, default=0), height, part.numbers, placed, [*_lines(placed, part, bands)])


def _bands(parts: Sequence[_Arranged]) -> list[tuple[int, int]]:
    """The top and the bottom of each rank of PARTS, which are side by side."""
    count = max(len(part.layers.rows) for part in parts)
    widest, tallest = [0] * count, [0] * count
    for part in parts:
        layers, at = part.layers, part.at
        for link in layers.links:
            rank = layers.rank[link.above]
            widest[rank] = max(widest[rank], abs(at[link.above] + link.shift - at[link.below]))
        for size, rank in zip(part.measures, layers.rank, strict=False):
            tallest[rank] = max(tallest[rank], size.reach)
    bands = []
    top = 0
    for wide, tall in zip(widest, tallest, strict=True):
        bands.append((top, top + tall))
        top += tall + min(_MOST_SPACE, _SPACE + round(_STEEP * wide))
    return bands


def _lines(boxes: Sequence[PlacedBox], part: _Arranged, bands: Sequence[tuple[int, int]]) -> Iterator[Line]:
    """The lines of all ports of BOXES, those of PART, in the order of the net."""
    layers, at = part.layers, part.at
    found: dict[tuple[int, int], list[Edge]] = defaultdict(list)
    for edge in part.edges:
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
            for bend in layers.trunks[source, position][1:]:
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
