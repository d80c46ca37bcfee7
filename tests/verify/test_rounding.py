"""What rounding explains: it is enough for nets that magnify errors, and too little for what is wrong with a twin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe_fcn.engines.protocol import ShapedNet
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.onnx.scope import choose_scope
from caffe_fcn.verify.items import Items, Runner
from caffe_fcn.verify.limits import BLUNT, FACTORS, Limits
from caffe_fcn.verify.rounding import GAIN, coarsened
from caffe_fcn.verify.settings import VerifySettings
from caffe_fcn.verify.terms import terms
from tests.engines.nets import load, net_of, weights_of
from tests.passes.nets import conv, data, fc, layer
from tests.verify.twins import DOES_NOT_APPLY, FAILS, HOLDS, NOT_SHOWN, array, ends, fill, written

MAGNIFIERS = {
    "a product": layer("b", "Sigmoid", "c") + layer("x", "Eltwise", "c b", params="eltwise_param { operation: PROD }"),
    "a product of four": layer("x", "Eltwise", "c c c c", params="eltwise_param { operation: PROD }"),
    "a factor that is a blob": layer("b", "TanH", "c") + layer("x", "Scale", "c b", params="scale_param { axis: 0 }"),
    "a square": layer("x", "Power", "c", params="power_param { power: 2 }"),
    "a fifth power": layer("x", "Power", "c", params="power_param { power: 5 }"),
    "a square root": layer("a", "AbsVal", "c") + layer("x", "Power", "a", params="power_param { power: 0.5 }"),
    "a reciprocal": layer("a", "AbsVal", "c")
    + layer("x", "Power", "a", params="power_param { power: -1 shift: 0.01 }"),
    "a difference": layer("b", "Power", "c", params="power_param { shift: 1000 }")
    + layer("d", "Power", "data", params="power_param { shift: 1000 }")
    + conv("e", "d", 4)
    + layer("x", "Eltwise", "e b", params="eltwise_param { operation: SUM coeff: 1 coeff: -1 }"),
    "digits lost and found": layer("b", "Power", "c", params="power_param { shift: 10000 }")
    + layer("x", "Power", "b", params="power_param { shift: -10000 }"),
    "an exponential": layer("x", "Exp", "c", params="exp_param { scale: 0.03 }"),
    "a logarithm": layer("a", "AbsVal", "c") + layer("x", "Log", "a", params="log_param { shift: 0.001 }"),
    "a small variance": layer("b", "Power", "c", params="power_param { scale: 1e-3 shift: 5 }")
    + layer("x", "MVN", "b", params="mvn_param { eps: 1e-12 }"),
    "a length": layer("x", "Normalize", "c", params="norm_param { across_spatial: false }"),
    "neighbours": layer("x", "LRN", "c", params="lrn_param { local_size: 3 alpha: 1 beta: 2 }"),
    "saturation": layer("s", "Sigmoid", "c") + layer("x", "Power", "s", params="power_param { shift: -0.5 power: 3 }"),
}


def magnified(name: str) -> str:
    return (
        data()
        + conv("c", "data", 4)
        + MAGNIFIERS[name]
        + fc("fc", "x", 5)
        + layer("relu", "ReLU", "fc", "fc")
        + fc("ip", "fc", 3)
    )


@pytest.mark.thorough
@pytest.mark.parametrize("name", MAGNIFIERS)
def test_a_twin_that_magnifies_errors_is_proven(name: str, tmp_path: Path) -> None:
    pair = written(magnified(name), tmp_path)
    found = pair.verify()
    assert ends(found)[:2] == [HOLDS, HOLDS] and ends(found)[2] in (HOLDS, DOES_NOT_APPLY), found
    (output,) = found.same_size.outputs if found.same_size else ()
    assert output.difference is not None and output.difference.allowed < BLUNT
    pair.blobs(lambda layers: fill(layers["ip-conv"].blobs[0], array(layers["ip-conv"].blobs[0]) * np.float32(1.02)))
    assert ends(pair.verify(VerifySettings(proofs=("same-size",)))) == [FAILS]


@pytest.mark.thorough
def test_what_is_allowed_follows_the_errors(tmp_path: Path) -> None:
    """A power multiplies relative errors by its exponent."""
    allowed = []
    for power in (1, 2, 8):
        (tmp_path / str(power)).mkdir()
        text = data() + conv("c", "data", 4) + layer("x", "Power", "c", params=f"power_param {{ power: {power} }}")
        found = written(text + fc("fc", "x", 5), tmp_path / str(power)).verify()
        assert found.same_size is not None and found.same_size.outputs[0].difference is not None
        allowed.append(found.same_size.outputs[0].difference.allowed)
    assert 1.5 * allowed[0] < allowed[1] < allowed[2] and 4 * allowed[0] < allowed[2] < 100 * allowed[0]


LOST = layer("b", "Power", "fc", params="power_param { scale: 1e-4 shift: 1000 }") + layer(
    "x", "Power", "b", params="power_param { shift: -1000 }"
)


@pytest.mark.thorough
def test_where_rounding_decides_nothing_is_compared(tmp_path: Path) -> None:
    pair = written(data() + conv("c", "data", 4) + fc("fc", "c", 5) + LOST, tmp_path)
    found = pair.verify()
    assert ends(found) == [HOLDS, NOT_SHOWN, NOT_SHOWN] and found.same_size is not None
    assert found.same_size.not_shown.startswith("'x': rounding alone changes the answers too much")
    assert pair.verify(VerifySettings(tolerance=1.0)).holds


@pytest.mark.thorough
def test_what_rounding_decides_before_the_classifier_does_not_matter(tmp_path: Path) -> None:
    lost = LOST.replace('"fc"', '"c"')
    found = written(data() + conv("c", "data", 4) + lost + fc("fc", "x", 5, "bias_term: false"), tmp_path).verify()
    assert found.holds and found.notes[-1].startswith("compared from 'x' on")


@pytest.mark.thorough
@pytest.mark.parametrize("relative", [1e-2, 1e-3, 1e-4])
def test_how_small_a_change_is_found(relative: float, tmp_path: Path) -> None:
    """Of the kernel of any layer, in a net of three layers; the proof of the weights finds one bit."""
    text = data() + conv("a", "data", 4) + layer("r", "ReLU", "a", "a") + conv("b", "a", 6) + fc("fc", "b", 5)
    for name in ("a", "b", "fc-conv"):
        (tmp_path / name).mkdir()
        pair = written(text, tmp_path / name)

        def change(layers: dict[str, object], name: str = name) -> None:
            blob = layers[name].blobs[0]  # type: ignore[attr-defined]
            fill(blob, array(blob) * np.float32(1 + relative))

        assert ends(pair.blobs(change).verify())[:2] == [FAILS, FAILS]


def test_the_coarse_net_rounds(tmp_path: Path) -> None:
    net = net_of(data() + layer("p", "Power", "data", params="power_param { scale: 3 }") + conv("c", "p", 3))
    coarse = coarsened(choose_scope(*net), {"data": (1, 2, 8, 10)})
    with weights_of(net, tmp_path / "w") as weights:
        fed = np.random.default_rng(0).normal(size=(1, 2, 8, 10)).astype(np.float32)
        clean = load(net, weights).run({"data": fed})["c"]
        made = load(coarse.net, weights, [coarse.names["p"], coarse.names["c"]]).run({"data": fed})
    rough = made[coarse.names["p"]]
    np.testing.assert_allclose(rough, 3 * fed, rtol=2.02 * GAIN * 2**-24)  # on its way in as well
    bits = np.frexp(rough)[0] * 2**18
    assert (bits == np.round(bits)).all() and (rough != 3 * fed).any(), "18 bits are left"
    apart = np.max(abs(made[coarse.names["c"]] - clean)) / np.max(abs(clean))
    assert 2**-24 * GAIN / 4 < apart < 2**-24 * GAIN * 8


SMALL = {
    "BNLL": -9.0,
    "ELU": 1e-4,
    "Log": 1e-4,
    "Mish": -9.0,
    "Sigmoid": -9.0,
    "Swish": -9.0,
}
"""A bottom for which the top is next to nothing."""


@pytest.mark.parametrize("kind", SMALL)
def test_what_is_computed_by_way_of_one_is_rounded_there(kind: str, tmp_path: Path) -> None:
    params = "log_param { shift: 1 }" if kind == "Log" else ""
    net = net_of(data(shape="1 4 10 10") + layer("x", kind, "data", params=params))
    coarse = coarsened(choose_scope(*net), {"data": (1, 4, 10, 10)})
    fed = (SMALL[kind] * (1 + np.random.default_rng(0).random((1, 4, 10, 10)) / 9)).astype(np.float32)
    with weights_of(net, tmp_path / "w") as weights:
        clean = load(net, weights).run({"data": fed})["x"]
        rough = load(coarse.net, weights, [coarse.names["x"]]).run({"data": fed})[coarse.names["x"]]
    assert np.max(abs(clean)) < 2e-3
    apart = np.max(abs(rough - clean)) / (9 if kind in ("Mish", "Swish") else 1)
    assert 2**-24 * GAIN / 4 < apart < 2**-24 * GAIN * 4


def test_a_measure_goes_on_until_it_explains_a_difference() -> None:
    """As long as more may explain it."""
    measured: list[float] = []

    def measure(factor: float) -> dict[str, float]:
        measured.append(factor)
        return {"x": 1e-6 * len(measured), "y": 1e-3}

    limits = Limits(measure)
    assert limits["x"] == 1e-6 and measured == [FACTORS[0]]
    assert limits.widened(1e-4) and limits["x"] == 2e-6
    assert not limits.widened(2 * BLUNT) and len(measured) == 2
    while limits.widened(1e-4):
        pass
    assert tuple(measured) == FACTORS and limits["x"] == 8e-6 and limits["y"] == 1e-3
    made: list[Limits] = []

    def more() -> Limits:
        made.append(Limits(lambda factor: {"x": 5e-6 * factor}))
        return made[-1]

    both = limits.or_else(more)
    assert both["x"] == 1e-6 and not made
    assert both.widened(1e-4) and both["x"] == 5e-6 * FACTORS[1] and len(made) == 1


def test_what_was_rounded_is_not_rounded_again() -> None:
    """It would change nothing, but for time."""

    def roundings(text: str) -> int:
        net = net_of(data() + text)
        coarse = coarsened(choose_scope(*net), {"data": (1, 2, 8, 8)})
        return sum(layer.layer.name.endswith(" large") for layer in coarse.net.graph.nodes)

    power = "power_param { power: 2 }"
    assert roundings(layer("a", "Power", "data", params=power)) == 2
    assert roundings(layer("a", "Power", "data", params=power) + layer("b", "AbsVal", "a")) == 3
    assert roundings(layer("a", "Power", "data", params=power) + layer("b", "ReLU", "a", "a")) == 2
    pooled = layer("a", "Power", "data", params=power) + layer(
        "b", "Pooling", "a", params="pooling_param { kernel_size: 2 }"
    )
    assert roundings(pooled) == 2
    assert roundings(pooled.replace("kernel_size", "pool: AVE kernel_size")) == 3
    assert roundings(pooled + conv("c", "b", 3)) == 4


@pytest.mark.thorough
def test_few_items_are_enough_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they have many values; of a small answer all are measured."""
    asked: list[tuple[int, int]] = []
    run = Runner.run

    def counting(self: Runner, net: ShapedNet, weights: WeightFile, items: Items, outputs: Sequence[str]) -> Any:
        asked.append((len(net.graph.nodes), items.many))
        return run(self, net, weights, items, outputs)

    monkeypatch.setattr(Runner, "run", counting)
    for outputs, many in ((300, [4, 2]), (3, [8, 16])):
        asked.clear()
        (tmp_path / str(outputs)).mkdir()
        found = written(data() + conv("c", "data", 4) + fc("fc", "c", outputs), tmp_path / str(outputs)).verify()
        assert ends(found) == [HOLDS] * 3
        largest = max(nodes for nodes, _ in asked)
        assert [items for nodes, items in asked if nodes == largest] == many


def test_terms_are_counted() -> None:
    net = net_of(
        data(shape="2 6 8 8")
        + conv("conv", "data", 4, more="group: 2")
        + layer("pool", "Pooling", "conv", params="pooling_param { pool: AVE kernel_size: 2 }")
        + layer("max", "Pooling", "pool", params="pooling_param { kernel_size: 2 }")
        + layer("lrn", "LRN", "max")
        + layer("soft", "Softmax", "lrn")
        + layer("mvn", "MVN", "soft")
        + fc("fc", "mvn", 3)
        + layer("sum", "Eltwise", "fc fc fc fc fc")
    )
    expected = {"conv": 27, "pool": 4, "max": 1, "lrn": 5, "soft": 4, "mvn": 16, "fc": 64, "sum": 5}
    assert {node.name: terms(node, net.shapes) for node in net.graph.nodes if node.bottoms} == expected
