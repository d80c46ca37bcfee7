"""Parses and changes the headers of layers, and keeps all other bytes unchanged.

Forks use field numbers of the schema for their own fields, so these could be misread or lost. Therefore fields unknown
to BVLC Caffe are left out of the message, and a changed header is not serialized as a whole: fields with the same value
keep their bytes, and only the others are written again.
"""

from __future__ import annotations

from typing import Any

from caffe_fcn import schema
from caffe_fcn.files.wire import encode_varint, reader_of
from caffe_fcn.schema.forks import fork_fields
from caffe_fcn.schema.layouts import caffes, contested, layout


def parse_header(message: str, data: bytes) -> schema.Message | None:
    """Parse DATA as a MESSAGE of the schema, without fields that only a fork can have written. Return None if it is
    invalid."""
    from google.protobuf.message import DecodeError

    kind = schema.message_class(message)
    try:
        return kind.FromString(data)
    except DecodeError:
        pass
    except UnicodeDecodeError:  # raised by protobuf in pure Python; others return bytes
        return None
    parsed = kind()
    for part in reader_of(data).fields(0, len(data)):
        try:
            parsed.MergeFromString(data[part.start : part.end])
        except DecodeError:
            if (message, part.number) not in contested():
                return None
    return parsed


def merge_header(raw: bytes, new: schema.Message) -> bytes:
    """Return the header RAW with the fields that differ in NEW, a message of the same type; unknown fields of both
    stay."""
    before = _known_fields(parse_header(type(new).DESCRIPTOR.name, raw))
    after = _known_fields(as_forks_number_it(new))
    changed = {number for number in before | after if before.get(number) != after.get(number)}
    parts: list[bytes] = []
    for part in reader_of(raw).fields(0, len(raw)):
        if part.number not in changed:
            parts.append(raw[part.start : part.end])
        elif part.number in after:
            parts.append(after.pop(part.number))
    return b"".join(parts) + b"".join(after[number] for number in sorted(changed & set(after)))


def carry_unknown(raw: bytes, header: schema.Message) -> bytes:
    """Return HEADER serialized, with the unknown fields of RAW, a header in a legacy format. If the number of such a
    field in the current format is known, the field gets this number."""
    legacy = schema.message_class("V1LayerParameter").DESCRIPTOR.fields_by_number
    known = set(legacy) | set(type(header).DESCRIPTOR.fields_by_number)
    parts = [as_forks_number_it(header).SerializePartialToString()]
    for part in reader_of(raw).fields(0, len(raw)):
        if part.number not in known:
            tag = encode_varint(_current_number(part.number) << 3 | part.wire)
            parts.append(tag + raw[part.start + len(encode_varint(part.number << 3)) : part.end])
    return b"".join(parts)


def as_forks_number_it(message: schema.Message) -> schema.Message:
    """Return a copy of MESSAGE in which the fields of forks have the numbers of the forks. Fields whose number differs
    between forks are left out; only a prototxt can contain them."""
    made = type(message)()
    made.CopyFrom(message)
    _renumber(made)
    return made


def _renumber(message: schema.Message) -> None:
    for field, value in message.ListFields():
        if field.number < schema.FORKS:
            inner = value if schema.is_repeated(field) else [value]
            for part in inner if field.message_type is not None else ():
                _renumber(part)
            continue
        name = message.DESCRIPTOR.name
        numbers = {row.number for row in fork_fields() if (row.message, row.name) == (name, field.name)}
        data = _alone(message, field.name, value)
        message.ClearField(field.name)
        if len(numbers) == 1 and not numbers & set(message.DESCRIPTOR.fields_by_number):
            message.MergeFromString(_under(numbers.pop(), data))


def _under(number: int, data: bytes) -> bytes:
    """Change the number of the fields in DATA to NUMBER."""
    parts = reader_of(data).fields(0, len(data))
    tags = ((part, encode_varint(part.number << 3 | part.wire)) for part in parts)
    return b"".join(
        encode_varint(number << 3 | part.wire) + data[part.start + len(tag) : part.end] for part, tag in tags
    )


def _current_number(legacy: int) -> int:
    """Return the number in current layers of the fork field LEGACY of V1 layers; LEGACY itself if it is unknown."""
    found = set()
    for caffe in caffes():
        slot = layout(caffe).messages["V1LayerParameter"].get(legacy)
        current = layout(caffe).messages["LayerParameter"].items()
        found |= {number for number, other in current if slot is not None and other.name == slot.name}
    return found.pop() if len(found) == 1 else legacy


def _known_fields(message: schema.Message) -> dict[int, bytes]:
    """Return each field of MESSAGE that is set and known to the schema, serialized separately, by number."""
    fields: dict[int, bytes] = {}
    for descriptor, value in message.ListFields():
        fields[descriptor.number] = _alone(message, descriptor.name, value)
    return fields


def _alone(message: schema.Message, name: str, value: Any) -> bytes:
    """Serialize only the field NAME of MESSAGE, which has VALUE."""
    alone = type(message)()
    target = getattr(alone, name)
    if hasattr(target, "MergeFrom"):  # a message or a repeated field
        target.MergeFrom(value)
    else:
        setattr(alone, name, value)
    data: bytes = alone.SerializePartialToString(deterministic=True)
    return data
