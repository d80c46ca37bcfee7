"""Makes a caffemodel of random weights for a prototxt, of any size, in a few megabytes of memory.

The file has the byte layout of a snapshot of Caffe. It is written as a stream: the lengths follow from the shapes, and
the values are drawn in chunks. The same seed gives the same file.

    python benchmarks/make_weights.py NET.prototxt OUT.caffemodel [--seed N]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from caffe_fcn import schema
from caffe_fcn.errors import CaffeFcnError
from caffe_fcn.net.graph import build_graph
from caffe_fcn.net.shapes import Shape, infer_shapes
from caffe_fcn.net.source import read_net

CHUNK = 1 << 18
"""Values drawn at a time: one MiB."""

LAYER, BLOBS, DATA = 100, 7, 5
"""The fields NetParameter.layer, LayerParameter.blobs and BlobProto.data."""

RECORD_LIMIT = 2**31
"""Protobuf reads no message of this many bytes or more."""


def write_weights(net: str | os.PathLike[str], target: str | os.PathLike[str], seed: int = 0) -> int:
    """Write float32 weights in ±0.05, 0 to 0.05 for those of a BatchNorm, which has variances, for the TEST phase of
    the prototxt NET to TARGET; the bytes written.

    Raises the errors of reading a net, ShapeError where a parameter's shape cannot be inferred, and
    ValueError for a layer that would be too large for protobuf.
    """
    source = read_net(net)
    graph = build_graph(source.net, source=source.name)
    params = infer_shapes(graph).params
    random = np.random.Generator(np.random.SFC64(seed))
    with open(target, "wb") as out:
        out.write(schema.NetParameter(name=source.net.name).SerializeToString())
        for node in graph.nodes:
            if node.index >= 0:
                _write_layer(out, node.layer, params.get(node.index, ()), random)
        return out.tell()


def _write_layer(out: BinaryIO, layer: schema.Message, shapes: Sequence[Shape], random: np.random.Generator) -> None:
    before, after = _around_blobs(layer)
    frames = [_around_values(shape) for shape in shapes]
    total = len(before) + sum(len(head) + 4 * prod(shape) + len(tail) for shape, head, tail in frames) + len(after)
    if total >= RECORD_LIMIT:
        raise ValueError(f'layer "{layer.name}" would hold {total:,} bytes; protobuf reads less than {RECORD_LIMIT:,}')
    out.write(_tag(LAYER) + _varint(total) + before)
    for shape, head, tail in frames:
        out.write(head)
        for chunk in _values(prod(shape), random, positive=layer.type == "BatchNorm"):
            out.write(chunk)
        out.write(tail)
    out.write(after)


def _around_blobs(layer: schema.Message) -> tuple[bytes, bytes]:
    """LAYER in two parts: the fields whose numbers come before that of the blobs, and those that follow."""
    before, after = schema.LayerParameter(), schema.LayerParameter()
    before.CopyFrom(layer)
    after.CopyFrom(layer)
    for field, _ in layer.ListFields():
        (after if field.number < BLOBS else before).ClearField(field.name)
    return before.SerializeToString(), after.SerializeToString()


def _around_values(shape: Shape) -> tuple[Shape, bytes, bytes]:
    """A blob of this SHAPE, and its bytes before the values, tag and length included, and after them."""
    size = 4 * prod(shape)
    head, tail = _tag(DATA) + _varint(size), schema.BlobProto(shape={"dim": shape}).SerializeToString()
    return shape, _tag(BLOBS) + _varint(len(head) + size + len(tail)) + head, tail


def _values(count: int, random: np.random.Generator, *, positive: bool) -> Iterator[memoryview]:
    buffer = np.empty(CHUNK, dtype="<f4")
    for start in range(0, count, CHUNK):
        chunk = buffer[: min(CHUNK, count - start)]
        random.random(dtype=np.float32, out=chunk)
        chunk -= np.float32(0.5)
        chunk *= np.float32(0.1)
        if positive:
            np.abs(chunk, out=chunk)
        yield chunk.data


def _tag(number: int) -> bytes:
    """The tag of field NUMBER when it has a length, as messages and packed values do."""
    return _varint(number << 3 | 2)


def _varint(value: int) -> bytes:
    """VALUE in protobuf's variable length, seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def main() -> None:
    """Write a caffemodel of random weights for a prototxt."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("net", type=Path, metavar="NET.prototxt")
    parser.add_argument("target", type=Path, metavar="OUT.caffemodel")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random values (default 0)")
    arguments = parser.parse_args()
    try:
        print(f"{write_weights(arguments.net, arguments.target, arguments.seed):,} bytes")
    except (CaffeFcnError, OSError, ValueError) as error:
        parser.exit(1, f"make_weights.py: {error}\n")


if __name__ == "__main__":
    main()
