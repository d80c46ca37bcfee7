"""Random nets of fixed seeds: converted, run, compared and verified. `make fuzz` goes on with others."""

from __future__ import annotations

import pytest

from tests.random.examining import outcomes_of

pytestmark = pytest.mark.thorough

CHUNK = 20
CHUNKS = (
    *range(10_000, 10_080, CHUNK),
    *(pytest.param(first, marks=pytest.mark.slow) for first in range(10_080, 10_200, CHUNK)),
)
WITH_MUTANTS = (10_200, pytest.param(10_220, marks=pytest.mark.slow))

FIXED = (1_000_106, 1_005_475, 1_005_808, 1_005_851, 1_007_548, 1_020_806)
"""Nets whose answers are mostly fixed, so that the measure of rounding may miss it."""

FIVE_AXES = 1_000_784
"""Caffe refuses a layer of its converted net."""


@pytest.mark.parametrize("first", CHUNKS)
def test_nets_and_their_twins_answer_alike(first: int) -> None:
    found = outcomes_of(range(first, first + CHUNK))
    assert {each.seed: each.faults for each in found if each.faults} == {}
    assert sum(each.converted for each in found) > CHUNK // 3
    assert sum(each.dense.startswith("equal") for each in found) > CHUNK // 6


def test_nets_that_were_judged_wrongly() -> None:
    """A layer that did nothing was followed by one in place, or did something on a larger input; a map of one cell was
    spread by a Deconvolution; a Reshape was left for one of its readers."""
    found = outcomes_of([1_000_481, 1_001_420, 1_007_461, 1_007_462, 1_007_723])
    assert {each.seed: each.faults for each in found if each.faults} == {}
    assert [each.dense for each in found] == [
        "exact nowhere, by its borders",
        "equal",
        "equal",
        "equal",
        "an output is no map",
    ]


@pytest.mark.parametrize("first", WITH_MUTANTS)
def test_verify_sees_what_is_wrong_with_mutants(first: int) -> None:
    found = outcomes_of(range(first, first + CHUNK), mutants=3)
    assert {each.seed: each.faults for each in found if each.faults} == {}
    assert sum(each.mutants for each in found) > CHUNK


@pytest.mark.parametrize("seed", FIXED)
def test_rounding_is_measured_where_most_answers_are_fixed(seed: int) -> None:
    (found,) = outcomes_of([seed])
    assert found.converted and not found.faults


def test_a_twin_that_caffe_refuses_as_told_is_compared() -> None:
    (found,) = outcomes_of([FIVE_AXES])
    assert found.converted and not found.faults and found.dense == "equal"
