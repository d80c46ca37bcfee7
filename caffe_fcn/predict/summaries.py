"""Summarizes answers: the best classes, their positions, and statistics of numbers.

Everything is collected in bands of rows of a map, because a map may be larger than memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.engines.protocol import Array
from caffe_fcn.predict.maps import Map
from caffe_fcn.predict.run import BlobResult, Level

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Found(NamedTuple):
    """A class with its SCORE, at a cell of one of the levels."""

    label: int
    score: float
    level: int = 0
    row: int = 0
    column: int = 0


def tops(scores: Map) -> Iterator[tuple[int, NDArray[Any], NDArray[Any]]]:
    """Yield the top class of each cell, and its score, in bands of rows, each with its first row."""
    import numpy as np

    for row, band in scores.bands():
        top = band.argmax(0)
        yield row, top, np.take_along_axis(band, top[None], 0)[0]


class Summary(NamedTuple):
    """For each level, the number of cells in which each class is the top class; and the highest score of each such
    class, with its position, the highest first. The background has no position."""

    counts: tuple[tuple[int, ...], ...]
    best: tuple[Found, ...]


def summarize(levels: Sequence[Level], background: int | None = None) -> Summary:
    """Return the `Summary` of LEVELS."""
    import numpy as np

    counts = []
    best: dict[int, Found] = {}
    for number, level in enumerate(levels):
        classes, _, columns = level.scores.shape
        count = np.zeros(classes, np.int64)
        for row, top, score in tops(level.scores):
            count += np.bincount(top.ravel(), minlength=classes)
            order = np.argsort(-score.ravel(), kind="stable")
            seen, firsts = np.unique(top.ravel()[order], return_index=True)
            for index, place in zip(seen.tolist(), order[firsts].tolist(), strict=True):
                value = float(score.flat[place])
                if index != background and (index not in best or value > best[index].score):
                    best[index] = Found(index, value, number, row + place // columns, place % columns)
        counts.append(tuple(count.tolist()))
    return Summary(tuple(counts), tuple(sorted(best.values(), key=lambda each: (-each.score, each.label))))


def highest(levels: Sequence[Level]) -> Found:
    """Return the cell with the highest value in the one-channel maps at LEVELS."""
    return max(summarize(levels).best, key=lambda each: each.score)


def best_classes(values: Array, most: int) -> list[Found]:
    """Return the MOST classes with the highest scores in VALUES, each class once."""
    import numpy as np

    scores = values.reshape(-1)
    return [Found(int(index), float(scores[index])) for index in np.argsort(-scores, kind="stable")[:most]]


class NumberSummary(NamedTuple):
    """Statistics of numbers; NORM is the square root of the sum of their squares."""

    least: float
    most: float
    mean: float
    norm: float


def of_channels(scores: Map) -> list[NumberSummary]:
    """Return the `NumberSummary` of each channel of a map."""
    import numpy as np

    channels, rows, columns = scores.shape
    least, most = np.full(channels, np.inf), np.full(channels, -np.inf)
    total, squares = np.zeros(channels), np.zeros(channels)
    for _, band in scores.bands():
        wide = np.asarray(band, np.float64).reshape(channels, -1)
        least, most = np.minimum(least, wide.min(1)), np.maximum(most, wide.max(1))
        total, squares = total + wide.sum(1), squares + (wide * wide).sum(1)
    found = zip(least, most, total / (rows * columns), np.sqrt(squares), strict=True)
    return [NumberSummary(*map(float, each)) for each in found]


def statistics(result: BlobResult, level: Level | None = None) -> NumberSummary:
    """Return the `NumberSummary` of RESULT, or of its map at one LEVEL."""
    import numpy as np

    pieces = iter((result.values,)) if level is None else (band for _, band in level.scores.bands())
    least, most, total, squares, count = math.inf, -math.inf, 0.0, 0.0, 0
    for piece in pieces:
        wide = np.asarray(piece, np.float64)
        if wide.size:
            least, most = min(least, float(wide.min())), max(most, float(wide.max()))
            total, squares, count = total + float(wide.sum()), squares + float((wide * wide).sum()), count + wide.size
    return NumberSummary(least, most, total / count, math.sqrt(squares)) if count else NumberSummary(0, 0, 0, 0)
