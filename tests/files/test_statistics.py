"""Statistics of blobs: the same as numpy's over the whole, whatever the encoding and the block, in bounded memory."""

from __future__ import annotations

import math
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fcn.errors import CaffemodelError
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.files.statistics import Statistics, blob_statistics
from tests.files.encodings import (
    ENCODINGS,
    bytes_field,
    layer,
    matrix,
    model,
    packed,
    shape_field,
    unpacked,
    varint_field,
)


def statistics(path: Path, blob: bytes, block: int = 1 << 18) -> Statistics:
    """The statistics of BLOB, a message, written to a file."""
    with open_caffemodel(model(path / "net.caffemodel", layer("fc", [blob]))) as weights:
        return blob_statistics(weights, weights.layers[0].blobs[0], block)


def of_values(path: Path, values: list[float], dtype: str = "<f4", block: int = 1 << 18) -> Statistics:
    array = np.array(values, dtype)
    return statistics(path, shape_field(array.shape) + packed(5 if dtype == "<f4" else 8, array), block)


@pytest.mark.parametrize("block", [1, 7, 1000, 1 << 18])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_in_blocks_of_any_size(tmp_path: Path, encoding: str, block: int) -> None:
    values = matrix(9, 13)
    found = statistics(tmp_path, ENCODINGS[encoding](values), block)
    assert found == Statistics(117, 0.0, 116.0, 58.0, 1, 0, 0)


def test_the_mean_is_taken_in_double_precision(tmp_path: Path) -> None:
    values = np.full(1 << 20, 0.1, "<f4")
    found = statistics(tmp_path, shape_field(values.shape) + packed(5, values))
    assert found.mean == float(np.float32(0.1))


def test_what_is_no_number_is_counted_and_left_out(tmp_path: Path) -> None:
    found = of_values(tmp_path, [math.nan, 1, math.inf, -3, 0, -math.inf, -0.0, math.nan], block=3)
    assert found == Statistics(8, -3.0, 1.0, -0.5, 2, 2, 2)


@pytest.mark.parametrize("values", [[math.nan], [math.inf, -math.inf, math.nan]])
def test_no_finite_value(tmp_path: Path, values: list[float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = of_values(tmp_path, values, block=2)
    assert found[1:4] == (None, None, None)
    assert found.nan + found.inf == len(values)


def test_no_value_at_all(tmp_path: Path) -> None:
    assert statistics(tmp_path, shape_field((0,))) == Statistics(0, None, None, None, 0, 0, 0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("block", [1, 2, 3, 4, 9])
def test_the_largest_doubles_have_a_mean(tmp_path: Path, block: int) -> None:
    largest = float(np.finfo("f8").max)
    assert of_values(tmp_path, [largest] * 4, "<f8", block)[:4] == (4, largest, largest, largest)
    assert of_values(tmp_path, [largest, 0] * 4, "<f8", block).mean == pytest.approx(largest / 2)
    assert of_values(tmp_path, [largest, -largest] * 2, "<f8", block).mean == pytest.approx(0, abs=1e-15 * largest)


def test_the_largest_floats_have_a_mean(tmp_path: Path) -> None:
    largest = float(np.finfo("f4").max)
    assert of_values(tmp_path, [largest] * 100)[1:4] == (largest, largest, largest)


def test_half_precision_does_not_overflow(tmp_path: Path) -> None:
    values = np.full(70_000, 2.0, "<f2")
    blob = shape_field(values.shape) + packed(12, values) + varint_field(10, 2)
    assert statistics(tmp_path, blob).mean == 2.0


@pytest.mark.parametrize(("kind", "dtype"), [(3, "<i4"), (4, "<u4"), (5, "u1")])
def test_whole_numbers(tmp_path: Path, kind: int, dtype: str) -> None:
    values = np.array([0, 1, 1, 0, 1], dtype)
    blob = shape_field(values.shape) + packed(12, values) + varint_field(10, kind)
    assert statistics(tmp_path, blob) == Statistics(5, 0.0, 1.0, 0.6, 2, 0, 0)


@pytest.mark.thorough
@settings(max_examples=60)
@given(
    values=st.lists(st.floats(width=32) | st.sampled_from([0.0, math.nan, math.inf]), min_size=1, max_size=40),
    block=st.integers(1, 41),
)
def test_the_same_as_over_the_whole(tmp_path_factory: pytest.TempPathFactory, values: list[float], block: int) -> None:
    found = of_values(tmp_path_factory.mktemp("model"), values, block=block)
    finite = [value for value in values if math.isfinite(value)]
    assert (found.minimum, found.maximum) == (min(finite, default=None), max(finite, default=None))
    assert found.zeros == values.count(0)
    assert found.nan == sum(map(math.isnan, values))
    assert found.inf == sum(map(math.isinf, values))
    if found.mean is not None:
        scale = max(map(abs, finite))
        assert found.mean == pytest.approx(math.fsum(finite) / len(finite), rel=1e-12, abs=1e-12 * scale)


@pytest.mark.parametrize("write", [packed, unpacked])
def test_memory_does_not_grow_with_the_blob(tmp_path: Path, write: object) -> None:
    count = 3 << 20
    if write is packed:
        blob = shape_field((count,)) + packed(5, np.ones(count, "<f4"))
    else:
        tagged = np.zeros(count, np.dtype([("tag", "u1"), ("value", "<f4")]))
        tagged["tag"] = 5 << 3 | 5
        tagged["value"] = 1
        blob = shape_field((count,)) + tagged.tobytes()
    with open_caffemodel(model(tmp_path / "net.caffemodel", layer("fc", [blob]))) as weights:
        del blob
        tracemalloc.start()
        try:
            found = blob_statistics(weights, weights.layers[0].blobs[0])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert found == Statistics(count, 1.0, 1.0, 1.0, 0, 0, 0)
    assert peak < 5 << 20


def test_a_file_that_was_cut_short_is_told(tmp_path: Path) -> None:
    path = model(tmp_path / "net.caffemodel", layer("fc", [ENCODINGS["packed"](matrix(100, 100))]))
    with open_caffemodel(path) as weights:
        with open(path, "r+b") as file:
            file.truncate(2000)
        with pytest.raises(CaffemodelError, match=r"net\.caffemodel"):
            blob_statistics(weights, weights.layers[0].blobs[0])


def test_the_gradient_beside_the_values_is_left_out(tmp_path: Path) -> None:
    values = np.zeros(4, "<f4")
    blob = shape_field((4,)) + packed(5, values) + bytes_field(6, np.full(4, 9, "<f4").tobytes())
    assert statistics(tmp_path, blob).maximum == 0.0
