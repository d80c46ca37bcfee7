"""Random nets of fixed seeds in sequences of passes. `make fuzz` goes on with others."""

from __future__ import annotations

import pytest

from tests.random.sequences import courses_of, sequence_of

pytestmark = pytest.mark.thorough

CHUNK = 10
CHUNKS = (0, 10, *(pytest.param(first, marks=pytest.mark.slow) for first in range(20, 120, CHUNK)))

READ_TWICE = 9_000_081
"""It cannot be run as a whole, and a Flatten that the conversion leaves for one reader goes for the other."""

FLATTENED = 218
"""Converted, it loses a Flatten that did nothing, before a Scale."""


@pytest.mark.parametrize("first", CHUNKS)
def test_folded_nets_answer_alike_and_are_proven(first: int) -> None:
    found = courses_of(range(first, first + CHUNK))
    assert {each.seed: each.faults for each in found if each.faults} == {}
    assert sum(each.folded or each.cut for each in found) > CHUNK // 5
    assert sum(each.shown for each in found) > CHUNK // 2
    assert sum(each.mutants for each in found) >= CHUNK // 3


def test_nets_with_cut_layers_answer_alike_and_are_proven() -> None:
    found = courses_of([seed for seed in range(30) if "cut" in sequence_of(seed)])
    assert {each.seed: each.faults for each in found if each.faults} == {}
    assert sum(each.cut and each.shown for each in found) > len(found) // 2
    assert any(each.cut and each.folded for each in found)


def test_a_flatten_that_does_nothing_is_no_matter() -> None:
    (found,) = courses_of([FLATTENED])
    assert found.folded and found.shown and not found.faults


def test_parts_of_nets_are_fed_values_that_can_be_together() -> None:
    (found,) = courses_of([READ_TWICE])
    assert found.shown and not found.faults
