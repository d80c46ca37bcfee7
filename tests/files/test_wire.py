from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe_fcn.files.wire import (
    I32,
    LEN,
    MAX_FIELDS,
    VARINT,
    WireError,
    WireField,
    encode_varint,
    packed_varints,
    prefix,
    reader_of,
    signed,
)


def fields(data: bytes) -> list[WireField]:
    return list(reader_of(data).fields(0, len(data)))


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_varints_come_back(numbers: list[int]) -> None:
    assert packed_varints(b"".join(map(encode_varint, numbers)), 0) == numbers


@given(st.integers(1, 2**29 - 1), st.binary(max_size=300))
def test_a_field_is_where_it_was_put(number: int, data: bytes) -> None:
    head = prefix(number, len(data))
    assert fields(head + data) == [WireField(number, LEN, 0, len(head), len(head) + len(data), 0)]


@pytest.mark.parametrize(("value", "bits", "expected"), [(5, 32, 5), (2**64 - 1, 32, -1), (2**63, 64, -(2**63))])
def test_signed_numbers(value: int, bits: int, expected: int) -> None:
    assert signed(value, bits) == expected


def test_fields_of_all_types() -> None:
    found = fields(b"\x08\x96\x01" + b"\x15abcd" + b"\x19abcdefgh" + b"\x22\x00")
    assert [(f.number, f.wire, f.end - f.payload, f.value) for f in found] == [
        (1, VARINT, 0, 150),
        (2, I32, 4, 0),
        (3, 1, 8, 0),
        (4, LEN, 0, 0),
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x00\x00", "the tag of a field"),
        (b"\x0b\x0c", "wire type 3"),
        (b"\x0e", "wire type 6"),
        (b"\x08" + b"\x80" * 10 + b"\x00", "a varint without an end"),
        (b"\x08\x80", "the end of the enclosing message"),
        (b"\x0a\x05abcd", "only 4 bytes left"),
        (b"\x0a" + b"\xff" * 9 + b"\x01", "18,446,744,073,709,551,615 bytes of field 1"),
        (b"\x15abc", "4 bytes of field 2"),
        (b"\xf8\xff\xff\xff\xff\x7f", "the tag of a field"),
    ],
)
def test_what_is_no_field_is_an_error(data: bytes, expected: str) -> None:
    with pytest.raises(WireError, match=expected):
        fields(data)


@pytest.mark.thorough
def test_a_file_of_nothing_but_fields_is_given_up() -> None:
    with pytest.raises(WireError, match="at most 300,000 fields"):
        fields(b"\x0a\x00" * (MAX_FIELDS + 1))
