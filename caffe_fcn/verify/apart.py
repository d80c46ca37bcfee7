"""Divides BatchNorm layers of forks into the two or three layers of BVLC Caffe that compute the same.

If one net has a scale in its BatchNorm and the other a Scale after it, both are brought to the second form before the
comparison. Then each proof compares statistics with statistics and scales with scales. The way in which `upgrade`
splits a BatchNorm is not used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from caffe_fcn import schema
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers.normalization import stored_eps
from caffe_fcn.net.shapes import BatchNormBlobs, Shapes
from caffe_fcn.passes.splitting import of_forks
from caffe_fcn.verify.weights import Side, tensors_of


class _Apart(NamedTuple):
    """A BatchNorm of a fork: the positions of its BLOBS, and the names of its scale and its ReLU as separate layers."""

    blobs: BatchNormBlobs
    scale: str
    relu: str


def alike(original: Side, twin: Side) -> tuple[Side, Side]:
    """ORIGINAL and TWIN, with the BatchNorm layers of forks split if one of the nets has more of them."""
    found = [_found(side) for side in (original, twin)]
    if len(found[0]) == len(found[1]):
        return original, twin
    return _apart(original, found[0]), _apart(twin, found[1])


def _found(side: Side) -> dict[str, _Apart]:
    """The BatchNorm layers of a net that have a scale or a ReLU, by name."""
    taken = {node.name for graph in side.graphs.values() for node in graph.nodes}
    return {
        name: _Apart(blobs, *(_unused(f"{name} ({part})", taken) for part in ("scale", "ReLU")))
        for name, blobs in of_forks(side.graphs, side.shapes).items()
    }


def _unused(name: str, taken: set[str]) -> str:
    return name if name not in taken else _unused(f"{name}'", taken)


def _apart(side: Side, found: Mapping[str, _Apart]) -> Side:
    if not found:
        return side
    both = {phase: _split(graph, side.shapes[phase], found) for phase, graph in side.graphs.items()}
    weights = _with_records(side.weights, found)
    return Side(
        weights,
        {phase: graph for phase, (graph, _) in both.items()},
        {phase: shapes for phase, (_, shapes) in both.items()},
        side.notes,
        tensors_of(weights),
    )


def _split(graph: Graph, shapes: Shapes, found: Mapping[str, _Apart]) -> tuple[Graph, Shapes]:
    """GRAPH and its SHAPES with the layers FOUND split. A blob between two parts has a new name; the last part makes
    the blob that the layer made."""
    nodes: list[Node] = []
    blobs, params = dict(shapes.blobs), dict(shapes.params)
    held = dict(graph.held)
    new = max((node.index for node in graph.nodes), default=0)
    names = {blob.name for blob in graph.producer}
    for node in graph.nodes:
        apart = found.get(node.name) if node.type == "BatchNorm" else None
        if apart is None:
            nodes.append(node)
            continue
        parts = list(_layers(node.layer, apart))
        between = [Blob(_unused(f"{layer.name} of {node.tops[0].name}", names), 0) for layer in parts[:-1]]
        ways = zip(parts, [*node.bottoms, *between], [*between, *node.tops], strict=True)
        for place, (layer, bottom, top) in enumerate(ways):
            layer.bottom[:], layer.top[:] = [bottom.name], [top.name]
            new += bool(place)
            uncomputed = () if place else node.uncomputed
            nodes.append(Node(new if place else node.index, layer, (bottom,), (top,), uncomputed))
            blobs[top] = shapes.blobs[node.tops[0]]
            takes = _takes(layer, apart)
            params[nodes[-1].index] = tuple(shapes.params[node.index][position] for position in takes)
            if node.name in graph.held:
                held[layer.name] = tuple(graph.held[node.name][position] for position in takes)
    return graph.made_of(nodes)._replace(held=held), Shapes(blobs, params, shapes.notes)


def _layers(layer: schema.Message, apart: _Apart) -> Iterator[schema.Message]:
    """LAYER as layers of BVLC Caffe, not yet connected."""
    first = schema.LayerParameter()
    first.CopyFrom(layer)
    for field, _ in layer.batch_norm_param.ListFields():
        if field.number >= schema.FORKS:
            first.batch_norm_param.ClearField(field.name)
    first.batch_norm_param.eps = stored_eps(layer)
    yield first
    if apart.blobs.scale is not None:
        scale = schema.LayerParameter(name=apart.scale, type="Scale")
        scale.scale_param.bias_term = apart.blobs.shift is not None
        yield scale
    if layer.batch_norm_param.relu:
        yield schema.LayerParameter(name=apart.relu, type="ReLU")


def _takes(layer: schema.Message, apart: _Apart) -> Iterable[int]:
    """The positions, in the whole layer, of the blobs of LAYER, a part."""
    if layer.type == "Scale":
        return [place for place in (apart.blobs.scale, apart.blobs.shift) if place is not None]
    return apart.blobs.statistics if layer.type == "BatchNorm" else ()


def _with_records(weights: WeightFile, found: Mapping[str, _Apart]) -> WeightFile:
    """WEIGHTS with a record for each part of the layers FOUND."""
    layers = []
    for record in weights.layers:
        apart = found.get(record.name) if record.blobs else None
        if apart is None:
            layers.append(record)
            continue
        layers.append(replace(record, blobs=tuple(record.blobs[place] for place in apart.blobs.statistics)))
        if apart.blobs.scale is not None:
            places = [place for place in (apart.blobs.scale, apart.blobs.shift) if place is not None]
            blobs = tuple(record.blobs[place] for place in places)
            layers.append(replace(record, name=apart.scale, blobs=blobs))
    return WeightFile(weights.source, tuple(layers), weights.net_header, weights.raw)
