"""Random nets of fixed seeds, of which a layer is reduced, or whose pictures get other channels."""

from __future__ import annotations

import pytest

from tests.random.channels import widenings_of
from tests.random.reductions import reductions_of

pytestmark = pytest.mark.thorough

CHUNK = 25
CHUNKS = (0, *(pytest.param(first, marks=pytest.mark.slow) for first in range(25, 300, CHUNK)))


@pytest.mark.parametrize("first", CHUNKS)
def test_reduced_nets_answer_without_the_filters_that_are_gone(first: int) -> None:
    found = reductions_of(range(first, first + CHUNK))
    assert {each.seed: each.faults for each in found if each.faults} == {}
    assert sum(each.compared for each in found) > CHUNK // 3


@pytest.mark.parametrize("first", CHUNKS)
def test_other_channels_leave_the_answers(first: int) -> None:
    found = widenings_of(range(first, first + CHUNK))
    assert {each.seed: each.faults for each in found if each.faults} == {}
    assert sum(not each.refused for each in found) > CHUNK // 10
