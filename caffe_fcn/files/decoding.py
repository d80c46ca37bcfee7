"""Decodes a binary message by the field numbers of one Caffe, into a tree of fields and text.

The decoder is strict. It accepts only what a writer with that layout writes: known fields of the right type, values in
range, single fields once, packed lists only where the layout has them. So bytes from another Caffe are refused wherever
the difference can be detected, and are not decoded as something else.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from caffe_fcn.files.wire import (
    I32,
    I64,
    LEN,
    MAX_FIELDS,
    VARINT,
    WireError,
    WireField,
    packed_varints,
    reader_of,
    signed,
)
from caffe_fcn.schema.layouts import ForkLayout, Slot

_WIRES = {"float": I32, "double": I64, "string": LEN, "bytes": LEN}
_FORMATS = {"float": "<f", "double": "<d"}
_BITS = {"int32": 32, "int64": 64, "uint32": 32, "uint64": 64, "bool": 1}
_SPECIAL = re.compile(r'["\\\x00-\x1f\x7f]')
_NOT_ASCII = re.compile(r'["\\\x00-\x1f\x7f-\xff]')
_WIDTH = 80


class DecodedField(NamedTuple):
    """A field of a message: its value as text, or the fields of the message that it holds."""

    number: int
    name: str
    value: str | tuple[DecodedField, ...]


class UnreadableError(Exception):
    """A field that a layout does not explain: the names of the fields that enclose it, and its number. The number is
    None if the bytes are not a message."""

    def __init__(self, path: tuple[str, ...], number: int | None) -> None:
        super().__init__(".".join((*path, str(number))))
        self.path = path
        self.number = number


class Lost(NamedTuple):
    """A field that was left out while reading."""

    message: str
    """The type of the message that has the field, such as "LossParameter"."""
    path: tuple[str, ...]
    """The names of the fields that enclose the message."""
    number: int
    data: bytes
    """The bytes of the field in the file."""


class Decoder:
    """Reads the messages of one file by one LAYOUT. `seen` collects the numbers that occur, as (message or enum,
    number). If LENIENT, fields that the layout does not explain are left out, and collected in `lost`."""

    def __init__(self, layout: ForkLayout, *, lenient: bool = False) -> None:
        self._layout = layout
        self._lenient = lenient
        self._left = MAX_FIELDS
        self.seen: set[tuple[str, int]] = set()
        self.lost: list[Lost] = []

    def decode(self, data: bytes, message: str, path: tuple[str, ...] = ()) -> tuple[DecodedField, ...]:
        """Return the fields of the MESSAGE in DATA, in the order of their numbers. Raises UnreadableError."""
        slots = self._layout.messages[message]
        nodes: list[DecodedField] = []
        found: set[int] = set()
        for field in self._fields(data, path):
            slot = slots.get(field.number)
            if slot is not None and field.number in found and not slot.repeated:
                slot = None
            found.add(field.number)
            self.seen.add((message, field.number))
            try:
                nodes += self._nodes(slot, field, data[field.payload : field.end], path)
            except UnreadableError:
                if not self._lenient:
                    raise
                self.lost.append(Lost(message, path, field.number, data[field.start : field.end]))
        pair = self._layout.pairs.get(message, frozenset())
        needed = not pair.isdisjoint(node.name for node in nodes)
        for number, slot in slots.items():
            if number not in found and (slot.required or (needed and slot.name in pair)):
                raise UnreadableError(path, number)
        return tuple(sorted(nodes, key=lambda node: node.number))

    def _nodes(self, slot: Slot | None, field: WireField, payload: bytes, path: tuple[str, ...]) -> list[DecodedField]:
        """Return FIELD as described by SLOT, one node for each value. Raises UnreadableError if there is no slot, or
        the field does not fit it."""
        values: Sequence[str | tuple[DecodedField, ...]] | None = None
        if slot is not None and slot.type not in self._layout.messages:
            values = self._scalars(slot, field, payload)
        elif slot is not None and field.wire == LEN:
            values = [self.decode(payload, slot.type, (*path, slot.name))]
        if slot is None or values is None:
            raise UnreadableError(path, field.number)
        return [DecodedField(field.number, slot.name, value) for value in values]

    def _fields(self, data: bytes, path: tuple[str, ...]) -> Iterator[WireField]:
        try:
            for field in reader_of(data).fields(0, len(data)):
                self._left -= 1
                if self._left < 0:
                    raise UnreadableError(path, field.number)
                yield field
        except WireError as error:
            raise UnreadableError(path, None) from error

    def _scalars(self, slot: Slot, field: WireField, payload: bytes) -> list[str] | None:
        """Return the values of FIELD as text; None if the field does not fit SLOT."""
        if field.wire == _WIRES.get(slot.type, VARINT):
            values = [self._scalar(slot.type, field.value, payload)]
        elif field.wire == LEN and slot.packed:
            values = self._unpacked(slot.type, payload)
        else:
            return None
        found = [value for value in values if value is not None]
        return found if len(found) == len(values) else None

    def _unpacked(self, kind: str, payload: bytes) -> list[str | None]:
        """Return the values that are packed in PAYLOAD."""
        if kind in _FORMATS:
            size = struct.calcsize(_FORMATS[kind])
            return [self._scalar(kind, 0, payload[at : at + size]) for at in range(0, len(payload), size)]
        try:
            return [self._scalar(kind, value, b"") for value in packed_varints(payload, 0)]
        except WireError:
            return [None]

    def _scalar(self, kind: str, number: int, payload: bytes) -> str | None:
        """Return the value of type KIND as text, from a varint's NUMBER or from PAYLOAD; None if it is not valid."""
        if kind in _FORMATS:
            whole = len(payload) == struct.calcsize(_FORMATS[kind])
            return _real(struct.unpack(_FORMATS[kind], payload)[0], kind) if whole else None
        if kind in ("string", "bytes"):
            return _quoted(payload, kind)
        if kind == "bool":
            return {0: "false", 1: "true"}.get(number)
        value = number if kind.startswith("u") else signed(number, 64)
        if kind in _BITS:
            low, high = (0, 1 << _BITS[kind]) if kind.startswith("u") else _signed_range(_BITS[kind])
            return str(value) if low <= value < high else None
        self.seen.add((kind, value))
        return self._layout.enums[kind].get(value)


def _signed_range(bits: int) -> tuple[int, int]:
    return -(1 << (bits - 1)), 1 << (bits - 1)


def _real(value: float, kind: str) -> str:
    """Return VALUE with the fewest digits from which the same value is read."""
    if kind == "double" or not math.isfinite(value):
        return repr(value)
    for digits in (6, 7, 8):
        short = f"{value:.{digits}g}"
        if abs(float(short)) < 3.4e38 and struct.unpack("<f", struct.pack("<f", float(short)))[0] == value:
            return short
    return f"{value:.9g}"


def _quoted(data: bytes, kind: str) -> str | None:
    """Return DATA in quotes; None if it must be text and is not UTF-8."""
    try:
        return f'"{_SPECIAL.sub(_escape, data.decode())}"'
    except UnicodeDecodeError:
        return None if kind == "string" else f'"{_NOT_ASCII.sub(_escape, data.decode("latin-1"))}"'


def _escape(found: re.Match[str]) -> str:
    return f"\\{found[0]}" if found[0] in '"\\' else f"\\{ord(found[0]):03o}"


def as_text(nodes: Iterable[DecodedField], indent: str = "") -> str:
    """Return NODES as the text of a prototxt, one field per line. A message that has only a short list, such as the
    dims of a shape, is written on one line."""
    lines: list[str] = []
    for node in nodes:
        if isinstance(node.value, str):
            lines.append(f"{indent}{node.name}: {node.value}\n")
            continue
        line = f"{indent}{' '.join((node.name, '{', *_listed(node.value), '}'))}\n"
        if (
            len(line) > _WIDTH
            or len({each.name for each in node.value}) > 1
            or (node.value and not _listed(node.value))
        ):
            line = f"{indent}{node.name} {{\n{as_text(node.value, indent + '  ')}{indent}}}\n"
        lines.append(line)
    return "".join(lines)


def _listed(nodes: tuple[DecodedField, ...]) -> list[str]:
    """Return NODES one by one if all are plain values; else none."""
    plain = all(isinstance(node.value, str) for node in nodes)
    return [f"{node.name}: {node.value}" for node in nodes] if plain else []
