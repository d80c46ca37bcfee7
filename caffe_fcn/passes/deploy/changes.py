"""The changes of `deploy`: how the layers of a training net become those of the net in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from caffe_fcn.model.changes import Change, ReplaceLayer
from caffe_fcn.net.shapes import Shape, show
from caffe_fcn.schema import Message


@dataclass(frozen=True, repr=False)
class BecomeInput(ReplaceLayer):
    """A layer that feeds the net becomes an Input with those of its tops that are read: BLOBS by name with their
    shapes."""

    blobs: Mapping[str, Shape] = field(default_factory=dict)
    kind: ClassVar[str] = "inputs"

    def describe(self) -> str:
        told = ", ".join(f"{name} {show(shape)}" for name, shape in self.blobs.items())
        return f"{self.type} becomes the input {told}" if self.type != "Input" else f"now the input {told} alone"

    def document(self) -> dict[str, Any]:
        shapes = {name: list(shape) for name, shape in self.blobs.items()}
        return {**super().document(), "input_shapes": shapes, "comment": list(self.comment)}


@dataclass(frozen=True, repr=False)
class BecomeHead(ReplaceLayer):
    """A loss becomes the layer that it contains."""

    kind: ClassVar[str] = "heads"

    def describe(self) -> str:
        return f"{self.type} becomes {self.by.layer.name} ({self.by.layer.type})"


@dataclass(frozen=True, repr=False)
class DropState(Change):
    """The net loses its own phase and stages, because it is now the same in all."""

    def apply(self, target: Message) -> None:
        target.ClearField("state")

    def describe(self) -> str:
        return "without a phase and stages of its own"


@dataclass(frozen=True, repr=False)
class DropLossWeight(Change):
    """The layer is no longer a loss."""

    def apply(self, target: Message) -> None:
        target.ClearField("loss_weight")

    def describe(self) -> str:
        return "without loss_weight"
