"""Helper functions for all steps of an upgrade: setting fields and locating errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from caffe_fcn.errors import NetError, located
from caffe_fcn.schema import Message


def put(message: Message, name: str, value: Message) -> None:
    """Set a field of MESSAGE to VALUE. VALUE is added to a repeated field; all elements of a list are added."""
    slot = getattr(message, name)
    if hasattr(slot, "extend"):
        slot.extend(value if hasattr(value, "extend") else [value])
    elif hasattr(slot, "CopyFrom"):
        slot.CopyFrom(value)
    else:
        setattr(message, name, value)


@contextmanager
def at(source: str, layer: Message, index: int | None = None) -> Iterator[None]:
    """Add the place to errors: the file SOURCE, and the LAYER by name, or by INDEX if it has no name. INDEX is its
    position from 0 in the net as it was written."""
    name = layer.layer.name or layer.name
    nameless = "a layer without a name" if index is None else f"layer {index}, which has no name"
    with located(source=source, layer=name or None, index=index, place=None if name else nameless):
        yield


@contextmanager
def names_checked(source: str) -> Iterator[None]:
    """Turn protobuf's error for a string that is not UTF-8, in a binary file, into a NetError."""
    try:
        yield
    except UnicodeDecodeError as error:
        found = f"{error.object[:40]!r}; is the file damaged?"
        raise NetError(source=source, expected="names in UTF-8", found=found) from error
