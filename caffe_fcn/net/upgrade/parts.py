"""What all steps of an upgrade do with messages and errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from caffe_fcn.errors import NetError
from caffe_fcn.schema import Message


def put(message: Message, name: str, value: Message) -> None:
    """Set a field of MESSAGE to VALUE, whatever its kind; a repeated field gains it, or all of a list."""
    slot = getattr(message, name)
    if hasattr(slot, "extend"):
        slot.extend(value if hasattr(value, "extend") else [value])
    elif hasattr(slot, "CopyFrom"):
        slot.CopyFrom(value)
    else:
        setattr(message, name, value)


def place_of(source: str, layer: Message, index: int | None = None) -> str:
    """Where an error is: the layer by its name, or by its position from 0 if it has none."""
    name = layer.layer.name or layer.name
    if name:
        return f'{source}: layer "{name}"'
    return f"{source}: a layer without a name" if index is None else f"{source}: layer {index}, which has no name,"


@contextmanager
def at(index: int | None) -> Iterator[None]:
    """Give a NetError the INDEX of its layer, as the net was written."""
    try:
        yield
    except NetError as error:
        error.index = index
        raise


@contextmanager
def names_checked(source: str) -> Iterator[None]:
    """Turn protobuf's complaint about a string that is no text, in a binary file, into a NetError."""
    try:
        yield
    except UnicodeDecodeError as error:
        found = f"{error.object[:40]!r}; is the file damaged?"
        raise NetError(f"{source}: expected names in UTF-8, found {found}") from error
