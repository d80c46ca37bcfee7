"""Maps in memory and in files, what they say, and where their cells lie."""

from __future__ import annotations

import errno
import io
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe_fcn.errors import OutputError
from caffe_fcn.net.geometry import AxisGeometry, CellPhase
from caffe_fcn.predict import maps
from caffe_fcn.predict.cells import CellAxis, Cells
from caffe_fcn.predict.images.picture import Box
from caffe_fcn.predict.maps import Map
from caffe_fcn.predict.run import Level
from caffe_fcn.predict.summaries import Found, best_classes, summarize

PLACES = ("memory", "temporary", "file")


def made(values: Any, place: str, directory: Path) -> Map:
    """A map of VALUES, written block by block."""
    path = directory / "map.npy"
    path.touch()
    found = Map(values.shape, str(path) if place == "file" else None)
    for row in range(0, values.shape[1], 3):
        for column in range(0, values.shape[2], 4):
            found.write(row, column, values[:, row : row + 3, column : column + 4])
    return found


@pytest.mark.parametrize("place", PLACES)
def test_a_map_is_what_was_written(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "IN_MEMORY", 0 if place == "temporary" else 1 << 20)
    monkeypatch.setattr(maps, "_BAND", 4 * 5 * 11 * 2)
    values = np.random.default_rng(0).random((5, 7, 11), np.float32)
    with made(values, place, tmp_path) as found:
        np.testing.assert_array_equal(found.values(), values)
        bands = list(found.bands())
        assert [row for row, _ in bands] == [0, 2, 4, 6]
        np.testing.assert_array_equal(np.concatenate([band for _, band in bands], 1), values)
        np.testing.assert_array_equal(np.load(io.BytesIO(b"".join(found.npy()))), values)
    if place == "file":
        np.testing.assert_array_equal(np.load(tmp_path / "map.npy"), values)
        assert (tmp_path / "map.npy").read_bytes() == b"".join(saved(values))


def saved(values: Any) -> list[bytes]:
    file = io.BytesIO()
    np.save(file, values)
    return [file.getvalue()]


def test_a_map_may_get_another_name(tmp_path: Path) -> None:
    with made(np.ones((1, 2, 2), np.float32), "file", tmp_path) as found:
        os.rename(tmp_path / "map.npy", tmp_path / "other.npy")
        assert found.values().sum() == 4


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="room cannot be taken beforehand here")
def test_room_is_taken_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "posix_fallocate", full)
    (tmp_path / "x").touch()
    with pytest.raises(OutputError, match=r"^the map.npy: the disk is full: 400 bytes are needed"):
        Map((1, 10, 10), str(tmp_path / "x"), "the map.npy")
    monkeypatch.setattr(maps, "IN_MEMORY", 0)
    with pytest.raises(OutputError, match=r"^a temporary file for the map: the disk is full"):
        Map((1, 10, 10))


# ---- What maps say ----


@pytest.mark.thorough
@given(
    st.integers(1, 4),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.integers(0, 1000),
    st.sampled_from([None, 0, 1]),
)
def test_summaries(classes: int, shape: tuple[int, int], seed: int, background: int | None) -> None:
    values = np.random.default_rng(seed).integers(0, 3, (2, classes, *shape)).astype(np.float32)
    levels = []
    for each in values:
        into = Map((classes, *shape))
        into.write(0, 0, each)
        levels.append(Level(1.0, Cells(axis(6, 1, 1, 0), axis(6, 1, 1, 0)), into, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps, "_BAND", 40)
        found = summarize(levels, background)
    expected: dict[int, Found] = {}
    counts = np.zeros((2, classes), int)
    for level, row, column in np.ndindex(2, *shape):
        scores = values[level, :, row, column]
        top = int(scores.argmax())
        counts[level, top] += 1
        if top != background and (top not in expected or scores[top] > expected[top].score):
            expected[top] = Found(top, float(scores[top]), level, row, column)
    assert found.counts == tuple(map(tuple, counts.tolist()))
    assert found.best == tuple(sorted(expected.values(), key=lambda each: (-each.score, each.label)))


def test_the_best_classes() -> None:
    found = best_classes(np.array([[0.5, 2, -1, 2]], np.float32), 3)
    assert [(each.label, each.score) for each in found] == [(1, 2), (3, 2), (0, 0.5)]


# ---- Where cells lie ----


def axis(cells: int, window: int, stride: int, offset: float, size: int = 100) -> CellAxis:
    first = Fraction(offset) - Fraction(window - 1, 2)
    return CellAxis(size, cells, AxisGeometry((CellPhase(int(first), int(first) + window - 1),), stride, size))


def test_windows_of_cells() -> None:
    cells = Cells(axis(5, 20, 4, 9.5), axis(5, 3, 2, 0))
    assert cells.shape == (5, 5)
    assert cells.window_of(0, 0) == Box(0, 0, 20, 2)  # the column before the picture is padding
    assert cells.window_of(2, 3) == Box(8, 5, 28, 8)
    assert axis(10, 7, 10, 99).window_of(5) == (100, 100)  # all of it is padding


def test_cells_of_a_scaled_picture() -> None:
    twice = axis(5, 20, 4, 9.5, 200).scaled(100)
    assert (twice.size, twice.cells, twice.window) == (100, 5, 10)
    assert (twice.stride, twice.offset) == (Fraction(2), Fraction(9, 2))
    assert twice.window_of(0) == (0, 10) and twice.window_of(1) == (2, 12)
    half = axis(5, 20, 4, 9.5, 50).scaled(100)
    assert half.window_of(0) == (0, 40) and half.window_of(1) == (8, 48)
