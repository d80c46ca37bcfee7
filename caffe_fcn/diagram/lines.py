"""The lines of a drawing: one for each blob that is read or is an output, with branches to all boxes that read it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Point(NamedTuple):
    """A place in a drawing, in CSS pixels: X to the right, Y down."""

    x: float
    y: float


HEAD = Point(4, 7)
"""Half the width of the head of an arrow, and its height."""


class Line(NamedTuple):
    """The line of the blob at POSITION among those of the box SOURCE. PIECES are vertical at both ends and go down.
    HEADS: the box that each arrow points to, and the place of its head. END: the mark of an output."""

    source: int
    position: int
    pieces: tuple[tuple[Point, Point], ...]
    heads: tuple[tuple[int, Point], ...]
    end: Point | None = None

    def moved(self, x: int, y: int, boxes: Sequence[int]) -> Line:
        """The same, X to the right and Y down. BOXES: the numbers that its boxes get."""

        def to(point: Point) -> Point:
            return Point(point.x + x, point.y + y)

        return Line(
            boxes[self.source],
            self.position,
            tuple((to(one), to(other)) for one, other in self.pieces),
            tuple((boxes[box], to(point)) for box, point in self.heads),
            self.end and to(self.end),
        )


def line(
    source: int,
    position: int,
    trunk: Sequence[tuple[Point, Point]],
    branches: Sequence[tuple[int, int, Point]],
) -> Line:
    """The line whose TRUNK has these vertical pieces, the first one at the port. BRANCHES: the box that each leads to,
    the number of pieces of the trunk before it, and where it ends."""
    points: list[Point] = []
    for point in (point for piece in trunk for point in piece):
        if len(points) > 1 and points[-1].x == points[-2].x == point.x:
            points.pop()
        points.append(point)
    pieces = [*pairwise(points)]
    for _, before, end in branches:
        pieces.append((trunk[before - 1][1], end._replace(y=end.y - HEAD.y + 1)))
    return Line(source, position, tuple(pieces), tuple((box, end) for box, _, end in branches))


def path_of(pieces: Sequence[tuple[Point, Point]]) -> str:
    """PIECES of a line as the data of an SVG path."""
    parts = []
    last = None
    for start, end in pieces:
        if start != last:
            parts.append(f"M{start.x:g} {start.y:g}")
        if start.x == end.x:
            parts.append(f"V{end.y:g}")
        else:
            middle = (start.y + end.y) / 2
            parts.append(f"C{start.x:g} {middle:g} {end.x:g} {middle:g} {end.x:g} {end.y:g}")
        last = end
    return "".join(parts)
