"""The arithmetic of a segmentation head: the kernel of each bilinear Deconvolution, and the offset of each Crop.

The cells of a map lie on the image at a + i·S, in pixels (`net.geometry.coordinates`). A Deconvolution of the factor f
and the kernel k puts its first cell (k - 1)/2 of its own cells before the first cell of its bottom,

    a - (S/f)·(k - 1)/2,

and a bilinear filler has the kernel 2f, or 2f - 1. The two differ by half a cell, so that where one of them gives a
whole offset the other does not. Papers take 2f for VGG-16 and 2f - 1 for AlexNet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple, TypeAlias

from caffe_fcn.net.geometry.coordinates import Place
from caffe_fcn.net.layers.moves import Spread

Offsets: TypeAlias = tuple[Fraction, ...]


class Upsampling(NamedTuple):
    """A Deconvolution, and a Crop after it that aligns its cells with those of a finer map, or with the pixels."""

    factor: int
    tried: Mapping[int, Offsets]
    """The offset of the Crop along each axis for each kernel that was tried, in cells of the cropped map."""

    @property
    def kernel(self) -> int | None:
        """The kernel for which the offset is a whole number; None if neither kernel gives one."""
        whole = (kernel for kernel, offsets in self.tried.items() if all(each.denominator == 1 for each in offsets))
        return next(whole, None)

    @property
    def offset(self) -> tuple[int, ...]:
        """The offset for this kernel along each axis; () if there is none."""
        return () if self.kernel is None else tuple(map(int, self.tried[self.kernel]))


def factor_between(coarse: Place, fine: Place) -> int | None:
    """Return the number of cells of FINE for each cell of COARSE, along each axis; None if it is not a whole number
    above 1, or differs between the axes."""
    factors = {a.stride / b.stride for a, b in zip(coarse, fine, strict=True)}
    factor = factors.pop()
    return int(factor) if not factors and factor.denominator == 1 and factor > 1 else None


def upsampled(coarse: Place, factor: int, kernel: int) -> Place:
    """Return the place of COARSE after a Deconvolution of this FACTOR and KERNEL that does not pad."""
    return tuple(each.moved(Spread(kernel, factor, 0, 0, 0)) for each in coarse)


def onto(coarse: Place, fine: Place, factor: int, *, crops_fine: bool) -> Upsampling:
    """Return how the map COARSE is upsampled by FACTOR to the cells of FINE. CROPS_FINE: the finer map is cropped to
    it, as for skips; otherwise it is cropped to the finer map."""
    tried: dict[int, Offsets] = {}
    for kernel in (2 * factor, 2 * factor - 1):
        made = upsampled(coarse, factor, kernel)
        first, second = (fine, made) if crops_fine else (made, fine)
        tried[kernel] = tuple((b.offset - a.offset) / a.stride for a, b in zip(first, second, strict=True))
    return Upsampling(factor, tried)


def upsamplings(coarse: Place, skips: Sequence[tuple[int, Place]], final: int, image: Place) -> tuple[Upsampling, ...]:
    """Return the upsamplings of COARSE to each of SKIPS, with its factor, one after another, and by FINAL to the IMAGE.
    The list ends at one that has no kernel."""
    made: list[Upsampling] = []
    for factor, fine in skips:
        made.append(onto(coarse, fine, factor, crops_fine=True))
        if made[-1].kernel is None:
            return tuple(made)
        coarse = upsampled(coarse, factor, made[-1].kernel)
    return (*made, onto(coarse, image, final, crops_fine=False))
