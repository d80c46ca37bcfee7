"""Runs a net part by part and returns the values of its blobs, so that memory never holds those of all blobs.

An engine returns the last blob of a name only. So the net is written once more with a name of its own for each blob:
what a layer reads before another one overwrites it in place can be asked for as well. A part is as many layers as make
a few million values; the next part is fed what it reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from math import prod
from typing import NamedTuple

from caffe_fcn import schema
from caffe_fcn.engines.protocol import Array, Engine, ShapedNet
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.shapes import Shape
from caffe_fcn.onnx.scope import Scope
from caffe_fcn.schema import Message
from caffe_fcn.verify.parts import assemble, subnet

_PART = 1 << 23
"""So many wanted values are made at once, for all items together, unless a single layer makes more."""

Values = Mapping[str, Sequence[Array]]
"""The values of blobs by name, an array for each item. An item is a whole batch."""


class SpreadNet(NamedTuple):
    """A net in which each blob has a name of its own, and the names there of the blobs of the net it was made of."""

    net: ShapedNet
    names: Mapping[Blob, str]

    @property
    def scope(self) -> Scope:
        """The whole net."""
        graph = self.net.graph
        inputs = tuple(top for node in graph.nodes if node.type == "Input" for top in node.tops)
        return Scope(graph, self.net.shapes, inputs, graph.outputs, ())


def spread(scope: Scope, fed: Mapping[str, Shape]) -> SpreadNet:
    """The net of SCOPE, fed blobs of the shapes FED, with a name for each blob; the last blob of a name keeps it.
    Raises NetError or ShapeError."""
    new = "v" * (1 + max(len(blob.name) for blob in scope.graph.producer))  # longer than any name, and so none
    last = {blob.name: blob for blob in scope.graph.producer}
    inputs = {blob.name for blob in scope.inputs}
    names = {
        blob: blob.name
        if blob in scope.inputs or (last[blob.name] == blob and blob.name not in inputs)
        else f"{new} {blob.version} {blob.name}"
        for blob in scope.graph.producer
    }
    layers: list[tuple[Message, Node | None]] = []
    for node in scope.graph.nodes:
        if not any(top in scope.inputs for top in node.tops):
            layer = schema.LayerParameter()
            layer.CopyFrom(node.layer)
            layer.bottom[:] = [names[blob] for blob in node.bottoms]
            layer.top[:] = [names[blob] for blob in node.tops]
            layers.append((layer, node))
    return SpreadNet(assemble(layers, fed, scope.graph), names)


class Stream:
    """The values of the blobs WANTED of NET with WEIGHTS for FED, run by ENGINE. How often each blob is taken is known
    in advance, so that its values are dropped in time."""

    def __init__(self, engine: Engine, net: ShapedNet, weights: WeightFile, fed: Values, wanted: Sequence[str]) -> None:
        self._left = Counter(wanted)
        self._values: dict[str, Sequence[Array]] = {name: fed[name] for name in self._left if name in fed}
        self._parts = _run(engine, net, weights, fed, self._left.keys())

    def take(self, name: str) -> Sequence[Array]:
        """The values of the blob NAME. Raises what the engine raises."""
        while name not in self._values:
            self._values |= next(self._parts)
        found = self._values[name]
        self._left[name] -= 1
        if not self._left[name]:
            del self._values[name]
        return found


def _run(
    engine: Engine, net: ShapedNet, weights: WeightFile, fed: Values, wanted: Collection[str]
) -> Iterator[dict[str, Sequence[Array]]]:
    """The values of the blobs WANTED, part by part. The values in FED are not among them."""
    nodes = [node for node in net.graph.nodes if fed.keys().isdisjoint(top.name for top in node.tops)]
    last = {bottom.name: place for place, node in enumerate(nodes) for bottom in node.bottoms}
    live = dict(fed)
    for start, stop in _parts(nodes, net, wanted, _many(fed)):
        part = nodes[start:stop]
        made = [top.name for node in part for top in node.tops]
        asked = [name for name in made if name in wanted or last.get(name, 0) >= stop]
        if asked:
            live |= _run_part(engine, net, part, weights, live, asked)
        yield {name: live[name] for name in asked if name in wanted}
        live = {name: values for name, values in live.items() if last.get(name, 0) >= stop}


def _parts(nodes: Sequence[Node], net: ShapedNet, wanted: Collection[str], many: int) -> Iterator[tuple[int, int]]:
    """The bounds of the parts of NODES, for so MANY items."""
    start = size = 0
    for place, node in enumerate(nodes):
        shapes = [net.shapes.blobs[top] for top in node.tops if top.name in wanted]
        more = many * sum(prod(shape) for shape in shapes if isinstance(shape, tuple))
        if place > start and size + more > _PART:
            yield start, place
            start, size = place, 0
        size += more
    yield start, len(nodes)


def _run_part(
    engine: Engine, net: ShapedNet, part: Sequence[Node], weights: WeightFile, live: Values, asked: Sequence[str]
) -> dict[str, Sequence[Array]]:
    """The values of the blobs ASKED, which PART of NET makes of the LIVE ones."""
    read = dict.fromkeys(bottom.name for node in part for bottom in node.bottoms if bottom.name in live)
    session = engine.load(subnet(part, {name: live[name][0].shape for name in read}, net.graph), weights, outputs=asked)
    made: dict[str, list[Array]] = {name: [] for name in asked}
    for place in range(_many(live)):
        for name, values in session.run({name: live[name][place] for name in read if name in session.inputs}).items():
            made[name].append(values)
    return dict(made)


def _many(values: Values) -> int:
    """The number of items; one where nothing is fed."""
    return max((len(each) for each in values.values()), default=1)
