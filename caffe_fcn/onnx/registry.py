"""The lowerings by layer type, and their arguments and results. The modules in `onnx/layers/` register theirs here.

A lowering takes a `LoweringSite`, a layer with its inputs, adds nodes, and returns the name of a value for each top. An
extent that depends on the input size is None: a lowering reads it from the value at run time, or raises
`FixedSizeError`, and the caller then fixes the size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from caffe_fcn.model.tensors import Tensor
from caffe_fcn.net.graph import Node
from caffe_fcn.net.shapes import Shape
from caffe_fcn.onnx.graph import Builder, Dims
from caffe_fcn.schema import Message


class FixedSizeError(Exception):
    """A layer is supported for one input size only; the message says why, without the layer's name."""


class RefusalError(Exception):
    """A layer is not supported by the ONNX exporter; the message says why, without the layer's name."""


@dataclass(frozen=True)
class LoweringSite:
    """A layer to be lowered: its node, its input values, and the builder of the graph.

    PARAMS are the shapes of its parameter blobs by the net; TENSOR and READ return the blobs by position: as a float32
    tensor that is not read yet, and as a list of numbers, for small blobs. NOMINAL are the shapes of the bottoms at the
    size in the file. With EXPAND_LRN, ONNX's operator LRN is not used.
    """

    node: Node
    build: Builder
    inputs: tuple[str, ...]
    bottoms: tuple[Dims, ...]
    tops: tuple[Dims, ...]
    nominal: tuple[Shape, ...]
    params: tuple[Shape, ...]
    tensor: Callable[[int], Tensor]
    read: Callable[[int], Sequence[float]]
    expand_lrn: bool

    @property
    def layer(self) -> Message:
        """The layer's message."""
        return self.node.layer

    def weight(self, position: int, dims: tuple[int, ...] | None = None) -> str:
        """Return parameter blob POSITION as a constant, of its own shape or of DIMS."""
        shape = self.params[position]
        if dims is not None and prod(dims) != prod(shape):
            raise RefusalError(
                f"its parameter blob {position} has the shape {shape}, which cannot be reshaped to {dims}"
            )
        return self.build.stored(f"blob{position}", self.tensor(position), shape if dims is None else dims)


Lowering: TypeAlias = Callable[[LoweringSite], "str | Sequence[str]"]

LOWERINGS: dict[str, Lowering] = {}
"""The lowerings by layer type, filled by the modules in `onnx/layers/`."""


def lowering(*types: str) -> Callable[[Lowering], Lowering]:
    """Register the decorated function as the lowering of the layer TYPES."""

    def register(function: Lowering) -> Lowering:
        for name in types:
            LOWERINGS[name] = function
        return function

    return register


def axis_of(axis: int, dims: Dims) -> int:
    """Return AXIS counted from the front; shape inference has checked that it exists."""
    return axis % len(dims)
