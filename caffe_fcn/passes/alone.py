"""One net of a file that describes several: the layers of other phases and stages go, and so do the rules.

A prototxt for training holds a net for TRAIN and one for TEST. A pass that suits one of them alone is given that one.
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
    """The one net of MODEL that its selection means, without the layers of others. Raises SurgeryError where the
    selection leaves the phase open and the file tells phases apart."""
    if model.selection.phase is None:
        refuse_others(model, "take apart")
    decision = Decision(tuple(_changes(model)))
    return carried_out(model, decision, claim=Claim.SAME_BITS)


def refuse_others(model: Model, verb: str) -> None:
    """Raise SurgeryError unless MODEL is one net for TEST, and all of its file. VERB is what was to be done."""
    name, phases = model.source.name, list(model.graphs)
    if phases == ["TRAIN"]:
        raise SurgeryError(
            f"{verb} is for nets in phase TEST, found one for TRAIN",
            source=name,
            hint=advise("choose with ", Option("phase", "TEST")),
        )
    others = _others(model)
    if len(phases) > 1 or others:
        found = f"{len(others)} of its layers are" if len(others) > 1 else "layers of it are"
        raise SurgeryError(
            f"{verb} is for a net in phase TEST alone, and {found} for another phase or stage",
            source=name,
            hint=advise(Option("phase", "TEST"), " writes the TEST net alone"),
        )


def _others(model: Model) -> list[int]:
    """The layers that are not in the net that is meant."""
    inside = {node.index for node in model.graph.nodes}
    return [index for index in range(len(model.net.layer)) if index not in inside]


@dataclass(frozen=True, repr=False)
class LeaveOut(DropLayer):
    """The layer is one of another phase or stage, and goes."""

    kind: ClassVar[str] = "left_out"

    def describe(self) -> str:
        return f"{self.type} of another phase or stage left out"


@dataclass(frozen=True, repr=False)
class DropRules(Change):
    """The layer is in the net whatever the phase."""

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
