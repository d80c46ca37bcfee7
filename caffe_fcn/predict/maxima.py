"""Finds the places where a map of one class is highest: local maxima, or connected regions above a threshold.

A cell has up to eight neighbours. A local maximum is a cell that no neighbour exceeds. Neighbours with the same highest
score form a plateau, which is one maximum, at the cell nearest to its middle; it is none if any of its cells has a
higher neighbour. Only the cells above the threshold are kept in memory; the map is read in bands of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BAND = 16 << 20
"""The bytes of a map that are read together."""

_FLOAT = 4


class Places(NamedTuple):
    """Cells of a map in the order of rows and columns, with their SCORES. Each stands for a plateau or region, of which
    FIRST and LAST are the first and the last row and column, N×2."""

    rows: NDArray[Any]
    columns: NDArray[Any]
    scores: NDArray[Any]
    first: NDArray[Any]
    last: NDArray[Any]


class _Above(NamedTuple):
    """The cells of a map above a threshold: their numbers, row by row, and SCORES. EXCEEDED marks those with a higher
    neighbour; LIKE is the number of neighbours with the same score."""

    cells: NDArray[Any]
    scores: NDArray[Any]
    exceeded: NDArray[Any]
    like: NDArray[Any]


def local_maxima(scores: NDArray[Any], threshold: float) -> Places:
    """Return the local maxima above THRESHOLD in SCORES, rows × columns. Cells that are NaN are ignored."""
    import numpy as np

    wide = scores.shape[1]
    above = _above(scores, threshold)
    high = _Above(*(values[~above.exceeded] for values in above))
    one, other = _pairs(high.cells, wide)
    groups = _joined(len(high.cells), one, other)
    # a plateau cell that has a higher neighbour is not among these cells, but its neighbours on the plateau count it
    counted = np.bincount(one, minlength=len(groups)) + np.bincount(other, minlength=len(groups))
    wrong = np.zeros(len(groups), bool)
    wrong[groups[counted < high.like]] = True
    kept = ~wrong[groups]
    return _places(high.cells[kept], high.scores[kept], groups[kept], wide)


def regions(scores: NDArray[Any], threshold: float) -> Places:
    """Return the highest cell of each connected region of cells above THRESHOLD in SCORES, rows × columns; if several
    cells of a region are equally high, the one nearest to their middle."""
    above = _above(scores, threshold)
    groups = _joined(len(above.cells), *_pairs(above.cells, scores.shape[1]))
    return _places(above.cells, above.scores, groups, scores.shape[1])


def _above(scores: NDArray[Any], threshold: float) -> _Above:
    import numpy as np

    high, wide = scores.shape
    limit = np.float32(threshold)
    found = [_Above(np.zeros(0, np.intp), np.zeros(0, np.float32), np.zeros(0, bool), np.zeros(0, np.int8))]
    for first, end in _bands(high, wide):
        band = np.full((end - first + 2, wide + 2), -np.inf, np.float32)
        start, stop = max(0, first - 1), min(high, end + 1)
        band[1 + start - first : 1 + stop - first, 1:-1] = scores[start:stop]
        rows, columns = np.nonzero(band[1:-1, 1:-1] > limit)
        if not len(rows):
            continue
        flat, places = band.ravel(), (rows + 1) * (wide + 2) + columns + 1
        values = flat[places]
        exceeded, like = np.zeros(len(rows), bool), np.zeros(len(rows), np.int8)
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                if down or right:
                    beside = flat[places + (down * (wide + 2) + right)]
                    exceeded |= beside > values
                    like += beside == values
        found.append(_Above((rows + first) * wide + columns, values, exceeded, like))
    return _Above(*map(np.concatenate, zip(*found, strict=True)))


def _bands(high: int, wide: int) -> Iterator[tuple[int, int]]:
    step = max(1, _BAND // (_FLOAT * max(1, wide)))
    yield from ((first, min(first + step, high)) for first in range(0, high, step))


def _pairs(cells: NDArray[Any], wide: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the pairs of neighbours among CELLS, which are in order, of a map WIDE cells wide, by their positions in
    CELLS. Each pair is there once."""
    import numpy as np

    ones, others = [], []
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
        column = cells % wide + right
        start = np.flatnonzero((column >= 0) & (column < wide))
        wanted = cells[start] + down * wide + right
        place = np.searchsorted(cells, wanted)
        place[place == len(cells)] = 0
        there = cells[place] == wanted
        ones.append(start[there])
        others.append(place[there])
    return np.concatenate(ones), np.concatenate(others)


def _joined(count: int, one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Return for each of COUNT things the first of those with which it is connected by the pairs ONE and OTHER."""
    import numpy as np

    root = np.arange(count)
    while len(one):
        low, high = np.minimum(root[one], root[other]), np.maximum(root[one], root[other])
        np.minimum.at(root, high, low)
        while (root != (further := root[root])).any():
            root = further
        apart = root[one] != root[other]
        one, other = one[apart], other[apart]
    return root


def _places(cells: NDArray[Any], scores: NDArray[Any], groups: NDArray[Any], wide: int) -> Places:
    """Return the place of each of GROUPS, to which CELLS with SCORES belong: of the highest cells the nearest to their
    middle; of cells at the same distance the first."""
    import numpy as np

    rows, columns = np.divmod(cells, wide)
    names, group = np.unique(groups, return_inverse=True)
    many = len(names)
    best = np.full(many, -np.inf, np.float32)
    np.maximum.at(best, group, scores)
    places, first = np.stack((rows, columns), 1), np.full((many, 2), len(cells) and cells[-1])
    last = np.zeros((many, 2), first.dtype)
    np.minimum.at(first, group, places)
    np.maximum.at(last, group, places)
    top = np.flatnonzero(scores == best[group])
    group, weight = group[top], np.bincount(group[top], minlength=many)
    away = np.zeros(len(top))
    for values in (rows, columns):
        middle = np.bincount(group, values[top], minlength=many)
        away += (values[top] * weight[group] - middle[group]) ** 2.0
    order = np.lexsort((cells[top], away, group))
    _, firsts = np.unique(group[order], return_index=True)
    chosen = top[order[firsts]]
    chosen_rank = np.argsort(cells[chosen])
    found = chosen[chosen_rank]
    return Places(rows[found], columns[found], scores[found], first[chosen_rank], last[chosen_rank])
