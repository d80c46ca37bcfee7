"""Selects the part of a picture and of a map that is drawn, at most a few thousand pixels, however large both are.

A drawn pixel stands for a span of pixels of the picture along each axis, and for the cells from the one nearest to the
beginning of the span to the one nearest to its end. If a map is upsampled, it stands for the scores at its middle,
interpolated between the centres of the four nearest cells. Everything is read in bands of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from caffe_fcn.predict.images.picture import GREY, Box, Picture, pillow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from caffe_fcn.predict.cells import CellAxis

_FEW = 768
"""Smaller pictures are enlarged as long as they are within this number of pixels per side."""

_BAND = 16 << 20
"""The bytes of a picture or a map that are read together, if one row of the drawing does not need more."""

_FLOAT = 4
_PIXEL = 16
"""The approximate memory per pixel while it becomes grey, in bytes."""

_INTERPOLATED = 40
"""The approximate memory per pixel while scores are interpolated, in bytes."""

_BILINEAR = 2
"""The number of the filter in pillow."""


class Scores(Protocol):
    """A map K×rows×columns, such as `maps.Map`."""

    shape: tuple[int, int, int]

    def values(self) -> NDArray[Any]:
        """Return the whole map; if it is in a file, it is mapped anew at each call."""


class DrawnMap(NamedTuple):
    """A map, and the positions of its cells on the drawn picture; for a scaled picture see `CellAxis.scaled`."""

    scores: Scores
    rows: CellAxis
    columns: CellAxis


class Between(NamedTuple):
    """The drawn pixels along an axis that have cells: for each the cell before it, the cell after it, and its position
    between the two, from 0 to 1. At the ends both cells are the same."""

    drawn: slice
    before: NDArray[Any]
    behind: NDArray[Any]
    part: NDArray[Any]


class PictureView(NamedTuple):
    """How to draw a picture of SIZE: every STEP-th pixel, ZOOM times as large. STEP or ZOOM is 1."""

    size: tuple[int, int]
    step: int
    zoom: int

    @property
    def shown(self) -> tuple[int, int]:
        """Height and width of the drawing."""
        high, wide = (-(-pixels // self.step) * self.zoom for pixels in self.size)
        return high, wide

    def shares(self, axis: CellAxis) -> bool:
        """Return whether cells along AXIS are so close together that each drawn pixel has several."""
        return axis.stride * self.zoom < self.step

    def cells(self, axis: CellAxis, first: int, end: int) -> tuple[slice, NDArray[Any], NDArray[Any]]:
        """Return the cells along AXIS of the drawn pixels from FIRST to before END: which pixels have cells, and for
        each of these its first and last cell."""
        import numpy as np

        drawn = np.arange(first, end)
        nearest = []
        for pixels in (drawn * self.step, np.minimum((drawn + 1) * self.step, axis.size * self.zoom) - 1):
            middles = (pixels + 0.5) / self.zoom - 0.5
            nearest.append(np.floor((middles - float(axis.offset)) / float(axis.stride) + 0.5).astype(np.int64))
        if self.shares(axis):  # all cells whose centres are between the edges of the pixel
            edges = np.minimum(np.stack((drawn, drawn + 1)) * self.step, axis.size * self.zoom) / self.zoom - 0.5
            found = np.ceil((edges - float(axis.offset)) / float(axis.stride)).astype(np.int64)
            nearest = [found[0], np.maximum(*found - [[0], [1]])]
        inside = np.flatnonzero((nearest[1] >= 0) & (nearest[0] < axis.cells))
        low, high = (found[inside].clip(0, axis.cells - 1) for found in nearest)
        start = first + int(inside[0]) if len(inside) else end
        return slice(start, start + len(inside)), low, high

    def between(self, axis: CellAxis, first: int, end: int) -> Between:
        """Return the cells along AXIS between which the drawn pixels from FIRST to before END are. A cell extends half
        a stride beyond its centre."""
        import numpy as np

        middles = (np.arange(first, end) + 0.5) * (self.step / self.zoom) - 0.5
        places = (middles - float(axis.offset)) / float(axis.stride)
        inside = np.flatnonzero((places >= -0.5) & (places <= axis.cells - 0.5))
        places = places[inside].clip(0, axis.cells - 1)
        before = np.floor(places).astype(np.intp)
        start = first + int(inside[0]) if len(inside) else end
        behind = np.minimum(before + 1, axis.cells - 1)
        return Between(slice(start, start + len(inside)), before, behind, (places - before).astype(np.float32))

    def bands(self, bytes_per_row: float) -> Iterator[tuple[int, int]]:
        """Yield bands of rows to be drawn; each row needs BYTES_PER_ROW bytes."""
        rows = max(1, int(_BAND / max(1.0, bytes_per_row)))
        for first in range(0, self.shown[0], rows):
            yield first, min(first + rows, self.shown[0])


def every_pixel(size: tuple[int, int]) -> PictureView:
    """Return the view with all pixels of a picture of SIZE, at their size."""
    return PictureView(size, 1, 1)


def labelled(levels: Sequence[DrawnMap], view: PictureView, *, upsample: bool = False) -> NDArray[Any]:
    """Return the top class of each drawn pixel, from the level of LEVELS with the highest score; -1 where there is no
    cell."""
    import numpy as np

    best = np.full(view.shown, -np.inf, np.float32)
    top = np.full(view.shown, -1, np.int32)
    for level in levels:
        for rows, columns, scores, classes in top_classes(level, view, upsample=upsample):
            better = scores > best[rows, columns]
            best[rows, columns][better] = scores[better]
            top[rows, columns][better] = classes[better]
    return top


def view_of(picture: Picture, most: int) -> PictureView:
    """Return the view of PICTURE with at most MOST pixels per side."""
    longest = max(picture.size)
    return PictureView(picture.size, -(-longest // most), max(1, min(_FEW, most) // longest))


def beneath(picture: Picture, view: PictureView, *, colour: bool = False) -> NDArray[Any]:
    """Return PICTURE as VIEW shows it, H×W×3 in bytes if it has COLOUR, else H×W×1. Raises PictureError if it cannot be
    read.

    Values outside of 0 to 255 are rescaled: from 0 to 1 if they are within these, else from the lowest to the
    highest.
    """
    import numpy as np

    plain = view._replace(zoom=1)
    high, wide = picture.size
    mixing = _mixing(picture.read(Box(0, 0, 1, 1)).shape[2], colour)
    found = np.empty((*plain.shown, mixing.shape[1]), np.float32)
    for first, end in plain.bands(_PIXEL * view.step * wide):
        pixels = picture.read(Box(first * view.step, 0, min(end * view.step, high), wide), view.step)
        found[first:end] = pixels[:, :, : len(mixing)].astype(np.float32) @ mixing
    if pixels.dtype != np.uint8:
        low, top = float(found.min()), float(found.max())
        if low < 0 or top <= 1 or top > 255:
            low, top = (0.0, 1.0) if low >= 0 and top <= 1 else (low, top)
            found = ((found - np.float64(low)) * (255 / (top - low) if top > low else 0.0)).astype(np.float32)
    made = found.round().clip(0, 255).astype(np.uint8)
    if view.zoom == 1:
        return made
    bands = (pillow().fromarray(np.ascontiguousarray(made[:, :, band])) for band in range(made.shape[2]))
    return np.stack([np.asarray(band.resize(view.shown[::-1], _BILINEAR)) for band in bands], 2)


def _mixing(channels: int, colour: bool) -> NDArray[Any]:
    """Return the weights of the first channels of a picture, of CHANNELS, in red, green and blue, or in grey."""
    import numpy as np

    if channels < len(GREY):
        return np.ones((1, 1), np.float32)
    return np.eye(len(GREY), dtype=np.float32) if colour else np.array(GREY, np.float32)[:, None]


def highest(
    level: DrawnMap, classes: Sequence[int], view: PictureView, *, upsample: bool = False
) -> Iterator[tuple[slice, slice, NDArray[Any]]]:
    """Yield the highest score of CLASSES in LEVEL for each drawn pixel, in bands: the rows, the columns, the scores.
    UPSAMPLE: scores are interpolated if cells are not smaller than the drawn pixels."""
    import numpy as np

    if upsample and is_coarse(level, view):
        yield from ((down, across, best) for down, across, best, _ in _interpolated(level, classes, view))
        return
    across, left, right = view.cells(level.columns, 0, view.shown[1])
    _, rows, columns = level.scores.shape
    for band in view.bands(_FLOAT * columns * max(1.0, rows / view.shown[0])):
        down, first, last = view.cells(level.rows, *band)
        if not len(first) or not len(left):
            continue
        found = np.array(level.scores.values()[classes[0], first[0] : last[-1] + 1])
        for index in classes[1:]:
            np.maximum(found, level.scores.values()[index, first[0] : last[-1] + 1], out=found)
        yield down, across, _pooled(_pooled(found, first - first[0], last - first[0], 0), left, right, 1)


def _pooled(values: NDArray[Any], first: NDArray[Any], last: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return the highest of VALUES along AXIS from FIRST to LAST."""
    import numpy as np

    if (first == last).all():
        return values.take(first, axis)
    behind = np.full_like(values.take([0], axis), -np.inf)  # reduceat takes no end after the last value
    ends = np.stack((first, last + 1), 1).ravel()
    return np.maximum.reduceat(np.concatenate((values, behind), axis), ends, axis).take(range(0, len(ends), 2), axis)


def is_coarse(level: DrawnMap, view: PictureView) -> bool:
    """Return whether no drawn pixel has several cells of LEVEL."""
    return not view.shares(level.rows) and not view.shares(level.columns)


def _interpolated(
    level: DrawnMap, classes: Sequence[int], view: PictureView
) -> Iterator[tuple[slice, slice, NDArray[Any], NDArray[Any]]]:
    """Yield the highest interpolated score of CLASSES for each drawn pixel, and its class, in bands."""
    import numpy as np

    across = view.between(level.columns, 0, view.shown[1])
    for band in view.bands(_INTERPOLATED * max(view.shown[1], level.columns.cells)):
        down = view.between(level.rows, *band)
        if not len(down.part) or not len(across.part):
            continue
        first, part = down.before[0], down.part[:, None]
        shape = len(down.part), len(across.part)
        best, top = np.full(shape, -np.inf, np.float32), np.full(shape, classes[0], np.int32)
        for index in classes:
            held = level.scores.values()[index, first : down.behind[-1] + 1]
            rows = held[down.before - first] * (1 - part) + held[down.behind - first] * part
            found = rows[:, across.before] * (1 - across.part) + rows[:, across.behind] * across.part
            better = found > best
            best[better], top[better] = found[better], index
        yield down.drawn, across.drawn, best, top


def top_classes(
    level: DrawnMap, view: PictureView, *, upsample: bool = False
) -> Iterator[tuple[slice, slice, NDArray[Any], NDArray[Any]]]:
    """Yield for each drawn pixel the highest score in LEVEL of the cell in its middle, and the class, in bands: the
    rows, the columns, the scores, the classes. UPSAMPLE: scores are interpolated if cells are not smaller than the
    drawn pixels."""
    import numpy as np

    if upsample and is_coarse(level, view):
        yield from _interpolated(level, range(level.scores.shape[0]), view)
        return
    across, left, right = view.cells(level.columns, 0, view.shown[1])
    columns, of_columns = np.unique((left + right) // 2, return_inverse=True)  # a cell is drawn as many pixels
    classes, high, held = level.scores.shape
    # for a map in a file, whole rows are read
    for band in view.bands(_FLOAT * classes * held * min(1.0, high / view.shown[0])):
        down, first, last = view.cells(level.rows, *band)
        if not len(first) or not len(columns):
            continue
        rows, of_rows = np.unique((first + last) // 2, return_inverse=True)
        scores = np.array(level.scores.values()[:, rows[:, None], columns[None, :]])
        index = scores.argmax(0)
        best = np.take_along_axis(scores, index[None], 0)[0]
        yield down, across, best[of_rows][:, of_columns], index[of_rows][:, of_columns]
