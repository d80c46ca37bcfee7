"""Compares two nets in one phase, layer by layer: pairs of layers with what differs, without their weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from caffe_fcn.compare.fields import field_changes
from caffe_fcn.compare.pairing import Pairing, pair_layers
from caffe_fcn.compare.records import ChangedShape, LayerMatch, LayerPair
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.shapes import Shapes


def compare_graphs(
    old: Graph, shapes: Shapes, new: Graph, others: Shapes, names: Mapping[str, str] = MappingProxyType({})
) -> tuple[LayerPair, ...]:
    """The layers of the nets OLD and NEW, which have these SHAPES and OTHERS, in pairs.

    They are in the order of the new net; a layer that is gone stands where it was, before the next layer of the old net
    that is still there. NAMES: other names that layers of OLD may have in NEW, by their names.
    """
    pairing = pair_layers(old, new, names)
    left = sorted(pairing.gone.values(), key=lambda node: -node.index)
    found: list[LayerPair] = []
    for other in new.nodes:
        match, node = _match(pairing, other)
        if node is None:
            found.append(LayerPair(LayerMatch.NEW, None, other))
            continue
        while left and left[-1].index < node.index:
            found.append(LayerPair(LayerMatch.GONE, left.pop(), None))
        fields = field_changes(node, shapes, other, others, old.phase)
        changes = tuple(_shape_changes(node, shapes, other, others))
        rewired = not pairing.same_wiring(node, other)
        makers = (_makers(old, node), _makers(new, other)) if rewired else None
        found.append(LayerPair(match, node, other, fields, changes, rewired, makers))
    found += [LayerPair(LayerMatch.GONE, node, None) for node in reversed(left)]
    return tuple(found)


def _match(pairing: Pairing, other: Node) -> tuple[LayerMatch, Node | None]:
    for match, pairs in (
        (LayerMatch.NAME, pairing.by_name),
        (LayerMatch.STRUCTURE, pairing.by_structure),
        (LayerMatch.REPLACED, pairing.replaced),
    ):
        if other.index in pairs:
            return match, pairs[other.index]
    return LayerMatch.NEW, None


def _makers(graph: Graph, node: Node) -> tuple[str, ...]:
    """The names of the layers that make the bottoms of NODE. In a net that Caffe does not build one may have none."""
    makers = map(graph.producer.get, node.bottoms)
    return tuple("" if maker is None else maker.name for maker in makers)


def _shape_changes(node: Node, shapes: Shapes, other: Node, others: Shapes) -> Iterator[ChangedShape]:
    for position, (top, twin) in enumerate(zip(node.tops, other.tops, strict=False)):
        before, after = shapes.blobs.get(top), others.blobs.get(twin)
        if isinstance(before, tuple) and isinstance(after, tuple) and before != after:
            yield ChangedShape(position, before, after)
