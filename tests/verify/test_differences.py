"""How far answers are apart: against the scale of the original's, and by what they choose."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_fcn.engines.protocol import Array
from caffe_fcn.verify.differences import difference

LIMIT = 1e-3


def answers(*rows: tuple[float, ...]) -> Array:
    return np.array(rows, np.float32)


def test_a_difference_is_told_by_the_scale_of_the_original() -> None:
    found = difference(answers((10, -40), (1, 2)), answers((10, -40), (1.5, 2)), LIMIT, softmax=False)
    assert found.absolute == 0.5 and found.relative == pytest.approx(0.5 / 40)
    assert not found.small


def test_another_top_class_is_counted() -> None:
    found = difference(answers((1, 2), (3, 1)), answers((2, 1), (3, 1)), LIMIT, softmax=False)
    assert (found.agrees, found.cells) == (1, 2)
    assert not found._replace(relative=0.0).small


def test_either_of_two_classes_that_rounding_cannot_tell_apart_will_do() -> None:
    found = difference(answers((2, 2.0005)), answers((2.0005, 2)), LIMIT, softmax=False)
    assert (found.agrees, found.cells) == (1, 1) and found.small


def test_the_classes_of_a_map_are_counted_in_each_cell() -> None:
    original = np.zeros((1, 3, 2, 2), np.float32)
    original[:, 1] = 1
    twin = original.copy()
    twin[0, :, 1, 1] = (0, 0, 1)
    found = difference(original, twin, LIMIT, softmax=False)
    assert (found.agrees, found.cells) == (3, 4)


def test_probabilities_next_to_nought_are_compared_as_scores() -> None:
    """Between 1e-9 and 1e-7 there is little of a probability, and much of a score."""
    original, twin = answers((1, 1e-9)), answers((1, 1e-7))
    assert difference(original, twin, LIMIT, softmax=False).small
    assert not difference(original, twin, LIMIT, softmax=True).small
