"""Random nets of fixed seeds through each pass. `make fuzz` goes on with others."""

from __future__ import annotations

import pytest

from tests.random.tasks import TASKS, trials_of

pytestmark = pytest.mark.thorough

CHUNK = 10
FIRST = {"segment": 0, "finer map": 40, "channels": 120, "deploy": 20, "reduce": 0}
"""The first seed of each task in the quick part of the suite."""


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("chunk", [0, *(pytest.param(each, marks=pytest.mark.slow) for each in range(1, 6))])
def test_nets_are_right_and_proven(name: str, chunk: int) -> None:
    first = FIRST[name] + CHUNK * chunk
    found = trials_of(range(first, first + CHUNK), name)
    assert {each.seed: each.faults for each in found if each.faults} == {}
    assert any(each.proven and each.mutants for each in found)


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("segment", 128),  # a Scale along the width: refused
        ("segment", 8_000_037),  # a skip that is no map
        ("segment", 8_000_040),  # a BatchNorm was folded, and a skip has a Scale
        ("finer map", 8_000_001),  # statistics of the batch: refused
        ("reduce", 5_000_050),  # a layer of a fork is changed
        ("segment", 531_051_658_732),  # another head cannot be converted, and goes
        ("segment", 44),  # another head, which a larger image does not suit, goes
        ("channels", 35),  # a Concat of the picture with itself: refused
        ("channels", 17),  # the input is a field of the net
        ("channels", 7_000_024),  # folded behind, so that zeros have the other sign
        ("channels", 3),  # a converted layer is widened
    ],
)
def test_nets_that_went_wrong(name: str, seed: int) -> None:
    (found,) = trials_of([seed], name)
    assert found.faults == []
