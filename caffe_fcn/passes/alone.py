"""Takes one net out of a file that describes several: drops the layers of other phases and stages, and the rules.

A prototxt for training holds a net for TRAIN and one for TEST. A pass that works on one net only runs after this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.changes import Change, Decision, DropLayer
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim, Result, carried_out
from caffe_fcn.schema import Message
from caffe_fcn.wording import Option, advise


def alone(model: Model) -> Result:
    """The net of MODEL that its selection means, without the layers of other nets. Raises SurgeryError where the
    selection names no phase and the file has several."""
    if model.selection.phase is None:
        refuse_others(model, "taking one net out of its file")
    decision = Decision(tuple(_changes(model)))
    return carried_out(model, decision, claim=Claim.SAME_BITS)


def refuse_others(model: Model, verb: str) -> None:
    """Raise SurgeryError unless the file of MODEL holds one net, for TEST. VERB names the operation in the message."""
    name, phases = model.source.name, list(model.graphs)
    if phases == ["TRAIN"]:
        raise SurgeryError(
            f"{verb} needs a net for phase TEST, found one for TRAIN",
            source=name,
            hint=advise("choose with ", Option("phase", "TEST")),
        )
    others = _others(model)
    if len(phases) > 1 or others:
        found = f"{len(others)} layers" if len(others) > 1 else "layers"
        raise SurgeryError(
            f"{verb} needs a net for phase TEST only, found {found} for another phase or stage",
            source=name,
            hint=advise(Option("phase", "TEST"), " writes the TEST net alone"),
        )


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
