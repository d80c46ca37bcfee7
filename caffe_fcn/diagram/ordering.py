"""Layered layout, step 2: the order of the cells in each rank, with few crossings.

Rows are sorted by the mean place of the neighbours in the row above, then in the row below, and so on; the order with
the fewest crossings is kept. The first order is that of the file, which is nearly always right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from caffe_fcn.diagram.layering import Layers

_MOST_SWEEPS, _PATIENCE = 24, 6
_MOST_STEPS = 1_000_000
"""The maximum number of links that are looked at in all sweeps."""


def order(layers: Layers) -> None:
    """Sort the rows of LAYERS."""
    above: dict[int, list[int]] = defaultdict(list)
    below: dict[int, list[int]] = defaultdict(list)
    for link in layers.links:
        above[link.below].append(link.above)
        below[link.above].append(link.below)
    best, least, idle = [list(row) for row in layers.rows], crossings(layers), 0
    for sweep in range(min(_MOST_SWEEPS, _MOST_STEPS // (len(layers.links) + 1))):
        if not least or idle >= _PATIENCE:
            break
        down = sweep % 2 == 0
        _sweep(layers.rows if down else layers.rows[::-1], above if down else below)
        found = crossings(layers)
        idle = 0 if found < least else idle + 1
        if found < least:
            best, least = [list(row) for row in layers.rows], found
    layers.rows[:] = best


def _sweep(rows: Sequence[list[int]], neighbours: dict[int, list[int]]) -> None:
    """Sort each of ROWS but the first by the places of the NEIGHBOURS in the one before."""
    places: dict[int, float] = {}
    for row in rows:
        span = max(1, len(row) - 1)
        means: dict[int, float] = {}
        for place, cell in enumerate(row):
            known = [places[other] for other in neighbours.get(cell, ()) if other in places]
            means[cell] = sum(known) / len(known) if known else place / span
        row.sort(key=means.__getitem__)
        places = {cell: place / span for place, cell in enumerate(row)}


def crossings(layers: Layers) -> int:
    """The number of links that cross another one."""
    place = {cell: at for row in layers.rows for at, cell in enumerate(row)}
    by_rank: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for link in layers.links:
        by_rank[layers.rank[link.above]].append((place[link.above], link.shift, place[link.below]))
    found = 0
    for links in by_rank.values():
        if len(links) > 1:
            found += _inversions([below for *_, below in sorted(links)])
    return found


def _inversions(values: Sequence[int]) -> int:
    """The number of pairs of VALUES, numbers from 0, in which the greater comes first; by a binary indexed tree."""
    size = max(values) + 1
    tree = [0] * (size + 1)
    found = 0
    for seen, value in enumerate(values):
        at, not_greater = value + 1, 0
        while at:
            not_greater += tree[at]
            at &= at - 1
        found += seen - not_greater
        at = value + 1
        while at <= size:
            tree[at] += 1
            at += at & -at
    return found
