"""Layered layout, step 1: ranks, and the cells of each rank.

Every box gets a rank, one more than the highest rank above it. An edge over several ranks passes through a *bend* in
each rank between. Edges from one port share their bends, so a blob that many layers read is one line with branches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    """The bends of the edges from a port, from the top; an edge passes through as many as there are ranks between."""
    longest: int = 0
    """The number of bends of the longest edges that are routed."""
    reach: list[int] = field(default_factory=list)
    """The number of boxes on the longest way from a box to an end."""

    def between(self, edge: Edge) -> int:
        """The number of ranks between the ends of EDGE."""
        return self.rank[edge.target] - self.rank[edge.source] - 1


def layered(boxes: int, edges: Sequence[Edge], ranks: Sequence[int] | None = None) -> Layers:
    """The ranks of BOXES boxes and the bends of EDGES; RANKS are given ones, below each other for every edge."""
    below: dict[int, list[int]] = defaultdict(list)
    fed = set()
    for edge in edges:
        below[edge.source].append(edge.target)
        fed.add(edge.target)
    rank, reach = [0] * boxes, [1] * boxes
    for box in range(boxes):
        for other in below[box]:
            rank[other] = max(rank[other], rank[box] + 1)
    for box in reversed(range(boxes)):
        reach[box] += max((reach[other] for other in below[box]), default=0)
        if box not in fed and below[box]:  # an input lies right above its first reader
            rank[box] = min(rank[other] for other in below[box]) - 1
    rank = rank if ranks is None else list(ranks)
    rows: list[list[int]] = [[] for _ in range(max(rank, default=-1) + 1)]
    for box, place in enumerate(rank):
        rows[place].append(box)
    layers = Layers(boxes, rank, rows, reach=reach)
    _bend(layers, edges)
    return layers


def _bend(layers: Layers, edges: Sequence[Edge]) -> None:
    """Add the bends of EDGES to LAYERS. Bends that begin late come first in a row: they lie inside of longer ones."""
    ports: dict[tuple[int, int], list[Edge]] = defaultdict(list)
    for edge in edges:
        ports[edge.source, edge.port].append(edge)
    layers.longest = _longest(layers.rank, ports)
    for key in sorted(ports, key=lambda key: (-layers.rank[key[0]], *key)):
        trunk = layers.trunks[key] = []
        for edge in sorted(ports[key], key=lambda edge: layers.rank[edge.target]):
            between = layers.between(edge)
            if between > layers.longest:
                continue
            while len(trunk) < between:
                cell, row = len(layers.rank), layers.rank[edge.source] + 1 + len(trunk)
                layers.rank.append(row)
                layers.rows[row].append(cell)
                layers.links.append(_link(edge, trunk, len(trunk), cell))
                trunk.append(cell)
            layers.links.append(_link(edge, trunk, between, edge.target))


def _link(edge: Edge, trunk: Sequence[int], bends: int, below: int) -> Link:
    """The link of EDGE from the last of its first BENDS bends, or from its port, to the cell BELOW."""
    return Link(trunk[bends - 1], below, 0) if bends else Link(edge.source, below, edge.shift)


def _longest(rank: Sequence[int], ports: Mapping[tuple[int, int], Sequence[Edge]]) -> int:
    """The number of bends of the longest edges that are routed, so that there are not too many in all."""
    spans = [[rank[edge.target] - rank[source] - 1 for edge in found] for (source, _), found in ports.items()]

    def needed(limit: int) -> int:
        return sum(max((span for span in found if span <= limit), default=0) for found in spans)

    low, high = 0, max((max(found) for found in spans), default=0)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if needed(middle) <= _MOST_BENDS else (low, middle - 1)
    return low
