"""At which sizes of the image all crops of a segmentation head fit, and the padding with which they do.

Let the first Convolution pad by p on each side, and the padded image have m = n + 2p pixels. Maps have sizes of m alone
(`extents`), and padding moves them all by p, so that the last Crop begins at c + p. It fits where the upsampled scores,
U(m) cells, reach over the last pixel:

    c + p >= 0   and   U(m) >= (c + p) + n = m + c - p.

A larger p makes both easier and leaves fewer sizes m of the padded image, so that where one p serves every image, each
larger one does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple, TypeAlias

from caffe_fcn.passes.segment.extents import SizeTable
from caffe_fcn.passes.segment.upsampling import Upsampling

Which: TypeAlias = Literal["every", "least", "nominal", "some"]
"""The images that the crops must fit: all, those from the smallest that the net accepts on, the nominal one, or
some."""


class Fits(NamedTuple):
    """The sizes of the image along one axis at which something holds: RANGES of them, first and last, in pixels. The
    last range may have no end. If PERIOD is not 0, the ranges that begin at START or later repeat after that many
    pixels."""

    ranges: tuple[tuple[int, int | None], ...]
    start: int = 0
    period: int = 0

    @property
    def every(self) -> bool:
        """Whether it holds for images of every size."""
        return self.ranges == ((1, None),)

    def nearest(self, size: int) -> int:
        """Return the least size from SIZE on at which it holds, or else the largest below. There is always one."""
        above = range(size, max(size, self.start) + self.period + self._last + 1)
        found: int = next(each for each in (*above, *range(size, 0, -1)) if each in self)
        return found

    @property
    def _last(self) -> int:
        """The last end of a range."""
        return max((first if last is None else last for first, last in self.ranges), default=0)

    def __contains__(self, size: object) -> bool:
        if not isinstance(size, int):
            return False
        if self.period and size >= self.start:
            size = self.start + (size - self.start) % self.period
        return any(first <= size and (last is None or size <= last) for first, last in self.ranges)


@dataclass(frozen=True)
class Axis:
    """One axis of the image: the sizes of the coarse scores and of each skip, in this order, and the offset of each
    Crop. The last Crop's is C + p for a padding of p."""

    extents: SizeTable
    upsamplings: tuple[Upsampling, ...]
    offsets: tuple[int, ...]
    nominal: int
    """The nominal size of the image, in pixels."""

    def reach(self, pixels: int) -> int | None:
        """Return how many cells the upsampled scores have over a padded image of PIXELS pixels; None if the net does
        not accept it, or a skip is too small for the scores."""
        row = self.extents.at(pixels)
        if row is None:
            return None
        cells, *skips = row
        pairs = list(zip(self.upsamplings, self.offsets, strict=True))
        for (step, offset), skip in zip(pairs, skips, strict=False):
            cells = step.factor * (cells - 1) + (step.kernel or 0)
            if skip - offset < cells:
                return None
        last = self.upsamplings[-1]
        return last.factor * (cells - 1) + (last.kernel or 0)

    def holds(self, size: int, before: int, after: int) -> bool:
        """Return whether all crops fit an image of SIZE pixels, padded BEFORE and AFTER."""
        offset, cells = self.offsets[-1] + before, self.reach(size + before + after)
        return offset >= 0 and cells is not None and cells >= offset + size

    def least_size(self, before: int, after: int) -> int:
        """Return the smallest image that the net accepts with this padding."""
        return max(1, self.extents.least - before - after)

    def fits(self, before: int, after: int) -> Fits:
        """Return the sizes at which all crops fit, with this padding."""
        start = max(1, self.extents.start - before - after)
        sizes = range(1, start + self.extents.period)
        return _fits([self.holds(size, before, after) for size in sizes], start, self.extents.period)

    def serves(self, which: Which, pad: int) -> bool:
        """Return whether the crops fit the images that WHICH selects, with PAD on each side."""
        if which == "some":
            return bool(self.fits(pad, pad).ranges)
        if which == "nominal":
            return self.holds(self.nominal, pad, pad)
        first = 1 if which == "every" else self.least_size(pad, pad)
        last = max(first, self.extents.start - 2 * pad) + self.extents.period
        return all(self.holds(size, pad, pad) for size in range(first, last))

    @property
    def most(self) -> int:
        """A padding above which nothing changes: the padded image is in its last period, and the scores are large
        enough."""
        periods = range(self.extents.start, self.extents.start + self.extents.period)
        short = [pixels - cells for pixels in periods if (cells := self.reach(pixels)) is not None]
        return max(self.extents.start, -self.offsets[-1], *(self.offsets[-1] + more for more in short), 0)


def _fits(flags: Sequence[bool], start: int, period: int) -> Fits:
    """Return the sizes for FLAGS, one for each size from 1 on; the last PERIOD from START on repeats."""
    last = flags[start - 1 :]
    ranges: list[tuple[int, int | None]] = []
    for good, group in groupby(enumerate((*flags, *last), 1), key=lambda pair: pair[1]):
        sizes = [size for size, _ in group]
        if good and sizes[0] < start + period:
            ranges.append((sizes[0], sizes[-1]))
    if all(last):
        return Fits((*ranges[:-1], (ranges[-1][0], None)))
    return Fits(tuple(ranges), start, period) if any(last) else Fits(tuple(ranges))


def least_pad(axes: Sequence[Axis], which: Which) -> int | None:
    """Return the least padding with which the crops fit the images that WHICH selects, along all AXES; None if there is
    none."""
    most = max(axis.most + axis.extents.period for axis in axes)
    return next((pad for pad in range(most + 1) if all(axis.serves(which, pad) for axis in axes)), None)


def first_of(axes: Sequence[Axis], wishes: Iterable[Which]) -> tuple[Which, int] | None:
    """Return the first of WISHES for which there is a padding, and the least one."""
    found = ((which, least_pad(axes, which)) for which in wishes)
    return next(((which, pad) for which, pad in found if pad is not None), None)
