"""Converts the tree of a prototxt to a message of the schema: the typed view of a document.

Every value is checked against the type of its field, and errors have a place. Fields and enumerators of forks, which
BVLC Caffe's schema does not have, are listed in `foreign`. Those that our schema does not have either are left out of
the message, and stay in the text. Values that Caffe refuses although their meaning is clear (an enumerator in quotes, a
string without quotes) are read and listed in `irregular`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from caffe_fcn.display import printable
from caffe_fcn.files.literals import enumerator, has_unknown_escapes, integer, is_decimal, real, string_bytes, truth
from caffe_fcn.files.prototxt import Block, Document, Field, Scalar, without_comments
from caffe_fcn.schema import FORKS, OLD, Message, is_repeated, is_required

_LIMITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


class Foreign(NamedTuple):
    """A field that BVLC Caffe's schema does not have, or a field with an enumerator that it does not have."""

    path: str
    """The names from the root of the document, joined by dots."""
    message: str
    """The type of the message that has the field, such as "ConvolutionParameter"."""
    value: str
    """The value as it is written, on one line, without comments."""
    enumerator: bool
    """Whether BVLC has the field but not its value."""
    known: bool
    """Whether our schema has it; then the message has the value."""
    offset: int
    """The offset in the text."""

    @property
    def field(self) -> str:
        """The name of the field."""
        return self.path.rpartition(".")[2]

    @property
    def shown(self) -> str:
        """The path; with the value if the value is unknown."""
        return f"{self.path}: {printable(self.value)}" if self.enumerator else self.path


class Typed(NamedTuple):
    """The message of a document, and notes on its text, in the order of the text. FOREIGN is unknown to BVLC Caffe.
    IRREGULAR is what Caffe refuses, as (dotted path, offset). REPEATED are single fields of forks that occur several
    times; the message has the first one."""

    message: Message
    foreign: tuple[Foreign, ...]
    irregular: tuple[tuple[str, int], ...]
    repeated: tuple[tuple[str, int], ...]

    @property
    def unknown(self) -> tuple[tuple[str, int], ...]:
        """The fields that our schema does not have, as (dotted path, offset); they are not in the message."""
        return tuple((each.shown, each.offset) for each in self.foreign if not each.known)


def to_message(document: Document, message_class: Any) -> Typed:
    """Return the document as a message of MESSAGE_CLASS. Raises PrototxtError at the first value that does not fit."""
    message = message_class()
    reader = _Reader(document)
    reader.fill(message, document.root.fields, "")
    return Typed(message, tuple(reader.foreign), tuple(reader.irregular), tuple(reader.repeated))


@cache
def fields_of(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    """Return the fields of a message type by name."""
    return dict(descriptor.fields_by_name)


@cache
def required_fields(descriptor: Descriptor) -> tuple[str, ...]:
    """Return the names of the required fields of a message type."""
    return tuple(name for name, field in fields_of(descriptor).items() if is_required(field))


def _type_name(descriptor: Descriptor | None) -> str:
    """Return the name of a message type within Caffe's schema."""
    return "" if descriptor is None else str(descriptor.full_name).removeprefix("caffe.")


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.foreign: list[Foreign] = []
        self.irregular: list[tuple[str, int]] = []
        self.repeated: list[tuple[str, int]] = []
        self.inside = 0
        """The number of fields of forks that are open."""

    def fill(self, message: Message, fields: list[Field], path: str) -> None:
        known = fields_of(message.DESCRIPTOR)
        seen: set[str] = set()
        for field in fields:
            descriptor = known.get(field.name)
            if descriptor is None:
                self.note(message, field, path, known=False)
                continue
            if descriptor.number >= OLD:
                self.irregular.append((path + field.name, field.start))
            foreign = FORKS <= descriptor.number < OLD
            if foreign:
                self.note(message, field, path, known=True)
            self.inside += foreign
            if is_repeated(descriptor):
                self.add(message, descriptor, field, path)
            elif field.name not in seen:
                self.set(message, descriptor, field, path)
            elif self.inside:
                self.repeated.append((path + field.name, field.start))
                self.set(type(message)(), descriptor, field, path)
            else:
                self.repeat(message, descriptor, field, path)
            self.inside -= foreign
            seen.add(field.name)

    def note(self, message: Message, field: Field, path: str, *, known: bool) -> None:
        """Note a FIELD that BVLC Caffe does not have."""
        value = " ".join(without_comments(self.document.text, each.start, each.end) for each in field.values)
        self.foreign.append(
            Foreign(path + field.name, _type_name(message.DESCRIPTOR), value, False, known, field.start)
        )

    def value(self, message: Message, descriptor: FieldDescriptor) -> Any:
        """Return the value of a single field; None if it is not set, or was an enumerator that the schema does not
        have."""
        return getattr(message, descriptor.name) if message.HasField(descriptor.name) else None

    def repeat(self, message: Message, descriptor: FieldDescriptor, field: Field, path: str) -> None:
        """Handle a single field that is given twice: Caffe refuses it, and it is accepted only if both values are the
        same."""
        before = self.value(message, descriptor)
        if descriptor.message_type is None:
            message.ClearField(field.name)
        self.set(message, descriptor, field, path)
        if before != self.value(message, descriptor) or isinstance(field.values[0], Block):
            self.document.fail(field.start, f"{path}{field.name} is given twice, but takes one value; remove one")
        self.irregular.append((path + field.name, field.start))

    def add(self, message: Message, descriptor: FieldDescriptor, field: Field, path: str) -> None:
        repeated = getattr(message, field.name)
        for value in field.values:
            if descriptor.message_type is not None:
                made = repeated.add()
                self.fill(made, self.block(field, value), f"{path}{field.name}.")
                self.complete(made, value.start, path + field.name)
            else:
                converted = self.scalar(descriptor, field, value, path)
                if converted is not None:
                    repeated.append(converted)

    def set(self, message: Message, descriptor: FieldDescriptor, field: Field, path: str) -> None:
        if len(field.values) != 1 or field.listed:
            self.document.fail(field.start, f"{path}{field.name} takes one value, found a list")
        if descriptor.message_type is not None:
            target = getattr(message, field.name)
            target.SetInParent()
            self.fill(target, self.block(field, field.values[0]), f"{path}{field.name}.")
            self.complete(target, field.start, path + field.name)
        else:
            converted = self.scalar(descriptor, field, field.values[0], path)
            if converted is not None:
                setattr(message, field.name, converted)

    def complete(self, message: Message, offset: int, path: str) -> None:
        """Raise PrototxtError if a required field of the message is missing."""
        for name in required_fields(message.DESCRIPTOR):
            if not message.HasField(name):
                self.document.fail(offset, f"{path}.{name} is missing, but is required")

    def block(self, field: Field, value: Scalar | Block) -> list[Field]:
        if isinstance(value, Scalar):
            self.document.fail(
                value.start, f"{field.name} is a message: expected '{{', found a value", expected="'{'", found="a value"
            )
        return value.fields

    def scalar(self, descriptor: FieldDescriptor, field: Field, value: Scalar | Block, path: str) -> Any:
        """Return the value in Python; None if it is an enumerator that the schema does not have."""
        if isinstance(value, Block):
            self.document.fail(value.start, f"{field.name} is a single value, found a message in braces")
        literal = self.document.text[value.start : value.end]
        kind = descriptor.cpp_type
        if kind == FieldDescriptor.CPPTYPE_STRING:
            return self.string(descriptor, value, literal, path)
        if kind == FieldDescriptor.CPPTYPE_ENUM:
            return self.enumerator(descriptor, value, literal, path)
        return self.number(kind, value, literal, path + field.name)

    def number(self, kind: int, value: Scalar, literal: str, name: str) -> bool | int | float:
        converted: bool | int | float | None
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            expected, converted = "true or false", truth(literal)
            if literal.isupper() and len(literal) > 1:
                self.irregular.append((name, value.start))
        elif kind in _LIMITS:
            expected, converted = "a whole number", integer(literal)
            low, high = _LIMITS[kind]
            if converted is not None and not low <= converted <= high:
                self.document.fail(value.start, f"{name} must be from {low} to {high}, found {printable(literal)}")
        else:
            expected, converted = "a number", real(literal)
            if not is_decimal(literal):
                self.irregular.append((name, value.start))
        if converted is None:
            found = printable(literal)
            self.document.fail(
                value.start, f"{name}: expected {expected}, found {found}", expected=expected, found=found
            )
        return converted

    def string(self, descriptor: FieldDescriptor, value: Scalar, literal: str, path: str) -> str | bytes:
        name = path + descriptor.name
        if value.kind == "string":
            data = string_bytes(literal)
            if has_unknown_escapes(literal):
                self.irregular.append((name, value.start))
        elif value.kind == "word" and not literal.startswith("-"):
            self.irregular.append((name, value.start))
            data = literal.encode()
        else:
            expected, found = "a string in quotes", printable(literal)
            self.document.fail(
                value.start, f"{name}: expected {expected}, found {found}", expected=expected, found=found
            )
        if descriptor.type == FieldDescriptor.TYPE_BYTES:
            return data
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.document.fail(value.start, f"{name}: expected UTF-8 text; save the file as UTF-8")

    def enumerator(self, descriptor: FieldDescriptor, value: Scalar, literal: str, path: str) -> int | None:
        name = path + descriptor.name
        if value.kind == "string":
            self.irregular.append((name, value.start))
        elif (value.kind == "number" or literal.startswith("-")) and integer(literal) is None:
            expected = f"{name}: expected a name or its number, found {printable(literal)}"
            self.document.fail(value.start, expected)
        number = enumerator(descriptor.enum_type, literal)
        if number is None or number >= FORKS:
            message = _type_name(descriptor.containing_type)
            self.foreign.append(Foreign(name, message, literal, True, number is not None, value.start))
        return number
