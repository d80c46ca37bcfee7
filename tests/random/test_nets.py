"""Random nets of fixed seeds: converted, run, compared and verified. `make fuzz` goes on with others."""

from __future__ import annotations

import pytest

from tests.random.examining import outcomes_of

CHUNK = 20
CHUNKS = (*range(10_020, 10_080, CHUNK), 10_100, *range(10_140, 10_260, CHUNK), 10_280, 10_300)


@pytest.mark.parametrize("first", CHUNKS)
def test_nets_and_their_twins_answer_alike(first: int) -> None:
    found = outcomes_of(range(first, first + CHUNK))
    assert {each.seed: each.faults for each in found if each.faults} == {}
    assert sum(each.converted for each in found) > CHUNK // 3
    assert sum(each.dense.startswith("equal") for each in found) > CHUNK // 5
