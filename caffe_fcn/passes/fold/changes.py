"""What a fold changes: a layer that takes others up, those that go into it, and the values that come of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from caffe_fcn.files.blobs import DType
from caffe_fcn.model.changes import Change, DropLayer
from caffe_fcn.model.tensors import Tensor
from caffe_fcn.net.graph import Node
from caffe_fcn.net.layers.windows import convolution_param
from caffe_fcn.net.shapes import Shape
from caffe_fcn.passes.fold.affine import Affine
from caffe_fcn.schema import Message

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, repr=False)
class Step:
    """A layer that is folded, with its parameter blobs, none where there are no weights."""

    node: Node
    affine: Affine
    tensors: tuple[Tensor, ...]


@dataclass(frozen=True, repr=False)
class TakeUp(Change):
    """The layer takes up others, by STEPS: its weights are multiplied, and its bias follows or is made."""

    type: str
    weight_shape: Shape
    outputs: int
    by_column: bool
    """Whether the outputs are the second axis of the weights and not the first."""
    new_bias: bool
    steps: tuple[Step, ...]
    kind: ClassVar[str] = "into"

    def apply(self, target: Message) -> None:
        if self.new_bias:
            linear_param(target).ClearField("bias_term")

    def tensors(self, old: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not old:
            return old
        weights: Tensor = FoldedWeights(old[0].reshaped(self.weight_shape), self)
        biased = self.new_bias or len(old) > 1
        return (weights, FoldedBias(old[1] if len(old) > 1 else None, weights.dtype, self)) if biased else (weights,)

    @cached_property
    def values(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The factor and the summand of each output, in double precision."""
        import numpy as np

        factor, shift = np.ones(self.outputs), np.zeros(self.outputs)
        with np.errstate(all="ignore"):  # a variance below zero is not a number in Caffe either
            for step in self.steps:
                blobs = [tensor.read(0, tensor.count).astype(np.float64) for tensor in step.tensors]
                times, plus = step.affine.values(blobs)
                factor, shift = factor * times, shift * times + plus
        return factor, shift

    def describe(self) -> str:
        names = ", ".join(f"{step.node.name} ({step.node.type})" for step in self.steps)
        return f"takes up {names}" + "; gains a bias" * self.new_bias

    def document(self) -> dict[str, Any]:
        names = [step.node.name for step in self.steps]
        return {"layer": self.layer, "type": self.type, "takes_up": names, "new_bias": self.new_bias}


@dataclass(frozen=True, repr=False)
class Folded(DropLayer):
    """The layer goes INTO another one, and its parameter blobs with it."""

    into: str
    kind: ClassVar[str] = "folded"

    def tensors(self, old: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return ()

    def describe(self) -> str:
        return f"{self.type} folded into {self.into}"

    def document(self) -> dict[str, Any]:
        return {"layer": self.layer, "type": self.type, "into": self.into}


@dataclass(frozen=True, repr=False)
class FoldedWeights(Tensor):
    """The weights OF a layer, times the factors of its FOLD: a panel of rows at a time."""

    of: Tensor
    fold: TakeUp

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the old weights."""
        return self.of.shape

    @property
    def dtype(self) -> DType:
        """Single precision, unless the old weights are in double."""
        return "float64" if self.of.dtype == "float64" else "float32"

    def rows(self, first: int, last: int) -> NDArray[Any]:
        """The weights first..last of the first axis."""
        import numpy as np

        factors, outputs = self.fold.values[0], self.fold.outputs
        if self.fold.by_column:  # inputs × outputs of their group
            groups = outputs // self.shape[1]
            group = np.arange(first, last) * groups // self.shape[0]
            factors = factors.reshape(groups, -1)[group]
        else:
            factors = factors[first:last]
        old = self.of.rows(first, last)
        with np.errstate(all="ignore"):
            made: NDArray[Any] = np.multiply(
                old, factors.reshape(*factors.shape, *[1] * (old.ndim - factors.ndim)), dtype=np.float64
            )
            return made.astype(self.dtype, copy=False)


@dataclass(frozen=True, repr=False)
class FoldedBias(Tensor):
    """The bias of a layer after its FOLD, in place of what it was OF, if there was one."""

    of: Tensor | None
    dtype: DType
    fold: TakeUp

    @property
    def shape(self) -> tuple[int, ...]:
        """A value for each output."""
        return (self.fold.outputs,)

    def rows(self, first: int, last: int) -> NDArray[Any]:
        """The values first..last."""
        import numpy as np

        factor, shift = (values[first:last] for values in self.fold.values)
        with np.errstate(all="ignore"):
            made = shift if self.of is None else self.of.read(first, last).astype(np.float64) * factor + shift
            return made.astype(self.dtype)


def linear_param(layer: Message) -> Message:
    """The message in which LAYER, one that takes others up, says its parameters."""
    return layer.inner_product_param if layer.type == "InnerProduct" else convolution_param(layer)
