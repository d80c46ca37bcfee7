"""The changes of a fold: a layer that absorbs others, the absorbed layers, and the new values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from caffe_fcn.files.blobs import DType
from caffe_fcn.model.changes import Change, DropLayer
from caffe_fcn.model.computed import Computed
from caffe_fcn.model.tensors import Tensor
from caffe_fcn.net.graph import Node
from caffe_fcn.net.layers.windows import linear_param
from caffe_fcn.net.shapes import Shape
from caffe_fcn.passes.fold.affine import Affine
from caffe_fcn.schema import Message

if TYPE_CHECKING:
    from numpy.typing import NDArray


_ROUNDINGS = 6
"""The most roundings of one step in single precision: a BatchNorm's statistic times its factor, plus eps, the root, its
inverse, the slope of a Scale, and the product."""


@dataclass(frozen=True, repr=False)
class Step:
    """A layer that is folded, and its parameter blobs; there are none without weights."""

    node: Node
    affine: Affine
    tensors: tuple[Tensor, ...]


@dataclass(frozen=True, repr=False)
class TakeUp(Change):
    """The layer absorbs the layers of STEPS: its weights are multiplied; its bias is changed, or added."""

    type: str
    weight_shape: Shape
    outputs: int
    by_column: bool
    """Whether the outputs lie along the second axis of the weights and not along the first."""
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
    def values(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """For each output, in double precision: the factor, the summand, and the size of the summand's terms."""
        import numpy as np

        factor, shift, size = np.ones(self.outputs), np.zeros(self.outputs), np.zeros(self.outputs)
        with np.errstate(all="ignore"):  # a negative variance gives NaN in Caffe, too
            for step in self.steps:
                blobs = [tensor.read(0, tensor.count).astype(np.float64) for tensor in step.tensors]
                times, plus, terms = step.affine.values(blobs)
                factor, shift, size = factor * times, shift * times + plus, size * np.abs(times) + terms
        return factor, shift, size

    @property
    def roundings(self) -> float:
        """The largest difference, relative to its terms, between a new value and the same value computed in another
        way: the roundings of each step in single precision, and one when the value is written."""
        return (1 + _ROUNDINGS * len(self.steps)) * 2.0**-24

    def describe(self) -> str:
        names = ", ".join(f"{step.node.name} ({step.node.type})" for step in self.steps)
        return f"absorbs {names}" + "; gets a bias" * self.new_bias

    def document(self) -> dict[str, Any]:
        names = [step.node.name for step in self.steps]
        return {"layer": self.layer, "type": self.type, "takes_up": names, "new_bias": self.new_bias}


@dataclass(frozen=True, repr=False)
class Folded(DropLayer):
    """The layer is folded INTO another one, with its parameter blobs."""

    into: str
    kind: ClassVar[str] = "folded"

    def describe(self) -> str:
        return f"{self.type} folded into {self.into}"

    def document(self) -> dict[str, Any]:
        return {"layer": self.layer, "type": self.type, "into": self.into}


@dataclass(frozen=True, repr=False)
class FoldedWeights(Computed):
    """The weights of a layer times the factors of its FOLD, computed a panel of rows at a time."""

    of: Tensor
    fold: TakeUp

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the old weights."""
        return self.of.shape

    @property
    def dtype(self) -> DType:
        """Single precision; double precision if the old weights have it."""
        return "float64" if self.of.dtype == "float64" else "float32"

    @property
    def roundings(self) -> float:
        """Those of the fold."""
        return self.fold.roundings

    def sizes(self, first: int, last: int) -> NDArray[Any]:
        """The sizes of the terms of the weights first..last."""
        return abs(self.rows(first, last))

    def rows(self, first: int, last: int) -> NDArray[Any]:
        """The weights first..last along the first axis."""
        import numpy as np

        factors, outputs = self.fold.values[0], self.fold.outputs
        if self.fold.by_column:  # inputs × outputs of their group
            groups = outputs // self.shape[1]
            group = np.arange(first, last) * groups // self.shape[0]
            factors = factors.reshape(groups, -1)[group]
        else:
            factors = factors[first:last]
        old = self.of.rows(first, last)
        made = np.empty(old.shape, self.dtype)
        factors = factors.reshape(*factors.shape, *[1] * (old.ndim - factors.ndim))
        with np.errstate(all="ignore"):  # double precision, rounded once at the end
            np.multiply(old, factors, out=made, dtype=np.float64, casting="same_kind")
        return made


@dataclass(frozen=True, repr=False)
class FoldedBias(Computed):
    """The bias of a layer after its FOLD. OF: the old bias, None if there was none."""

    of: Tensor | None
    dtype: DType
    fold: TakeUp

    @property
    def shape(self) -> tuple[int, ...]:
        """A value for each output."""
        return (self.fold.outputs,)

    @property
    def roundings(self) -> float:
        """Those of the fold."""
        return self.fold.roundings

    def sizes(self, first: int, last: int) -> NDArray[Any]:
        """The sizes of the terms of the values first..last."""
        factor, _, size = (values[first:last] for values in self.fold.values)
        return size if self.of is None else abs(self.of.read(first, last) * factor) + size

    def rows(self, first: int, last: int) -> NDArray[Any]:
        """The values first..last."""
        import numpy as np

        factor, shift, _ = (values[first:last] for values in self.fold.values)
        with np.errstate(all="ignore"):
            made = shift if self.of is None else self.of.read(first, last).astype(np.float64) * factor + shift
            return made.astype(self.dtype)
