"""Changed headers of layers, with all that was not changed as it was, byte for byte.

The one idea: forks give numbers of the schema to fields of their own, which parsing may misread or drop.
So a changed header is not serialised as a whole: fields whose value is the same before and after keep the
bytes they have in the file, and only the others are written anew.
"""

from __future__ import annotations

from caffe_fcn import schema
from caffe_fcn.files.wire import reader_of


def merge_header(raw: bytes, new: schema.Message) -> bytes:
    """The header RAW, of the type of NEW, with the fields of NEW that differ; fields unknown to both stay."""
    before = _known_fields(type(new).FromString(raw))
    after = _known_fields(new)
    changed = {number for number in before | after if before.get(number) != after.get(number)}
    parts: list[bytes] = []
    for part in reader_of(raw).fields(0, len(raw)):
        if part.number not in changed:
            parts.append(raw[part.start : part.end])
        elif part.number in after:
            parts.append(after.pop(part.number))
    return b"".join(parts) + b"".join(after[number] for number in sorted(changed & set(after)))


def carry_unknown(raw: bytes, header: schema.Message) -> bytes:
    """HEADER serialised, with the fields of RAW, a header in a legacy format, that neither format knows."""
    legacy = schema.message_class("V1LayerParameter").DESCRIPTOR.fields_by_number
    known = set(legacy) | set(type(header).DESCRIPTOR.fields_by_number)
    unknown = (part for part in reader_of(raw).fields(0, len(raw)) if part.number not in known)
    serialised: bytes = header.SerializeToString()
    return serialised + b"".join(raw[part.start : part.end] for part in unknown)


def _known_fields(message: schema.Message) -> dict[int, bytes]:
    """Each field of MESSAGE that is set and known to the schema, serialised by itself, by number."""
    fields: dict[int, bytes] = {}
    for descriptor, value in message.ListFields():
        alone = type(message)()
        target = getattr(alone, descriptor.name)
        if hasattr(target, "MergeFrom"):  # a message or a repeated field
            target.MergeFrom(value)
        else:
            setattr(alone, descriptor.name, value)
        fields[descriptor.number] = alone.SerializeToString(deterministic=True)
    return fields
