"""The common part of sessions of engines that run a net lowered to ONNX: the inputs and the outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from caffe_fcn.engines.protocol import Array, Dims, described
from caffe_fcn.onnx.lowering import Lowered


class LoweredSession(ABC):
    """A net that an engine has loaded as LOWERED; NAME is the engine's name in messages."""

    name: ClassVar[str]

    def __init__(self, lowered: Lowered) -> None:
        self.lowered = lowered

    def __repr__(self) -> str:
        return described(self, self.name)

    @property
    def inputs(self) -> Mapping[str, Dims]:
        """The shapes of the inputs, by name; None for an axis of any length."""
        fed = self.lowered.inputs.items()
        return {name: tuple(size if isinstance(size, int) else None for size in value.dims) for name, value in fed}

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return tuple(self.lowered.outputs)

    @abstractmethod
    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs for INPUTS, by Caffe's names.

        Raises EngineError for inputs that the net does not accept, ShapeError for a size that it does not accept.
        """
