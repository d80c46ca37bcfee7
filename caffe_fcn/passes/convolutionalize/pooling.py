"""Finds the global poolings that must become windows.

A global pooling that ends a classifier must pool one window at a time in the converted net. One in a gate, as in
squeeze-and-excitation, pools the whole image, and its result joins a map again. Such a gate, with its InnerProducts,
takes any input size already and stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.images import is_map
from caffe_fcn.net.shapes import Shapes


def is_global(node: Node) -> bool:
    """Whether NODE pools over its whole input."""
    return node.type == "Pooling" and bool(node.layer.pooling_param.global_pooling)


def descendants(graph: Graph, start: Blob, stop: Callable[[Node], bool] = lambda node: False) -> Iterator[Node]:
    """The layers that depend on START, in no special order; not those after a layer for which STOP is true."""
    seen: set[int] = set()
    queue = [start]
    while queue:
        for node in graph.consumers.get(queue.pop(), ()):
            if id(node) not in seen:
                seen.add(id(node))
                yield node
                if not stop(node):
                    queue.extend(node.tops)


def ancestors(graph: Graph, ends: Iterable[Blob]) -> set[Blob]:
    """The blobs ENDS and all blobs from which they are computed."""
    seen: set[Blob] = set()
    queue = list(ends)
    while queue:
        blob = queue.pop()
        if blob not in seen:
            seen.add(blob)
            queue.extend(graph.producer[blob].bottoms)
    return seen


def gate_join(graph: Graph, shapes: Shapes, node: Node) -> Node | None:
    """The layer that joins the result of NODE with a map that NODE did not make; None if there is none."""
    own = set(node.tops)
    for follower in graph.nodes:
        if own.isdisjoint(follower.bottoms):
            continue
        others = [blob for blob in follower.bottoms if blob not in own]
        if any(is_map(shapes, blob) for blob in others) and any(is_map(shapes, blob) for blob in follower.tops):
            return follower
        own.update(follower.tops)
    return None


def gated_layers(graph: Graph, node: Node, join: Node) -> set[int]:
    """The indices of the layers between NODE, the pooling of a gate, and JOIN."""
    return {follower.index for follower in descendants(graph, node.tops[0], lambda layer: layer is join)} - {join.index}
