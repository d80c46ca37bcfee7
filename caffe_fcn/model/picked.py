"""Some of the values of a tensor: those at chosen places of its axes, such as every fourth filter of a convolution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

from caffe_fcn.files.blobs import ITEM_SIZE, DType
from caffe_fcn.model.tensors import PANEL, Moving, Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

Places: TypeAlias = tuple[tuple[int, ...] | None, ...]
"""For each axis the places that are taken, in ascending order; None for all of them."""


@dataclass(frozen=True, repr=False)
class Picked(Moving):
    """The values OF another tensor at some PLACES of each axis. Only the rows that are taken are read."""

    of: Tensor
    places: Places

    @property
    def shape(self) -> tuple[int, ...]:
        """As many as there are places on each axis."""
        return picked_shape(self.of.shape, self.places)

    @property
    def dtype(self) -> DType:
        """That of the other."""
        return self.of.dtype

    def rows(self, first: int, last: int) -> NDArray[Any]:
        """The values at first..last of the first axis."""
        import numpy as np

        rows = range(first, last) if self.places[0] is None else self.places[0][first:last]
        made, done = None, 0
        for start, stop in self._runs(rows):
            panel = self.of.rows(start, stop)
            for axis, places in enumerate(self.places[1:], 1):
                if places is not None:
                    panel = panel.take(places, axis)
            made = np.empty((last - first, *panel.shape[1:]), panel.dtype) if made is None else made
            made[done : done + len(panel)] = panel
            done += len(panel)
        return self.of.rows(0, 0).reshape(0, *self.shape[1:]) if made is None else made

    def _runs(self, rows: Sequence[int]) -> Iterator[tuple[int, int]]:
        """ROWS as ranges of the other's that lie side by side, none larger than a panel."""
        most = max(1, PANEL // max(1, prod(self.of.shape[1:]) * ITEM_SIZE[self.of.dtype]))
        start = 0
        for end in range(1, len(rows) + 1):
            if end == len(rows) or rows[end] != rows[end - 1] + 1 or end - start == most:
                yield rows[start], rows[end - 1] + 1
                start = end


def picked_shape(shape: tuple[int, ...], places: Places) -> tuple[int, ...]:
    """What is left of SHAPE when only PLACES are taken."""
    return tuple(extent if each is None else len(each) for extent, each in zip(shape, places, strict=True))
