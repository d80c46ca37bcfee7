"""Determines the order in which a converted layer must hold the columns of the original weight matrix.

The values are traced. Each value of the map that both nets share gets a number. The numbers pass through flattenings,
permutations and joins of each net, and arrive at the input of the layer in the order in which it reads them. How the
net was converted is not used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.shape import joined_axis
from caffe_fcn.net.shapes import Shape, Shapes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Values: TypeAlias = "NDArray[Any]"
_Rule: TypeAlias = Callable[[Node, "list[_Values]", Shape, int], "_Values | None"]
"""Takes the layer, the numbers of the values of its bottoms, the shape of a top and its index among the tops."""


class Follower:
    """Numbers the values of two nets in the same way. LEAVES are the blobs that both make, by what they compute."""

    def __init__(self) -> None:
        self._leaves: dict[object, tuple[int, int]] = {}
        self._next = 0

    def follow(
        self, graph: Graph, shapes: Shapes, numbers: Mapping[Blob, int], structure: Mapping[Blob, int], blob: Blob
    ) -> _Values | None:
        """The numbers of the values of one item of BLOB, in its shape; None where they cannot be followed. NUMBERS are
        those of the pairing. Tops of layers that move values in an unknown way are equal if their STRUCTURE is."""
        import numpy as np

        known: dict[Blob, _Values] = {}
        for node in _way(graph, shapes, blob):
            for place, top in enumerate(node.tops):
                shape = shapes.blobs[top]
                if not isinstance(shape, tuple) or not shape:
                    return None
                rule = _rule(node, shapes)
                made = None
                if rule is not None:
                    made = rule(node, [known[bottom] for bottom in node.bottoms if bottom in known], shape, place)
                if made is None:
                    leaf = numbers[top] if rule is None else ("structure", structure[top])
                    first, size = self._leaf(leaf, prod(shape[1:]))
                    if size != prod(shape[1:]):
                        return None
                    made = np.arange(first, first + size, dtype=np.int64).reshape(shape[1:])
                known[top] = made
        return known[blob]

    def _leaf(self, number: object, size: int) -> tuple[int, int]:
        if number not in self._leaves:
            self._leaves[number] = self._next, size
            self._next += size
        return self._leaves[number]


def permutation(original: _Values, twin: _Values) -> _Values | None:
    """For each value that the new net reads, its index among those that the original reads; None if the two do not read
    the same values."""
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
    """The function that moves the values of an item as NODE does; None if its tops are leaves."""
    if not node.bottoms or not node.tops:
        return None
    row = row_of(node.type)
    if row.order is not None:
        return _reordered
    same = shapes.blobs[node.bottoms[0]] == shapes.blobs[node.tops[0]]
    return _reshaped if row.in_its_place and same else _MOVING.get(node.type)


def _reshaped(node: Node, bottoms: list[_Values], top: Shape, place: int) -> _Values | None:
    return bottoms[0].reshape(top[1:]) if bottoms[0].size == prod(top[1:]) else None


def _reordered(node: Node, bottoms: list[_Values], top: Shape, place: int) -> _Values | None:
    rule, axes = row_of(node.type).order, bottoms[0].ndim + 1
    order = tuple(range(axes)) if rule is None else rule(node.layer, axes)
    if order == tuple(range(axes)):
        return _reshaped(node, bottoms, top, place)
    if order[0] != 0 or sorted(order) != list(range(axes)):
        return None
    return bottoms[0].transpose([axis - 1 for axis in order[1:]])


def _joined(node: Node, bottoms: list[_Values], top: Shape, place: int) -> _Values | None:
    """Join BOTTOMS. If items are joined, the first ones represent all."""
    import numpy as np

    axis = joined_axis(node.layer, top)
    if len(bottoms) < len(node.bottoms):
        return None
    made = np.concatenate(_told_apart(bottoms), axis=axis - 1) if axis else bottoms[0]
    return made if made.shape == top[1:] else None


def _told_apart(parts: list[_Values]) -> list[_Values]:
    """PARTS, with new numbers where several parts have the same number, so that each value has its own."""
    import numpy as np

    every = np.concatenate([part.ravel() for part in parts])
    if len(np.unique(every)) == len(every):
        return parts
    return [part * len(parts) + place for place, part in enumerate(parts)]


def _cut(node: Node, bottoms: list[_Values], top: Shape, place: int) -> _Values | None:
    import numpy as np

    axis = joined_axis(node.layer, (0, *bottoms[0].shape))
    if axis == 0:
        return bottoms[0]
    points = list(node.layer.slice_param.slice_point) or len(node.tops)
    return np.split(bottoms[0], points, axis=axis - 1)[place]


def _tiled(node: Node, bottoms: list[_Values], top: Shape, place: int) -> _Values | None:
    import numpy as np

    param = node.layer.tile_param
    axis = param.axis % len(top)
    return np.concatenate(_told_apart([bottoms[0]] * param.tiles), axis=axis - 1) if axis else bottoms[0]


def _largest(node: Node, bottoms: list[_Values], top: Shape, place: int) -> _Values | None:
    """The first values represent the indices of the largest."""
    param = node.layer.argmax_param
    axis = param.axis % len(top) if param.HasField("axis") else 0
    made = bottoms[0].take(range(param.top_k), axis - 1) if axis else bottoms[0].ravel()[: prod(top[1:])]
    return made.reshape(top[1:]) if made.size == prod(top[1:]) else None


_MOVING: dict[str, _Rule] = {"ArgMax": _largest, "Concat": _joined, "Slice": _cut, "Tile": _tiled}
