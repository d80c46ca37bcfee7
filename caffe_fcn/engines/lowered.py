"""What the sessions of engines that run a net lowered to ONNX have in common: what is fed, and what comes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from caffe_fcn.engines.protocol import Array, Dims, described
from caffe_fcn.onnx.lowering import Lowered


class LoweredSession(ABC):
    """A net that an engine has loaded as LOWERED; NAME is what messages call the engine."""

    name: ClassVar[str]

    def __init__(self, lowered: Lowered) -> None:
        self.lowered = lowered

    def __repr__(self) -> str:
        return described(self, self.name)

    @property
    def inputs(self) -> Mapping[str, Dims]:
        """What is fed, by name; None for an axis that may be of any length."""
        fed = self.lowered.inputs.items()
        return {name: tuple(size if isinstance(size, int) else None for size in value.dims) for name, value in fed}

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what comes out."""
        return tuple(self.lowered.outputs)

    @abstractmethod
    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs for INPUTS, by Caffe's names.

        Raises EngineError for inputs that the net does not take, ShapeError for a size that does not suit it.
        """
