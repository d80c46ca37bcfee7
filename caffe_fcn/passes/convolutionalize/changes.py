"""The changes of a convolutionalization: InnerProducts, global poolings, and flattenings that make outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from caffe_fcn.model.changes import Change, DropLayer
from caffe_fcn.model.reorder import Reorder
from caffe_fcn.model.tensors import Reordered, Tensor
from caffe_fcn.net.layers.views import Segment
from caffe_fcn.net.layers.windows import SIDED_PADS, set_kernel
from caffe_fcn.net.shapes import Shape, show
from caffe_fcn.schema import Message
from caffe_fcn.wording import option


@dataclass(frozen=True, repr=False)
class ToConvolution(Change):
    """An InnerProduct over C×H×W becomes a Convolution with a kernel as large as its input.

    The weight blob O×(C·H·W) becomes O×C×H×W. It has the same bytes, unless it was stored transposed or its columns
    were ordered cell by cell (`segments`).
    """

    channels: int
    """C: the channels of the layer's input."""
    kernel: tuple[int, ...]
    """H×W: the size of the layer's input."""
    num_output: int
    """O: the number of outputs of the layer."""
    bias: bool
    """Whether the layer has a bias."""
    transposed: bool
    """Whether the old weights were stored transposed."""
    segments: tuple[Segment, ...]
    name: str
    """The name of the layer after the change."""
    kind: ClassVar[str] = "converted"
    said: ClassVar[tuple[str, ...]] = ("inner_product_param",)

    @property
    def weight_shape(self) -> Shape:
        """The shape of the new weight blob: O×C×H×W."""
        return (self.num_output, self.channels, *self.kernel)

    @property
    def columns(self) -> int:
        """The length of one row of the old weight matrix: C·H·W."""
        return self.channels * prod(self.kernel)

    @property
    def reordered(self) -> bool:
        """Whether the columns of the weight blob must be reordered."""
        return any(s.channels_last and s.positions > 1 and s.channels > 1 for s in self.segments)

    @property
    def weight_count(self) -> int:
        """The number of values in the weight blob."""
        return self.num_output * self.columns

    @property
    def parameters(self) -> int:
        """The number of parameters, the same before and after."""
        return self.weight_count + self.bias * self.num_output

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of a table: input and outputs, new layer, parameters, new name, order of the values."""
        source = f"{show((self.channels, *self.kernel))} → {self.num_output}"
        how = ["weights transposed"] * self.transposed + ["columns reordered"] * self.reordered
        kernel, parameters = f"Convolution {show(self.kernel)}", f"{self.parameters:,} parameters"
        return source, kernel, parameters, self.name, ", ".join(how)

    @property
    def way_round(self) -> str:
        return f", or leave it unchanged with {option('skip', [self.layer])}"

    def apply(self, target: Message) -> None:
        old = target.inner_product_param
        target.ClearField("convolution_param")  # an InnerProduct ignores it
        new = target.convolution_param
        for name in ("num_output", "bias_term", "relu", "negative_slope"):  # the last two are Intel's
            if old.HasField(name):
                setattr(new, name, getattr(old, name))
        for name in ("weight_filler", "bias_filler"):
            if old.HasField(name):
                getattr(new, name).CopyFrom(getattr(old, name))
        set_kernel(new, self.kernel)
        target.type = "Convolution"
        target.ClearField("inner_product_param")

    def tensors(self, old: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not old:
            return old
        if not (self.transposed or self.reordered):
            return (old[0].reshaped(self.weight_shape), *old[1:])
        segments = self.segments if self.reordered else ()
        order = Reorder(self.num_output, self.columns, self.transposed, segments)
        return (Reordered(old[0], order, self.weight_shape), *old[1:])

    def describe(self) -> str:
        return ", ".join(self.cells[:3])

    def document(self) -> dict[str, Any]:
        return {
            "layer": self.layer,
            "name": self.name,
            "input": [self.channels, *self.kernel],
            "num_output": self.num_output,
            "kernel": list(self.kernel),
            "parameters": self.parameters,
            "transposed": self.transposed,
            "reordered": self.reordered,
        }


@dataclass(frozen=True, repr=False)
class WindowPooling(Change):
    """A global Pooling becomes one over a window as large as its input, at stride 1."""

    kernel: tuple[int, ...]
    kind: ClassVar[str] = "pooling"

    def apply(self, target: Message) -> None:
        pooling = target.pooling_param
        for name in ("global_pooling", *SIDED_PADS):  # a global pooling ignores its padding
            pooling.ClearField(name)
        set_kernel(pooling, self.kernel)

    def describe(self) -> str:
        return f"global → window {show(self.kernel)}"

    def document(self) -> dict[str, Any]:
        return {"layer": self.layer, "kernel": list(self.kernel)}


@dataclass(frozen=True, repr=False)
class ToSplit(Change):
    """A flattening that makes an output of the net becomes a Split: the output keeps its name, and is the map."""

    type: str
    kind: ClassVar[str] = "split"

    def agrees(self, others: Sequence[Change]) -> bool:
        return super().agrees(others) or DropLayer(self.index, self.layer, self.type) in others

    def apply(self, target: Message) -> None:
        target.type = "Split"
        for message in ("flatten_param", "permute_param", "reshape_param", "squeeze_param", "transpose_param"):
            target.ClearField(message)

    def describe(self) -> str:
        return f"{self.type} → Split; the output is now a map"
