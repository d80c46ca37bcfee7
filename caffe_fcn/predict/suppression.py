"""Non-maximum suppression: of boxes that overlap much, only the best is kept.

Boxes are taken from the best to the worst; a box is dropped if it overlaps a kept one by more than a limit. The overlap
is the intersection over the union (IOU), compared exactly, in integers. Kept boxes are found by their position in a
grid, so the time grows with the number of boxes, not with its square. There is one grid for boxes of about one size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

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


class _Kept:
    """The boxes that are kept. PARTS is the limit in millionths.

    For an IOU above the limit t, both sides of the intersection must be above t times the longer side. So boxes of the
    sides a and b that overlap so much begin less than (1 - t)·a after, or (1 - t)·b before each other.
    """

    def __init__(self, parts: int) -> None:
        self._parts = parts
        self._grids: dict[tuple[int, int], _Grid] = {}

    def _apart(self, side: int) -> int:
        """Return the most pixels by which a box may begin after one with this SIDE; at least 1."""
        return max(1, -(-side * (_PARTS - self._parts) // _PARTS))

    def add(self, box: _Box) -> None:
        """Keep BOX."""
        top, left, bottom, right = box
        size = (bottom - top).bit_length(), (right - left).bit_length()
        grid = self._grids.setdefault(size, {})
        down, across = (self._apart(1 << bits) for bits in size)
        grid.setdefault((top // down, left // across), []).append(box)

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
        top, left, bottom, right = box
        for size, grid in self._grids.items():
            if any(self._differ(side, bits) for side, bits in zip((bottom - top, right - left), size, strict=True)):
                continue
            down, across = (self._apart(1 << bits) for bits in size)
            rows = range((top - down) // down, (top + self._apart(bottom - top)) // down + 1)
            columns = range((left - across) // across, (left + self._apart(right - left)) // across + 1)
            if len(rows) * len(columns) > len(grid):
                yield from (each for place in grid.values() for each in place)
            else:
                yield from (each for row in rows for column in columns for each in grid.get((row, column), ()))

    def _differ(self, side: int, bits: int) -> bool:
        """Return whether SIDE is so much longer or shorter than all numbers of BITS bits that the overlap is small."""
        least, most = (1 << bits) >> 1, 1 << bits
        return min(side, most) * _PARTS <= self._parts * max(side, least)
