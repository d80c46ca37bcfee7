"""Computes the area of each class in a picture: the pixels in which it is the top class.

The area is known if a map has an answer for every pixel, as that of a segmentation net, or if a map is upsampled to the
pixels of the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.predict.run import Answer, BlobResult

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Area(NamedTuple):
    """The number of PIXELS in which LABEL is the top class, and their SHARE of the picture; LABEL is None for pixels
    without an answer."""

    label: int | None
    pixels: int
    share: float


def areas(answer: Answer, result: BlobResult, counts: Sequence[Sequence[int]], *, upsample: bool) -> tuple[Area, ...]:
    """Return the areas of the classes in RESULT of ANSWER, in their order, and of the pixels without an answer; nothing
    if it has no areas. COUNTS has for each level the number of cells in which each class is the top class."""
    if not result.output.of_classes or not result.levels:
        return ()
    if len(result.levels) == 1 and result.levels[0].cells.are_pixels:
        pixels = list(counts[0])
    elif upsample:
        pixels = _counted(answer, result)
    else:
        return ()
    high, wide = answer.plan.picture.size
    return tuple(_areas(pixels, high * wide))


def _areas(pixels: Sequence[int], many: int) -> Iterator[Area]:
    yield from (Area(label, count, count / many) for label, count in enumerate(pixels) if count)
    if rest := many - sum(pixels):
        yield Area(None, rest, rest / many)


def _counted(answer: Answer, result: BlobResult) -> list[int]:
    """Return the number of pixels in which each class is the top one of the upsampled maps."""
    import numpy as np

    from caffe_fcn.predict.draw import view  # here, because few maps are upsampled

    shown = view.every_pixel(answer.plan.picture.size)
    maps = [view.DrawnMap(level.scores, *level.cells.drawn) for level in result.levels]
    pieces: Iterable[NDArray[Any]]
    if len(maps) > 1:
        top = view.labelled(maps, shown, upsample=True)
        pieces = [top[top >= 0]]
    else:
        pieces = (classes.ravel() for _, _, _, classes in view.top_classes(maps[0], shown, upsample=True))
    count = np.zeros(result.output.channels, np.int64)
    for piece in pieces:
        count += np.bincount(piece, minlength=len(count))
    return [*map(int, count)]
