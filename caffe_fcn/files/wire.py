"""Reads the protobuf wire format: the place of each field of a message, without parsing its contents.

A message is a sequence of (number, wire type, byte range). Each range is checked to be inside the enclosing message
before it is used. Field numbers have no meaning here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

VARINT, I64, LEN, I32 = 0, 1, 2, 5
"""The wire types that Caffe's messages use. 3 and 4 are groups; 6 and 7 do not exist."""

HEAD = 20
"""The maximum size in bytes of a tag and a length, or a tag and a varint."""

MAX_FIELDS = 300_000
"""The maximum number of fields; it is many times larger than in any real net."""

_FIXED = {I64: 8, I32: 4}
_MAX_NUMBER = (1 << 29) - 1


class WireError(Exception):
    """Bytes that are not in the wire format: the offset, what was expected and what was found."""

    def __init__(self, offset: int, expected: str, found: str) -> None:
        super().__init__(f"offset {offset}: expected {expected}, found {found}")
        self.offset = offset
        self.expected = expected
        self.found = found


class WireField(NamedTuple):
    """One field of a message: bytes start..end with the tag, payload..end without tag and length."""

    number: int
    wire: int
    start: int
    payload: int
    end: int
    value: int
    """The value of a varint, as 64 unsigned bits; 0 for other wire types."""


class Reader:
    """Reads fields. `peek(offset, end)` returns the HEAD bytes at an offset, or those before END if fewer.

    One reader is used for a whole file, so that MAX_FIELDS limits the work for any file.
    """

    def __init__(self, peek: Callable[[int, int], bytes]) -> None:
        self._peek = peek
        self._left = MAX_FIELDS

    def fields(self, start: int, end: int) -> Iterator[WireField]:
        """Yield the fields of the message at bytes start..end. Raises WireError."""
        while start < end:
            field = self.field(start, end)
            yield field
            start = field.end

    def field(self, start: int, end: int) -> WireField:
        """Return the field at START of a message that ends at END. Raises WireError."""
        if not self._left:
            raise WireError(start, f"a net of at most {MAX_FIELDS:,} fields", "more")
        self._left -= 1
        head = self._peek(start, end)
        key, size = _varint(head, 0, start)
        number, wire = key >> 3, key & 7
        if not 1 <= number <= _MAX_NUMBER or wire not in (VARINT, I64, LEN, I32):
            raise WireError(start, "the tag of a field", f"field number {number} of wire type {wire}")
        value, length = 0, _FIXED.get(wire, 0)
        if wire == VARINT:
            value, size = _varint(head, size, start)
        elif wire == LEN:
            length, size = _varint(head, size, start)
        payload = start + size
        if length > end - payload:
            raise WireError(start, f"{length:,} bytes of field {number}", f"only {end - payload:,} bytes left")
        return WireField(number, wire, start, payload, payload + length, value)


def reader_of(data: bytes) -> Reader:
    """Return a reader of a message in memory."""
    return Reader(lambda offset, end: data[offset : min(offset + HEAD, end)])


def _varint(head: bytes, index: int, offset: int) -> tuple[int, int]:
    """Return the varint at head[index] and the index after it; OFFSET is the offset of HEAD, for the error."""
    value = shift = 0
    for place in range(index, min(index + 10, len(head))):
        value |= (head[place] & 0x7F) << shift
        if head[place] < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, place + 1
        shift += 7
    found = "a varint without an end" if len(head) >= index + 10 else "the end of the enclosing message"
    raise WireError(offset + index, "a varint", found)


def packed_varints(data: bytes, offset: int) -> list[int]:
    """Return the varints in DATA, as 64 unsigned bits; OFFSET is its offset, for the error."""
    values, index = [], 0
    while index < len(data):
        value, index = _varint(data, index, offset)
        values.append(value)
    return values


def signed(value: int, bits: int) -> int:
    """Return the low BITS of a varint as a two's complement number, as int32 and int64 fields are read."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def encode_varint(value: int) -> bytes:
    """Return VALUE, which is not negative, as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def prefix(number: int, length: int) -> bytes:
    """Return the tag and the length of field NUMBER with LENGTH bytes."""
    return encode_varint(number << 3 | LEN) + encode_varint(length)
