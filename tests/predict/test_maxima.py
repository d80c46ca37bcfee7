"""Local maxima and regions of a map, compared with a plain search cell by cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from caffe_fcn.predict import maxima
from caffe_fcn.predict.maxima import Places, local_maxima, regions

Cell = tuple[int, int]


def groups(scores: NDArray[np.float32], joined: Callable[[Cell, Cell], bool], limit: float) -> Iterator[set[Cell]]:
    """The groups of cells above LIMIT in which neighbours are JOINED, by a walk from cell to cell."""
    left = {(int(row), int(column)) for row, column in np.argwhere(scores > limit)}
    while left:
        group, edge = set(), [left.pop()]
        while edge:
            cell = edge.pop()
            group.add(cell)
            found = {each for each in around(cell) if each in left and joined(cell, each)}
            left -= found
            edge += found
        yield group


def around(cell: Cell) -> Iterator[Cell]:
    yield from ((cell[0] + down, cell[1] + right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right)


def middle(group: set[Cell]) -> Cell:
    rows, columns = (sum(places) for places in zip(*group, strict=True))
    many = len(group)
    return min(group, key=lambda cell: ((many * cell[0] - rows) ** 2 + (many * cell[1] - columns) ** 2, cell))


def plain_maxima(scores: NDArray[np.float32], limit: float) -> list[Cell]:
    high, wide = scores.shape
    found = []
    for group in groups(scores, lambda one, other: bool(scores[one] == scores[other]), limit):
        value = scores[next(iter(group))]
        edge = {each for cell in group for each in around(cell) if 0 <= each[0] < high and 0 <= each[1] < wide}
        if not any(scores[each] > value for each in edge):
            found.append(middle(group))
    return sorted(found)


def plain_regions(scores: NDArray[np.float32], limit: float) -> list[tuple[Cell, Cell, Cell]]:
    found = []
    for group in groups(scores, lambda one, other: True, limit):
        most = max(scores[cell] for cell in group)
        rows, columns = zip(*group, strict=True)
        place = middle({cell for cell in group if scores[cell] == most})
        found.append((place, (min(rows), min(columns)), (max(rows), max(columns))))
    return sorted(found)


def cells_of(found: Places) -> list[Cell]:
    return [*zip(found.rows.tolist(), found.columns.tolist(), strict=True)]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("band", [1, 1 << 20])
def test_maxima_and_regions_of_random_maps_with_plateaus(seed: int, band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maxima, "_BAND", band)  # of one row, or of all
    random = np.random.default_rng(seed)
    scores = random.integers(0, random.integers(2, 7), random.integers(1, 11, 2)).astype(np.float32)
    limit = int(random.integers(-1, 3))
    found = local_maxima(scores, limit)
    assert cells_of(found) == plain_maxima(scores, limit)
    assert found.scores.tolist() == [scores[cell] for cell in cells_of(found)]
    grown = regions(scores, limit)
    ends = (map(tuple, each.tolist()) for each in (grown.first, grown.last))
    assert [*zip(cells_of(grown), *ends, strict=True)] == plain_regions(scores, limit)


def test_a_plateau_is_one_place_at_its_middle() -> None:
    scores = np.zeros((5, 7), np.float32)
    scores[1:4, 1:6] = 1
    assert cells_of(local_maxima(scores, 0.5)) == [(2, 3)]
    scores[4, 6] = 2  # now the plateau leads up to a higher cell
    assert cells_of(local_maxima(scores, 0.5)) == [(4, 6)]


def test_rows_do_not_touch_around_the_border() -> None:
    scores = np.array([[0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 2]], np.float32)
    assert cells_of(local_maxima(scores, 0.5)) == [(0, 2), (1, 0), (3, 2)]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 4)])
def test_equal_scores_everywhere(shape: Cell) -> None:
    scores = np.full(shape, 0.5, np.float32)
    assert cells_of(local_maxima(scores, 0.25)) == [((shape[0] - 1) // 2, (shape[1] - 1) // 2)]
    assert cells_of(local_maxima(scores, 0.5)) == []


def test_the_threshold_is_in_single_precision_as_scores_are() -> None:
    scores = np.array([[np.float32(0.3)]])
    assert cells_of(local_maxima(scores, 0.3)) == []
    assert cells_of(local_maxima(scores, 0.2999)) == [(0, 0)]


def test_numbers_that_are_none() -> None:
    scores = np.array([[np.nan, 1, np.nan], [np.inf, np.nan, 0], [-np.inf, 3, 3]], np.float32)
    assert cells_of(local_maxima(scores, -np.inf)) == [(1, 0)]
    assert cells_of(local_maxima(np.full((2, 2), -np.inf, np.float32), -np.inf)) == []


def test_a_spiral_is_one_region() -> None:
    scores = np.zeros((31, 31), np.float32)
    row, column, (down, right), most = 0, 0, (0, 1), 30
    for turn in range(16):
        for _ in range(most):
            scores[row, column] = 1
            row, column = row + down, column + right
        down, right = right, -down
        most -= 2 * (turn > 0 and turn % 2 == 0)
    assert len(regions(scores, 0.5).rows) == len(local_maxima(scores, 0.5).rows) == 1
