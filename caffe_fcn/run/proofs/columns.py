"""In which order a converted layer has to hold the columns of the original's weight matrix.

The one idea: follow the values. Each value of the map that both nets share gets a number, the numbers go the
way that the values go, through flattenings, permutations and joins, in each net by itself, and come out at the
layer's input in the order in which it reads them. Nothing of how the twin was made is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.shapes import VALUE_BY_VALUE, Shape, Shapes
from caffe_fcn.net.shapes.reshaping import joined_axis
from caffe_fcn.run.proofs.pairing import MOVERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Values: TypeAlias = "NDArray[Any]"
_Rule: TypeAlias = Callable[[Node, "list[_Values]", Shape], "_Values | None"]

_PASSING = VALUE_BY_VALUE.union("BN BatchNorm Bias Eltwise PReLU Scale".split())


class Follower:
    """Numbers the values of two nets alike: LEAVES are the blobs that both make, by what they compute."""

    def __init__(self) -> None:
        self._leaves: dict[int, tuple[int, int]] = {}
        self._next = 0

    def follow(self, graph: Graph, shapes: Shapes, numbers: Mapping[Blob, int], blob: Blob) -> _Values | None:
        """The numbers of the values of one item of BLOB, in its shape; None where they cannot be followed."""
        import numpy as np

        known: dict[Blob, _Values] = {}
        for node in _way(graph, shapes, blob):
            for top in node.tops:
                shape = shapes.blobs[top]
                if not isinstance(shape, tuple) or not shape:
                    return None
                rule = _rule(node, shapes)
                if rule is None:
                    first, size = self._leaf(numbers[top], prod(shape[1:]))
                    if size != prod(shape[1:]):
                        return None
                    known[top] = np.arange(first, first + size, dtype=np.int64).reshape(shape[1:])
                    continue
                made = rule(node, [known[bottom] for bottom in node.bottoms if bottom in known], shape)
                if made is None:
                    return None
                known[top] = made
        return known[blob]

    def _leaf(self, number: int, size: int) -> tuple[int, int]:
        if number not in self._leaves:
            self._leaves[number] = self._next, size
            self._next += size
        return self._leaves[number]


def permutation(original: _Values, twin: _Values) -> _Values | None:
    """For each value that the twin reads, where it stands among those that the original reads; None where the two
    do not read the same values."""
    import numpy as np

    before, after = original.ravel(), twin.ravel()
    if before.shape != after.shape:
        return None
    places, wanted = np.argsort(before, kind="stable"), np.argsort(after, kind="stable")
    if not np.array_equal(before[places], after[wanted]):
        return None
    found = np.empty_like(places)
    found[wanted] = places
    return found


def _way(graph: Graph, shapes: Shapes, blob: Blob) -> list[Node]:
    """The layers from the leaves to BLOB, in file order."""
    needed: dict[int, Node] = {}
    queue = [blob]
    while queue:
        node = graph.producer[queue.pop()]
        if id(node) not in needed:
            needed[id(node)] = node
            if _rule(node, shapes) is not None:
                queue.extend(node.bottoms if node.type == "Concat" else node.bottoms[:1])
    return [node for node in graph.nodes if id(node) in needed]


def _rule(node: Node, shapes: Shapes) -> _Rule | None:
    """How NODE moves the values of an item; None where its tops are leaves."""
    if not node.bottoms:
        return None
    if node.type in MOVERS or node.type == "Concat":
        return _permuted if node.type == "Permute" else _joined if node.type == "Concat" else _reshaped
    same = shapes.blobs[node.bottoms[0]] == shapes.blobs[node.tops[0]] if node.tops else False
    return _reshaped if node.type in _PASSING and same else None


def _reshaped(node: Node, bottoms: list[_Values], top: Shape) -> _Values | None:
    return bottoms[0].reshape(top[1:]) if bottoms[0].size == prod(top[1:]) else None


def _permuted(node: Node, bottoms: list[_Values], top: Shape) -> _Values | None:
    order = list(node.layer.permute_param.order)
    order += [axis for axis in range(len(top)) if axis not in order]
    if order[0] != 0 or sorted(order) != list(range(bottoms[0].ndim + 1)):
        return None
    return bottoms[0].transpose([axis - 1 for axis in order[1:]])


def _joined(node: Node, bottoms: list[_Values], top: Shape) -> _Values | None:
    import numpy as np

    axis = joined_axis(node.layer, top)
    if axis == 0 or len(bottoms) < len(node.bottoms):
        return None
    made = np.concatenate(bottoms, axis=axis - 1)
    return made if made.shape == top[1:] else None
