"""From a prototxt's tree to a message of the schema: the typed view of a document.

Every value is checked against the field's type, and errors are located. What no schema knows, fields
and enumerators of forks, is left out of the message and listed in `unknown`; it stays in the text.
What Caffe itself would refuse although its meaning is plain (an enumerator in quotes, a string
without) is read and listed in `irregular`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from caffe_fcn.files.prototxt import Block, Document, Field, Scalar
from caffe_fcn.schema import Message, is_repeated

_STRING = re.compile(r""""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'""", re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_SIMPLE = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
_INTEGER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*")
_FLOAT = re.compile(r"((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[fF]?")
_WORDS = {"inf": float("inf"), "infinity": float("inf"), "nan": float("nan")}
_TRUTH = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_LIMITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


class Typed(NamedTuple):
    """The message of a document, and what it does not say: `unknown` and `irregular`, each as
    (dotted path, offset in the text), in the order of the text."""

    message: Message
    unknown: tuple[tuple[str, int], ...]
    irregular: tuple[tuple[str, int], ...]


def to_message(document: Document, message_class: Any) -> Typed:
    """The document as a message of MESSAGE_CLASS. Raises PrototxtError at the first value that does not fit."""
    message = message_class()
    reader = _Reader(document)
    reader.fill(message, document.root.fields, "")
    return Typed(message, tuple(reader.unknown), tuple(reader.irregular))


@cache
def fields_of(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    """The fields of a message type by name."""
    return dict(descriptor.fields_by_name)


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.unknown: list[tuple[str, int]] = []
        self.irregular: list[tuple[str, int]] = []

    def fill(self, message: Message, fields: list[Field], path: str) -> None:
        known = fields_of(message.DESCRIPTOR)
        seen: set[str] = set()
        for field in fields:
            descriptor = known.get(field.name)
            if descriptor is None:
                self.unknown.append((path + field.name, field.start))
            elif is_repeated(descriptor):
                self.add(message, descriptor, field, path)
            else:
                before = getattr(message, field.name) if field.name in seen else None
                self.set(message, descriptor, field, path)
                if field.name in seen:
                    self.repetition(field, path, before == getattr(message, field.name))
                seen.add(field.name)

    def repetition(self, field: Field, path: str, same: bool) -> None:
        """A single field given twice: Caffe refuses it, and the meaning is plain only if it says the same."""
        if not same or isinstance(field.values[0], Block):
            self.document.fail(field.start, f"{path}{field.name} is given twice, and holds one value; remove one")
        self.irregular.append((path + field.name, field.start))

    def add(self, message: Message, descriptor: FieldDescriptor, field: Field, path: str) -> None:
        repeated = getattr(message, field.name)
        for value in field.values:
            if descriptor.message_type is not None:
                self.fill(repeated.add(), self.block(field, value), f"{path}{field.name}.")
            else:
                converted = self.scalar(descriptor, field, value, path)
                if converted is not None:
                    repeated.append(converted)

    def set(self, message: Message, descriptor: FieldDescriptor, field: Field, path: str) -> None:
        if len(field.values) != 1 or field.listed:
            self.document.fail(field.start, f"{path}{field.name} holds one value, found a list")
        if descriptor.message_type is not None:
            target = getattr(message, field.name)
            target.SetInParent()
            self.fill(target, self.block(field, field.values[0]), f"{path}{field.name}.")
        else:
            converted = self.scalar(descriptor, field, field.values[0], path)
            if converted is not None:
                setattr(message, field.name, converted)

    def block(self, field: Field, value: Scalar | Block) -> list[Field]:
        if isinstance(value, Scalar):
            self.document.fail(value.start, f"{field.name} is a message: expected '{{', found a value")
        return value.fields

    def scalar(self, descriptor: FieldDescriptor, field: Field, value: Scalar | Block, path: str) -> Any:
        """The value in Python; None when it is an enumerator that the schema does not know."""
        if isinstance(value, Block):
            self.document.fail(value.start, f"{field.name} is a single value, found a message in braces")
        literal = self.document.text[value.start : value.end]
        kind = descriptor.cpp_type
        if kind == FieldDescriptor.CPPTYPE_STRING:
            return self.string(descriptor, value, literal, path)
        if kind == FieldDescriptor.CPPTYPE_ENUM:
            return self.enumerator(descriptor, value, literal, path)
        converted: Any = None
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            converted = _TRUTH.get(literal.lower()) if value.kind != "string" else None
        elif kind in _LIMITS:
            converted = _integer(literal)
            low, high = _LIMITS[kind]
            if converted is not None and not low <= converted <= high:
                self.document.fail(value.start, f"{path}{field.name} must lie in {low}..{high}, found {literal}")
        else:
            converted = _real(literal)
        if converted is None:
            expected = "true or false" if kind == FieldDescriptor.CPPTYPE_BOOL else "a number"
            if kind in _LIMITS:
                expected = "a whole number"
            self.document.fail(value.start, f"{path}{field.name}: expected {expected}, found {literal[:40]}")
        return converted

    def string(self, descriptor: FieldDescriptor, value: Scalar, literal: str, path: str) -> str | bytes:
        if value.kind == "string":
            data = b"".join(_unescape(double or single) for double, single in _STRING.findall(literal))
        elif value.kind == "word":
            self.irregular.append((path + descriptor.name, value.start))
            data = literal.encode()
        else:
            self.document.fail(value.start, f"{path}{descriptor.name}: expected a string in quotes, found {literal}")
        if descriptor.type == FieldDescriptor.TYPE_BYTES:
            return data
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.document.fail(value.start, f"{path}{descriptor.name}: expected UTF-8 text; save the file as UTF-8")

    def enumerator(self, descriptor: FieldDescriptor, value: Scalar, literal: str, path: str) -> int | None:
        if value.kind == "string":
            self.irregular.append((path + descriptor.name, value.start))
            literal = literal[1:-1]
        enumeration: Any = descriptor.enum_type
        if value.kind == "number" or literal.startswith("-"):
            number = _integer(literal)
            if number in enumeration.values_by_number:
                return number
        elif literal in enumeration.values_by_name:
            return int(enumeration.values_by_name[literal].number)
        self.unknown.append((f"{path}{descriptor.name}: {literal}", value.start))
        return None


def _integer(literal: str) -> int | None:
    negative = literal.startswith("-")
    digits = literal[1:].lstrip() if negative else literal
    if not _INTEGER.fullmatch(digits) or len(digits) > 24:
        return None
    octal = len(digits) > 1 and digits[0] == "0" and digits[1] not in "xX"
    number = int(digits, 8 if octal else 0)
    return -number if negative else number


def _real(literal: str) -> float | None:
    negative = literal.startswith("-")
    digits = literal[1:].lstrip() if negative else literal
    match = _FLOAT.fullmatch(digits)
    number = float(match.group(1)) if match else _WORDS.get(digits.lower())
    if number is None:
        integer = _integer(digits)
        if integer is None:
            return None
        number = float(integer)
    return -number if negative else number


def _unescape(body: str) -> bytes:
    """The bytes of a string literal's inside."""
    data = body.encode("utf-8", "surrogateescape")
    return _ESCAPE.sub(_escaped, data) if b"\\" in data else data


def _escaped(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, short, long, other = match.groups()
    if octal:
        return bytes([int(octal, 8) & 0xFF])
    if hexadecimal:
        return bytes([int(hexadecimal, 16)])
    if short or long:
        code = int(short or long, 16)
        return chr(code).encode("utf-8", "replace") if code < 0x110000 else b"?"
    return _SIMPLE.get(other, other)
