"""Random nets are the same for the same seed, have all kinds of layers, and what is broken on purpose is found."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from caffe_fcn.onnx.registry import LOWERINGS
from tests.random import surviving
from tests.random.caffe import RULES
from tests.random.examining import Outcome, examined, outcomes_of
from tests.random.nets import random_net
from tests.random.shrink import shrink

SEEDS = range(20_000, 20_012)


def kinds(found: list[Outcome]) -> set[str]:
    return {each.kind for each in found} - {""}


def test_a_seed_makes_one_net() -> None:
    one, other = random_net(7), random_net(7)
    assert one.text == other.text != random_net(8).text
    pairs = [zip(blobs, other.weights[name], strict=True) for name, blobs in one.weights.items()]
    assert pairs and all((blob == again).all() for pair in pairs for blob, again in pair)


@pytest.mark.thorough
def test_every_rule_is_used() -> None:
    found = Counter(layer.type for seed in range(400) for layer in random_net(seed).net.layer)
    assert set(RULES) - set(found) <= {"Crop", "Embed"}
    assert found["InnerProduct"] > 400 and found["DummyData"] and found["Data"] and found["Accuracy"]


@pytest.mark.thorough
def test_a_wrong_lowering_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOWERINGS, "Sigmoid", lambda site: site.build.node("Tanh", site.inputs[0]))
    assert kinds(outcomes_of(SEEDS)) == {"lowering"}


@pytest.mark.thorough
def test_a_wrong_conversion_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns that run cell after cell are left where they are."""
    monkeypatch.setattr("caffe_fcn.passes.convolutionalize.changes.ToConvolution.reordered", False)
    assert kinds(outcomes_of(range(20_020, 20_033))) == {"convert"}


@pytest.mark.thorough
def test_a_verdict_that_is_no_verdict_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surviving, "verdict", lambda *_: SimpleNamespace(holds=True))
    found = outcomes_of(SEEDS, mutants=2)
    assert kinds(found) == {"mutant"}


def test_a_net_is_made_smaller_as_long_as_its_fault_stays() -> None:
    net = next(net for seed in range(100) if len((net := random_net(seed)).net.layer) > 8)
    wanted = net.net.layer[4].type
    small = shrink(net, lambda each: any(layer.type == wanted for layer in each.net.layer))
    assert wanted in [layer.type for layer in small.net.layer] and len(small.net.layer) <= 3


def test_what_is_raised_is_a_fault() -> None:
    net = random_net(1)
    outcome = examined(replace(net, weights={}))
    assert outcome.kind == "crash" and "Error" in outcome.faults[0]
