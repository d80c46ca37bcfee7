"""Which part of a net is lowered: what its outputs need, and no more.

A net as trained also reads labels and ends in losses. Its outputs, as a deploy net has them, are what a loss
contains, and the scores that a loss or a measure was the last to read. A blob that depends on nothing learned,
and only losses read it, is a label; nothing asks for it then, nor for the input that it comes from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Final

from caffe_fcn.errors import LoweringError
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import LAYERS, row_of
from caffe_fcn.net.shapes import Shapes
from caffe_fcn.onnx.losses import contained
from caffe_fcn.wording import command

ALL: Final = "*"
"""Asks for every blob as an output."""

_CONTAINED = frozenset(row.contains for row in LAYERS.values() if row.contains)
"""The types of layers that losses contain."""

_COMPARED = 200
"""The characters of a name that are compared with those of another."""
_TOLD = 8
"""Blobs that a message lists."""


@dataclass(frozen=True)
class Scope:
    """The part of a net to be lowered: GRAPH and the SHAPES of its blobs, what is fed and what is wanted.

    LEFT_OUT are the names of the layers that a net in use does without.
    """

    graph: Graph
    shapes: Shapes
    inputs: tuple[Blob, ...]
    outputs: tuple[Blob, ...]
    left_out: tuple[str, ...]


def choose_scope(graph: Graph, shapes: Shapes, wanted: Sequence[str] = ()) -> Scope:
    """The part of GRAPH that its outputs need, or, where names are WANTED, those blobs; ALL is for every blob.

    Raises LoweringError where nothing is left or a wanted blob is none of the net's.
    """
    nodes, known, left_out = _in_use(graph, shapes)
    outputs = _wanted(graph, nodes, wanted) if wanted and ALL not in wanted else _outputs(graph, nodes, known)
    if not outputs:
        raise LoweringError(
            source=graph.source,
            expected="a net with outputs",
            found="none after leaving out losses, measures and the layers that only they use",
            hint="name the output blobs",
        )
    kept = _needed(nodes, outputs)
    inputs = _inputs(kept)
    if ALL in wanted:
        made = [blob for node in kept for blob in node.tops if blob not in inputs]
        later = {Blob(blob.name, blob.version - 1) for blob in made}
        outputs = [blob for blob in made if blob not in later]
    return Scope(graph.made_of(kept), known, inputs, tuple(outputs), left_out)


def _in_use(graph: Graph, shapes: Shapes) -> tuple[list[Node], Shapes, tuple[str, ...]]:
    """The layers of the net in use, losses replaced by what they contain; SHAPES with the blobs so made; the names
    of the layers that are gone."""
    blobs = dict(shapes.blobs)
    scored = {node.bottoms[0] for node in graph.nodes if node.type in _CONTAINED}
    replaced = {id(node) for node in _main_losses(graph) if node.bottoms[0] not in scored}
    taken = {blob.name for node in graph.nodes if not row_of(node.type).judges for blob in node.tops}
    nodes, left_out = [], []
    gone: set[Blob] = set()
    for node in graph.nodes:
        if id(node) in replaced:
            top = node.tops[1] if len(node.tops) > 1 else Blob(_name(node, taken), 0)
            taken.add(top.name)
            blobs[top] = blobs[node.bottoms[0]]
            layer = contained(node.layer, node.bottoms[0].name, top.name)
            nodes.append(Node(node.index, layer, node.bottoms[:1], (top,), node.uncomputed))
            gone.update(blob for blob in node.tops[:1] if blob != top)
        elif row_of(node.type).judges or not gone.isdisjoint(node.bottoms):
            gone.update(node.tops)
            left_out.append(node.name)
        else:
            nodes.append(node)
    return nodes, Shapes(blobs, shapes.params, shapes.notes), tuple(left_out)


def _main_losses(graph: Graph) -> list[Node]:
    """The losses that contain a layer of use. Of several that judge by one label those of less weight than another
    only help the training, as in GoogLeNet."""
    losses = [node for node in graph.nodes if row_of(node.type).contains]
    heaviest: dict[Blob | None, float] = {}
    for loss in losses:
        heaviest[_label(loss)] = max(_weight(loss), heaviest.get(_label(loss), 0))
    return [loss for loss in losses if _weight(loss) >= heaviest[_label(loss)]]


def _label(loss: Node) -> Blob | None:
    return loss.bottoms[1] if len(loss.bottoms) > 1 else None


def _weight(loss: Node) -> float:
    return loss.layer.loss_weight[0] if loss.layer.loss_weight else 1.0


def _name(loss: Node, taken: Collection[str]) -> str:
    """What to call the probabilities in LOSS: as deploy nets do, or after the loss."""
    own = f"{loss.name}_prob"
    numbered = (f"{own}{number}" for number in count(2))
    return next(name for name in chain(("prob", own), numbered) if name not in taken)


def _wanted(graph: Graph, nodes: Sequence[Node], names: Sequence[str]) -> list[Blob]:
    """The last version of each blob called one of NAMES."""
    made = {blob.name: blob for node in nodes if node.bottoms or row_of(node.type).constant for blob in node.tops}
    for name in names:
        if name not in made:
            why = "is not a blob of the net"
            if (latest := graph.latest(name)) is not None:
                fed = not graph.producer[latest].bottoms and any(latest in node.bottoms for node in nodes)
                why = "is an input of the net" if fed else "is used only for training, which is not run"
            found = ", ".join(map(repr, _nearest(name, made)))
            more = len(made) - _TOLD
            rest = f" and {more:,} more (see {command('inspect')})" if more > 0 else ""
            raise LoweringError(f"{name!r} {why}", source=graph.source, hint=f"expected one of {found}{rest}")
    return [made[name] for name in dict.fromkeys(names)]


def _nearest(name: str, candidates: Collection[str]) -> list[str]:
    """The CANDIDATES that are spelled most like NAME, the nearest first."""
    from difflib import SequenceMatcher  # here, because only an error needs it

    def likeness(other: str) -> float:
        return SequenceMatcher(None, name[:_COMPARED].lower(), other[:_COMPARED].lower()).ratio()

    return sorted(candidates, key=likeness, reverse=True)[:_TOLD]


def _outputs(graph: Graph, nodes: Sequence[Node], shapes: Shapes) -> list[Blob]:
    """The blobs that nothing of NODES reads, but for labels, what the net itself throws away, and the scores of
    losses that only help the training."""
    main = {id(loss) for loss in _main_losses(graph)}
    unwanted = {node.bottoms[0] for node in graph.nodes if row_of(node.type).contains and id(node) not in main}
    unwanted.update(blob for node in nodes for blob in node.bottoms)
    learned = _depends_on_learned(nodes, shapes)
    found = []
    for node in nodes:
        if not node.bottoms and not row_of(node.type).constant:
            continue
        for blob in node.tops:
            readers = {reader.type for reader in graph.consumers.get(blob, ())}
            if blob not in unwanted and (not readers or (blob in learned and readers != {"Silence"})):
                found.append(blob)
    return found


def _depends_on_learned(nodes: Sequence[Node], shapes: Shapes) -> set[Blob]:
    """The blobs that a layer with parameters, or one of which nobody knows whether it has any, had a part in."""
    found: set[Blob] = set()
    for node in nodes:
        learned = node.index not in shapes.params or shapes.params[node.index]
        if node.bottoms and (learned or not found.isdisjoint(node.bottoms)):
            found.update(node.tops)
    return found


def _needed(nodes: Sequence[Node], outputs: Iterable[Blob]) -> list[Node]:
    """The NODES that OUTPUTS depend on, in file order."""
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.tops):
            wanted.update(node.bottoms)
            kept.append(node)
    return kept[::-1]


def _inputs(nodes: Sequence[Node]) -> tuple[Blob, ...]:
    """What is fed to NODES. DummyData feeds where its values are random, or where nothing else does."""
    read = {blob for node in nodes for blob in node.bottoms}
    sources = [node for node in nodes if not node.bottoms and (not row_of(node.type).constant or _is_random(node))]
    sources = sources or [node for node in nodes if node.type == "DummyData"]
    return tuple(blob for node in sources for blob in node.tops if blob in read)


def _is_random(node: Node) -> bool:
    fillers = node.layer.dummy_data_param.data_filler
    return node.type == "DummyData" and any(filler.type != "constant" for filler in fillers)
