"""Determines what is left of a layer whose outputs are weighted sums of inputs: of its filters, and of their
weights."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.picked import Places
from caffe_fcn.net.graph import Node
from caffe_fcn.net.layers.convolutions import DECONVOLUTIONS, DEPTHWISE
from caffe_fcn.net.layers.keeping import KeptChannels, spread
from caffe_fcn.net.layers.windows import linear_param
from caffe_fcn.net.shapes import Shape
from caffe_fcn.passes.reduce.amounts import Amount
from caffe_fcn.passes.reduce.changes import Followed, Kernel, Reduced

_Marks = list[list[tuple[int, ...] | None]]
"""For each parameter blob and each of its axes the indices that are left; None for all."""


class Weighted(NamedTuple):
    """A layer, the shapes of its BOTTOM and of its parameter blobs, and what is left of the bottom because of CAUSE."""

    node: Node
    bottom: Shape
    params: tuple[Shape, ...]
    kept: KeptChannels | None
    cause: str

    @property
    def axis(self) -> int:
        """The axis of the inputs and the outputs."""
        return int(getattr(linear_param(self.node.layer), "axis", 1)) % len(self.bottom)

    @property
    def outputs(self) -> int:
        """The number of filters."""
        return int(linear_param(self.node.layer).num_output)

    @property
    def is_product(self) -> bool:
        """Whether it is an InnerProduct, which has no groups, and reads all axes from its `axis` on as one."""
        return self.node.type == "InnerProduct"

    @property
    def inputs_first(self) -> bool:
        """Whether the weights are inputs × outputs."""
        product = self.is_product and bool(self.node.layer.inner_product_param.transpose)
        return product or self.node.type in DECONVOLUTIONS

    @property
    def groups(self) -> int:
        """The number of groups, by the shape of the weights."""
        if self.is_product:
            return 1
        whole = self.outputs if self.inputs_first else self.bottom[self.axis]
        return max(1, whole // max(1, self.params[0][1]))


def cut(layer: Weighted, amount: Amount | None, kernel: Kernel | None) -> tuple[Followed, KeptChannels | None]:
    """Return the change of LAYER, and what is left of its tops, if AMOUNT is left of its filters (None: all) and KERNEL
    of their taps. Raises SurgeryError."""
    if layer.kept is not None and layer.kept.axis == layer.axis and layer.groups == layer.bottom[layer.axis] > 1:
        return _of_each_channel(layer, amount, layer.kept)
    marks: _Marks = [[None] * len(shape) for shape in layer.params]
    if layer.kept is not None:
        _mark_inputs(layer, layer.kept, marks)
    if amount is None:
        return _followed(layer, marks), None
    step = _step(layer, amount.outputs)
    if step > 1:
        weights = 1 if layer.inputs_first else 0
        marks[0][weights] = tuple(range(0, layer.params[0][weights], step))
        for blob, shape in enumerate(layer.params[1:], 1):
            marks[blob][-1] = tuple(range(0, shape[-1], step))
    for axis, (taps, apart) in enumerate(zip(kernel.extent, kernel.step, strict=True) if kernel else (), 2):
        marks[0][axis] = tuple(range(0, taps * apart, apart)) if apart > 1 else None
    made = Reduced(
        layer.node.index,
        layer.node.name,
        type=layer.node.type,
        before=layer.params,
        places=_frozen(marks),
        outputs=amount.outputs,
        step=step,
        kernel=kernel,
    )
    left = tuple(range(0, layer.outputs, step))
    return made, KeptChannels(layer.axis, layer.outputs, left) if step > 1 else None


def _step(layer: Weighted, outputs: int) -> int:
    """Return the step with which OUTPUTS filters are kept."""
    if layer.outputs % outputs:
        divisors = (each for each in range(1, layer.outputs + 1) if layer.outputs % each == 0)
        near = min(divisors, key=lambda each: (abs(each - outputs), each))
        raise _refused(layer, f"a divisor of the {layer.outputs} outputs, such as {near}", str(outputs))
    step, width = layer.outputs // outputs, layer.outputs // layer.groups
    if width % step:
        expected = f"as many filters left in each of its {layer.groups} groups of {width}"
        raise _refused(layer, expected, f"1 of {step}", "reduce the layer before it" if width == 1 else "")
    return step


def _mark_inputs(layer: Weighted, kept: KeptChannels, marks: _Marks) -> None:
    """Mark the weights of the inputs that are KEPT."""
    if layer.is_product and kept.axis >= layer.axis:
        outer, inner = prod(layer.bottom[layer.axis : kept.axis]), prod(layer.bottom[kept.axis + 1 :])
        marks[0][0 if layer.inputs_first else 1] = spread(kept, outer, inner)
        return
    if kept.axis != layer.axis:
        raise _refused(layer, f"{layer.cause!r} with its channels on axis {layer.axis}", f"them on axis {kept.axis}")
    width = kept.extent // layer.groups
    inside = [
        tuple(place - first for place in kept.places if first <= place < first + width)
        for first in range(0, kept.extent, width)
    ]
    if any(each != inside[0] for each in inside):
        expected = f"the same channels left in each of its {layer.groups} groups of {width}"
        raise _refused(layer, expected, f"others, because of {layer.cause!r}")
    if layer.inputs_first:
        marks[0][0] = kept.places
    else:
        marks[0][1] = inside[0]


def _of_each_channel(layer: Weighted, amount: Amount | None, kept: KeptChannels) -> tuple[Followed, KeptChannels]:
    """Return LAYER, which has a group for each channel, without the groups of removed channels."""
    if amount is not None:
        raise _refused(layer, "a layer that mixes channels", "a group for each channel", "reduce the layer before it")
    outputs = spread(kept, 1, layer.outputs // kept.extent)
    marks: _Marks = [[None] * len(shape) for shape in layer.params]
    marks[0][0] = kept.places if layer.inputs_first else outputs
    for blob in range(1, len(marks)):
        marks[blob][-1] = outputs
    told = layer.node.type not in DEPTHWISE or linear_param(layer.node.layer).HasField("group")
    made = _followed(layer, marks, group=len(kept.places) if told else None, outputs=len(outputs))
    return made, KeptChannels(kept.axis, layer.outputs, outputs)


def _followed(layer: Weighted, marks: _Marks, **fields: int | None) -> Followed:
    node = layer.node
    return Followed(node.index, node.name, type=node.type, before=layer.params, places=_frozen(marks), **fields)


def _frozen(marks: Sequence[Sequence[tuple[int, ...] | None]]) -> tuple[Places, ...]:
    return tuple(map(tuple, marks))


def _refused(layer: Weighted, expected: str, found: str, hint: str = "") -> SurgeryError:
    return SurgeryError(
        layer=layer.node.name, layer_type=layer.node.type, expected=expected, found=found, hint=hint or None
    )
