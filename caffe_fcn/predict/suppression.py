"""Non-maximum suppression: of boxes that overlap much, only the best is kept.

Boxes are taken from the best to the worst; a box is dropped if it overlaps a kept one by more than a limit. The overlap
is the intersection over the union (IOU), compared exactly, in integers. Kept boxes are found by their position in a
grid, so the time grows with the number of boxes, not with its square. There is one grid for boxes of about one size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple, TypeAlias

_PARTS = 1_000_000
"""A limit is rounded to a millionth."""

_Box: TypeAlias = Sequence[int]
_Grid: TypeAlias = dict[tuple[int, int], list[_Box]]


def suppress(boxes: Sequence[Sequence[int]], limit: float) -> list[int]:
    """Return the positions of the BOXES to keep: top, left, bottom, right, the last two exclusive, the best box first.
    A box is dropped if its IOU with a kept one is above LIMIT, 0 to 1."""
    parts = round(limit * _PARTS)
    if parts >= _PARTS:
        return [*range(len(boxes))]
    kept, found = _Kept(parts), []
    for index, box in enumerate(boxes):
        if not kept.overlaps(box):
            kept.add(box)
            found.append(index)
    return found


class _Reach(NamedTuple):
    """A GRID, the sides of its places, and how far BELOW and BESIDE the beginning of a box others may begin."""

    grid: _Grid
    down: int
    across: int
    below: int
    beside: int


class _Kept:
    """The boxes that are kept. PARTS is the limit in millionths.

    For an IOU above the limit t, both sides of the intersection must be above t times the longer side. So boxes of the
    sides a and b that overlap so much begin less than (1 - t)·a after, or (1 - t)·b before each other.
    """

    def __init__(self, parts: int) -> None:
        self._parts = parts
        self._grids: dict[tuple[int, int], _Grid] = {}
        self._reaches: dict[tuple[int, int], list[_Reach]] = {}

    def _apart(self, side: int) -> int:
        """Return the most pixels by which a box may begin after one with this SIDE; at least 1."""
        return max(1, -(-side * (_PARTS - self._parts) // _PARTS))

    def add(self, box: _Box) -> None:
        """Keep BOX."""
        size = _bits(box)
        if size not in self._grids:
            self._grids[size] = {}
            self._reaches.clear()
        down, across = (self._apart(1 << bits) for bits in size)
        self._grids[size].setdefault((box[0] // down, box[1] // across), []).append(box)

    def overlaps(self, box: _Box) -> bool:
        """Return whether BOX overlaps a kept one by more than the limit."""
        top, left, bottom, right = box
        area = (bottom - top) * (right - left)
        for near in self._near(box):
            high = min(bottom, near[2]) - max(top, near[0])
            wide = min(right, near[3]) - max(left, near[1])
            if high > 0 and wide > 0:
                shared = high * wide
                union = area + (near[2] - near[0]) * (near[3] - near[1]) - shared
                if shared * _PARTS > self._parts * union:
                    return True
        return False

    def _near(self, box: _Box) -> Iterator[_Box]:
        """Yield the kept boxes that may overlap BOX by more than the limit, and few others."""
        size = _bits(box)
        found = self._reaches.get(size)
        if found is None:
            found = self._reaches[size] = [*self._reached(*size)]
        for grid, down, across, below, beside in found:
            rows = range(box[0] // down - 1, (box[0] + below) // down + 1)
            columns = range(box[1] // across - 1, (box[1] + beside) // across + 1)
            few = len(rows) * len(columns) < len(grid)
            for place in product(rows, columns) if few else grid:
                if place in grid:
                    yield from grid[place]

    def _reached(self, high: int, wide: int) -> Iterator[_Reach]:
        """Yield the grids of the boxes that boxes with sides of HIGH and WIDE bits may overlap by more than the
        limit."""
        for (rows, columns), grid in self._grids.items():
            if not self._differ(high, rows) and not self._differ(wide, columns):
                sides = (self._apart(1 << bits) for bits in (rows, columns, high, wide))
                yield _Reach(grid, *sides)

    def _differ(self, one: int, other: int) -> bool:
        """Return whether sides of ONE and of OTHER bits are so different that the overlap is small."""
        less, more = sorted((one, other))
        return (1 << less) * _PARTS <= self._parts * ((1 << more) >> 1)


def _bits(box: _Box) -> tuple[int, int]:
    """Return the numbers of bits of the sides of BOX."""
    return (box[2] - box[0]).bit_length(), (box[3] - box[1]).bit_length()
