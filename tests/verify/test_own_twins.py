"""Every net is its own twin, whether an engine runs it or not; and what is changed in it is found without one."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.engines.protocol import ShapedNet
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.opening import NetAndWeights
from caffe_fcn.net.graph import build_graph
from caffe_fcn.net.shapes import infer_shapes
from caffe_fcn.net.source import read_net
from caffe_fcn.verify.records import Verification
from caffe_fcn.verify.verify import verify
from tests.engines.nets import add_layer, hollow_weights
from tests.net.test_corpus_shapes import MEASURED, needs_corpus
from tests.passes.nets import conv, data, fc, layer
from tests.paths import CORPUS, SHARED_MODELS
from tests.verify.twins import DOES_NOT_APPLY, FAILS, HOLDS, NOT_SHOWN, ends

NETS = {
    "a type that nobody knows": data() + layer("odd", "Odd", "data", params="odd_param { odd: 1 }"),
    "unknown, with blobs": data() + layer("fc", "Odd", "data"),
    "Python": data() + layer("p", "Python", "data", params='python_param { module: "m" layer: "L" param_str: "1" }'),
    "over time": data("x", "4 1 6")
    + data("cont", "4 1")
    + layer("lstm", "LSTM", "x cont", "h", "recurrent_param { num_output: 2 }"),
    "a detector": data(shape="1 3 16 16")
    + conv("c", "data", 4)
    + layer("prior", "PriorBox", "c data", params="prior_box_param { min_size: 4 }")
    + layer("f", "Flatten", "c")
    + layer("out", "DetectionOutput", "f f prior", params="detection_output_param { num_classes: 2 }"),
    "a fixed batch": data(shape="3 2 4 4")
    + layer("r", "Reshape", "data", params="reshape_param { shape { dim: 96 } }"),
    "losses alone": data(shape="2 3") + data("y", "2 3") + layer("loss", "EuclideanLoss", "data y"),
    "no parameters": data() + layer("pool", "Pooling", "data", params="pooling_param { kernel_size: 2 }"),
    "a classifier": data() + conv("c", "data", 3) + fc("fc", "c", 2),
    "numbers that overflow": data() + conv("c", "data", 3) + layer("e", "Exp", "c", params="exp_param { scale: 1e30 }"),
}
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "c": [(3, 2, 3, 3), (3,)],
    "fc": [(2, 144), (2,)],
    "lstm": [(8, 6), (8,), (8, 2)],
    "other": [(2,)],
}


def own_twin(text: str, tmp_path: Path, *, changed: str = "", blob: str = "") -> Verification:
    """The net TEXT, with weights at random, held against itself, CHANGED, or with a value of the layer BLOB changed."""
    shapes = dict(SHAPES)
    if "PriorBox" in text:
        shapes["c"] = [(4, 3, 3, 3), (4,)]
    for name, other in (("a", ""), ("b", blob)):
        random = np.random.default_rng(0)
        net = schema.NetParameter()
        for key, blobs in shapes.items():
            if f'"{key}" type' in text or key == "other":
                add_layer(net, key, [random.standard_normal(shape) for shape in blobs])
                if key == other:
                    net.layer[-1].blobs[0].data[0] += 1
        (tmp_path / f"{name}.caffemodel").write_bytes(net.SerializeToString())
    (tmp_path / "a.prototxt").write_text(text)
    (tmp_path / "b.prototxt").write_text(changed or text)
    a, b = (read_net(tmp_path / f"{name}.prototxt") for name in "ab")
    with open_weights(tmp_path / "a.caffemodel") as one, open_weights(tmp_path / "b.caffemodel") as two:
        return verify(NetAndWeights(a, one), NetAndWeights(b, two))


@pytest.mark.parametrize("name", NETS)
def test_every_net_is_its_own_twin(name: str, tmp_path: Path) -> None:
    found = own_twin(NETS[name], tmp_path)
    assert ends(found) == [HOLDS, HOLDS, DOES_NOT_APPLY] and found.holds and found.engine == "", found


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("Python", 'param_str: "1"', 'param_str: "2"'),
        ("a detector", "min_size: 4", "min_size: 5"),
        ("a detector", "min_size: 4", "min_size: 4 step: 8"),
        ("a type that nobody knows", "odd: 1", "odd: 2"),
    ],
)
def test_a_field_of_a_layer_that_does_not_run(name: str, old: str, new: str, tmp_path: Path) -> None:
    found = own_twin(NETS[name], tmp_path, changed=NETS[name].replace(old, new))
    assert ends(found)[:2] == [FAILS, NOT_SHOWN] and not found.holds


@pytest.mark.parametrize("name", ["unknown, with blobs", "over time", "a classifier"])
def test_a_weight_of_a_layer(name: str, tmp_path: Path) -> None:
    layer_name = {"over time": "lstm"}.get(name, "fc")
    found = own_twin(NETS[name], tmp_path, blob=layer_name)
    assert ends(found)[0] is FAILS and not found.holds
    assert found.same_size is not None and not any(each.identical for each in found.same_size.outputs)


def test_wires_of_layers_that_do_not_run(tmp_path: Path) -> None:
    text = data() + layer("a", "Odd", "data") + layer("b", "Even", "data") + layer("c", "Strange", "a b")
    found = own_twin(text, tmp_path, changed=text.replace('bottom: "a" bottom: "b"', 'bottom: "b" bottom: "a"'))
    assert ends(found)[1] is FAILS and not found.holds


def _light(entry: dict[str, Any]) -> bool:
    """Whether the net ENTRY has few parameters, so that it is soon verified."""
    params: dict[str, list[list[int]]] = entry["measured"]["params"]
    return sum(prod(shape) for shapes in params.values() for shape in shapes) < 5_000_000


@pytest.mark.thorough
@needs_corpus
@pytest.mark.parametrize("entry", [*filter(_light, MEASURED)][::5], ids=lambda entry: entry["file"])
def test_nets_of_the_corpus(entry: dict[str, Any], tmp_path: Path) -> None:
    source = read_net(CORPUS / entry["file"])
    graph = build_graph(source.net, source=source.name)
    with hollow_weights(ShapedNet(graph, infer_shapes(graph)), tmp_path / "net.caffemodel") as weights:
        found = verify(NetAndWeights(source, weights), NetAndWeights(source, weights))
    assert found.holds and found.engine == ""


@pytest.mark.skipif(not SHARED_MODELS.exists(), reason="the real models are not beside the checkout")
@pytest.mark.parametrize("name", "det2 det3 lprchar lprseg res10 slim320 wxsr".split())
def test_real_models(name: str) -> None:
    source = read_net(SHARED_MODELS / name / "net.prototxt")
    with open_weights(SHARED_MODELS / name / "net.caffemodel") as weights:
        found = verify(NetAndWeights(source, weights), NetAndWeights(source, weights))
    assert found.holds and found.engine == ""
