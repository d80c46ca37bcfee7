"""Layered layout, step 3: where each cell lies from left to right.

Cells that belong in one vertical line form a *column*: the bends of one edge, and boxes along the one longest way. A
column has a least distance to its neighbours in every row. From a balanced start, columns move to the mean of what they
are linked to, as far as their neighbours allow, and columns that touch move together.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

from caffe_fcn.diagram.layering import Layers, Link

GAP, BEND_GAP = 28, 14
"""The least free space beside a box, and between two bends."""
_ROUNDS = 40
_MOST_STEPS = 1_500_000
"""The maximum number of links that are looked at in all rounds."""


def place(layers: Layers, halves: Sequence[int]) -> list[int]:
    """The place of the middle of each cell of LAYERS, the leftmost border at 0. HALVES: half the width of each box."""
    columns = _Columns(layers, halves)
    for _ in range(max(4, min(_ROUNDS, _MOST_STEPS // (len(layers.links) + 1)))):
        columns.relax()
        columns.shift_together()
    return columns.places(halves)


class _Columns:
    """The columns of LAYERS and their places while they move."""

    def __init__(self, layers: Layers, halves: Sequence[int]) -> None:
        self.layers = layers
        self.column, self.offset = _lines(layers)
        count = max(self.column, default=-1) + 1
        self.right: list[dict[int, int]] = [{} for _ in range(count)]
        self.left: list[dict[int, int]] = [{} for _ in range(count)]
        for row in layers.rows:
            for one, other in pairwise(row):
                self._keep_apart(one, other, halves)
        self.pulls: list[list[tuple[int, float, int]]] = [[] for _ in range(count)]
        for link in layers.links:
            self._pull(link)
        self.sequence = self._in_order()
        self.at = self._start()

    def _keep_apart(self, one: int, other: int, halves: Sequence[int]) -> None:
        boxes = self.layers.boxes
        bends = (one >= boxes) + (other >= boxes)
        space = sum(halves[cell] for cell in (one, other) if cell < boxes) + (BEND_GAP if bends else GAP)
        a, b = self.column[one], self.column[other]
        least = space + self.offset[one] - self.offset[other]
        self.right[a][b] = self.left[b][a] = max(least, self.right[a].get(b, least))

    def _pull(self, link: Link) -> None:
        a, b = self.column[link.above], self.column[link.below]
        if a == b:
            return
        way = self.offset[link.above] + link.shift - self.offset[link.below]
        bends = (link.above >= self.layers.boxes) + (link.below >= self.layers.boxes)
        weight = (4, 2, 1)[bends] / 4
        self.pulls[a].append((b, weight, -way))
        self.pulls[b].append((a, weight, way))

    def _in_order(self) -> list[int]:
        """The columns, each behind those to its left."""
        waiting = [len(found) for found in self.left]
        ready = [column for column, count in enumerate(waiting) if not count]
        for column in ready:
            for other in self.right[column]:
                waiting[other] -= 1
                if not waiting[other]:
                    ready.append(other)
        return ready

    def _start(self) -> list[float]:
        """The middle between the places farthest to the left and farthest to the right."""
        low, high = [0.0] * len(self.right), [0.0] * len(self.right)
        for column in self.sequence:
            low[column] = max((low[other] + space for other, space in self.left[column].items()), default=0.0)
        for column in reversed(self.sequence):
            high[column] = min((high[other] - space for other, space in self.right[column].items()), default=0.0)
        return [(one + other) / 2 for one, other in zip(low, high, strict=True)]

    def _wish(self, column: int) -> float | None:
        """Where the links of COLUMN pull it; None if it has none."""
        pulls = self.pulls[column]
        total = sum(weight for _, weight, _ in pulls)
        return sum(weight * (self.at[other] + way) for other, weight, way in pulls) / total if total else None

    def _room(self, column: int) -> tuple[float, float]:
        """The places between which COLUMN can lie, as its neighbours are."""
        at = self.at
        low = max((at[other] + space for other, space in self.left[column].items()), default=-1e12)
        high = min((at[other] - space for other, space in self.right[column].items()), default=1e12)
        return low, high

    def relax(self) -> None:
        """Move each column to where it is pulled, as far as there is room; from the left, then from the right."""
        for sequence in (self.sequence, self.sequence[::-1]):
            for column in sequence:
                wish = self._wish(column)
                if wish is not None:
                    low, high = self._room(column)
                    self.at[column] = min(max(wish, low), max(low, high))

    def shift_together(self) -> None:
        """Move groups of columns that touch each other, each as a whole."""
        group = self._touching()
        members: dict[int, list[int]] = defaultdict(list)
        for column, root in enumerate(group):
            members[root].append(column)
        for root, columns in members.items():
            outside = [
                (weight, self.at[other] + way - self.at[column])
                for column in columns
                for other, weight, way in self.pulls[column]
                if group[other] != root
            ]
            if len(columns) < 2 or not outside:
                continue
            move = sum(weight * way for weight, way in outside) / sum(weight for weight, _ in outside)
            for column in columns:
                for other, space in self.left[column].items():
                    if group[other] != root:
                        move = max(move, self.at[other] + space - self.at[column])
                for other, space in self.right[column].items():
                    if group[other] != root:
                        move = min(move, self.at[other] - space - self.at[column])
            for column in columns:
                self.at[column] += move

    def _touching(self) -> list[int]:
        """For each column the first one of its group."""
        root = list(range(len(self.at)))

        def find(column: int) -> int:
            while root[column] != column:
                root[column] = root[root[column]]
                column = root[column]
            return column

        for column, others in enumerate(self.right):
            for other, space in others.items():
                if self.at[other] - self.at[column] - space < 0.5:
                    one, two = sorted((find(column), find(other)))
                    root[two] = one
        return [find(column) for column in range(len(root))]

    def places(self, halves: Sequence[int]) -> list[int]:
        """The places of the cells in whole units."""
        whole: dict[int, int] = {}
        for column in self.sequence:
            least = [whole[other] + space for other, space in self.left[column].items()]
            whole[column] = max([math.floor(self.at[column] + 0.5), *least])
        found = [whole[column] + way for column, way in zip(self.column, self.offset, strict=True)]
        border = min(
            (at - (halves[cell] if cell < self.layers.boxes else 0) for cell, at in enumerate(found)), default=0
        )
        return [at - border for at in found]


def _lines(layers: Layers) -> tuple[list[int], list[int]]:
    """For each cell its column and its place in it, from the first cell of the column to the right."""
    cells = len(layers.rank)
    column, offset = [-1] * cells, [0] * cells
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


def _straight(layers: Layers) -> Mapping[int, Link]:
    """The links that become straight lines, by their upper cells: none crosses another one."""
    place = {cell: at for row in layers.rows for at, cell in enumerate(row)}
    by_rank: dict[int, list[tuple[int, Link]]] = defaultdict(list)
    for link, urgency in _candidates(layers):
        by_rank[layers.rank[link.above]].append((urgency, link))
    kept: dict[int, Link] = {}
    for found in by_rank.values():
        found.sort(key=lambda each: (each[0], place[each[1].above]))
        lines: list[tuple[int, int]] = []
        for _, link in found:
            line = place[link.above], place[link.below]
            at = bisect(lines, line)
            if all(
                one < two
                for each in pairwise((*lines[max(0, at - 1) : at], line, *lines[at : at + 1]))
                for one, two in zip(*each, strict=True)
            ):
                lines.insert(at, line)
                kept[link.above] = link
    return kept


def _candidates(layers: Layers) -> list[tuple[Link, int]]:
    """The links that are best straight, with their urgency, 0 first: between two bends; along the only longest way
    from a box, and to it; and the only one at both of its ends."""
    below: dict[int, list[Link]] = defaultdict(list)
    above: dict[int, list[Link]] = defaultdict(list)
    for link in layers.links:
        below[link.above].append(link)
        above[link.below].append(link)
    found = []
    for link in layers.links:
        if link.above >= layers.boxes and link.below >= layers.boxes:
            found.append((link, 0))
        elif _is_main(layers, link, below[link.above], above[link.below]):
            found.append((link, 1))
    return found


def _is_main(layers: Layers, link: Link, out: Sequence[Link], into: Sequence[Link]) -> bool:
    if len(out) == 1 and len(into) == 1:
        return True
    if link.above >= layers.boxes or link.below >= layers.boxes:
        return False
    reach = layers.reach
    others = [reach[each.below] if each.below < layers.boxes else 0 for each in out if each is not link]
    boxes = [each for each in into if each.above < layers.boxes and each is not link]
    return all(other < reach[link.below] for other in others) and not boxes
