"""Finds the peaks of maps: where each class scores higher than around, as objects with boxes.

A peak of a map of windows is a local maximum, and its box is the window of its cell. If cells have no windows of their
own, because each is a pixel of a segmentation net or sees the whole picture, a peak is the highest cell of a connected
region above the threshold, and its box is around that region. Then boxes of one class that overlap a better one are
dropped, those of all scales together. The background has no peaks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.predict.cells import CellAxis
from caffe_fcn.predict.images.picture import Box
from caffe_fcn.predict.maxima import local_maxima, regions
from caffe_fcn.predict.options import PeakOptions
from caffe_fcn.predict.run import BlobResult, Level
from caffe_fcn.predict.suppression import suppress

if TYPE_CHECKING:
    from numpy.typing import NDArray

THRESHOLD = 0.5
"""The threshold for probabilities, and for other scores if none is given."""


class FoundPeak(NamedTuple):
    """A peak of class LABEL with its SCORE, at a cell of one of the levels, and its BOX in the picture."""

    label: int
    score: float
    level: int
    row: int
    column: int
    box: Box


@dataclass(frozen=True, kw_only=True, eq=False)
class Peaks:
    """The peaks of a BLOB above a THRESHOLD, the highest first. BEFORE is their number before suppression with the
    limit NMS. OF_REGIONS: boxes are those of regions, not of windows. CELLS has the label, level, row and column of
    each; BOXES its top, left, bottom and right."""

    blob: str
    threshold: float
    nms: float
    before: int
    of_regions: bool
    scores: NDArray[Any]
    cells: NDArray[Any]
    boxes: NDArray[Any]

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[FoundPeak]:
        for score, cell, box in zip(self.scores, self.cells, self.boxes, strict=True):
            label, level, row, column = cell.tolist()
            yield FoundPeak(label, float(score), level, row, column, Box(*box.tolist()))


def find_peaks(result: BlobResult, classes: Sequence[int], options: PeakOptions) -> Peaks:
    """Return the peaks of CLASSES in the maps of RESULT."""
    import numpy as np

    of_regions = not all(map(_has_windows, result.levels))
    threshold = THRESHOLD if options.threshold is None else options.threshold
    find = _regions if of_regions else _windows
    sides = [[*map(_ends, level.cells if not of_regions else level.cells.placed)] for level in result.levels]
    found, before = [_Part.empty()], 0
    for label in classes:
        parts = [
            find(level, number, label, threshold, *ends)
            for number, (level, ends) in enumerate(zip(result.levels, sides, strict=True))
        ]
        part = _Part.joined(parts).ranked()
        before += len(part.scores)
        found.append(part.picked(suppress(part.boxes.tolist(), options.nms)))
    every = _Part.joined(found).ranked()
    return Peaks(
        blob=result.output.name,
        threshold=threshold,
        nms=options.nms,
        before=before,
        of_regions=of_regions,
        scores=every.scores,
        cells=every.cells,
        boxes=np.asarray(every.boxes),
    )


def _has_windows(level: Level) -> bool:
    """Return whether the window of a cell shows what its answer is about. A cell for a pixel is about that pixel,
    whatever it sees, unless the map is that of a coarser net on shifted pictures."""
    return not level.cells.see_all and (level.shifts > 1 or not level.cells.pixelwise)


class _Part(NamedTuple):
    """Some peaks: their scores, cells and boxes as in `Peaks`."""

    scores: NDArray[Any]
    cells: NDArray[Any]
    boxes: NDArray[Any]

    @classmethod
    def empty(cls) -> _Part:
        import numpy as np

        return cls(np.zeros(0, np.float32), np.zeros((0, 4), np.int32), np.zeros((0, 4), np.int32))

    @classmethod
    def joined(cls, parts: Sequence[_Part]) -> _Part:
        import numpy as np

        return cls(*map(np.concatenate, zip(*parts, strict=True)))

    def picked(self, places: Sequence[int] | NDArray[Any]) -> _Part:
        import numpy as np

        return _Part(*(values[np.asarray(places, np.intp)] for values in self))

    def ranked(self) -> _Part:
        """The same, the highest score first, then in the order of classes, levels, rows and columns."""
        import numpy as np

        return self.picked(np.lexsort((*self.cells.T[::-1], -self.scores)))


def _ends(axis: CellAxis) -> NDArray[Any]:
    """Return for each cell of AXIS the pixels of its window, or of the cell itself if it has no window: the first, and
    the one after the last."""
    import numpy as np

    return np.array([axis.window_of(cell) for cell in range(axis.cells)], np.int32).reshape(-1, 2)


def _windows(
    level: Level, number: int, label: int, threshold: float, rows: NDArray[Any], columns: NDArray[Any]
) -> _Part:
    """Return the local maxima of class LABEL at LEVEL, the one with this NUMBER. ROWS and COLUMNS have the windows of
    the cells along both axes."""
    import numpy as np

    found = local_maxima(level.scores.values()[label], threshold)
    down, across = rows[found.rows], columns[found.columns]
    boxes = np.stack((down[:, 0], across[:, 0], down[:, 1], across[:, 1]), 1)
    return _Part(found.scores, _cells(label, number, found.rows, found.columns), boxes)


def _regions(
    level: Level, number: int, label: int, threshold: float, rows: NDArray[Any], columns: NDArray[Any]
) -> _Part:
    """Return the highest cell of each region of class LABEL at LEVEL, the one with this NUMBER. ROWS and COLUMNS have
    the pixels of the cells along both axes."""
    import numpy as np

    found = regions(level.scores.values()[label], threshold)
    top, left = rows[found.first[:, 0], 0], columns[found.first[:, 1], 0]
    bottom, right = rows[found.last[:, 0], 1], columns[found.last[:, 1], 1]
    boxes = np.stack((top, left, bottom, right), 1)
    return _Part(found.scores, _cells(label, number, found.rows, found.columns), boxes)


def _cells(label: int, number: int, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    return np.stack((np.full(len(rows), label), np.full(len(rows), number), rows, columns), 1).astype(np.int32)
