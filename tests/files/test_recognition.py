"""Files that are no model are named by their first bytes."""

from __future__ import annotations

import pytest

from caffe_fcn.files.recognition import kind_of
from caffe_fcn.files.wire import encode_varint, prefix


def field(number: int, data: bytes) -> bytes:
    return prefix(number, len(data)) + data


def count(number: int, value: int) -> bytes:
    return encode_varint(number << 3) + encode_varint(value)


ONNX = {
    "graph": count(1, 9) + field(2, b"maker") + field(3, b"1.0") + field(7, bytes(5000)),
    "long": count(1, 3) + field(2, b"pytorch") + field(6, b"text" * 1000),
    "operators": count(1, 8) + count(5, 300) + field(8, b"\x10\x0b"),
}
OTHERS = {
    "solverstate": count(1, 5000) + field(2, b"net_iter_5000.caffemodel") + field(3, bytes(3000)),
    "young solverstate": count(1, 8) + field(2, b"net_iter_8.caffemodel") + field(3, b"\x2a\x00") + count(4, 1),
    "mean": count(1, 1) + count(2, 3) + count(3, 8) + count(4, 8) + field(5, bytes(768)),
    "caffemodel": field(1, b"net") + field(7, b"x") + field(8, b"y"),
    "text": b"name: 'net'",
    "garbage": b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    "empty": b"",
}


@pytest.mark.parametrize("name", ONNX)
def test_an_onnx_file_is_recognized(name: str) -> None:
    assert (kind_of(ONNX[name][:1024]) or "").startswith("an ONNX file; ")


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_that_begin_with_a_number_are_not_onnx(name: str) -> None:
    assert kind_of(OTHERS[name][:1024]) is None
