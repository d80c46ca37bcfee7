"""What each number of the binary format stands for, in BVLC Caffe and in each fork of it.

A fork's layout is BVLC's with the changes in `forks.txt`. Numbers of our own, from `schema.FORKS` on, are in none: no
Caffe writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from caffe_fcn import schema
from caffe_fcn.schema.forks import forks, table

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

BVLC = "BVLC"
"""The name of BVLC Caffe's own layout."""


class Slot(NamedTuple):
    """What a field number of a message stands for."""

    name: str
    type: str
    """"float", "bool" and the like, or the full name of a message or an enum."""
    repeated: bool = False
    required: bool = False
    packed: bool = False
    """Whether a list is written as one field, without a tag before each value."""


class ForkLayout(NamedTuple):
    """The numbers of one Caffe: fields by message and number, enumerators by enum and number."""

    messages: Mapping[str, Mapping[int, Slot]]
    enums: Mapping[str, Mapping[int, str]]
    pairs: Mapping[str, frozenset[str]]
    """Fields, by message, that are there together or not at all."""


@cache
def layout(caffe: str) -> ForkLayout:
    """The layout of CAFFE: `BVLC`, or a fork by its name in `forks()`."""
    if caffe == BVLC:
        return _bvlc()
    messages = {name: dict(slots) for name, slots in layout(BVLC).messages.items()}
    enums = {name: dict(values) for name, values in layout(BVLC).enums.items()}
    fields = [row for row in table().fields if caffe in row.forks]
    gone = {(row.message, row.name) for row in table().lacks if caffe in row.forks}
    gone |= {(row.message, row.name) for row in fields}  # under another number now
    for message, slots in messages.items():
        messages[message] = {number: slot for number, slot in slots.items() if (message, slot.name) not in gone}
    for row in fields:
        slot = Slot(row.name, row.type, row.label == "repeated", row.label == "required")
        messages.setdefault(row.message, {})[row.number] = slot
    for value in table().enumerators:
        if caffe in value.forks:
            enums.setdefault(value.enum, {})[value.number] = value.name
    pairs = {row.message: frozenset(row.names) for row in table().pairs if caffe in row.forks}
    return ForkLayout(messages, enums, pairs)


@cache
def contested() -> frozenset[tuple[str, int]]:
    """The numbers, as (message or enum, number), that BVLC Caffe uses and a fork uses otherwise."""
    known = layout(BVLC)
    taken = {
        (message, number): slot.name for message, slots in known.messages.items() for number, slot in slots.items()
    }
    taken |= {(enum, number): name for enum, values in known.enums.items() for number, name in values.items()}
    rows = [(row.message, row.number, row.name) for row in table().fields]
    rows += [(row.enum, row.number, row.name) for row in table().enumerators]
    return frozenset((scope, number) for scope, number, name in rows if taken.get((scope, number), name) != name)


def caffes() -> tuple[str, ...]:
    """Every Caffe whose layout is known, BVLC's first."""
    return (BVLC, *forks())


def named(fork: str) -> str:
    """The Caffe that FORK names, in any case of letters. Raises ValueError where there is none."""
    found = next((caffe for caffe in caffes() if caffe.lower() == fork.lower()), None)
    if found is None:
        raise ValueError(f"unknown fork of Caffe {fork[:40]!r}; expected one of {', '.join(caffes())}")
    return found


def _bvlc() -> ForkLayout:
    messages: dict[str, dict[int, Slot]] = {}
    enums: dict[str, dict[int, str]] = {}
    waiting: list[Descriptor] = [schema.message_class("NetParameter").DESCRIPTOR]
    while waiting:
        message = waiting.pop()
        if message.name in messages:
            continue
        slots = messages[message.name] = {}
        for field in message.fields:
            if field.number >= schema.FORKS:
                continue
            kind = _SCALARS.get(field.type, "")
            if field.message_type is not None:
                kind = field.message_type.name
                waiting.append(field.message_type)
            elif field.enum_type is not None:
                kind = field.enum_type.full_name.removeprefix("caffe.")
                known = [value for value in field.enum_type.values if value.number < schema.FORKS]
                enums[kind] = {value.number: value.name for value in known}
            packed = bool(field.GetOptions().packed)
            slots[field.number] = Slot(field.name, kind, schema.is_repeated(field), schema.is_required(field), packed)
    return ForkLayout(messages, enums, {})


_SCALARS = {
    1: "double",
    2: "float",
    3: "int64",
    4: "uint64",
    5: "int32",
    8: "bool",
    9: "string",
    12: "bytes",
    13: "uint32",
}
"""Names of the types of fields, by their numbers in descriptor.proto."""
