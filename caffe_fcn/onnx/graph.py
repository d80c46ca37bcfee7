"""Builds an ONNX graph: nodes, constants, and weights that stay on disk.

A weight is never an array here. It is a record of the place of its values in the weight file, so a graph is small for
any model, and a writer copies the values directly to their place. This module does not need the onnx package.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import copysign, inf, prod
from typing import NamedTuple, TypeAlias

from caffe_fcn.files.parts import Tensor

FLOAT, INT64 = 1, 7
"""TensorProto.DataType: float32 and int64, the only types of constants."""

_TOO_LARGE = 3.4028235677973366e38
"""Numbers from here on are rounded to infinity in float32."""

Attribute: TypeAlias = int | float | str | tuple[int, ...]
Dims: TypeAlias = tuple["int | None", ...]
"""The extents of a value, outermost first; None for those that depend on the size of the input."""


@dataclass(frozen=True)
class OnnxNode:
    """One operation. INPUTS and OUTPUTS are names of values; an input "" is left out."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Attribute]


class Constant(NamedTuple):
    """A constant value: its bytes, little-endian, or a tensor."""

    name: str
    kind: int
    dims: tuple[int, ...]
    data: bytes | Tensor

    @property
    def size(self) -> int:
        """The size in an ONNX file in bytes."""
        return prod(self.dims) * (8 if self.kind == INT64 else 4)


class Value(NamedTuple):
    """An input or output of the graph. A free axis has a name. In an output, the batch has the name of the input's
    batch, and other axes that are not fixed are None."""

    name: str
    dims: tuple[int | str | None, ...]


class OnnxGraph(NamedTuple):
    """A whole graph, in the order in which it can be run."""

    name: str
    nodes: tuple[OnnxNode, ...]
    constants: tuple[Constant, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


class Builder:
    """Collects nodes and constants, layer by layer, and gives each value a unique name.

    RESERVED are names that only `give` uses: those of the net's blobs.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self.nodes: list[OnnxNode] = []
        self.constants: list[Constant] = []
        self._names = dict.fromkeys(reserved, 1)
        self._node_names: dict[str, int] = {}
        self._known: dict[tuple[int, tuple[int, ...], bytes], str] = {}
        self._stored: dict[tuple[int, tuple[int, ...]], str] = {}
        self._layer = ""
        self._first = 0

    def enter(self, layer: str) -> None:
        """Begin LAYER; the names of the following nodes and values begin with its name."""
        self._layer, self._first = layer, len(self.nodes)

    def node(self, op: str, *inputs: str, **attributes: Attribute) -> str:
        """Add a node with one output, and return the name of that."""
        return self.split(op, *inputs, outputs=1, **attributes)[0]

    def split(self, op: str, *inputs: str, outputs: int, **attributes: Attribute) -> tuple[str, ...]:
        """Add a node with several OUTPUTS, and return their names."""
        made = tuple(self._new(f"{self._layer}/{op}") for _ in range(outputs))
        name = unique(f"{self._layer}/{op}", self._node_names)
        self.nodes.append(OnnxNode(op, name, inputs, made, attributes))
        return made

    def floats(self, values: Sequence[float], dims: tuple[int, ...] | None = None) -> str:
        """Add a constant of float32 VALUES, by default a list of them."""
        return self._constant(FLOAT, (len(values),) if dims is None else dims, _packed(values))

    def packed(self, data: bytes, dims: tuple[int, ...]) -> str:
        """Add a constant of float32 values, little-endian in DATA."""
        return self._constant(FLOAT, dims, data)

    def number(self, value: float) -> str:
        """Add a constant with a single float32."""
        return self.floats((value,), ())

    def ints(self, values: Sequence[int], dims: tuple[int, ...] | None = None) -> str:
        """Add a constant of int64 VALUES, by default a list of them."""
        data = struct.pack(f"<{len(values)}q", *values)
        return self._constant(INT64, (len(values),) if dims is None else dims, data)

    def computed(self, label: str, values: Sequence[float]) -> str:
        """Add a constant of float32 VALUES, computed from blobs, in a list."""
        return self._add(Constant(self._new(f"{self._layer}/{label}"), FLOAT, (len(values),), _packed(values)))

    def stored(self, label: str, tensor: Tensor, dims: tuple[int, ...]) -> str:
        """Add a constant with the float32 values of TENSOR, in the shape DIMS; equal requests share one constant."""
        key = (id(tensor), dims)
        if key not in self._stored:
            self._stored[key] = self._add(Constant(self._new(f"{self._layer}/{label}"), FLOAT, dims, tensor))
        return self._stored[key]

    def give(self, names: Iterable[tuple[str, str]]) -> None:
        """Rename each value to its reserved name, in pairs (value, reserved name). A value that another layer made, or
        that gets a second name, is copied."""
        own = range(self._first, len(self.nodes))
        made = {value for index in own for value in self.nodes[index].outputs}
        given: dict[str, str] = {}
        copies = []
        for value, name in names:
            if value in made and value not in given:
                given[value] = name
            else:
                copies.append((value, name))
        for index in own if given else ():
            node = self.nodes[index]
            inputs, outputs = (tuple(given.get(each, each) for each in side) for side in (node.inputs, node.outputs))
            self.nodes[index] = replace(node, inputs=inputs, outputs=outputs)
        for value, name in copies:
            inputs = (given.get(value, value),)
            self.nodes.append(OnnxNode("Identity", unique(name, self._node_names), inputs, (name,), {}))

    def _constant(self, kind: int, dims: tuple[int, ...], data: bytes) -> str:
        key = (kind, dims, data)
        if key not in self._known:
            self._known[key] = self._add(Constant(self._new(f"{self._layer}/constant"), kind, dims, data))
        return self._known[key]

    def _add(self, constant: Constant) -> str:
        self.constants.append(constant)
        return constant.name

    def _new(self, wanted: str) -> str:
        return unique(wanted, self._names)


def _packed(values: Sequence[float]) -> bytes:
    """Return VALUES as float32; too large values are infinite, as in Caffe."""
    try:
        return struct.pack(f"<{len(values)}f", *values)
    except OverflowError:
        limited = [copysign(inf, value) if abs(value) >= _TOO_LARGE else value for value in values]
        return struct.pack(f"<{len(values)}f", *limited)


def unique(wanted: str, taken: dict[str, int]) -> str:
    """Return WANTED, or if that is TAKEN, WANTED with a number; add the result to TAKEN."""
    number, name = taken.get(wanted, 0), wanted
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken[wanted] = max(1, number)
    taken[name] = taken.get(name, 1)
    return name
