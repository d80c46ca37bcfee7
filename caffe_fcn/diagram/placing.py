"""Layered layout, step 3: where each cell lies from left to right.

Cells that belong in one vertical line form a *column*: the bends of one edge, boxes along the one longest way, and
boxes that are alone in their rank. Again and again, columns are moved half the way to the mean of what they are linked
to, and then apart until none is too near to another.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import count, pairwise

from caffe_fcn.diagram.layering import Layers, Link

GAP, BEND_GAP = 28, 14
"""The least free space beside a box, and beside a bend."""
_ROUNDS, _MOST_STEPS = 60, 1_000_000
"""The maximum number of rounds, and of cells that are looked at in all of them."""


def place(layers: Layers, halves: Sequence[int]) -> list[int]:
    """The place of the middle of each cell of LAYERS, the leftmost border at 0. HALVES: half the width of each box."""
    try:
        columns = _Columns(layers, halves, *_lines(layers, trunk=True))
    except CycleError:  # the trunk would lie to the left of itself
        columns = _Columns(layers, halves, *_lines(layers, trunk=False))
    at = columns.apart([0.0] * len(columns.left))
    for _ in range(min(_ROUNDS, _MOST_STEPS // (len(layers.rank) + 1))):
        before, at = at, columns.apart([(here + columns.wish(column, at)) / 2 for column, here in enumerate(at)])
        if all(abs(one - other) < 0.5 for one, other in zip(before, at, strict=True)):
            break
    cells = columns.whole(at)
    border = min((at - (halves[cell] if cell < layers.boxes else 0) for cell, at in enumerate(cells)), default=0)
    return [at - border for at in cells]


class _Columns:
    """The columns of LAYERS, with least distances and pulls. COLUMN: that of each cell; OFFSET: its place in it."""

    def __init__(self, layers: Layers, halves: Sequence[int], column: Sequence[int], offset: Sequence[int]) -> None:
        self.column, self.offset = column, offset
        self.left: list[dict[int, int]] = [{} for _ in range(max(column, default=-1) + 1)]
        self.pulls: list[list[tuple[int, float, int]]] = [[] for _ in self.left]
        for row in layers.rows:
            for one, other in pairwise(row):
                boxes = [halves[cell] for cell in (one, other) if cell < layers.boxes]
                space = sum(boxes) + (GAP if len(boxes) == 2 else BEND_GAP) + offset[one] - offset[other]
                found = self.left[column[other]]
                found[column[one]] = max(space, found.get(column[one], space))
        for link in layers.links:
            one, other = column[link.above], column[link.below]
            way = offset[link.above] + link.shift - offset[link.below]
            weight = 1 / (1 + (link.above >= layers.boxes) + (link.below >= layers.boxes))
            if one != other:
                self.pulls[one].append((other, weight, -way))
                self.pulls[other].append((one, weight, way))
        self.weights = [sum(weight for _, weight, _ in pulls) or 1 for pulls in self.pulls]
        self.sequence = [*TopologicalSorter(dict(enumerate(self.left))).static_order()]

    def wish(self, column: int, at: Sequence[float]) -> float:
        """Where the links of COLUMN pull it, if columns are AT these places."""
        return sum(weight * (at[other] + way) for other, weight, way in self.pulls[column]) / self.weights[column]

    def apart(self, wishes: Sequence[float]) -> list[float]:
        """The places near WISHES that keep the least distances: midway between where columns lie if they give way to
        the right only, and to the left only."""
        left = list(wishes)
        for column in reversed(self.sequence):
            for other, space in self.left[column].items():
                left[other] = min(left[other], left[column] - space)
        return [(one + other) / 2 for one, other in zip(left, self._to_the_right(wishes), strict=True)]

    def _to_the_right(self, wishes: Sequence[float]) -> list[float]:
        found = list(wishes)
        for column in self.sequence:
            found[column] = max([found[column], *(found[other] + space for other, space in self.left[column].items())])
        return found

    def whole(self, at: Sequence[float]) -> list[int]:
        """The places of the cells in whole units, if the columns are AT these places."""
        found = self._to_the_right([math.floor(each + 0.5) for each in at])
        return [round(found[column]) + way for column, way in zip(self.column, self.offset, strict=True)]


def _lines(layers: Layers, *, trunk: bool) -> tuple[list[int], list[int]]:
    """For each cell its column and its place in it, from the middle of the column to the right. TRUNK: whether there is
    one column, the first, for all lines that begin at a box that is alone in its rank, apart from bends."""
    column, offset = [-1] * len(layers.rank), [0] * len(layers.rank)
    under = _straight(layers)
    numbers = count(1)
    for row in layers.rows:
        alone = sum(cell < layers.boxes for cell in row) == 1
        for cell in row:
            if column[cell] < 0:
                column[cell] = 0 if trunk and alone and cell < layers.boxes else next(numbers)
            if link := under.get(cell):
                column[link.below] = column[cell]
                # A bend lies below its port; a box below the middle of a box, or chains would drift to the side.
                offset[link.below] = offset[cell] + (link.shift if link.below >= layers.boxes else 0)
    return column, offset


def _straight(layers: Layers) -> Mapping[int, Link]:
    """The links that become straight lines, by their upper cells: no two of them cross."""
    place = {cell: at for row in layers.rows for at, cell in enumerate(row)}
    kept: dict[int, Link] = {}
    lines: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for link in sorted(_best(layers), key=lambda link: (min(link[:2]) < layers.boxes, place[link.above])):
        there, line = lines[layers.rank[link.above]], (place[link.above], place[link.below])
        at = bisect(there, line)
        near = pairwise((*there[max(0, at - 1) : at], line, *there[at : at + 1]))
        if all(one < other for pair in near for one, other in zip(*pair, strict=True)):
            there.insert(at, line)
            kept[link.above] = link
    return kept


def _best(layers: Layers) -> Iterator[Link]:
    """The links that are best straight: those between two bends, and those on the way over most boxes, if there is one
    such way from the upper cell and no other box is linked to the lower one."""
    reach = [0] * len(layers.rank)
    ways: dict[int, list[int]] = defaultdict(list)
    boxes: dict[int, int] = defaultdict(int)
    for link in sorted(layers.links, key=lambda link: -layers.rank[link.above]):
        ways[link.above].append(reach[link.below] + (link.below < layers.boxes))
        reach[link.above] = max(reach[link.above], ways[link.above][-1])
        boxes[link.below] += link.above < layers.boxes
    single = {cell for cell, found in ways.items() if found.count(reach[cell]) == 1}
    for link in layers.links:
        longest = reach[link.below] + (link.below < layers.boxes) == reach[link.above]
        main = link.above in single and longest and boxes[link.below] == (link.above < layers.boxes)
        if main or min(link[:2]) >= layers.boxes:
            yield link
