"""Handles extents that are known now or only when the net runs, and the reshapes that need them.

A wanted shape is a list of numbers and `Extent`s. As much of it as possible becomes a constant: the ONNX operator
Reshape copies an extent that keeps its axis and computes one more itself. Only the others are read from values when
the net runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import prod
from typing import NamedTuple, TypeAlias

from caffe_fcn.onnx.graph import Builder, Dims


class Extent(NamedTuple):
    """The extent of VALUE along AXIS."""

    value: str
    axis: int


Wanted: TypeAlias = Sequence["int | Extent"]


def extents(value: str, dims: Dims, start: int = 0, stop: int | None = None) -> list[int | Extent]:
    """Return the extents of VALUE, of shape DIMS, along the axes START to STOP."""
    axes = range(len(dims))[start:stop]
    return [Extent(value, axis) if (known := dims[axis]) is None else known for axis in axes]


def known_count(dims: Dims) -> int | None:
    """Return the number of elements of a value of DIMS; None if it is not fixed."""
    fixed = [extent for extent in dims if extent is not None]
    return prod(fixed) if len(fixed) == len(dims) else None


def reshape(build: Builder, value: str, wanted: Wanted) -> str:
    """Add a reshape of VALUE to the shape WANTED; one -1 in it is computed from the rest."""
    dims = [0 if extent == Extent(value, axis) else extent for axis, extent in enumerate(wanted)]
    open_axes = [axis for axis, extent in enumerate(dims) if isinstance(extent, Extent)]
    if len(open_axes) == 1 and -1 not in dims:
        dims[open_axes[0]] = -1
    return build.node("Reshape", value, vector(build, dims))


def vector(build: Builder, wanted: Wanted) -> str:
    """Return a list of int64: numbers are constants, extents are read when the net runs."""
    if all(isinstance(extent, int) for extent in wanted):
        return build.ints([extent for extent in wanted if isinstance(extent, int)])
    parts = []
    for known, group in groupby(wanted, lambda extent: isinstance(extent, int)):
        run = list(group)
        if known:
            parts.append(build.ints([extent for extent in run if isinstance(extent, int)]))
        else:
            parts += [_read(build, extent) for extent in run if isinstance(extent, Extent)]
    return parts[0] if len(parts) == 1 else build.node("Concat", *parts, axis=0)


def _read(build: Builder, extent: Extent) -> str:
    return build.node("Shape", extent.value, start=extent.axis, end=extent.axis + 1)


def shape_from(build: Builder, value: str, start: int = 0) -> str:
    """Return the extents of VALUE from axis START on, as a list of int64."""
    return build.node("Shape", value, start=start)
