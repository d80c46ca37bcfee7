"""A net with BatchNorm layers of a fork, and the net in which `upgrade` has split them: a pair that holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.cli.main import run
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.opening import NetAndWeights
from caffe_fcn.net.source import read_net
from caffe_fcn.verify.records import Verification
from caffe_fcn.verify.verify import verify
from tests.engines.nets import add_layer
from tests.engines.test_batch_norm import LAYOUTS, parts
from tests.passes.nets import data, fc, layer
from tests.paths import CASES
from tests.verify.twins import FAILS, HOLDS, ends, failures

Change = Callable[[str, Any], str]


def bn(fields: str, top: str, more: str = "") -> str:
    return layer("bn", "BatchNorm", "data", top, params=f"batch_norm_param {{ eps: 0.01 {fields} }} {more}")


def net(fields: str = "", *, in_place: bool = False, more: str = "") -> str:
    top = "data" if in_place else "bn"
    return data(shape="1 3 4 5") + bn(fields, top, more) + layer("abs", "AbsVal", top) + fc("fc", "abs", 2)


def write(path: Path, text: str, layout: str, *, hdf5: str = "") -> tuple[Path, Path, Path, Path]:
    """The net TEXT with a BatchNorm `bn` of that LAYOUT, and what `upgrade` makes of the pair."""
    (path / "a.prototxt").write_text(text)
    weights = schema.NetParameter()
    add_layer(weights, "bn", [parts(3, 2.0)[name] for name in LAYOUTS[layout]], type="BatchNorm")
    add_layer(weights, "fc", [np.random.default_rng(0).standard_normal((2, 60)), np.ones(2)])
    (path / "a.caffemodel").write_bytes(weights.SerializeToString())
    files = path / "a.prototxt", path / "a.caffemodel", path / "b.prototxt", path / f"b.caffemodel{hdf5}"
    net, held, out, out_weights = map(str, files)
    assert run(["upgrade", net, held, "-o", out, "-w", out_weights, "--for", "bvlc", "-q"]) == 0
    return files


def verified(*files: Path) -> Verification:
    with open_weights(files[1]) as one, open_weights(files[3]) as two:
        return verify(NetAndWeights(read_net(files[0]), one), NetAndWeights(read_net(files[2]), two))


NETS = {
    "plain fields": (net(), "statistics first"),
    "scale first": (net(), "scale first"),
    "in place": (net(in_place=True), "statistics first"),
    "without a shift": (net("bias_term: false"), "without a shift"),
    "a ReLU": (net("relu: true"), "scale first"),
    "a ReLU alone": (net("relu: true"), "plain"),
    "least eps": (net("scale_bias: true").replace("0.01", "1e-9"), "statistics first"),
    "an output": (data(shape="1 3 4 5") + bn("", "bn"), "statistics first"),
    "both phases": (
        data(shape="1 3 4 5")
        + bn("", "bn", "include { phase: TRAIN }")
        + bn("use_global_stats: true", "bn", "include { phase: TEST }")
        + fc("fc", "bn", 2),
        "statistics first",
    ),
    "a type that nobody runs": (net() + layer("odd", "Odd", "fc"), "statistics first"),
}


@pytest.mark.parametrize("name", NETS)
def test_a_split_layer_is_the_same(name: str, tmp_path: Path) -> None:
    files = write(tmp_path, *NETS[name])
    for pair in (files, (*files[2:], *files[:2])):
        found = verified(*pair)
        assert found.holds and ends(found)[:2] == [HOLDS, HOLDS], found


@pytest.mark.thorough
def test_the_case_of_a_user(tmp_path: Path) -> None:
    pair = [str(CASES / f"bn_fork.{ending}") for ending in ("prototxt", "caffemodel")]
    made = [str(tmp_path / name) for name in ("b.prototxt", "b.caffemodel")]
    assert run(["upgrade", *pair, "-o", made[0], "-w", made[1], "--for", "bvlc", "-q"]) == 0
    assert run(["verify", *pair, *made, "-q"]) == 0
    fcn = [str(tmp_path / name) for name in ("c.prototxt", "c.caffemodel")]
    assert run(["convert", *made, "-o", fcn[0], "-w", fcn[1], "-q"]) == 0
    assert run(["verify", *pair, *fcn, "-q"]) == 0


def test_from_hdf5(tmp_path: Path) -> None:
    assert verified(*write(tmp_path, net(), "statistics first", hdf5=".h5")).holds


def _value(name: str, blob: int) -> Change:
    def change(text: str, held: Any) -> str:
        held[name].blobs[blob].data[0] += 0.5
        return text

    return change


def _text(old: str, new: str) -> Change:
    def change(text: str, held: Any) -> str:
        assert old in text
        return text.replace(old, new)

    return change


def _without(text: str, name: str) -> str:
    """TEXT, a layer a line, without that called NAME."""
    return "".join(line for line in text.splitlines(keepends=True) if f'name: "{name}"' not in line)


MUTANTS: dict[str, Change] = {
    "a scale": _value("bn_scale", 0),
    "a shift": _value("bn_scale", 1),
    "a mean": _value("bn", 0),
    "the factor": _value("bn", 2),
    "eps": _text("eps: 0.01", "eps: 0.02"),
    "the statistics of the batch": _text("eps: 0.01", "eps: 0.01 use_global_stats: false"),
    "the Scale removed": lambda text, held: _without(text, "bn_scale"),
    "the ReLU removed": lambda text, held: _without(text, "bn_relu"),
    "no shift": _text("bias_term: true", "bias_term: false"),
    "a leak": _text('type: "ReLU"', 'type: "ReLU" relu_param { negative_slope: 0.1 }'),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", MUTANTS)
def test_what_is_wrong_in_a_split_layer_is_found(name: str, tmp_path: Path) -> None:
    files = write(tmp_path, net("relu: true"), "scale first")
    weights = schema.NetParameter.FromString(files[3].read_bytes())
    files[2].write_text(MUTANTS[name](files[2].read_text(), {each.name: each for each in weights.layer}))
    files[3].write_bytes(weights.SerializeToString())
    found = verified(*files)
    assert not found.holds and FAILS in ends(found)


@pytest.mark.thorough
def test_the_parts_are_named_after_the_layer(tmp_path: Path) -> None:
    files = write(tmp_path, net(), "statistics first")
    weights = schema.NetParameter.FromString(files[3].read_bytes())
    _value("bn_scale", 1)("", {each.name: each for each in weights.layer})
    files[3].write_bytes(weights.SerializeToString())
    (told,) = failures(verified(*files))
    assert told == "layer 'bn (scale)', 'bn_scale' in the converted net, blob 1: 1 of 3 values differ from the original"
