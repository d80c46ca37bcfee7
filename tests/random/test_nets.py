"""Random nets of fixed seeds: converted, run, compared and verified. `make fuzz` goes on with others."""

from __future__ import annotations

import pytest

from tests.random.examining import outcomes_of

CHUNK = 20
CHUNKS = range(10_000, 10_200, CHUNK)
WITH_MUTANTS = (10_200, 10_220)


@pytest.mark.parametrize("first", CHUNKS)
def test_nets_and_their_twins_answer_alike(first: int) -> None:
    found = outcomes_of(range(first, first + CHUNK))
    assert {each.seed: each.faults for each in found if each.faults} == {}
    assert sum(each.converted for each in found) > CHUNK // 3
    assert sum(each.dense.startswith("equal") for each in found) > CHUNK // 6


@pytest.mark.parametrize("first", WITH_MUTANTS)
def test_verify_sees_what_is_wrong_with_mutants(first: int) -> None:
    found = outcomes_of(range(first, first + CHUNK), mutants=3)
    assert {each.seed: each.faults for each in found if each.faults} == {}
    assert sum(each.mutants for each in found) > CHUNK
