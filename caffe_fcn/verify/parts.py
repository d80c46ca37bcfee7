"""Divides a net where its maps end: into the first layers, which accept a picture of any size, and the last layers,
which read a map of one size.

Only the first layers have padding and partial windows, and there the converted net does the same as the original. So
the expected result is: the first layers of the original on the whole larger picture, followed by its last layers on
every window of the maps, borders included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from caffe_fcn import schema
from caffe_fcn.engines.protocol import ShapedNet
from caffe_fcn.errors import NetError, ShapeError
from caffe_fcn.net.foreign import ForeignField
from caffe_fcn.net.geometry import Geometry, infer_geometry
from caffe_fcn.net.graph import Blob, Graph, Node, build_graph
from caffe_fcn.net.shapes import Shape, infer_shapes
from caffe_fcn.onnx.scope import Scope
from caffe_fcn.schema import Message


class Cut(NamedTuple):
    """A net in two parts. MAPS are the blobs between them, with their geometry at the nominal size."""

    first: tuple[Node, ...]
    last: tuple[Node, ...]
    maps: Mapping[Blob, Geometry]


def cut(scope: Scope, windows: frozenset[str]) -> Cut | str:
    """SCOPE in two parts, or why it cannot be cut. WINDOWS are the layers for which the new net has other windows."""
    geometry = infer_geometry(scope.graph, scope.shapes)
    last: dict[int, Node] = {}
    behind: set[Blob] = set()
    for node in scope.graph.nodes:
        if node.bottoms and (not behind.isdisjoint(node.bottoms) or _judges(node, geometry, windows)):
            last[id(node)] = node
            behind.update(node.tops)
    read = dict.fromkeys(blob for node in last.values() for blob in node.bottoms if blob not in behind)
    maps = {blob: known for blob in read if (known := geometry.get(blob)) is not None}
    if not maps or len(maps) < len(read):
        others = ", ".join(repr(blob.name) for blob in read if blob not in maps)
        return f"its last layers also read {others}, which is not a map" if others else "it has no separate last layers"
    needed = set(maps)
    first = []
    for node in reversed(scope.graph.nodes):
        if id(node) not in last and not needed.isdisjoint(node.tops):
            needed.update(node.bottoms)
            first.append(node)
    latest = {blob.name: blob for node in reversed(first) for blob in node.tops}
    hidden = next((blob.name for blob in maps if latest[blob.name] != blob), None)
    if hidden is not None:
        return f"{hidden!r} is overwritten in place before its last layers read it"
    return Cut(tuple(reversed(first)), tuple(last.values()), maps)


def _judges(node: Node, geometry: Mapping[Blob, Geometry | None], windows: frozenset[str]) -> bool:
    """Whether NODE makes no map, or has other WINDOWS in the new net."""
    return any(geometry.get(top) is None for top in node.tops) or node.name in windows


def subnet(nodes: Iterable[Node], fed: Mapping[str, Shape], whole: Graph) -> ShapedNet:
    """NODES of the net WHOLE as a net, with inputs of the shapes FED. Raises NetError or ShapeError."""
    kept = (node for node in nodes if node.bottoms or not fed.keys() & {blob.name for blob in node.tops})
    return assemble(((node.layer, node) for node in kept), fed, whole)


def assemble(layers: Iterable[tuple[Message, Node | None]], fed: Mapping[str, Shape], whole: Graph) -> ShapedNet:
    """A net of LAYERS, with inputs of the shapes FED. Each layer is paired with its origin in the net WHOLE, None for a
    new layer. Raises NetError or ShapeError."""
    net = schema.NetParameter()
    for name, shape in fed.items():
        net.layer.add(name=f"input {name}", type="Input", top=[name]).input_param.shape.add(dim=shape)
    uncomputed: dict[int | None, tuple[ForeignField, ...]] = {}
    for layer, origin in layers:
        if origin is not None:
            uncomputed[len(net.layer)] = origin.uncomputed
        added = net.layer.add()
        added.CopyFrom(layer)
        added.ClearField("include")
        added.ClearField("exclude")
    graph = build_graph(net, phase=whole.phase, source=whole.source, uncomputed=uncomputed)
    graph = graph._replace(held=whole.held, channels=whole.channels, crops_at_zero=whole.crops_at_zero)
    return ShapedNet(graph, infer_shapes(graph))


def both_parts(scope: Scope, made: Cut, pictures: Mapping[str, Shape]) -> tuple[ShapedNet | None, ShapedNet] | str:
    """The two nets of SCOPE after the cut MADE, the first one for PICTURES, None if it has no layers; or why there are
    no such nets."""
    nominal: dict[str, Shape] = {}
    for blob in made.maps:
        shape = scope.shapes.blobs[blob]
        if not isinstance(shape, tuple):
            return f"the shape of {blob.name!r} is unknown"
        nominal[blob.name] = shape
    try:
        first = subnet(made.first, pictures, scope.graph) if any(node.bottoms for node in made.first) else None
        return first, subnet(made.last, nominal, scope.graph)
    except (NetError, ShapeError) as error:
        return str(error)
