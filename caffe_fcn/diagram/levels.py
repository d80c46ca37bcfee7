"""Common ranks for two nets that are drawn side by side, so that boxes that belong together are at one height."""

from __future__ import annotations

from collections import defaultdict

from caffe_fcn.diagram.records import Comparison


def common_ranks(both: Comparison) -> tuple[list[int], list[int]]:
    """The ranks of the boxes of both nets: those of one graph in which twins are one node. Where twins are in another
    order in one net, so that the graph has a cycle, each net has ranks of its own."""
    count, others = len(both.old.boxes), len(both.new.boxes)
    ranks = _ranks(both, {new: old for old, new in both.twins}) or _ranks(both, {}) or [0] * (count + others)
    return ranks[:count], ranks[count:]


def _ranks(both: Comparison, twins: dict[int, int]) -> list[int]:
    """The ranks of all boxes, the old ones first; TWINS: old boxes by new ones. Nothing if there is a cycle."""
    count = len(both.old.boxes)
    node = [*range(count), *(twins.get(box, count + box) for box in range(len(both.new.boxes)))]
    below: dict[int, set[int]] = defaultdict(set)
    waiting: dict[int, int] = dict.fromkeys(node, 0)
    for diagram, first in ((both.old, 0), (both.new, count)):
        for wire in diagram.wires:
            one, other = node[first + wire.source], node[first + wire.target]
            if other not in below[one]:
                below[one].add(other)
                waiting[other] += 1
    fed = {each for each, number in waiting.items() if number}
    ready = [each for each, number in waiting.items() if not number]
    rank = dict.fromkeys(node, 0)
    for one in ready:
        for other in sorted(below[one]):
            rank[other] = max(rank[other], rank[one] + 1)
            waiting[other] -= 1
            if not waiting[other]:
                ready.append(other)
    if len(ready) < len(waiting):
        return []
    for one in ready:
        if one not in fed and below[one]:  # an input lies right above its first reader
            rank[one] = min(rank[other] for other in below[one]) - 1
    return [rank[each] for each in node]
