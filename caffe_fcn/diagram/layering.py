"""Layered layout, step 1: ranks, and the cells of each rank.

Every box gets a rank, one more than the highest rank above it. An edge over several ranks passes through a *bend* in
each rank between. Edges from one port share their bends, so a blob that many layers read is one line with branches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

_MOST_BENDS = 40_000
"""The maximum number of bends. Edges that need more, the longest ones, are not routed."""


class Edge(NamedTuple):
    """An edge from the port of one box to a later box, both as positions in the list of boxes. SHIFT: the place of the
    port, to the right of the middle of its box."""

    source: int
    port: int
    target: int
    shift: int = 0


class Link(NamedTuple):
    """A piece of an edge, from a cell to a cell of the next rank. It begins SHIFT to the right of the first cell."""

    above: int
    below: int
    shift: int


@dataclass
class Layers:
    """The cells of a drawing: boxes, whose numbers are their positions in the list of boxes, and bends behind them."""

    boxes: int
    rank: list[int]
    """The rank of each cell."""
    rows: list[list[int]]
    """The cells of each rank, from left to right."""
    links: list[Link] = field(default_factory=list)
    trunks: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    """For each port its box and the bends of its edges, from the top. An edge passes through as many as there are ranks
    between."""
    longest: int = 0
    """The number of bends of the longest edges that are routed."""

    def between(self, edge: Edge) -> int:
        """The number of ranks between the ends of EDGE."""
        return self.rank[edge.target] - self.rank[edge.source] - 1


def layered(boxes: int, edges: Sequence[Edge], ranks: Sequence[int] | None = None) -> Layers:
    """The ranks of BOXES boxes and the bends of EDGES; RANKS are given ones, below each other for every edge."""
    rank = [0] * boxes
    for edge in sorted(edges):
        rank[edge.target] = max(rank[edge.target], rank[edge.source] + 1)
    fed = {edge.target for edge in edges}
    for box, found in groupby(sorted(edges), lambda edge: edge.source):
        if box not in fed:  # an input lies right above its first reader
            rank[box] = min(rank[edge.target] for edge in found) - 1
    rank = rank if ranks is None else list(ranks)
    rows: list[list[int]] = [[] for _ in range(max(rank, default=-1) + 1)]
    for box, place in enumerate(rank):
        rows[place].append(box)
    layers = Layers(boxes, rank, rows)
    _bend(layers, edges)
    return layers


def _bend(layers: Layers, edges: Sequence[Edge]) -> None:
    """Add the bends of EDGES to LAYERS. Bends that begin late come first in a row: they lie inside of longer ones."""
    rank = layers.rank
    layers.longest = _longest(layers, edges)
    for edge in sorted(edges, key=lambda edge: (-rank[edge.source], edge.source, edge.port, rank[edge.target])):
        trunk, between = layers.trunks.setdefault((edge.source, edge.port), [edge.source]), layers.between(edge)
        if between > layers.longest:
            continue
        while len(trunk) <= between:
            cell = len(rank)
            rank.append(rank[trunk[-1]] + 1)
            layers.rows[rank[cell]].append(cell)
            layers.links.append(Link(trunk[-1], cell, edge.shift if len(trunk) == 1 else 0))
            trunk.append(cell)
        layers.links.append(Link(trunk[between], edge.target, 0 if between else edge.shift))


def _longest(layers: Layers, edges: Sequence[Edge]) -> int:
    """The number of bends of the longest edges that are routed, so that there are not too many in all."""
    deepest: dict[tuple[int, int], int] = defaultdict(int)
    bends = 0
    for span, source, port in sorted((layers.between(edge), edge.source, edge.port) for edge in edges):
        bends += span - deepest[source, port]
        deepest[source, port] = span
        if bends > _MOST_BENDS:
            return span - 1
    return len(layers.rows)
