"""Layered layout, step 3: where each cell lies from left to right.

Cells that belong in one vertical line form a *column*: the bends of one edge, boxes along the one longest way, and
boxes that are alone in their rank. Columns are pulled to the mean of what they are linked to, and kept apart: from left
to right, a column that is too near to others forms a cluster with them, which is pulled as a whole.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from caffe_fcn.diagram.layering import Layers, Link

GAP, BEND_GAP = 28, 14
"""The least free space beside a box, and beside a bend."""
_ROUNDS, _MOST_STEPS = 60, 1_000_000
"""The maximum number of rounds, and of distances that are looked at in all of them."""


def place(layers: Layers, halves: Sequence[int]) -> list[int]:
    """The place of the middle of each cell of LAYERS, the leftmost border at 0. HALVES: half the width of each box."""
    lines = _lines(layers)
    columns = _Columns(layers, halves, *_with_trunk(layers, *lines))
    if not columns.possible:
        columns = _Columns(layers, halves, *lines)
    at = columns.apart([0.0] * len(columns.left))
    for _ in range(_ROUNDS):
        before = at
        at = columns.apart([(here + columns.wish(column, at)) / 2 for column, here in enumerate(at)])
        moved = max((abs(one - other) for one, other in zip(before, at, strict=True)), default=0)
        if moved < 0.5 or columns.steps > _MOST_STEPS:
            break
    cells = columns.whole(at)
    border = min((at - (halves[cell] if cell < layers.boxes else 0) for cell, at in enumerate(cells)), default=0)
    return [at - border for at in cells]


class _Columns:
    """The columns of LAYERS, of cells with a COLUMN and an OFFSET in it: least distances, pulls, and an order from the
    left."""

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
        self.sequence = self._in_order()
        self.steps = 0

    @property
    def possible(self) -> bool:
        """Whether no column lies to the left of itself."""
        return len(self.sequence) == len(self.left)

    def _in_order(self) -> list[int]:
        """The columns, each behind those to its left."""
        right: list[list[int]] = [[] for _ in self.left]
        for column, others in enumerate(self.left):
            for other in others:
                right[other].append(column)
        waiting = [len(others) for others in self.left]
        ready = [column for column, count in enumerate(waiting) if not count]
        for column in ready:
            for other in right[column]:
                waiting[other] -= 1
                if not waiting[other]:
                    ready.append(other)
        return ready

    def wish(self, column: int, at: Sequence[float]) -> float:
        """Where the links of COLUMN pull it, if columns are AT these places."""
        pulls = self.pulls[column]
        return (
            sum(weight * (at[other] + way) for other, weight, way in pulls) / self.weights[column]
            if pulls
            else at[column]
        )

    def apart(self, wishes: Sequence[float]) -> list[float]:
        """The places near WISHES that keep the least distances (the satisfaction step of VPSC, Dwyer et al.)."""
        root, way = list(range(len(wishes))), [0.0] * len(wishes)
        middle, weight, members = list(wishes), list(self.weights), [[column] for column in root]
        bounds = [[(column, other, space) for other, space in found.items()] for column, found in enumerate(self.left)]

        def excess(bound: tuple[int, int, int]) -> float:
            one, other, space = bound
            return middle[root[other]] + way[other] + space - middle[root[one]] - way[one]

        for own in self.sequence:
            while bounds[own]:
                self.steps += len(bounds[own])
                worst = max(bounds[own], key=excess)
                if excess(worst) <= 0:
                    break
                one, other, space = worst
                to, shift = root[other], way[other] + space - way[one]
                for member in members[own]:
                    root[member] = to
                    way[member] += shift
                both = weight[to] + weight[own]
                middle[to] = (middle[to] * weight[to] + (middle[own] - shift) * weight[own]) / both
                weight[to] = both
                members[to] += members[own]
                bounds[to] = [each for each in bounds[to] + bounds[own] if root[each[1]] != to]
                own = to
        return [middle[root[column]] + way[column] for column in range(len(wishes))]

    def whole(self, at: Sequence[float]) -> list[int]:
        """The places of the cells in whole units, if the columns are AT these places."""
        found: dict[int, int] = {}
        for column in self.sequence:
            least = [found[other] + space for other, space in self.left[column].items()]
            found[column] = max([math.floor(at[column] + 0.5), *least])
        return [found[column] + way for column, way in zip(self.column, self.offset, strict=True)]


def _lines(layers: Layers) -> tuple[list[int], list[int]]:
    """For each cell its column and its place in it, from the first cell of the column to the right."""
    column, offset = [-1] * len(layers.rank), [0] * len(layers.rank)
    under = _straight(layers)
    count = 0
    for row in layers.rows:
        for cell in row:
            if column[cell] < 0:
                column[cell], count = count, count + 1
            if cell in under:
                link = under[cell]
                column[link.below], offset[link.below] = column[cell], offset[cell] + link.shift
    return column, offset


def _with_trunk(layers: Layers, column: Sequence[int], offset: Sequence[int]) -> tuple[list[int], list[int]]:
    """The same with one column for all boxes that are alone in their rank, apart from bends."""
    boxes = [[cell for cell in row if cell < layers.boxes] for row in layers.rows]
    shifts: dict[int, int] = {}
    for row in boxes:
        if len(row) == 1:
            shifts.setdefault(column[row[0]], offset[row[0]])
    trunk = next(iter(shifts), 0)
    moved = [trunk if each in shifts else each for each in column]
    number = {each: at for at, each in enumerate(dict.fromkeys(moved))}
    return [number[each] for each in moved], [
        way - shifts.get(each, 0) for each, way in zip(column, offset, strict=True)
    ]


def _straight(layers: Layers) -> Mapping[int, Link]:
    """The links that become straight lines, by their upper cells: no two of them cross."""
    place = {cell: at for row in layers.rows for at, cell in enumerate(row)}
    kept: dict[int, Link] = {}
    lines: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for _, above, below, link in sorted(
        (not bends, place[link.above], place[link.below], link) for link, bends in _best(layers)
    ):
        there, line = lines[layers.rank[link.above]], (above, below)
        at = bisect(there, line)
        near = pairwise((*there[max(0, at - 1) : at], line, *there[at : at + 1]))
        if all(one < other for pair in near for one, other in zip(*pair, strict=True)):
            there.insert(at, line)
            kept[link.above] = link
    return kept


def _best(layers: Layers) -> Iterator[tuple[Link, bool]]:
    """The links that are best straight, and whether they are between two bends: these; links that are alone at both
    ends; and links between boxes on the only longest way from the upper one, if no other box is linked to the lower."""
    count, reach = layers.boxes, [*layers.reach, *[0] * len(layers.rank)]
    ways: dict[int, list[int]] = defaultdict(list)
    into: dict[int, list[int]] = defaultdict(list)
    for link in layers.links:
        ways[link.above].append(reach[link.below])
        into[link.below].append(link.above)
    longest = {cell: max(found) for cell, found in ways.items()}
    single = {cell for cell, found in ways.items() if found.count(longest[cell]) == 1}
    boxes = {cell: sum(above < count for above in found) for cell, found in into.items()}
    for link in layers.links:
        bends = link.above >= count and link.below >= count
        alone = len(ways[link.above]) == len(into[link.below]) == 1
        main = link.above in single and reach[link.below] == longest[link.above] > 0 and boxes[link.below] == 1
        if bends or alone or (main and link.above < count):
            yield link, bends
