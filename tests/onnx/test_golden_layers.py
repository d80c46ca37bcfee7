"""Every layer measured with the reference Caffe, lowered and run: the same blobs, at every size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_fcn.engines.protocol import Array
from caffe_fcn.errors import LoweringError
from caffe_fcn.onnx.scope import ALL
from tests.engines.nets import case, difference, load
from tests.paths import GOLDEN

TOLERANCE = 1e-5
"""Relative to the largest value of a blob; sums here have 300 terms at most."""

LAYERS = sorted(path.name for path in (GOLDEN / "layers").iterdir())
NOT_LOWERED = {
    "accuracy": "found none after leaving out losses, measures",
    "euclidean_loss": "found none after leaving out losses, measures",
    "lstm": '"layer" (LSTM): recurrent layers are not supported',
}
LOWERED = [name for name in LAYERS if name not in NOT_LOWERED]
FIXED = {
    "conv_axis2": {"length"},
    "ip": {"height", "width"},
    "ip_axis2": {"height", "width"},
    "ip_transpose": {"height", "width"},
    "reshape_full": {"batch", "height", "width"},
    "spp": {"height", "width"},
}
"""The axes that the case does not leave free; all others are."""


def read(name: str) -> dict[str, Array]:
    with np.load(GOLDEN / "layers" / name / "io.npz") as file:
        return dict(file)


def folder(name: str) -> Path:
    return GOLDEN / "layers" / name


@pytest.mark.thorough
@pytest.mark.parametrize("name", LOWERED)
def test_blobs_are_caffes(name: str) -> None:
    measured = read(name)
    with case(folder(name)) as (net, weights):
        session = load(net, weights, [ALL])
    made = session.run({blob: measured[f"in:{blob}"] for blob in session.inputs})
    if name == "softmax_loss":  # Caffe tells the loss alone, which is that of these probabilities
        labels = measured["in:data1"].astype(int)
        loss = -np.log(made["prob"][range(len(labels)), labels]).mean()
        assert loss == pytest.approx(measured["out:out"], rel=TOLERANCE)
        return
    expected = {blob.removeprefix("out:") for blob in measured if blob.startswith("out:")}
    assert made.keys() == {blob for blob in expected if f"in:{blob}" not in measured}
    for blob, values in made.items():
        assert difference(values, measured[f"out:{blob}"]) < TOLERANCE


@pytest.mark.parametrize("name", NOT_LOWERED)
def test_the_rest_says_why_not(name: str) -> None:
    with case(folder(name)) as (net, weights), pytest.raises(LoweringError) as caught:
        load(net, weights)
    assert NOT_LOWERED[name] in str(caught.value)


@pytest.mark.parametrize("name", LOWERED)
def test_axes_are_free_unless_the_layer_forbids(name: str) -> None:
    with case(folder(name)) as (net, weights):
        lowered = load(net, weights).lowered
    free = {axis.name for axis in lowered.free}
    assert {reason.partition(" ")[0] for reason in lowered.fixed} == FIXED.get(name, set())
    assert free.isdisjoint(FIXED.get(name, set()))
    if lowered.scope.inputs:
        assert "batch" in free or name == "reshape_full"


@pytest.mark.thorough
@pytest.mark.parametrize("name", LOWERED)
def test_one_graph_serves_every_size(name: str) -> None:
    """At sizes and batches of which the graph knows nothing, it gives what a graph made for that size gives."""
    random = np.random.default_rng(1)
    with case(folder(name)) as (net, weights):
        session = load(net, weights)
        inputs = session.lowered.scope.inputs
        for trial in range(3 if session.lowered.free else 0):
            shapes = {blob.name: list(net.shapes.blobs[blob]) for blob in inputs}  # type: ignore[arg-type]
            for number, axis in enumerate(session.lowered.free):
                for blob, place in axis.axes:
                    shapes[blob.name][place] += (trial + 1) * (number + 1)
            given = {blob: tuple(shape) for blob, shape in shapes.items()}
            arrays = {blob: random.uniform(0, 3, shape).astype(np.float32) for blob, shape in given.items()}
            with case(folder(name), **given) as (there, _):
                expected = load(there, weights, fixed=True).run(arrays)
            made = session.run(arrays)
            assert made.keys() == expected.keys()
            for top, values in made.items():
                assert difference(values, expected[top]) < TOLERANCE
