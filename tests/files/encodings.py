"""Caffemodels in every encoding that blobs are met in, written byte by byte, and read back by protobuf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from caffe_fcn import schema
from caffe_fcn.files.wire import LEN, VARINT, encode_varint, prefix

UNKNOWN = prefix(9002, 1) + b"x"
"""A field that no schema knows."""


def varint_field(number: int, value: int) -> bytes:
    return encode_varint(number << 3 | VARINT) + encode_varint(value)


def bytes_field(number: int, data: bytes) -> bytes:
    return encode_varint(number << 3 | LEN) + encode_varint(len(data)) + data


def shape_field(shape: Sequence[int]) -> bytes:
    return bytes_field(7, schema.BlobShape(dim=shape).SerializeToString())


def legacy_shape(shape: Sequence[int]) -> bytes:
    padded = [1] * (4 - len(shape)) + list(shape)
    return b"".join(varint_field(number + 1, dim) for number, dim in enumerate(padded))


def packed(number: int, array: np.ndarray) -> bytes:
    return bytes_field(number, array.tobytes())


def unpacked(number: int, array: np.ndarray) -> bytes:
    tag = encode_varint(number << 3 | (5 if array.itemsize == 4 else 1))
    return b"".join(tag + value.tobytes() for value in array.ravel())


def _halves(number: int, array: np.ndarray) -> bytes:
    flat = array.ravel()
    return packed(number, flat[: len(flat) // 2]) + UNKNOWN + packed(number, flat[len(flat) // 2 :])


def _mixed(number: int, array: np.ndarray) -> bytes:
    """Packed, unpacked and unknown fields in turn, with one tag longer than it need be."""
    flat = array.ravel()
    long_tag = bytes([number << 3 | 5 | 0x80, 0]) + flat[2:3].tobytes()
    return packed(number, flat[:2]) + long_tag + unpacked(number, flat[3:5]) + UNKNOWN + unpacked(number, flat[5:])


ENCODINGS: dict[str, Callable[[np.ndarray], bytes]] = {
    "packed": lambda a: shape_field(a.shape) + packed(5, a),
    "unpacked": lambda a: unpacked(5, a) + shape_field(a.shape),
    "chunked": lambda a: _halves(5, a) + shape_field(a.shape),
    "mixed": lambda a: shape_field(a.shape) + _mixed(5, a),
    "diff": lambda a: shape_field(a.shape) + packed(5, a) + packed(6, a + 1),
    "double": lambda a: shape_field(a.shape) + packed(8, a.astype("<f8")) + packed(9, (a + 1).astype("<f8")),
    "double and float": lambda a: shape_field(a.shape) + packed(5, a + 1) + packed(8, a.astype("<f8")),
    "double unpacked": lambda a: shape_field(a.shape) + unpacked(8, a.astype("<f8")),
    "legacy": lambda a: legacy_shape(a.shape) + packed(5, a),
    "legacy and shape": lambda a: legacy_shape(a.shape) + shape_field((9, 9)) + packed(5, a),
    "raw": lambda a: shape_field(a.shape) + varint_field(10, 1) + packed(12, a),
    "raw twice": lambda a: shape_field(a.shape) + packed(12, a + 1) + varint_field(10, 1) + packed(12, a),
    "raw half": lambda a: shape_field(a.shape) + packed(12, a.astype("<f2")) + varint_field(10, 2),
    "C3D": lambda a: b"".join(map(varint_field, range(1, 6), (1, 1, 1, *a.shape))) + packed(6, a) + packed(7, a + 1),
    "C3D unpacked": lambda a: b"".join(map(varint_field, range(1, 6), (1, 1, 1, *a.shape))) + unpacked(6, a),
}
"""Name of the encoding -> the message of a blob, for a float32 array of two axes whose values are small integers."""


def matrix(rows: int, cols: int) -> np.ndarray:
    """Values that all encodings, halves included, hold exactly, few of them alike."""
    return (np.arange(rows * cols) % 2039).astype("<f4").reshape(rows, cols)


def layer(name: str, blobs: Sequence[bytes], type: str = "InnerProduct", number: int = 100) -> bytes:
    """A layer of a net, in the current format, with fields before and after its blobs."""
    header = schema.LayerParameter(name=name, type=type, bottom=["x"], top=[name]).SerializeToString()
    inner = header + b"".join(bytes_field(7, blob) for blob in blobs) + varint_field(10, 1) + bytes_field(9001, b"fork")
    return bytes_field(number, inner)


def model(path: Path, *parts: bytes) -> Path:
    """A caffemodel of PARTS, fields of the net, at PATH."""
    path.write_bytes(bytes_field(1, b"net") + b"".join(parts))
    return path


def parsed(path: Path) -> schema.Message:
    """The whole file as protobuf reads it."""
    return schema.NetParameter.FromString(path.read_bytes())


def values(blob: schema.Message) -> np.ndarray:
    """The values of a blob that protobuf has read, in the precedence of Caffe."""
    return np.array(blob.double_data or blob.data)
