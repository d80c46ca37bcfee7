"""Headers of layers, parsed as far as they are BVLC Caffe's, and changed with all else left as it was, byte for byte.

The one idea: forks give numbers of the schema to fields of their own, which parsing may misread, drop or choke on. So a
field that is no field of BVLC's is left out of the message, and a changed header is not serialised as a whole: fields
whose value is the same before and after keep the bytes they have in the file, and only the others are written anew.
"""

from __future__ import annotations

from caffe_fcn import schema
from caffe_fcn.files.wire import encode_varint, reader_of
from caffe_fcn.schema.layouts import caffes, contested, layout


def parse_header(message: str, data: bytes) -> schema.Message | None:
    """DATA as a MESSAGE of the schema, without fields that only a fork can have written; None where it is none."""
    from google.protobuf.message import DecodeError

    kind = schema.message_class(message)
    try:
        return kind.FromString(data)
    except DecodeError:
        pass
    except UnicodeDecodeError:  # of protobuf in pure Python; others give bytes in place of such a string
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
    """The header RAW, of the type of NEW, with the fields of NEW that differ; fields unknown to both stay."""
    before = _known_fields(parse_header(type(new).DESCRIPTOR.name, raw))
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
    """HEADER serialised, with the fields of RAW, a header in a legacy format, that neither format knows; where it is
    known which number the current format gives such a field, under that."""
    legacy = schema.message_class("V1LayerParameter").DESCRIPTOR.fields_by_number
    known = set(legacy) | set(type(header).DESCRIPTOR.fields_by_number)
    parts = [header.SerializePartialToString()]
    for part in reader_of(raw).fields(0, len(raw)):
        if part.number not in known:
            tag = encode_varint(_current_number(part.number) << 3 | part.wire)
            parts.append(tag + raw[part.start + len(encode_varint(part.number << 3)) : part.end])
    return b"".join(parts)


def _current_number(legacy: int) -> int:
    """The number that the field LEGACY of a fork's V1 layers has in its current ones; the same where nobody knows."""
    found = set()
    for caffe in caffes():
        slot = layout(caffe).messages["V1LayerParameter"].get(legacy)
        current = layout(caffe).messages["LayerParameter"].items()
        found |= {number for number, other in current if slot is not None and other.name == slot.name}
    return found.pop() if len(found) == 1 else legacy


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
        fields[descriptor.number] = alone.SerializePartialToString(deterministic=True)
    return fields
