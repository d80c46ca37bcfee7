"""Tensors: the same values whether read whole, in pieces, or through a file that they were written to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from caffe_fcn import schema
from caffe_fcn.files.blobs import DType
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.files.hdf5_writing import write_hdf5
from caffe_fcn.files.parts import Stretch
from caffe_fcn.files.rewrite import Entry, write
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model import tensors
from caffe_fcn.model.entries import held_in
from caffe_fcn.model.reorder import Reorder
from caffe_fcn.model.tensors import Cast, Columns, Reordered, Repeating, Reshaped, Tensor, stored
from tests.files.encodings import ENCODINGS, layer, matrix, model, parsed

ARRAY = matrix(6, 20)


@dataclass(frozen=True, repr=False)
class Doubled(Tensor):
    """A tensor that is computed, as a pass would have it."""

    of: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return self.of.shape

    @property
    def dtype(self) -> DType:
        return self.of.dtype

    def rows(self, first: int, last: int) -> NDArray[Any]:
        return 2 * self.of.rows(first, last)


def turned(of: Tensor) -> Tensor:
    return Reordered(of, Reorder(20, 6, True), (20, 6))


MADE: dict[str, tuple[Callable[[Tensor], Tensor], NDArray[Any]]] = {
    "stored": (lambda of: of, ARRAY),
    "reshaped": (lambda of: of.reshaped((6, 5, 2, 2)), ARRAY.reshape(6, 5, 2, 2)),
    "transposed": (turned, ARRAY.T),
    "turned twice": (lambda of: Reordered(turned(of), Reorder(6, 20, True), (6, 20)), ARRAY),
    "turned, reshaped": (lambda of: turned(of).reshaped((5, 4, 6)), ARRAY.T.reshape(5, 4, 6)),
    "columns": (lambda of: Columns(of, 20, 3, 8, (6, 5)), ARRAY[:, 3:8]),
    "columns of rows": (
        lambda of: Columns(turned(of), 6, 1, 5, (20, 4)),
        ARRAY.T[:, 1:5],
    ),
    "computed": (Doubled, 2 * ARRAY),
    "computed, reshaped": (lambda of: Doubled(of).reshaped((3, 40)), 2 * ARRAY.reshape(3, 40)),
    "computed of reordered": (lambda of: Doubled(turned(of)), 2 * ARRAY.T),
    "reordered computed": (
        lambda of: Reordered(Doubled(of), Reorder(20, 6, True), (20, 2, 3)),
        2 * ARRAY.T.reshape(20, 2, 3),
    ),
    "cast": (lambda of: Cast(Doubled(of), "float64"), (2 * ARRAY).astype("<f8")),
    "repeating": (lambda of: Repeating((2, 3, 2), (1.0, 0.5)), np.array([1, 0.5] * 6, "<f4").reshape(2, 3, 2)),
    "a single value": (lambda of: Repeating((), (2.5,)), np.array(2.5, "<f4")),
    "half": (lambda of: Cast(of, "float16"), ARRAY.astype("<f2")),
}


@pytest.mark.parametrize("encoding", ["packed", "unpacked"])
@pytest.mark.parametrize("name", MADE)
def test_values(name: str, encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However they are read, and whatever file they are written to."""
    make, expected = MADE[name]
    for limit in (tensors._STRIP, 7):
        monkeypatch.setattr(tensors, "_STRIP", limit)
        monkeypatch.setattr(tensors, "PANEL", 16 * limit)
        with open_caffemodel(model(tmp_path / "m", layer("fc", [ENCODINGS[encoding](ARRAY)]))) as weights:
            made = make(stored(weights.source, weights.layers[0].blobs[0]).reshaped((6, 20)))
            assert (made.shape, made.count, made.size) == (expected.shape, expected.size, expected.nbytes)
            np.testing.assert_array_equal(made.read(0, made.count), expected.ravel())
            last = made.count - made.count // 3
            np.testing.assert_array_equal(made.read(made.count // 3, last), expected.ravel()[made.count // 3 : last])
            if made.shape:
                np.testing.assert_array_equal(made.rows(1, 2), expected[1:2])
            header = schema.LayerParameter(name="new")
            write(weights, tmp_path / "out", [*held_in(weights), Entry(header, (made,))])
            write_hdf5(weights, tmp_path / "out.h5", [Entry(header, (made,))])
        for path in (tmp_path / "out", tmp_path / "out.h5"):
            with open_weights(path) as again:
                (blob,) = again.layers[-1].blobs
                assert blob.shape == expected.shape
                np.testing.assert_array_equal(again.read_values(blob, 0, blob.count), expected.ravel())
        if expected.dtype != "<f2":
            (new,) = parsed(tmp_path / "out").layer[-1].blobs
            assert np.array_equal(new.double_data or new.data, expected.ravel()), "where Caffe looks for them"


def test_what_is_not_changed_is_a_range_of_the_file(tmp_path: Path) -> None:
    with open_caffemodel(model(tmp_path / "m", layer("fc", [ENCODINGS["packed"](ARRAY)]))) as weights:
        fc = stored(weights.source, weights.layers[0].blobs[0])
        for tensor in (fc, fc.reshaped((20, 6)), Cast(fc, "float32"), Reshaped(fc, (120,))):
            assert [type(chunk) for chunk in tensor.chunks()] == [Stretch]


def test_a_computed_tensor_is_made_panel_by_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    @dataclass(frozen=True, repr=False)
    class Watched(Doubled):
        def rows(self, first: int, last: int) -> NDArray[Any]:
            asked.append((first, last))
            return super().rows(first, last)

    monkeypatch.setattr(tensors, "PANEL", 3 * 20 * 4)
    assert sum(chunk.nbytes for chunk in Watched(Repeating((8, 20), (1.0,))).chunks()) == 8 * 20 * 4
    assert asked == [(0, 3), (3, 6), (6, 8)]
