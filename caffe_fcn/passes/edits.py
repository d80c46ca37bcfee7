"""The changes a surgery makes, as data: one small frozen class per kind of change to one layer.

An edit applies itself to a typed `LayerParameter`, be it the prototxt's or the header in a caffemodel;
those that change parameter blobs say how; each describes itself in one line. Nothing here decides
anything: `Surgery` is the list that a decision came to, with the reasons for what was left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import ClassVar, NamedTuple

from caffe_fcn.model.reorder import Reorder
from caffe_fcn.model.tensors import Reordered, Tensor
from caffe_fcn.net.graph import Blob
from caffe_fcn.net.layers.views import Segment
from caffe_fcn.net.layers.windows import SIDED_PADS
from caffe_fcn.net.shapes import Shape, show
from caffe_fcn.schema import Message


@dataclass(frozen=True, repr=False)
class Edit:
    """A change to the layer at `index` of the net, called `layer` before the change."""

    index: int
    """The layer's place in the net, from 0."""
    layer: str
    """The layer's name before the change."""
    drops: ClassVar[bool] = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.layer!r}: {self.describe()}>"

    def apply(self, target: Message) -> None:
        """Change TARGET, a LayerParameter, in place."""

    def tensors(self, old: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What becomes of the layer's parameter blobs, which are OLD: none where the weights have none."""
        return old

    def describe(self) -> str:
        """The change in one line for people."""
        return self.layer


@dataclass(frozen=True, repr=False)
class ToConvolution(Edit):
    """An InnerProduct over C×H×W becomes a Convolution with a kernel as large as its input.

    The weight blob O×(C·H·W) becomes O×C×H×W: the same bytes, unless it was stored transposed or its
    columns ran cell after cell (`segments`).
    """

    channels: int
    """C: the channels of the layer's input."""
    kernel: tuple[int, ...]
    """H×W: the input's size."""
    num_output: int
    """O: the layer's outputs."""
    bias: bool
    """Whether the layer has a bias."""
    transposed: bool
    """Whether the old weights were stored transposed."""
    segments: tuple[Segment, ...]

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
        """Whether the columns of the weight blob have to be put in another order."""
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
    def cells(self) -> tuple[str, str, str]:
        """The change as the cells of a table: input and outputs, the new layer, its parameters."""
        source = f"{show((self.channels, *self.kernel))} → {self.num_output}"
        return source, f"Convolution {show(self.kernel)}", f"{self.parameters:,} parameters"

    def apply(self, target: Message) -> None:
        old = target.inner_product_param
        target.ClearField("convolution_param")  # without meaning to an InnerProduct, if it was there
        new = target.convolution_param
        for name in ("num_output", "bias_term", "relu", "negative_slope"):  # the last two are Intel's
            if old.HasField(name):
                setattr(new, name, getattr(old, name))
        for name in ("weight_filler", "bias_filler"):
            if old.HasField(name):
                getattr(new, name).CopyFrom(getattr(old, name))
        set_window(new, self.kernel)
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
        return ", ".join(self.cells)


@dataclass(frozen=True, repr=False)
class WindowPooling(Edit):
    """A global Pooling becomes one over a window as large as its input, at stride 1."""

    kernel: tuple[int, ...]

    def apply(self, target: Message) -> None:
        pooling = target.pooling_param
        for name in ("global_pooling", *SIDED_PADS):  # a global one has no padding, whatever it says
            pooling.ClearField(name)
        set_window(pooling, self.kernel)

    def describe(self) -> str:
        return f"global → window {show(self.kernel)}"


@dataclass(frozen=True, repr=False)
class DropLayer(Edit):
    """The layer goes; whoever read its top is rewired to its bottom."""

    type: str
    drops: ClassVar[bool] = True

    def describe(self) -> str:
        return f"{self.type} dropped"


@dataclass(frozen=True, repr=False)
class ToSplit(Edit):
    """A flattening behind which the net ends becomes a Split: the output keeps its name, and is the map."""

    type: str

    def apply(self, target: Message) -> None:
        target.type = "Split"
        for message in ("flatten_param", "permute_param", "reshape_param", "squeeze_param", "transpose_param"):
            target.ClearField(message)

    def describe(self) -> str:
        return f"{self.type} → Split, for the output that it makes"


@dataclass(frozen=True, repr=False)
class RenameLayer(Edit):
    """The layer takes another name, so that Caffe does not load weights of the old shape into it."""

    name: str

    def apply(self, target: Message) -> None:
        target.name = self.name

    def describe(self) -> str:
        return f"now {self.name}"


@dataclass(frozen=True, repr=False)
class Rewire(Edit):
    """Bottoms and tops take other names."""

    bottoms: Mapping[str, str] = field(default_factory=dict)
    tops: Mapping[str, str] = field(default_factory=dict)

    def apply(self, target: Message) -> None:
        for names, renamed in ((target.bottom, self.bottoms), (target.top, self.tops)):
            names[:] = [renamed.get(name, name) for name in names]

    def describe(self) -> str:
        changes = {**self.bottoms, **self.tops}
        return ", ".join(f"{old} → {new}" for old, new in changes.items())


@dataclass(frozen=True, repr=False)
class SetParameter(Edit):
    """One field of the layer's parameters, e.g. ("argmax_param", "axis", 1)."""

    message: str
    name: str
    value: int

    def apply(self, target: Message) -> None:
        setattr(getattr(target, self.message), self.name, self.value)

    def describe(self) -> str:
        return f"{self.name}: {self.value}"


@dataclass(frozen=True, repr=False)
class ResizeInput(Edit):
    """An input's spatial size: the last axes of each of the shapes TOPS names, or a data layer's crop."""

    size: tuple[int, ...]
    tops: tuple[int, ...]

    def apply(self, target: Message) -> None:
        if target.type == "Input":
            shapes = target.input_param.shape
            for position in self.tops:
                dims = shapes[min(position, len(shapes) - 1)].dim
                dims[-len(self.size) :] = self.size
        else:
            target.transform_param.crop_size = self.size[0]

    def describe(self) -> str:
        return f"input {show(self.size)}"


class LeftAlone(NamedTuple):
    """A layer that could have been meant, and why it stays as it is; `settled`: because the user said so, or
    because it takes any size of image already."""

    layer: str
    """The layer's name."""
    type: str
    """The layer's type, as Caffe spells it."""
    reason: str
    """Why it stays, in words."""
    settled: bool = False
    """Whether `strict` lets it pass."""


@dataclass(frozen=True)
class Surgery:
    """An ordered list of edits, and the reasons for what was left alone."""

    edits: tuple[Edit, ...] = ()
    left_alone: tuple[LeftAlone, ...] = ()
    notes: tuple[str, ...] = ()
    promised: Mapping[Blob, Shape] = field(default_factory=dict)
    """The nominal shapes of blobs, where these may be others than before; known for one phase."""

    @cached_property
    def conversions(self) -> list[ToConvolution]:
        """What becomes a Convolution, in the order of the net."""
        return [edit for edit in self.edits if isinstance(edit, ToConvolution)]

    @cached_property
    def renamed_layers(self) -> dict[str, str]:
        """Old to new names of layers."""
        return {edit.layer: edit.name for edit in self.edits if isinstance(edit, RenameLayer)}

    def apply(self, net: Message) -> tuple[Message, tuple[int, ...]]:
        """The changed net, and for each of its layers the index in NET that it comes from. NET stays."""
        changed = type(net)()
        changed.CopyFrom(net)
        for edit in self.edits:
            if edit.index >= 0:
                edit.apply(changed.layer[edit.index])
        dropped = {edit.index for edit in self.edits if edit.drops}
        origins = tuple(index for index in range(len(net.layer)) if index not in dropped)
        if dropped:
            kept = [changed.layer[index] for index in origins]
            del changed.layer[:]
            changed.layer.extend(kept)
        _resize_legacy_inputs(changed, self.edits)
        return changed, origins


def set_window(param: Message, kernel: Sequence[int]) -> None:
    """Set the kernel of a ConvolutionParameter or PoolingParameter: kernel_size when it is square,
    kernel_h and kernel_w when it is not, one kernel_size per axis when there are not two of them."""
    if len(set(kernel)) == 1:
        if hasattr(param.kernel_size, "append"):
            param.kernel_size[:] = [kernel[0]]
        else:
            param.kernel_size = kernel[0]
    elif len(kernel) == 2:
        param.kernel_h, param.kernel_w = kernel
    else:
        param.kernel_size[:] = list(kernel)


def _resize_legacy_inputs(net: Message, edits: Sequence[Edit]) -> None:
    """ResizeInput for the `input` fields of the net itself, which have no layer (index -1)."""
    for edit in edits:
        if not isinstance(edit, ResizeInput) or edit.index >= 0:
            continue
        for position in edit.tops:
            if net.input_shape:
                net.input_shape[position].dim[-len(edit.size) :] = edit.size
            else:
                end = 4 * position + 4
                net.input_dim[end - len(edit.size) : end] = edit.size
