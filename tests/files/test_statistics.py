"""Statistics of blobs: the same as numpy's over the whole, whatever the encoding and the block, in bounded memory."""

from __future__ import annotations

import math
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from caffe_fcn.errors import CaffemodelError
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.files.statistics import BINS, Gathering, Statistics, blob_statistics
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


def gathered(values: NDArray[Any], block: int = 1 << 18) -> Gathering:
    """What is gathered of VALUES, BLOCK at a time."""
    found = Gathering(histogram=True)
    for start in range(0, len(values), block):
        found.add(values[start : start + block])
    return found


def same(found: Statistics, expected: Statistics) -> bool:
    """Whether FOUND is as EXPECTED, the deviation but for rounding."""
    return found._replace(deviation=expected.deviation) == expected and found.deviation == pytest.approx(
        expected.deviation, rel=1e-12
    )


def of_values(path: Path, values: list[float], dtype: str = "<f4", block: int = 1 << 18) -> Statistics:
    array = np.array(values, dtype)
    return statistics(path, shape_field(array.shape) + packed(5 if dtype == "<f4" else 8, array), block)


@pytest.mark.parametrize("block", [1, 7, 1000, 1 << 18])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_in_blocks_of_any_size(tmp_path: Path, encoding: str, block: int) -> None:
    values = matrix(9, 13)
    found = statistics(tmp_path, ENCODINGS[encoding](values), block)
    assert same(found, Statistics(117, 0.0, 116.0, 58.0, float(np.arange(117).std()), 1, 0, 0))


def test_the_mean_is_taken_in_double_precision(tmp_path: Path) -> None:
    values = np.full(1 << 20, 0.1, "<f4")
    found = statistics(tmp_path, shape_field(values.shape) + packed(5, values))
    assert found.mean == float(np.float32(0.1))


def test_what_is_no_number_is_counted_and_left_out(tmp_path: Path) -> None:
    found = of_values(tmp_path, [math.nan, 1, math.inf, -3, 0, -math.inf, -0.0, math.nan], block=3)
    assert same(found, Statistics(8, -3.0, 1.0, -0.5, 1.5, 2, 2, 2))


@pytest.mark.parametrize("values", [[math.nan], [math.inf, -math.inf, math.nan]])
def test_no_finite_value(tmp_path: Path, values: list[float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = of_values(tmp_path, values, block=2)
    assert found[1:5] == (None, None, None, None)
    assert found.nan + found.inf == len(values)


def test_no_value_at_all(tmp_path: Path) -> None:
    assert statistics(tmp_path, shape_field((0,))) == Statistics(0, None, None, None, None, 0, 0, 0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("block", [1, 2, 3, 4, 9])
def test_the_largest_doubles_have_a_mean(tmp_path: Path, block: int) -> None:
    largest = float(np.finfo("f8").max)
    assert of_values(tmp_path, [largest] * 4, "<f8", block)[:4] == (4, largest, largest, largest)
    assert of_values(tmp_path, [largest, 0] * 4, "<f8", block).mean == pytest.approx(largest / 2)
    found = of_values(tmp_path, [largest, -largest] * 2, "<f8", block)
    assert found.mean == pytest.approx(0, abs=1e-15 * largest)
    assert found.deviation == pytest.approx(largest)


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
    assert same(statistics(tmp_path, blob), Statistics(5, 0.0, 1.0, 0.6, 0.24**0.5, 2, 0, 0))


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
        assert found.deviation == pytest.approx(np.std(np.array(finite, "f8")), rel=1e-6, abs=1e-7 * scale)


# ---- Histograms ----


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4"])
@pytest.mark.parametrize("deviation", [1e-3, 1.0, 1000.0])
def test_the_histogram_counts_what_numpy_counts(dtype: str, deviation: float) -> None:
    values = (np.random.default_rng(0).normal(size=3000) * deviation).astype(dtype)
    found = gathered(values, 500).histogram
    assert found is not None
    if dtype != "i4" or deviation > 1:
        assert BINS / 2 <= len(found.counts) <= BINS
    assert sum(found.counts) == 3000
    edges = [*found.edges[:-1], np.nextafter(found.edges[-1], -np.inf)]  # numpy counts the last edge too
    assert np.histogram(values.astype("f8"), edges)[0].tolist() == list(found.counts)
    assert 0.0 in found.edges or len(found.counts) == 1


@pytest.mark.thorough
@settings(max_examples=200)
@given(
    values=st.lists(st.floats() | st.floats(-1, 1) | st.sampled_from([0.0, 1.0, 1e-320, 5e-324]), max_size=30),
    single=st.booleans(),
    block=st.integers(1, 31),
)
def test_the_histogram_does_not_depend_on_the_blocks(values: list[float], single: bool, block: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # doubles that are infinite as floats
        array = np.array(values, "f4" if single else "f8")
    found, whole = gathered(array, block).histogram, gathered(array).histogram
    assert found == whole
    finite = array[np.isfinite(array)].astype("f8")
    assert (found is None) == (not len(finite))
    if found is not None:
        assert sum(found.counts) == len(finite)
        assert found.counts[0] and found.counts[-1] and len(found.counts) <= BINS
        assert found.edges[0] <= finite.min() and finite.max() <= found.edges[-1]


def test_equal_values_are_in_one_bin() -> None:
    for value in (0.0, 1.0, -3.7, 1e300):
        found = gathered(np.full(10, value), 3).histogram
        assert found is not None and found.counts == (10,)
        assert found.edges[0] <= value <= found.edges[1]


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
    assert found == Statistics(count, 1.0, 1.0, 1.0, 0.0, 0, 0, 0)
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
