"""Completes the shapes of data layers from other sources: the weights, another phase, or the layers that use the data.

A net that trains from a database does not define the channels of its images or, without cropping, their size. The
channels follow from the weights of the first layers, the size from those of an InnerProduct.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import lcm
from typing import Any, Literal, NamedTuple, TypeAlias

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.data import declared_channels
from caffe_fcn.net.layers.row import no_params
from caffe_fcn.net.layers.shape import (
    Missing,
    PartialShape,
    Shape,
    TooLargeError,
    Top,
    Unknown,
    count,
)
from caffe_fcn.schema import Message

Infer: TypeAlias = Callable[..., Any]

MAX_SIZE = 4096
"""The largest square image that is tried, in pixels per side."""
MAX_CHANNELS = 2**16
"""The maximum number of channels, or of multiples of their divisor, that is tried."""
_TRIAL_SIZE = 256
"""The size used to search for the channels, if the size is unknown, in pixels."""
_FAR = 256
"""If a size fits that is this much larger than twice the smallest that fits, the size does not matter."""
_RGB = 3
_IMAGE_AXES = 4
ANY: Literal["any"] = "any"
"""Every value fits."""


class Search(NamedTuple):
    """The arguments of a search for missing axes: INFER is `infer_shapes`, the rest are its arguments."""

    graph: Graph
    given: Mapping[str, Shape]
    infer: Infer


def complete(
    search: Search, node: Node, blob: Blob, shape: PartialShape
) -> tuple[PartialShape | Missing, tuple[str, ...]]:
    """Fill in the None axes in SHAPE of BLOB, a top of the data layer NODE. Return it with notes on assumptions.

    Axis 1 has the channels, the last two axes have the size of the image. Returns Missing if they cannot be found. The
    length of a clip is never guessed.
    """
    notes: tuple[str, ...] = ()
    if shape[1] is None:
        told = search.graph.channels.get(blob.name) or declared_channels(node.layer)
        channels = _channels_of_weights(search, blob, shape) or told
        if channels is None:
            channels = _RGB
            notes = (f'blob "{blob.name}": the net does not define the channels of its images; assumed {_RGB}',)
        shape = (shape[0], channels, *shape[2:])
    if None not in shape:
        return shape, notes
    solved = None if None in shape[:-2] else _solve(search, blob, shape)
    if solved is None:
        return Missing("input", "the size of its images is in the data, not in the net"), ()
    size, judges = solved
    note = (
        f'blob "{blob.name}": the net does not define the size of its images; used {size}×{size}, the smallest '
        "size that fits "
        f"the weights of {judges}"
    )
    return tuple(size if extent is None else extent for extent in shape), (*notes, note)


def channels_told(net: Message) -> dict[str, int]:
    """Return the channels of the input images of NET, by blob name, if a layer of any phase defines them and no other
    layer defines another number."""
    told: dict[str, set[int]] = {}
    for layer in net.layer:
        for name, top in zip(layer.top, () if layer.bottom else _tops(layer), strict=False):
            if isinstance(top, tuple) and len(top) > _IMAGE_AXES - 1:
                channels = declared_channels(layer) if top[1] is None else top[1]
                told.setdefault(name, set()).update([channels] if channels else [])
    return {name: min(found) for name, found in told.items() if len(found) == 1}


def _tops(layer: Message) -> Sequence[Top]:
    """Return the shapes of the tops of LAYER, which has no bottoms, by its rule."""
    try:
        row = row_of(layer.type)
        return row.shape(layer, ()) if row.shape is not None and row.bottoms[0] == 0 else ()
    except ShapeError:
        return ()


def _channels_of_weights(search: Search, blob: Blob, shape: PartialShape) -> int | None:
    """Return the channels of BLOB for which the first layers that depend on it fit their weights."""
    weights = search.graph.held
    pending, seen = [blob] if weights else [], set[Blob]()
    while pending:
        current = pending.pop(0)
        seen.add(current)
        for node in search.graph.consumers.get(current, ()):
            found = _channels_at(search, node, blob, shape) if weights.get(node.name) else None
            if isinstance(found, int):
                return found
            if found is ANY or _learns_nothing(node):
                pending += [top for top in node.tops if top not in seen and top not in pending]
    return None


def _learns_nothing(node: Node) -> bool:
    """Return whether NODE has no parameters, and its tops depend on the channels of its bottoms."""
    row = row_of(node.type)
    return row.params is no_params and row.layouts is None


def _channels_at(search: Search, judge: Node, blob: Blob, shape: PartialShape) -> int | Literal["any"] | None:
    """Return the channels of BLOB for which the layer JUDGE fits its weights; "any" if all do, None if none does.

    The search is a bisection: more channels never make a layer smaller. Groups and equal slices need a multiple of
    their number.
    """
    part = _above(search.graph, [judge])._replace(held={})
    step = lcm(*(row_of(node.type).parts(node.layer) for node in part.nodes))
    held = count(search.graph.held[judge.name][0])

    def compare(steps: int, size: int = _TRIAL_SIZE) -> int:
        """Return a negative number for too few channels, a positive one for too many, 0 if they fit."""
        trial = (1, step * steps, *(size if extent is None else extent for extent in shape[2:]))
        try:
            made = search.infer(part, given={**search.given, blob.name: trial}).params.get(judge.index)
        except TooLargeError:
            return 1
        except ShapeError:
            return -1
        return (count(made[0]) > held) - (count(made[0]) < held) if made else 0

    steps = least(MAX_CHANNELS, lambda steps: compare(steps) >= 0)
    if compare(steps) != 0 or compare(steps, _TRIAL_SIZE + _FAR) != 0:
        return None
    return ANY if compare(2 * steps) == 0 else step * steps


def least(most: int, fits: Callable[[int], bool]) -> int:
    """Return the least number up to MOST that FITS, by bisection; MOST, which is not tried, if no other does."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _columns(node: Node, weight: Shape) -> int | None:
    """Return the number of inputs of an InnerProduct, whether its weights are transposed or not, with any number of
    axes."""
    outputs: int = node.layer.inner_product_param.num_output
    if not outputs or count(weight) % outputs:
        return None
    return count(weight) // outputs


def _solve(search: Search, blob: Blob, shape: PartialShape) -> tuple[int, str] | None:
    """Return the smallest square size of BLOB for which all InnerProducts after it fit their weights, and their names.

    The search is a bisection: a larger image never gives an InnerProduct fewer inputs. Returns None if no size fits, or
    if every size does.
    """
    weights = search.graph.held
    below = _below(search.graph, blob) if weights else []
    judges = [node for node in below if node.type == "InnerProduct" and weights.get(node.name)]
    if not judges:
        return None
    part = _above(search.graph, judges)._replace(held={})

    def compare(size: int) -> int:
        """Return a negative number if SIZE is too small, a positive one if it is too large, 0 if it fits."""
        trial = (1, *(size if extent is None else extent for extent in shape[1:]))
        try:
            shapes = search.infer(part, given={**search.given, blob.name: trial})
        except TooLargeError:
            return 1
        except ShapeError:
            return -1
        signs = {_judge(node, shapes.blobs[node.bottoms[0]], weights[node.name][0]) for node in judges}
        return 1 if 1 in signs else -1 if -1 in signs else 0

    size = least(MAX_SIZE, lambda size: compare(size) >= 0)
    if compare(size) != 0 or compare(min(MAX_SIZE, 2 * size + _FAR)) == 0:
        return None  # after global pooling every size fits, so none is returned
    return size, ", ".join(f'"{node.name}"' for node in judges)


def _judge(node: Node, bottom: Shape | Unknown, weight: Shape) -> int:
    """Compare the inputs of the InnerProduct NODE with those of its WEIGHT: negative, 0 or positive; 0 if unknown."""
    columns = _columns(node, weight)
    if isinstance(bottom, Unknown) or columns is None:
        return 0
    found = count(bottom[node.layer.inner_product_param.axis :])
    return (found > columns) - (found < columns)


def _below(graph: Graph, blob: Blob) -> list[Node]:
    """Return the layers that depend on BLOB, in file order."""
    reached = {blob}
    nodes = []
    for node in graph.nodes:
        if not reached.isdisjoint(node.bottoms):
            reached.update(node.tops)
            nodes.append(node)
    return nodes


def _above(graph: Graph, nodes: Sequence[Node]) -> Graph:
    """Return GRAPH without the layers that NODES do not depend on."""
    wanted = {blob for node in nodes for blob in (*node.bottoms, *node.tops)}
    kept = []
    for node in reversed(graph.nodes):
        if not wanted.isdisjoint(node.tops):
            wanted.update(node.bottoms)
            kept.append(node)
    return graph._replace(nodes=tuple(reversed(kept)))
