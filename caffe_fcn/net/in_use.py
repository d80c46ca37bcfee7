"""Finds the net in use in a training net: the layers that its outputs need, without losses, measures and labels.

A training net also reads labels and ends in losses. The outputs of its deploy net are the functions inside the losses
(the Softmax in a SoftmaxWithLoss, the Sigmoid in a SigmoidCrossEntropyLoss), and scores that only a loss or a measure
reads. A blob is a label if it depends on no learned layer and only losses read it; it is left out, and so is its
input.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, count
from typing import NamedTuple

from caffe_fcn import schema
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import LAYERS, row_of
from caffe_fcn.net.layers.row import no_params
from caffe_fcn.net.shapes import Shapes
from caffe_fcn.schema import Message

_CONTAINED = frozenset(row.contains for row in LAYERS.values() if row.contains)
"""The types of layers that losses contain."""


class InUse(NamedTuple):
    """The net in use: its layers NODES, with losses replaced by the layers that they contain, and SHAPES with the new
    blobs."""

    nodes: tuple[Node, ...]
    shapes: Shapes
    left_out: tuple[str, ...]
    """The names of the layers that are left out."""
    outputs: tuple[Blob, ...]
    sinks: tuple[Node, ...]
    """Layers without tops that read learned blobs, and are not losses or measures."""


def in_use(graph: Graph, shapes: Shapes, *, keep_heads: bool = False) -> InUse:
    """Return the net in use of GRAPH, whose blobs have SHAPES; with KEEP_HEADS also its auxiliary heads, which only
    help the training."""
    learned = _depends_on_learned(graph.nodes, shapes)
    losses = [_loss(node, graph, learned) for node in graph.nodes if _is_loss(node, graph)]
    first = _main(losses)
    main = [*first, *(each for each in losses if each not in first)] if keep_heads else first
    blobs = dict(shapes.blobs)
    scored = {node.bottoms[0] for node in graph.nodes if node.type in _CONTAINED}
    replaced = [each for each in main if row_of(each.node.type).contains and each.scores[0] not in scored]
    taken = {blob.name for node in graph.nodes if not row_of(node.type).judges for blob in node.tops}
    made = _probabilities(replaced, taken)
    judging = {index for each in losses for index in each.judging}
    nodes: list[Node] = []
    left_out: list[str] = []
    gone: set[Blob] = set()
    for node in graph.nodes:
        if (top := made.get(node.index)) is not None:
            blobs[top] = blobs[node.bottoms[0]]
            layer = _contained(node.layer, node.bottoms[0].name, top.name)
            nodes.append(Node(node.index, layer, node.bottoms[:1], (top,), node.uncomputed))
            gone.update(blob for blob in node.tops[:1] if blob != top)
        elif row_of(node.type).judges or node.index in judging or not gone.isdisjoint(node.bottoms):
            gone.update(node.tops)
            left_out.append(node.name)
        else:
            nodes.append(node)
    wanted = _with_contained((blob for each in main for blob in each.scores), nodes)
    unwanted = _with_contained((blob for each in losses if each not in main for blob in each.scores), nodes) - wanted
    found = Shapes(blobs, shapes.params, shapes.notes)
    sinks = tuple(node for node in nodes if not node.tops and learned.issuperset(node.bottoms))
    return InUse(tuple(nodes), found, tuple(left_out), tuple(_outputs(graph, nodes, found, unwanted)), sinks)


def needed(nodes: Sequence[Node], outputs: Iterable[Blob]) -> list[Node]:
    """Return the NODES that OUTPUTS depend on, in file order."""
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.tops):
            wanted.update(node.bottoms)
            kept.append(node)
    return kept[::-1]


def inputs(nodes: Sequence[Node]) -> tuple[Blob, ...]:
    """Return the inputs of NODES. DummyData counts if its values are random, or if there is no other input."""
    read = {blob for node in nodes for blob in node.bottoms}
    sources = [node for node in nodes if not node.bottoms and (not row_of(node.type).constant or _is_random(node))]
    sources = sources or [node for node in nodes if node.type == "DummyData"]
    return tuple(blob for node in sources for blob in node.tops if blob in read)


def trains(graph: Graph) -> bool:
    """Return whether GRAPH has layers that only training nets have: losses, measures, and layers that read data."""
    return any(row_of(node.type).judges or reads_data(node) for node in graph.nodes)


def reads_data(node: Node) -> bool:
    """Return whether NODE reads data; a net in use has an Input in its place."""
    return not node.bottoms and node.type != "Input" and not row_of(node.type).constant


class _Loss(NamedTuple):
    """A loss: its SCORES, the LABELS that it compares them with, and its WEIGHT in the sum of all losses. JUDGING has
    the indices of its layers: the loss itself, and layers that only compare scores for it."""

    node: Node
    scores: tuple[Blob, ...]
    labels: tuple[Blob, ...]
    weight: float
    judging: tuple[int, ...]


def _is_loss(node: Node, graph: Graph) -> bool:
    """Return whether NODE is a loss: by its type, or because it has a `loss_weight` and no layer reads it."""
    says = any(node.layer.loss_weight) and not any(graph.consumers.get(top) for top in node.tops)
    return bool(node.bottoms) and (row_of(node.type).weighs or says)


def _loss(node: Node, graph: Graph, learned: Collection[Blob]) -> _Loss:
    """Return NODE as a loss. Its scores are the first bottom or, if the type treats all bottoms alike, those that are
    LEARNED. A layer of another type, such as a Reduction, may have a layer before it that compares scores with
    labels."""
    judge, judging = node, [node.index]
    while not row_of(node.type).judges and len(judge.bottoms) == 1:
        before = graph.producer[judge.bottoms[0]]
        if not before.bottoms or row_of(before.type).params is not no_params:
            break
        judge = before
        judging.append(judge.index)
    scores = () if row_of(judge.type).contains else tuple(blob for blob in judge.bottoms if blob in learned)
    labels = tuple(blob for blob in judge.bottoms if blob not in (scores or judge.bottoms[:1]))
    if not labels:  # there is no comparison
        judge, judging, scores = node, [node.index], node.bottoms
    weight = node.layer.loss_weight[0] if node.layer.loss_weight else 1.0
    return _Loss(node, scores or judge.bottoms[:1], labels, weight, tuple(judging))


def _with_contained(scores: Iterable[Blob], nodes: Iterable[Node]) -> set[Blob]:
    """Return SCORES, and the blobs that NODES make from them by layers that losses contain."""
    found = set(scores)
    found.update(top for node in nodes if node.type in _CONTAINED and node.bottoms[0] in found for top in node.tops)
    return found


def _main(losses: Sequence[_Loss]) -> list[_Loss]:
    """Return the main losses. If several losses have the same labels, those with less weight than another only help the
    training, as in GoogLeNet."""
    heaviest: dict[tuple[Blob, ...], float] = {}
    for loss in losses:
        heaviest[loss.labels] = max(loss.weight, heaviest.get(loss.labels, 0))
    return [loss for loss in losses if loss.weight >= heaviest[loss.labels]]


def _contained(loss: Message, bottom: str, top: str) -> Message:
    """Return the layer that LOSS contains; it makes the blob TOP from the scores BOTTOM."""
    kind = row_of(loss.type).contains
    layer = schema.LayerParameter(name=loss.name, type=kind, bottom=[bottom], top=[top])
    if kind == "Softmax" and loss.HasField("softmax_param"):
        layer.softmax_param.CopyFrom(loss.softmax_param)
    return layer


def _probabilities(losses: Iterable[_Loss], taken: Collection[str]) -> dict[int, Blob]:
    """Return names for the probabilities in LOSSES, by the index of the loss: the names that deploy nets use, or else
    names made from the loss. They are not in TAKEN."""
    made: dict[int, Blob] = {}
    names = set(taken)
    for loss in losses:
        own = f"{loss.node.name}_prob"
        numbered = (f"{own}{number}" for number in count(2))
        free = next(name for name in chain(("prob", own), numbered) if name not in names)
        made[loss.node.index] = loss.node.tops[1] if len(loss.node.tops) > 1 else Blob(free, 0)
        names.add(made[loss.node.index].name)
    return made


def _outputs(graph: Graph, nodes: Sequence[Node], shapes: Shapes, unwanted: Collection[Blob]) -> Iterator[Blob]:
    """Return the blobs that no layer of NODES reads, without labels and blobs made from labels, blobs that the net
    itself discards, and UNWANTED blobs."""
    hidden = {*unwanted, *(blob for node in nodes for blob in node.bottoms)}
    learned = _depends_on_learned(nodes, shapes)
    ends = []
    for node in nodes:
        if not node.bottoms and not row_of(node.type).constant:
            continue
        for blob in node.tops:
            readers = {reader.type for reader in graph.consumers.get(blob, ())}
            if blob not in hidden and (not readers or (blob in learned and readers != {"Silence"})):
                ends.append(blob)
    read = {each for node in needed(nodes, [blob for blob in ends if blob in learned]) for each in node.bottoms}
    return (blob for blob in ends if blob in learned or not read or not _is_label(graph, nodes, blob, read))


def _is_label(graph: Graph, nodes: Sequence[Node], blob: Blob, read: Collection[Blob]) -> bool:
    """Return whether BLOB, which depends on no learned layer, is made from outputs of data layers that also feed READ
    blobs."""
    fed = [each for node in needed(nodes, [blob]) for each in node.bottoms if not graph.producer[each].bottoms]
    return all(reads_data(graph.producer[each]) and each not in read for each in fed) and bool(fed)


def _depends_on_learned(nodes: Sequence[Node], shapes: Shapes) -> set[Blob]:
    """Return the blobs that depend on a layer with parameters, or on a layer for which this is unknown."""
    found: set[Blob] = set()
    for node in nodes:
        learned = node.index not in shapes.params or shapes.params[node.index]
        if node.bottoms and (learned or not found.isdisjoint(node.bottoms)):
            found.update(node.tops)
    return found


def _is_random(node: Node) -> bool:
    fillers = node.layer.dummy_data_param.data_filler
    return node.type == "DummyData" and any(filler.type != "constant" for filler in fillers)
