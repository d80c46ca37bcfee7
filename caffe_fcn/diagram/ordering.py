"""Layered layout, step 2: the order of the cells in each rank, with few crossings.

Rows are sorted by the mean place of the neighbours in the row above, then in the row below, and so on; the order with
the fewest crossings is kept. The first order is that of the file, which is nearly always right.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Mapping, Sequence

from caffe_fcn.diagram.layering import Layers

_MOST_SWEEPS, _PATIENCE = 24, 6
_MOST_STEPS = 1_000_000
"""The maximum number of links that are looked at in all sweeps."""


def order(layers: Layers) -> None:
    """Sort the rows of LAYERS."""
    neighbours: tuple[dict[int, list[int]], ...] = (defaultdict(list), defaultdict(list))
    for link in layers.links:
        neighbours[0][link.below].append(link.above)
        neighbours[1][link.above].append(link.below)
    best, least, idle = [list(row) for row in layers.rows], crossings(layers), 0
    for sweep in range(min(_MOST_SWEEPS, _MOST_STEPS // (len(layers.links) + 1))):
        if not least or idle >= _PATIENCE:
            break
        _sweep(layers.rows[:: -1 if sweep % 2 else 1], neighbours[sweep % 2])
        found, idle = crossings(layers), idle + 1
        if found < least:
            best, least, idle = [list(row) for row in layers.rows], found, 0
    layers.rows[:] = best


def _sweep(rows: Sequence[list[int]], neighbours: Mapping[int, Sequence[int]]) -> None:
    """Sort each of ROWS but the first by the places of the NEIGHBOURS in the one before."""
    places: dict[int, float] = {}
    for row in rows:
        means = {}
        for place, cell in enumerate(row):
            known = [places[other] for other in neighbours.get(cell, ()) if other in places]
            means[cell] = sum(known) / len(known) if known else place / len(row)
        row.sort(key=means.__getitem__)
        places = {cell: place / len(row) for place, cell in enumerate(row)}


def crossings(layers: Layers) -> int:
    """The number of pairs of links that cross."""
    place = {cell: at for row in layers.rows for at, cell in enumerate(row)}
    by_rank: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for link in layers.links:
        by_rank[layers.rank[link.above]].append((place[link.above], link.shift, place[link.below]))
    found = 0
    for links in by_rank.values():
        seen: list[int] = []
        for _, _, below in sorted(links):
            found += len(seen) - bisect_right(seen, below)
            insort(seen, below)
    return found
