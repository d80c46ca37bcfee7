"""BatchNorm layers with a scale and a shift of their own, as forks of Caffe have them, in every command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe_fcn
from caffe_fcn import schema
from tests.engines.nets import add_layer, blobs_of, difference
from tests.net.nets import data, layer
from tests.paths import CASES

Array = Any
FORK = "BVLC Caffe refuses the weights of bn1: these BatchNorm layers have a scale and a shift"
LAYOUTS = {
    "plain": ("mean", "variance", "factor"),
    "statistics first": ("mean", "variance", "factor", "scale", "shift"),
    "without a shift": ("mean", "variance", "factor", "scale"),
    "scale first": ("scale", "shift", "mean", "variance", "factor"),
}


def parts(channels: int, factor: float) -> dict[str, Array]:
    """The blobs of a layer of so many CHANNELS, by what they are."""
    random = np.random.default_rng(0)
    return {
        "mean": factor * random.standard_normal(channels),
        "variance": factor * random.uniform(0.5, 2, channels),
        "factor": np.array([factor]),
        "scale": random.uniform(0.5, 2, channels),
        "shift": random.standard_normal(channels),
    }


def normalized(x: Array, held: dict[str, Array], eps: float) -> Array:
    """What the layer makes of X, N×C×H×W, by its blobs."""
    inverse = 1 / held["factor"][0] if held["factor"][0] else 0.0
    blobs = {"scale": np.ones(x.shape[1]), "shift": np.zeros(x.shape[1]), **held}
    mean, variance, scale, shift = (blobs[name][:, None, None] for name in ("mean", "variance", "scale", "shift"))
    return scale * (x - mean * inverse) / np.sqrt(variance * inverse + eps) + shift


def written(path: Path, fields: str, blobs: list[Array], channels: int = 3) -> tuple[Path, Path]:
    """A net of a BatchNorm with these FIELDS, and a caffemodel in which it has these BLOBS."""
    text = data(2, channels, 4, 5) + layer("BatchNorm", f"batch_norm_param {{ {fields} }}", name="bn")
    (path / "bn.prototxt").write_text(text)
    net = schema.NetParameter()
    add_layer(net, "bn", blobs, type="BatchNorm")
    (path / "bn.caffemodel").write_bytes(net.SerializeToString())
    return path / "bn.prototxt", path / "bn.caffemodel"


def made(net: Path, weights: Path, x: Array) -> Array:
    """The only output of NET with WEIGHTS for X."""
    with caffe_fcn.open(net, weights) as opened:
        session = opened.load()
    (found,) = session.run({"data": x}).values()
    return found


def refused(net: Path, weights: Path) -> str:
    with pytest.raises(caffe_fcn.CaffeFcnError) as caught, caffe_fcn.open(net, weights) as opened:
        opened.load()
    return str(caught.value)


@pytest.mark.parametrize("factor", [1.0, 2.5, 0.0])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_orders_and_no_shift(tmp_path: Path, layout: str, factor: float) -> None:
    x = np.random.default_rng(1).standard_normal((2, 3, 4, 5)).astype(np.float32)
    held = {name: parts(3, factor)[name] for name in LAYOUTS[layout]}
    files = written(tmp_path, "eps: 0.01", list(held.values()))
    assert difference(made(*files, x), normalized(x, held, 0.01).astype(np.float32)) < 1e-6


@pytest.mark.parametrize(
    ("fields", "right", "wrong"),
    [
        ("scale_bias: true", ["statistics first"], ["plain", "without a shift", "scale first"]),
        ("scale_filler { value: 1 }", ["statistics first"], ["plain", "without a shift", "scale first"]),
        ("bias_filler { value: 0 }", ["statistics first", "scale first"], ["plain", "without a shift"]),
        ("use_weight_bias: true", ["statistics first", "scale first"], ["plain", "without a shift"]),
        ("use_weight_bias: true bias_term: false", ["without a shift"], ["plain", "statistics first", "scale first"]),
        ("use_weight_bias: false", ["plain"], ["statistics first", "without a shift", "scale first"]),
        ("bias_term: false", ["plain", "without a shift"], ["statistics first", "scale first"]),
        ("bias_term: true", ["plain", "statistics first", "scale first"], ["without a shift"]),
        ("", [*LAYOUTS], []),
    ],
)
def test_the_fields_of_the_net_ask_for_blobs(tmp_path: Path, fields: str, right: list[str], wrong: list[str]) -> None:
    x = np.ones((2, 3, 4, 5), np.float32)
    for layout in (*right, *wrong):
        files = written(tmp_path, fields, [parts(3, 1)[name] for name in LAYOUTS[layout]])
        if layout in right:
            assert np.isfinite(made(*files, x)).all()
        else:
            assert 'layer "bn" (BatchNorm)' in refused(*files)


def test_one_channel_does_not_tell_the_order(tmp_path: Path) -> None:
    blobs = [parts(1, 1.0)[name] for name in LAYOUTS["statistics first"]]
    assert "the order of its 5 blobs is unknown" in refused(*written(tmp_path, "", blobs, 1))
    x = np.arange(40, dtype=np.float32).reshape(2, 1, 4, 5)
    found = made(*written(tmp_path, "scale_bias: true", blobs, 1), x)
    assert difference(found, normalized(x, parts(1, 1.0), 1e-5).astype(np.float32)) < 1e-6


def test_nvidias_adds_no_less_than_it_always_did(tmp_path: Path) -> None:
    held = {**parts(3, 1.0), "variance": np.zeros(3)}
    x = np.random.default_rng(1).standard_normal((2, 3, 4, 5)).astype(np.float32)
    for fields, eps in (("scale_bias: true eps: 1e-9", 1e-5), ("use_weight_bias: true eps: 1e-4", 1e-4)):
        found = made(*written(tmp_path, fields, list(held.values())), x)
        assert difference(found, normalized(x, held, eps).astype(np.float32)) < 1e-6


def test_statistics_of_the_batch_beside_a_scale_are_refused(tmp_path: Path) -> None:
    files = written(tmp_path, "use_global_stats: false", list(parts(3, 1.0).values()))
    assert "forks with a scale in the layer" in refused(*files)


# ---- The case ----


@pytest.mark.thorough
def test_every_command_takes_a_fork_s_batch_norm(tmp_path: Path) -> None:
    net, weights = (CASES / f"bn_fork.{ending}" for ending in ("prototxt", "caffemodel"))
    x = np.random.default_rng(2).standard_normal((1, 3, 10, 10)).astype(np.float32)
    held = blobs_of(weights)
    windows = np.lib.stride_tricks.sliding_window_view(x[0], (3, 3), axis=(1, 2))
    kernel, bias = held["c1"]
    mapped = np.einsum("chwij,ocij->ohw", windows, kernel) + bias[:, None, None]
    names = LAYOUTS["statistics first"]
    y = normalized(mapped[None], dict(zip(names, held["bn1"], strict=True)), 1e-5)
    expected = (y.reshape(1, -1) @ held["fc"][0].T + held["fc"][1]).astype(np.float32)
    assert difference(made(net, weights, x), expected) < 1e-5

    fcn, fcn_weights = tmp_path / "fcn.prototxt", tmp_path / "fcn.caffemodel"
    conversion = caffe_fcn.convert(net, weights, fcn, fcn_weights)
    assert any(note.startswith(FORK) for note in conversion.notes)
    assert len(blobs_of(fcn_weights)["bn1"]) == 5
    assert difference(made(fcn, fcn_weights, x).reshape(1, 3), expected) < 1e-5
    with caffe_fcn.open(net, weights) as source, caffe_fcn.open(fcn, fcn_weights) as twin:
        assert source.shapes.params["bn1"] == ((4,), (4,), (1,), (4,), (4,))
        found = twin.verify(source)
        assert found.holds and any(note.startswith(FORK) for note in found.notes)
        written = source.export(tmp_path / "net.onnx")
        assert any(note.startswith(FORK) for note in written.notes)
