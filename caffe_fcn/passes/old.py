"""Nets for the Caffe of February 2016, the last before the Input layer: inputs become fields of the net.

What Caffe of that time lacks is known from a fork that left BVLC Caffe then and never merged it again. A layer that
needs more is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from caffe_fcn import schema
from caffe_fcn.display import printable
from caffe_fcn.errors import NetError
from caffe_fcn.model.changes import Change, Decision
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim, Result, with_net
from caffe_fcn.net.layers import row_of
from caffe_fcn.schema import Message
from caffe_fcn.schema.forks import table
from caffe_fcn.wording import Command, Hint, advise

_FORK = "deeplab-2"
_INPUT, _AXES = "Input", 4
"""`input_dim` holds num, channels, height and width of one input after the other."""


@dataclass(frozen=True, repr=False)
class InputFields(Change):
    """Input layers become fields of the net; LAYER names their blobs."""

    kind: ClassVar[str] = "upgraded"

    def describe(self) -> str:
        return f"Input layers become input fields of the net: {self.layer}"


def for_old(model: Model) -> Result:
    """MODEL, in the current format, with its Input layers as fields of the net. Raises NetError for an Input that these
    fields cannot hold, and for a layer that Caffe did not have before the Input layer."""
    name = model.source.name
    net = schema.NetParameter()
    net.CopyFrom(model.net)
    del net.layer[:]
    origins = []
    shapes = [[*shape.dim] for shape in net.input_shape]
    for index, layer in enumerate(model.net.layer):
        if layer.type == _INPUT:
            net.input.extend(layer.top)
            shapes += _shapes(layer, index, name)
            continue
        if newer := next(_newer(layer), None):
            raise _refused(layer, index, name, f"{newer} is newer than the Input layer; old Caffe does not read it")
        net.layer.append(layer)
        origins.append(index)
    _write(net, shapes, legacy=not model.source.written.input_shape)
    told = [layer for layer in model.source.written.layer if layer.type == _INPUT]
    names = ", ".join(printable(top) for layer in told for top in layer.top)
    changes = (InputFields(-1, names),)
    return Result(
        before=model,
        model=with_net(model, net, origins),
        decision=Decision(changes if told else ()),
        claim=Claim.SAME_BITS,
        origins=tuple(origins),
    )


def _write(net: Message, shapes: list[list[int]], *, legacy: bool) -> None:
    """Give the inputs of NET their SHAPES: if all of them have four axes and it is LEGACY by `input_dim`, which every
    Caffe reads; else by `input_shape`."""
    net.ClearField("input_shape")
    net.ClearField("input_dim")
    if legacy and all(len(shape) == _AXES for shape in shapes):
        net.input_dim.extend(extent for shape in shapes for extent in shape)
        return
    for shape in shapes:
        net.input_shape.add(dim=shape)


def _shapes(layer: Message, index: int, name: str) -> list[list[int]]:
    """The shape of each top of the Input LAYER. Raises NetError if input fields of the net cannot express it."""
    found = [[*shape.dim] for shape in layer.input_param.shape]
    if layer.include or layer.exclude:
        hint = advise(Command("deploy"), " writes the net of one phase")
        what = "has include or exclude rules, but input fields apply to all phases"
        raise _refused(layer, index, name, what, hint)
    if len(found) not in (1, len(layer.top)):
        what = f"expected one shape, or {len(layer.top)}, found {len(found)}; input fields need a shape for each input"
        raise _refused(layer, index, name, what)
    return found * len(layer.top) if len(found) == 1 else found


def _refused(layer: Message, index: int, name: str, what: str, hint: Hint | str = "") -> NetError:
    place = f'layer "{printable(layer.name)}" ({printable(layer.type)})'
    return NetError(f"{place}: {what}", source=name, layer=layer.name, index=index, hint=hint)


def _newer(layer: Message) -> Iterator[str]:
    """What of LAYER is newer than the Input layer: its type, or fields."""
    if any(("LayerParameter", field) in _lacked() for field in row_of(layer.type).reads.split()):
        yield "its type"
    yield from _newer_fields(layer)


def _newer_fields(message: Message) -> Iterator[str]:
    """The set fields of MESSAGE, and of those in it, that are newer than the Input layer."""
    for field, value in message.ListFields():
        if (message.DESCRIPTOR.name, field.name) in _lacked():
            yield field.name
        elif field.message_type is not None:
            for each in value if schema.is_repeated(field) else [value]:
                yield from (f"{field.name}.{name}" for name in _newer_fields(each))


@cache
def _lacked() -> frozenset[tuple[str, str]]:
    """The fields, each with its message, that Caffe did not have then."""
    return frozenset((field.message, field.name) for field in table().lacks if _FORK in field.forks)
