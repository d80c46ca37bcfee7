"""What a data layer leaves out of its shape, found elsewhere: in the weights, or in what the data must be.

A net that trains from a database says neither how many channels its images have nor, without cropping,
how large they are. The first convolution's weights know the first, an InnerProduct's the second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.shapes.data import declared_channels
from caffe_fcn.net.shapes.elementwise import VALUE_BY_VALUE
from caffe_fcn.net.shapes.registry import Missing, PartialShape, Shape, TooLargeError, Unknown, count

Infer: TypeAlias = Callable[..., Any]

MAX_SIZE = 4096
"""No larger square image is tried."""
_FAR = 256
"""A size that much larger than twice the smallest that fits still fits only where the size does not matter."""
_RGB = 3
_PASSING = VALUE_BY_VALUE.union("BN BatchNorm Bias Eltwise LRN MVN Normalize PReLU Pooling Scale".split())
"""Types whose first top has the channels of the bottom."""


class Search(NamedTuple):
    """Where to look for what a data layer leaves out: INFER is `infer_shapes`, the rest are its arguments."""

    graph: Graph
    given: Mapping[str, Shape]
    infer: Infer


def complete(
    search: Search, node: Node, blob: Blob, shape: PartialShape
) -> tuple[PartialShape | Missing, tuple[str, ...]]:
    """SHAPE of BLOB, a top of the data layer NODE, with its None axes filled in, and notes on what was assumed.

    Axis 1 holds the channels, the last two the size of the image. Missing if that cannot be found; the length
    of a clip is never guessed.
    """
    notes: tuple[str, ...] = ()
    if shape[1] is None:
        channels = _channels_of_weights(search, blob, shape) or declared_channels(node.layer)
        if channels is None:
            channels = _RGB
            notes = (f'blob "{blob.name}": the net does not tell the channels of its images; assumed {_RGB}',)
        shape = (shape[0], channels, *shape[2:])
    if None not in shape:
        return shape, notes
    solved = None if None in shape[:-2] else _solve(search, blob, shape)
    if solved is None:
        return Missing("input", "the size of its images is in the data, not in the net"), ()
    size, judges = solved
    note = (
        f'blob "{blob.name}": the net does not tell the size of its images; took {size}×{size}, the smallest that fits '
        f"the weights of {judges}"
    )
    return tuple(size if extent is None else extent for extent in shape), (*notes, note)


def _channels_of_weights(search: Search, blob: Blob, shape: PartialShape) -> int | None:
    """The channels of BLOB that the first layer with weights wants, through layers that keep or slice them."""
    weights = search.graph.held
    pending = [(blob, 1, 0)]  # a blob of c channels downstream means factor * c + offset channels here
    seen: set[Blob] = set()
    while pending:
        current, factor, offset = pending.pop(0)
        if current in seen:
            continue
        seen.add(current)
        for node in search.graph.consumers.get(current, ()):
            channels = _wanted_channels(node, shape, weights.get(node.name, ()))
            if channels is not None:
                return factor * channels + offset
            if node.type in _PASSING and node.tops:
                pending.append((node.tops[0], factor, offset))
            elif node.type == "Slice" and node.layer.slice_param.axis == 1 and node.tops:
                points = node.layer.slice_param.slice_point
                share = (factor, offset + factor * points[-1]) if points else (factor * len(node.tops), offset)
                pending.append((node.tops[-1], *share))
    return None


def _wanted_channels(node: Node, shape: PartialShape, blobs: Sequence[Shape]) -> int | None:
    """The channels that the weights of NODE, if it has any, want of its bottom."""
    if not blobs:
        return None
    weight = blobs[0]
    if node.type in ("Convolution", "Convolution3D") and len(weight) > 2:
        groups: int = node.layer.convolution_param.group
        return weight[1] * max(1, groups)
    if node.type == "InnerProduct" and node.layer.inner_product_param.axis == 1:
        columns, size = _columns(node, weight), shape[2:]
        positions = count(tuple(extent for extent in size if extent is not None))
        if columns is not None and None not in size and positions and columns % positions == 0:
            return columns // positions
    return None


def _columns(node: Node, weight: Shape) -> int | None:
    """The inputs of an InnerProduct, whichever way round and with however many axes its weights are stored."""
    outputs: int = node.layer.inner_product_param.num_output
    if not outputs or count(weight) % outputs:
        return None
    return count(weight) // outputs


def _solve(search: Search, blob: Blob, shape: PartialShape) -> tuple[int, str] | None:
    """The smallest square size of BLOB at which all InnerProducts below it fit their weights, and their names.

    Bisection: a larger image never gives an InnerProduct fewer inputs. None if no size fits, or if any does.
    """
    weights = search.graph.held
    below = _below(search.graph, blob) if weights else []
    judges = [node for node in below if node.type == "InnerProduct" and weights.get(node.name)]
    if not judges:
        return None
    part = _above(search.graph, judges)._replace(held={})

    def compare(size: int) -> int:
        """Below 0: SIZE is too small. Above 0: too large. 0: it fits."""
        trial = (1, *(size if extent is None else extent for extent in shape[1:]))
        try:
            shapes = search.infer(part, given={**search.given, blob.name: trial})
        except TooLargeError:
            return 1
        except ShapeError:
            return -1
        signs = {_judge(node, shapes.blobs[node.bottoms[0]], weights[node.name][0]) for node in judges}
        return 1 if 1 in signs else -1 if -1 in signs else 0

    low, high = 0, MAX_SIZE
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if compare(middle) < 0 else (low, middle)
    if compare(high) != 0 or compare(min(MAX_SIZE, 2 * high + _FAR)) == 0:
        return None  # behind global pooling every size fits, so none is told
    return high, ", ".join(f'"{node.name}"' for node in judges)


def _judge(node: Node, bottom: Shape | Unknown, weight: Shape) -> int:
    """How the inputs of the InnerProduct NODE compare with what its WEIGHT holds; 0 if that cannot be told."""
    columns = _columns(node, weight)
    if isinstance(bottom, Unknown) or columns is None:
        return 0
    found = count(bottom[node.layer.inner_product_param.axis :])
    return (found > columns) - (found < columns)


def _below(graph: Graph, blob: Blob) -> list[Node]:
    """The layers that depend on BLOB, in file order."""
    reached = {blob}
    nodes = []
    for node in graph.nodes:
        if not reached.isdisjoint(node.bottoms):
            reached.update(node.tops)
            nodes.append(node)
    return nodes


def _above(graph: Graph, nodes: Sequence[Node]) -> Graph:
    """GRAPH without the layers that NODES do not depend on."""
    wanted = {blob for node in nodes for blob in (*node.bottoms, *node.tops)}
    kept = []
    for node in reversed(graph.nodes):
        if not wanted.isdisjoint(node.tops):
            wanted.update(node.bottoms)
            kept.append(node)
    return graph._replace(nodes=tuple(reversed(kept)))
