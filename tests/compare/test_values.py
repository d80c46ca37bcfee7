"""How the values of two parameter blobs differ."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.compare.orders import Reordering, found_order
from caffe_fcn.compare.values import Sameness, Tolerance, compare_values
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.tensors import Repeating, Tensor, stored
from tests.engines.nets import add_layer

EXACT = Tolerance()
NAN, OTHER_NAN = np.array([0x7FC00000, 0x7FC00001], "u4").view("f4")


def tensor(values: Any, path: Path, name: str = "x") -> Tensor:
    """VALUES in a caffemodel, in single precision."""
    file = path / f"{name}.caffemodel"
    message = schema.NetParameter()
    add_layer(message, "x", [np.asarray(values, "f4")])
    file.write_bytes(message.SerializeToString())
    weights = open_weights(file)
    return stored(weights.source, weights.layers[0].blobs[0])


def compared(old: Any, new: Any, path: Path, tolerance: Tolerance = EXACT) -> Any:
    return compare_values(tensor(old, path, "old"), tensor(new, path, "new"), tolerance)


@pytest.mark.parametrize(
    ("old", "new", "differing", "largest", "not_finite"),
    [
        ([1, 2, 3], [1, 2, 3], 0, 0, 0),
        ([0.0, 1], [-0.0, 1], 0, 0, 0),
        ([NAN, 1], [NAN, 1], 0, 0, 0),
        ([NAN, 1], [OTHER_NAN, 1], 1, 0, 1),
        ([NAN, 1, 2], [0, 1, 4], 2, 2, 1),
        ([np.inf, 1], [np.inf, 1], 0, 0, 0),
        ([np.inf, 1], [np.inf, 3], 1, 2, 0),
        ([np.inf, 1], [-np.inf, 1], 1, 0, 1),
        ([1, 2, 3], [1, 2, 3.5], 1, 0.5, 0),
        ([3e38, 1], [-3e38, 1], 1, 2 * float(np.float32(3e38)), 0),
        ([1e-45, 0], [0, 0], 1, float(np.float32(1e-45)), 0),
    ],
)
def test_values_that_differ_are_counted(
    tmp_path: Path, old: Any, new: Any, differing: int, largest: float, not_finite: int
) -> None:
    result = compared(old, new, tmp_path)
    if not differing:
        assert (result.sameness, result.deviation) == (Sameness.IDENTICAL, None)
        return
    assert result.sameness is Sameness.CHANGED
    found = result.deviation
    assert (found.differing, found.largest, found.not_finite) == (differing, largest, not_finite)


def test_the_deviation_is_that_of_numpy_in_all_blocks(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    old = random.standard_normal(200_000).astype("f4")
    new = old.copy()
    new[[5, 70_000, 199_999]] += np.array([0.5, -0.25, 0.125], "f4")
    found = compared(old, new, tmp_path).deviation
    difference = new.astype("f8") - old
    assert (found.differing, found.largest) == (3, abs(difference).max())
    assert found.rms == pytest.approx(np.sqrt(np.mean(difference**2)))
    assert found.scale == abs(old).max() and found.relative == pytest.approx(found.largest / found.scale)


@pytest.mark.parametrize(
    ("tolerance", "sameness"),
    [
        (Tolerance(0.01, 0), Sameness.TOLERATED),
        (Tolerance(0, 0.02), Sameness.TOLERATED),
        (Tolerance(0.001, 0), Sameness.CHANGED),
        (Tolerance(0, 0.001), Sameness.CHANGED),
    ],
)
def test_a_tolerance_is_absolute_or_relative(tmp_path: Path, tolerance: Tolerance, sameness: Sameness) -> None:
    assert compared([2, 2, 5], [2.01, 2, 5], tmp_path, tolerance).sameness is sameness


def test_no_tolerance_is_for_nan(tmp_path: Path) -> None:
    assert compared([NAN, 1], [1, 1], tmp_path, Tolerance(1, 1)).sameness is Sameness.CHANGED


def test_another_number_of_values(tmp_path: Path) -> None:
    assert compared([1, 2], [1, 2, 3], tmp_path).sameness is Sameness.COUNT


@pytest.mark.parametrize(
    ("value", "sameness"), [(0.5, Sameness.CONVERTED), (0.1, Sameness.CONVERTED), (0.10001, Sameness.CHANGED)]
)
def test_values_of_different_types_are_compared_in_the_smaller_one(
    tmp_path: Path, value: float, sameness: Sameness
) -> None:
    double = Repeating((4,), (value,), "float64")
    assert (
        compare_values(tensor([value if value != 0.10001 else 0.1] * 4, tmp_path), double, EXACT).sameness is sameness
    )
    half = Repeating((4,), (value,), "float16")
    assert compare_values(half, double, EXACT).sameness is Sameness.CONVERTED


def test_equal_bytes_need_no_numpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tensor(range(1000), tmp_path, "old"), tensor(range(1000), tmp_path, "new")
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert compare_values(one, other, EXACT).sameness is Sameness.IDENTICAL


W = np.arange(4 * 3 * 2 * 5).reshape(4, 3, 2, 5)
M = np.arange(24).reshape(4, 6)


@pytest.mark.parametrize(
    ("old", "new", "order"),
    [
        (W, W[:, ::-1], Reordering.REVERSED),
        (M, M.T, Reordering.TRANSPOSED),
        (M, M.T.reshape(6, 2, 2), Reordering.TRANSPOSED),
        (W.transpose(0, 2, 3, 1).reshape(4, 30), W, Reordering.FIRST),
        (W, W.transpose(0, 2, 3, 1).reshape(4, 30), Reordering.LAST),
        (W.transpose(0, 1, 3, 2).reshape(4, 30), W, Reordering.SWAPPED),
        (W, W.transpose(0, 1, 3, 2), Reordering.SWAPPED),
        (M[:, :4], M[:, :4].T, Reordering.TRANSPOSED),
        (W, W[::-1], None),
        (M, M[:, ::-1], None),
        (M, M.reshape(6, 4), None),
    ],
)
def test_orders_are_found_by_the_values(tmp_path: Path, old: Any, new: Any, order: Reordering | None) -> None:
    one, other = tensor(old, tmp_path, "old"), tensor(new, tmp_path, "new")
    assert found_order(one, other) is order
    wrong = np.array(new)
    wrong.flat[-1] += 1
    assert found_order(one, tensor(wrong, tmp_path, "wrong")) is None
