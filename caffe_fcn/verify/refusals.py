"""Refuses pairs of nets that cannot be compared at all."""

from __future__ import annotations

from collections import Counter

from caffe_fcn.compare.pairing import pair_layers
from caffe_fcn.errors import LoweringError, NetError, WeightsError
from caffe_fcn.model.model import Model
from caffe_fcn.net import crops
from caffe_fcn.net.effects import Effect
from caffe_fcn.net.foreign import refusal
from caffe_fcn.net.geometry.crops import gives_no_offset
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.passes.folding import lacks_layers
from caffe_fcn.verify.weights import Side


def refuse_unexplained(graph: Graph) -> None:
    """Raise LoweringError where GRAPH has a field that no known fork has, even if the other net has it, too: no known
    Caffe reads the net, and a mistyped field may be meant to change the answers."""
    if reason := refusal(graph, lambda node, field: field.effect is Effect.UNKNOWN and not _is_left_out(node)):
        raise LoweringError(reason, source=graph.source)


def _is_left_out(node: Node) -> bool:
    """Whether inference does not need NODE."""
    row = row_of(node.type)
    return row.judges and not row.contains


def refuse_swapped(original: Model, twin: Model) -> None:
    """Raise WeightsError where both nets lack weights of layers, and each has those that the other lacks."""
    lacking, told = [], []
    for side, other in ((original, twin), (twin, original)):
        names = [supply.node.name for supply in side.supplies if supply.lack]
        held = {record.name for record in other.weights.layers if record.blobs} if other.weights else set()
        lacking.append(bool(names) and held.issuperset(names))
        told.append(
            f"{side.weights and side.weights.path} has no weights for {names[0] if names else ''!r} of "
            f"{side.source.name}"
        )
    if all(lacking):
        raise WeightsError(f"{' and '.join(told)}: the weights of the two nets are swapped", hint="exchange them")


def seem_swapped(original: Model, twin: Model) -> bool:
    """Whether ORIGINAL looks as if it was made from TWIN: it has fewer InnerProducts; or it has no layer that TWIN
    lacks, and fewer that scale and shift."""
    phases = original.graphs.keys() & twin.graphs.keys()
    fewer = (_inner_products(original.graphs[phase]) < _inner_products(twin.graphs[phase]) for phase in phases)
    return any(fewer) or (original.types.keys() <= twin.types.keys() and lacks_layers(twin, original))


def little_in_common(original: Model, twin: Model) -> str:
    """A note if most layers of each net have no counterpart in the other, which has the same wiring; else nothing."""
    for phase in original.graphs.keys() & twin.graphs.keys():
        pairing = pair_layers(original.graphs[phase], twin.graphs[phase])
        both = [(pairing.pairs[each.index], each) for each in pairing.new.nodes if each.index in pairing.pairs]
        same = sum(bool(node.bottoms) and pairing.same_wiring(node, other) for node, other in both)
        fewest = min(sum(bool(node.bottoms) for node in graph.nodes) for graph in (pairing.old, pairing.new))
        if 2 * same >= fewest:
            return ""
        told = (
            f"{same:,} of the {sum(bool(node.bottoms) for node in pairing.old.nodes):,} layers" if same else "no layer"
        )
        have = "have" if same > 1 else "has"
        return f"the nets have little in common: {told} of the original {have} a counterpart in the new net"
    return ""


def _inner_products(graph: Graph) -> int:
    return sum(node.type == "InnerProduct" for node in graph.nodes)


def refuse_other_crops(original: Side, twin: Side) -> None:
    """Raise NetError where the user must decide on Crop layers without an offset, and the nets do not have the same
    ones: an unknown offset cannot be compared. If they have, the offset matters only when a net is run."""
    for phase in original.graphs.keys() & twin.graphs.keys():
        sides = [(side.graphs[phase], side.shapes[phase]) for side in (original, twin)]
        open_crops = [
            Counter((node.name, node.tops[0].name) for node in graph.nodes if gives_no_offset(node.layer) and node.tops)
            for graph, _ in sides
        ]
        if open_crops[0] == open_crops[1]:
            continue
        for graph, shapes in sides:
            if reason := crops.refusal(graph, shapes):
                raise NetError(reason, source=graph.source)
