"""The messages of an ONNX file as bytes: a node, a value, a tensor's header, a model without its graph.

The one idea: these are few messages of few fields, whose numbers stand in onnx.proto, so that no package is needed
that knows them all; importing that would take a sixth of the time in which a small net starts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from caffe_fcn.files.wire import encode_varint, prefix
from caffe_fcn.run.onnx.graph import FLOAT, Attribute, Constant, OnnxNode, Value

_FLOAT, _INT, _STRING, _INTS = 1, 2, 3, 7
"""AttributeProto.AttributeType."""
_EXTERNAL = 1
"""TensorProto.DataLocation."""
_I32 = 5
"""The wire type of a float."""


def node(made: OnnxNode) -> bytes:
    """A NodeProto. Attributes are sorted by name."""
    inputs, outputs = (
        b"".join(text(number, name) for name in side) for number, side in ((1, made.inputs), (2, made.outputs))
    )
    attributes = (message(5, _attribute(name, value)) for name, value in sorted(made.attributes.items()))
    return b"".join([inputs, outputs, text(3, made.name), text(4, made.op), *attributes])


def _attribute(name: str, value: Attribute) -> bytes:
    """An AttributeProto."""
    if isinstance(value, float):
        kind, body = _FLOAT, encode_varint(2 << 3 | _I32) + struct.pack("<f", value)
    elif isinstance(value, int):
        kind, body = _INT, number(3, value)
    elif isinstance(value, str):
        kind, body = _STRING, text(4, value)
    else:
        kind, body = _INTS, b"".join(number(8, each) for each in value)
    return text(1, name) + body + number(20, kind)


def value_info(value: Value) -> bytes:
    """A ValueInfoProto of floats. An axis without a size or name is an empty dimension."""
    dims = (
        b"" if extent is None else number(1, extent) if isinstance(extent, int) else text(2, extent)
        for extent in value.dims
    )
    shape = b"".join(message(1, dim) for dim in dims)
    return text(1, value.name) + message(2, message(1, number(1, FLOAT) + message(2, shape)))


def tensor_header(constant: Constant, place: tuple[str, int, int] | None = None) -> bytes:
    """A TensorProto without its values; PLACE is the file, offset and length where they are."""
    dims = b"".join(number(1, extent) for extent in constant.dims)
    head = dims + number(2, constant.kind) + text(8, constant.name)
    if place is None:
        return head
    entries = zip(("location", "offset", "length"), map(str, place), strict=True)
    return head + b"".join(message(13, _entry(*each)) for each in entries) + number(14, _EXTERNAL)


def model(ir_version: int, opset: int, producer: tuple[str, str], doc: str, metadata: Mapping[str, str]) -> bytes:
    """A ModelProto without its graph; PRODUCER is a name and a version."""
    head = number(1, ir_version) + text(2, producer[0]) + text(3, producer[1]) + (text(6, doc) if doc else b"")
    return (
        head + message(8, text(1, "") + number(2, opset)) + _messages(14, (_entry(*each) for each in metadata.items()))
    )


def _entry(key: str, value: str) -> bytes:
    """A StringStringEntryProto."""
    return text(1, key) + text(2, value)


def _messages(field: int, bodies: Iterable[bytes]) -> bytes:
    return b"".join(message(field, body) for body in bodies)


def message(field: int, body: bytes) -> bytes:
    """BODY as field FIELD of a message."""
    return prefix(field, len(body)) + body


def text(field: int, value: str) -> bytes:
    """A string as field FIELD of a message."""
    return message(field, value.encode())


def number(field: int, value: int) -> bytes:
    """An integer of 64 bits as field FIELD of a message."""
    return encode_varint(field << 3) + encode_varint(value % (1 << 64))
