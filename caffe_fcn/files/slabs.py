"""Plans how to read arrays that are stored in chunks, in order: which slabs to read, and the cost.

A slab is one step along the first axes, some rows of the next axis, and everything after them. So slabs follow one
another as the values do, and slabs of whole chunks unpack each chunk only once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Any

SLAB = 4 << 20
"""The maximum number of values in a slab, without the rest of a chunk that it divides."""


def slabs(shape: tuple[int, ...], chunks: tuple[int, ...] | None) -> Iterator[tuple[Any, ...]]:
    """Return indices that divide an array of SHAPE, stored in CHUNKS, into slabs in C order."""
    if not prod(shape):
        return
    if not shape:
        yield ()
        return
    axis, rows = _extent(shape, chunks)
    for before in product(*map(range, shape[:axis])):
        for row in range(0, shape[axis], rows):
            yield (*before, slice(row, min(row + rows, shape[axis])))


def reads(shape: tuple[int, ...], chunks: tuple[int, ...]) -> int:
    """Return how many slabs a chunk overlaps at most: it is unpacked this many times."""
    if not prod(shape):
        return 0
    axis, rows = _extent(shape, chunks)
    return prod(map(min, shape[:axis], chunks)) * -(-min(shape[axis], chunks[axis]) // rows)


def _extent(shape: tuple[int, ...], chunks: tuple[int, ...] | None) -> tuple[int, int]:
    """Return the axis along which a slab has several rows, and the number of rows."""
    axis = next(axis for axis in range(len(shape)) if prod(shape[axis + 1 :]) <= SLAB)
    rows = max(1, SLAB // prod(shape[axis + 1 :]))
    if chunks and rows > chunks[axis]:
        rows -= rows % chunks[axis]
    return axis, rows
