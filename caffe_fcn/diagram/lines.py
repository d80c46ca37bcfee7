"""The lines of a drawing: one for each blob, with branches to all boxes that read it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from caffe_fcn.diagram.drawing import NetDrawing, Point
from caffe_fcn.diagram.records import DrawnBlob
from caffe_fcn.inspection.words import shape_of

HEAD = Point(4, 7)
"""Half the width of the head of an arrow, and its height."""
_STUB = 5
"""How far the mark of an output is above the end of its cell."""


class Line(NamedTuple):
    """A blob: the PIECES of its line, each vertical at both ends; the HEADS of arrows; the ENDS of an output."""

    title: str
    pieces: tuple[tuple[Point, Point], ...]
    heads: tuple[Point, ...]
    ends: tuple[Point, ...]


def lines_of(drawing: NetDrawing) -> Iterator[Line]:
    """The lines of DRAWING, in the order of the net."""
    curves: dict[tuple[int, int], list[tuple[Point, ...]]] = defaultdict(list)
    for curve in drawing.curves:
        curves[curve.wire.source, curve.wire.position].append(curve.points)
    for box, placed in enumerate(drawing.boxes):
        for position, blob in enumerate(placed.box.blobs):
            port = placed.measure.ports[position]
            start = Point(placed.x + placed.measure.width // 2 + port.shift, placed.y + placed.measure.height)
            if blob.output:
                end = Point(start.x, placed.y + placed.measure.reach - _STUB)
                yield Line(_title(blob), ((start, end),), (), (end,))
            elif found := curves.get((box, position)):
                yield _line(blob, found)


def _line(blob: DrawnBlob, curves: list[tuple[Point, ...]]) -> Line:
    pieces: dict[tuple[Point, Point], None] = {}
    heads = []
    for points in curves:
        heads.append(points[-1])
        points = (*points[:-1], points[-1]._replace(y=points[-1].y - HEAD.y + 1))
        pieces.update(dict.fromkeys(pairwise(points)))
    return Line(_title(blob), tuple(pieces), tuple(heads), ())


def _title(blob: DrawnBlob) -> str:
    return f"{blob.name[:1000]} {shape_of(blob.shape)}"


def path_of(line: Line) -> str:
    """The pieces of LINE as the data of an SVG path."""
    parts = []
    last = None
    for start, end in line.pieces:
        if start != last:
            parts.append(f"M{start.x:g} {start.y:g}")
        if start.x == end.x:
            parts.append(f"V{end.y:g}")
        else:
            middle = (start.y + end.y) / 2
            parts.append(f"C{start.x:g} {middle:g} {end.x:g} {middle:g} {end.x:g} {end.y:g}")
        last = end
    return "".join(parts)
