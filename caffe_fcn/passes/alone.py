"""Takes one net out of a file that describes several: drops the layers of other phases and stages, and the rules.

A prototxt for training holds a net for TRAIN and one for TEST. A pass that works on one net only runs after this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from caffe_fcn.errors import NetError, SurgeryError
from caffe_fcn.model.changes import Change, Decision, DropLayer
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim, Result, carried_out
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.selection import graph_of
from caffe_fcn.schema import Message
from caffe_fcn.wording import Option, advise


def alone(model: Model) -> Result:
    """The net of MODEL that its selection means, without the layers of other nets. Raises SurgeryError where the
    selection names no phase and the file has several."""
    if model.selection.phase is None:
        model = only_net(model, "taking one net out of its file")
    decision = Decision(tuple(_changes(model)))
    return carried_out(model, decision, claim=Claim.SAME_BITS)


def only_net(model: Model, verb: str) -> Model:
    """Return MODEL in phase TEST alone. Raises SurgeryError if its file has layers for another net. VERB names the
    operation in the message.

    A file with layers only for TEST, such as the detections of a deploy net, has one net, because the rest is not
    trained.
    """
    name, phases = model.source.name, list(model.graphs)
    if phases == ["TRAIN"]:
        raise SurgeryError(
            f"{verb} needs a net for phase TEST, found one for TRAIN",
            source=name,
            hint=advise("choose with ", Option("phase", "TEST")),
        )
    others = _others(model)
    if others:
        found = f"{len(others)} layers" if len(others) > 1 else "layers"
        raise SurgeryError(
            f"{verb} needs a net for phase TEST only, found {found} for another phase or stage",
            source=name,
            hint=advise(Option("phase", "TEST"), " writes the TEST net alone"),
        )
    test = model.phase
    return replace(model, graphs={test: model.graphs[test]}, shapes={test: model.shapes[test]})


def _others(model: Model) -> list[int]:
    """The indices of the layers that are not in the selected net."""
    inside = {node.index for node in model.graph.nodes}
    return [index for index in range(len(model.net.layer)) if index not in inside]


@dataclass(frozen=True, repr=False)
class LeaveOut(DropLayer):
    """The layer belongs to another phase or stage and is dropped."""

    kind: ClassVar[str] = "left_out"

    def describe(self) -> str:
        return f"{self.type} of another phase or stage dropped"


@dataclass(frozen=True, repr=False)
class DropRules(Change):
    """The layer loses its rules for phases and stages."""

    def apply(self, target: Message) -> None:
        target.ClearField("include")
        target.ClearField("exclude")

    def describe(self) -> str:
        return "without include and exclude rules"


def _changes(model: Model) -> Iterator[Change]:
    others = set(_others(model))
    for index, layer in enumerate(model.net.layer):
        if index in others:
            yield LeaveOut(index, layer.name, layer.type)
        elif layer.include or layer.exclude:
            yield DropRules(index, layer.name)


def with_losses(model: Model) -> Result:
    """Return MODEL with the losses of phase TRAIN in phase TEST, if TEST has no losses but their bottoms: the losses
    contain the outputs of the net. Their rules are removed."""
    rules: list[Change] = []
    if list(model.graphs) == ["TEST"] and not any(row_of(node.type).weighs for node in model.graph.nodes):
        rules = [DropRules(node.index, node.name) for node in _training(model) if _fits(node, model.graph)]
    return carried_out(model, Decision(tuple(rules)), claim=Claim.SAME_BITS)


def _training(model: Model) -> Iterator[Node]:
    """The losses of MODEL in phase TRAIN."""
    try:
        graph = graph_of(model.net, model.source, replace(model.selection, phase="TRAIN"), "TRAIN")
    except NetError:
        return
    yield from (node for node in graph.nodes if row_of(node.type).weighs)


def _fits(node: Node, graph: Graph) -> bool:
    """Return whether NODE, of another phase, can be a layer of GRAPH."""
    return all(graph.latest(blob.name) for blob in node.bottoms) and not any(
        graph.latest(top) for top in node.layer.top
    )
