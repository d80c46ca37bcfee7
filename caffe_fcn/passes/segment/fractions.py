"""Explains why an offset is not a whole number: finds the layers that move a map by fractions of a cell, and a padding
that corrects it.

Each layer between the image and a map moves its first cell by some pixels. Layers on the paths to both maps move both.
A layer on one path only makes a fraction that no bilinear kernel can compensate, if it moves the map by other than a
multiple of half a cell of the finer map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from caffe_fcn.errors import ShapeError, SurgeryError
from caffe_fcn.net.geometry.coordinates import Place
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.windows import Windows
from caffe_fcn.passes.segment.extents import nominal
from caffe_fcn.passes.segment.geometry import AXES, ScoreMaps
from caffe_fcn.passes.segment.upsampling import Offsets, Upsampling

_SHOWN = 4
_MOST_MORE = 16
"""The largest number of pixels by which tried paddings exceed that of the layer."""
_PADS = ("Convolution", "Pooling")


class Mover(NamedTuple):
    """A layer on the path to only one of two maps, the COARSE one or the finer, which moves that map by MOVED pixels
    along each axis. The cells of its bottom are STRIDE pixels apart."""

    node: Node
    coarse: bool
    moved: Offsets
    stride: Offsets


def no_whole_offset(maps: ScoreMaps, coarse: Blob, fine: Blob, step: Upsampling) -> SurgeryError:
    """Return the error that neither kernel of STEP gives a whole offset between the map of COARSE and that of FINE."""
    if (square := _needs_two_kernels(maps, fine, step)) is not None:
        return square
    movers = [*_movers(maps, coarse, fine, coarse=True), *_movers(maps, fine, coarse, coarse=False)]
    cells = maps.place(fine)
    causes = [each for each in movers if _is_cause(each, cells)]
    tried = ", ".join(f"{numbers(offsets)} with the kernel {kernel}" for kernel, offsets in step.tried.items())
    names = ", ".join(f'"{each.node.name}"' for each in causes[:_SHOWN])
    why = f"; the layers that cause the fraction: {names}" if names else ""
    mended = next((told for each in causes if (told := _mended(maps, each, step, cells))), None)
    return SurgeryError(
        f'the offset of the crop of "{fine.name}" would not be a whole number: {tried}{why}',
        source=maps.graph.source,
        hint=mended or "leave out this skip",
    )


def _needs_two_kernels(maps: ScoreMaps, fine: Blob, step: Upsampling) -> SurgeryError | None:
    """Return the error that the axes need different kernels; None if an axis has no kernel."""
    whole = [
        [kernel for kernel, offsets in step.tried.items() if offsets[axis].denominator == 1] for axis in range(AXES)
    ]
    if not all(whole):
        return None
    return SurgeryError(
        f'the offset of the crop of "{fine.name}" would be a whole number with the kernel {whole[0][0]} along the '
        f"height and with {whole[1][0]} along the width, but Caffe's bilinear filler needs a square kernel",
        source=maps.graph.source,
    )


def _movers(maps: ScoreMaps, end: Blob, other: Blob, *, coarse: bool) -> Iterator[Mover]:
    """Return the layers on the path to END, and not on that to OTHER, from the last one on."""
    shared = set(_way(maps, other))
    for top in _way(maps, end):
        node = maps.graph.producer[top]
        bottom = _bottom(maps, top)
        if top in shared or bottom is None:
            return
        before, after = maps.place(bottom), maps.place(top)
        moved = tuple(b.offset - a.offset for a, b in zip(before, after, strict=True))
        yield Mover(node, coarse, moved, tuple(each.stride for each in before))


def _way(maps: ScoreMaps, blob: Blob) -> Iterator[Blob]:
    """Return BLOB and the maps on which it depends, back to the image; for joined maps the first."""
    found: Blob | None = blob
    while found is not None:
        yield found
        found = _bottom(maps, found)


def _bottom(maps: ScoreMaps, top: Blob) -> Blob | None:
    node = maps.graph.producer[top]
    bottoms = row_of(node.type).maps(node.bottoms, node.tops.index(top))
    return next((blob for blob in bottoms if maps.image in maps.places[blob]), None)


def _is_cause(mover: Mover, cells: Place) -> bool:
    """Return whether MOVER moves by other than a multiple of half of CELLS."""
    return any((2 * moved / cell.stride).denominator != 1 for moved, cell in zip(mover.moved, cells, strict=True))


def _mended(maps: ScoreMaps, mover: Mover, step: Upsampling, cells: Place) -> str | None:
    """Return the padding of MOVER for which the offset of STEP is a whole number, in words."""
    if mover.node.type not in _PADS:
        return None
    windows = _windows(maps, mover.node)
    pad = windows.before[0] if windows is not None else 0
    if windows is None or len({*windows.before, *windows.after}) > 1:
        return None
    most = pad + _MOST_MORE if mover.node.type == "Convolution" else min(windows.kernel) - 1
    sign = -1 if mover.coarse else 1
    for wanted in sorted(range(most + 1), key=lambda each: abs(each - pad)):
        shift = [sign * (wanted - pad) * stride / cell.stride for stride, cell in zip(mover.stride, cells, strict=True)]
        if any(_all_whole(offsets, shift) for offsets in step.tried.values()):
            return f'with pad {wanted} instead of {pad} in "{mover.node.name}" it would be one'
    return None


def _windows(maps: ScoreMaps, node: Node) -> Windows | None:
    rule = row_of(node.type).windows
    try:
        return rule(node.layer, nominal(maps.shapes, node.bottoms[0])) if rule is not None else None
    except ShapeError:
        return None


def _all_whole(offsets: Offsets, shift: Sequence[Fraction]) -> bool:
    return all((offset + more).denominator == 1 for offset, more in zip(offsets, shift, strict=True))


def numbers(values: Sequence[Fraction | int]) -> str:
    """Return VALUES along the axes, as one number if they are equal."""
    return "×".join(str(float(each)) if each != int(each) else str(each) for each in dict.fromkeys(values))
