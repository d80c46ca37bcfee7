"""Places windows on a larger input: the distance between them, and which of them are compared.

If a picture is shifted by a common multiple of all steps, its maps are shifted, too. So windows have the nominal input
size and are a common multiple apart, wherever the cells of the outputs lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import lcm, prod
from typing import NamedTuple

from caffe_fcn.net.geometry import infer_geometry
from caffe_fcn.net.graph import Blob, Graph
from caffe_fcn.net.shapes import Shape, Shapes

_MAX_STEP = 4096
_LEAST, _MOST = 3, 8


class Grid(NamedTuple):
    """Windows of the NOMINAL size on a LARGER input, both spatial, STEP pixels apart; MANY: how many per axis."""

    nominal: Shape
    larger: Shape
    step: Shape
    many: Shape

    @property
    def windows(self) -> int:
        """The number of windows."""
        return prod(self.many)

    def sample(self, wanted: int, seed: int) -> list[tuple[int, ...]]:
        """The places on the grid of the corners and of further random windows, up to WANTED in all."""
        import numpy as np

        corners = list(dict.fromkeys(product(*({0: 0, count - 1: 0} for count in self.many))))
        rest = [place for place in np.ndindex(*self.many) if place not in set(corners)]
        chosen = np.random.default_rng(seed).permutation(len(rest))[: max(0, wanted - len(corners))]
        return corners + [tuple(map(int, rest[index])) for index in chosen]

    def pixels(self, place: Sequence[int]) -> tuple[slice, ...]:
        """The window at PLACE as slices of the larger input."""
        axes = zip(place, self.step, self.nominal, strict=True)
        return tuple(slice(at * step, at * step + size) for at, step, size in axes)


def lay_out(graph: Graph, shapes: Shapes, image: Blob) -> Grid | str:
    """The grid for a net with the nominal SHAPES and the input IMAGE; or why there is none."""
    shape = shapes.blobs[image]
    nominal = shape[2:] if isinstance(shape, tuple) else ()
    if not nominal:
        return f"the input {image.name!r} has no spatial axes"
    known = [found for found in infer_geometry(graph, shapes).values() if found is not None]
    steps = [found.step for found in known if len(found.step) == len(nominal)]
    step = tuple(lcm(*(each[axis] for each in steps)) for axis in range(len(nominal)))
    if not all(0 < extent <= _MAX_STEP for extent in step):
        return f"the phases of its maps repeat only every {max(step):,} pixels"
    more = [max(_LEAST, min(_MOST, size // (2 * extent))) for size, extent in zip(nominal, step, strict=True)]
    more[-1] += len(set(nominal)) == 1 < len(nominal)  # not square, so that exchanged rows and columns show
    larger = tuple(size + extent * each for size, extent, each in zip(nominal, step, more, strict=True))
    return Grid(nominal, larger, step, tuple(each + 1 for each in more))
