"""The changes of a reduction: layers with fewer filters, fewer taps or fewer inputs, and their parameter blobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from caffe_fcn.model.changes import Change
from caffe_fcn.model.picked import Picked, Places, picked_shape
from caffe_fcn.model.tensors import Tensor
from caffe_fcn.net.layers.windows import SIDED_PADS, linear_param, set_kernel
from caffe_fcn.net.shapes import Shape, show
from caffe_fcn.schema import Message


class Kernel(NamedTuple):
    """The new kernel of a layer: its EXTENT in taps, their distance in the old kernel (STEP), the dilation, and the
    padding; each for every spatial axis. BEHIND are the earlier poolings whose stride was removed, which the dilation
    compensates."""

    extent: Shape
    step: Shape
    dilation: Shape
    pad: Shape
    behind: tuple[str, ...] = ()
    keeps_pad: bool = False
    """Whether the layer keeps the padding that it has."""


@dataclass(frozen=True, repr=False)
class Followed(Change):
    """The layer loses the inputs that were removed. Of its parameter blobs, of the shapes BEFORE, the values at PLACES
    are kept."""

    type: str
    before: tuple[Shape, ...]
    places: tuple[Places, ...]
    group: int | None = None
    """The new number of groups of a layer with one group for each channel."""
    outputs: int | None = None
    """The number of outputs that are left, for a layer that states their number."""
    kind: ClassVar[str] = "followed"

    @property
    def after(self) -> tuple[Shape, ...]:
        """The new shapes of the parameter blobs."""
        return tuple(picked_shape(shape, each) for shape, each in zip(self.before, self.places, strict=True))

    def apply(self, target: Message) -> None:
        if self.outputs is not None:
            linear_param(target).num_output = self.outputs
        if self.group is not None:
            linear_param(target).group = self.group

    def tensors(self, old: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        kept = [
            Picked(tensor if tensor.shape == shape else tensor.reshaped(shape), places)
            if any(each is not None for each in places)
            else tensor
            for tensor, shape, places in zip(old, self.before, self.places, strict=False)
        ]
        return (*kept, *old[len(kept) :])

    def describe(self) -> str:
        return ", ".join(_changed(self.before, self.after))

    def document(self) -> dict[str, Any]:
        return {
            "layer": self.layer,
            "type": self.type,
            "before": [list(shape) for shape in self.before],
            "after": [list(shape) for shape in self.after],
        }


@dataclass(frozen=True, repr=False)
class Reduced(Followed):
    """A named layer: it keeps every STEP-th of its filters, from the first on, and KERNEL of its kernel, None for all
    of it."""

    step: int = 1
    kernel: Kernel | None = None
    kind: ClassVar[str] = "reduced"

    def apply(self, target: Message) -> None:
        super().apply(target)
        if self.kernel is not None:
            _set_window(target.convolution_param, self.kernel)

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the cells of a table: the weights, what is left of them, and the new window."""
        how = [f"1 of {self.step} filters"] * (self.step > 1)
        if self.kernel is None:
            return _changed(self.before[:1], self.after[:1])[0], ", ".join(how), ""
        how += [f"taps {show(self.kernel.step)} apart"] * (max(self.kernel.step) > 1)
        behind = f", for the stride that {' and '.join(self.kernel.behind)} lacks" if self.kernel.behind else ""
        window = f"dilation {_one(self.kernel.dilation)}, pad {_one(self.kernel.pad)}{behind}"
        return _changed(self.before[:1], self.after[:1])[0], ", ".join(how), window

    def describe(self) -> str:
        return "; ".join(filter(None, self.cells))

    def document(self) -> dict[str, Any]:
        kernel = self.kernel
        window = kernel and {
            "taps": list(kernel.extent),
            "step": list(kernel.step),
            "dilation": list(kernel.dilation),
            "pad": list(kernel.pad),
            "behind": list(kernel.behind),
        }
        return {**super().document(), "outputs": self.outputs, "step": self.step, "kernel": window}


def _changed(before: Sequence[Shape], after: Sequence[Shape]) -> list[str]:
    """Return the shapes that changed, in words."""
    pairs = dict.fromkeys((one, other) for one, other in zip(before, after, strict=True) if one != other)
    return [f"{show(one)} → {show(other)}" for one, other in pairs] or [show(shape) for shape in before[:1]]


def _one(extents: Shape) -> str:
    """Return EXTENTS, or one number if all are equal."""
    return show(extents if len(set(extents)) > 1 else extents[:1])


def _set_window(param: Message, kernel: Kernel) -> None:
    """Set the window of PARAM, a ConvolutionParameter. DeepLab's `hole` stays if the layer has it."""
    holes = any(map(param.HasField, ("hole", "hole_h", "hole_w")))
    for name in ("kernel_h", "kernel_w", "kernel_size", "hole", "hole_h", "hole_w", "dilation"):
        param.ClearField(name)
    set_kernel(param, kernel.extent)
    if not kernel.keeps_pad:
        _set_pad(param, kernel.pad)
    if set(kernel.dilation) == {1}:
        return
    even = len(set(kernel.dilation)) == 1
    if holes and even:
        param.hole = kernel.dilation[0]
    elif holes:
        param.hole_h, param.hole_w = kernel.dilation
    else:
        param.dilation[:] = kernel.dilation[:1] if even else kernel.dilation


def _set_pad(param: Message, pad: Shape) -> None:
    for name in ("pad", "pad_h", "pad_w", *SIDED_PADS):
        param.ClearField(name)
    square = len(set(pad)) == 1
    if any(pad) and len(pad) == 2 and not square:
        param.pad_h, param.pad_w = pad
    elif any(pad):
        param.pad[:] = pad[:1] if square else pad
