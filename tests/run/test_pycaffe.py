"""Caffe as an engine, as far as a stand-in for its module can tell; with Caffe itself where it is installed."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from caffe_fcn import schema
from caffe_fcn.errors import EngineError, ExtraError
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.run import engines
from caffe_fcn.run.engine import Array
from caffe_fcn.run.onnx.scope import ALL
from caffe_fcn.run.pycaffe import PyCaffe, pycaffe
from tests.paths import GOLDEN
from tests.run.nets import case, difference, load, net_of, weights_of
from tests.surgery.nets import conv, data, fc, layer

TYPES = ["Convolution", "InnerProduct", "Input", "Pooling", "Python", "ReLU", "Softmax"]


class StandIn:
    """What pycaffe calls a blob."""

    def __init__(self) -> None:
        self.data: Array = np.zeros(0, np.float32)

    def reshape(self, *shape: int) -> None:
        self.data = np.zeros(shape, np.float32)


class StandInNet:
    """What pycaffe calls a net: the default engine on the files it was given."""

    def __init__(self, net: str, weights: str, phase: int) -> None:
        assert phase == 1
        self.text = Path(net).read_text()
        self.message = text_format.Parse(self.text, schema.NetParameter())
        self.blobs = {top: StandIn() for layer in self.message.layer for top in layer.top}
        self.inputs = [layer.top[0] for layer in self.message.layer if layer.type == "Input"]
        with open_caffemodel(weights) as opened:
            self.layers = {record.name for record in opened.layers}
            self.session = load(net_of(self.text), opened, [ALL])

    def reshape(self) -> None:
        pass

    def forward(self) -> None:
        made = self.session.run({name: self.blobs[name].data for name in self.inputs})
        for name, values in made.items():
            self.blobs[name].data = values


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[StandInNet]]:
    """A module `caffe`, and the nets that it has made."""
    made: list[StandInNet] = []

    def net(*arguments: Any) -> StandInNet:
        made.append(StandInNet(*arguments))
        return made[-1]

    module = types.ModuleType("caffe")
    vars(module).update(Net=net, TEST=1, set_mode_cpu=lambda: None, layer_type_list=lambda: TYPES)
    monkeypatch.setitem(sys.modules, "caffe", module)
    yield made


def test_blobs_go_by_their_names(stand_in: list[StandInNet]) -> None:
    with np.load(GOLDEN / "conversions" / "lenet" / "golden.npz") as file:
        measured = dict(file)
    with case(GOLDEN / "conversions" / "lenet") as (net, weights):
        session = PyCaffe().load(net, weights)
    assert (session.outputs, dict(session.inputs)) == (("prob",), {"data": (None, 1, None, None)})
    image = measured["in:same"]
    made = session.run({"data": np.concatenate([image, image])})
    assert made["prob"].shape[0] == 2 * len(image)
    assert difference(made["prob"][len(image) :], measured["same:prob"]) < 1e-5


def test_nothing_works_in_place_and_no_rule_is_left(stand_in: list[StandInNet], tmp_path: Path) -> None:
    text = data() + conv("c", "data", 2) + layer("r", "ReLU", "c", "c", "exclude { phase: TRAIN }") + fc("f", "c", 2)
    with weights_of(net_of(text), tmp_path / "w") as weights:
        session = PyCaffe().load(net_of(text), weights)
    assert session.run({"data": np.ones((1, 2, 8, 10))}).keys() == {"f"}
    written = stand_in[0].message
    assert [(each.name, *each.bottom, *each.top) for each in written.layer] == [
        ("data", "data"),
        ("c_v0", "data", "c_v0"),
        ("c", "c_v0", "c"),
        ("f", "c", "f"),
    ]
    assert stand_in[0].layers == {"c_v0", "f"} and "exclude" not in stand_in[0].text


def test_layers_that_would_end_the_process_are_refused(stand_in: list[StandInNet], tmp_path: Path) -> None:
    text = data() + layer("e", "ELU", "data") + layer("p", "Python", "e", params='python_param { module: "os" }')
    with weights_of(net_of(data() + conv("c", "data", 2)), tmp_path / "w") as weights:
        net = net_of(text, given={"p": (1, 2, 8, 10)})
        with pytest.raises(EngineError) as caught:
            PyCaffe().load(net, weights)
    assert '"e" (ELU): a type that this Caffe does not have' in str(caught.value)
    assert '"p" (Python): it runs code that the net names' in str(caught.value)
    assert stand_in == []


def test_fields_of_forks_are_said_in_bvlcs_words_or_refused(stand_in: list[StandInNet], tmp_path: Path) -> None:
    floor = "pooling_param { kernel_size: 3 stride: 2 ceil_mode: false avg_include_pad: true }"
    text = data() + conv("c", "data", 2, more="hole: 2") + layer("p", "Pooling", "c", params=floor)
    refused = text + layer("q", "Pooling", "p", params="pooling_param { kernel_size: 1 pad_l: 1 }")
    with weights_of(net_of(text), tmp_path / "w") as weights:
        PyCaffe().load(net_of(text), weights)
        written = {each.name: each for each in stand_in[0].message.layer}
        assert list(written["c"].convolution_param.dilation) == [2, 2] and "hole" not in stand_in[0].text
        assert written["p"].pooling_param.round_mode == 1 and "ceil" not in stand_in[0].text
        assert "avg_include_pad" not in stand_in[0].text, "it is true anyway, and BVLC would not read it"
        with pytest.raises(EngineError, match=r'"q" \(Pooling\): pooling_param\.pad_l, which it does not know'):
            PyCaffe().load(net_of(refused), weights)


def test_weights_that_caffe_does_not_read(stand_in: list[StandInNet]) -> None:
    half = GOLDEN / "conversions" / "lenet" / "variants"
    with case(GOLDEN / "conversions" / "lenet") as (net, _):
        for path in sorted(half.glob("*.caffemodel")):
            with open_caffemodel(path) as weights:
                found = {blob.dtype for record in weights.layers for blob in record.blobs}
                if "float16" in found:
                    with pytest.raises(EngineError, match="expected values of float32 or float64, found float16"):
                        PyCaffe().load(net, weights)
                else:
                    PyCaffe().load(net, weights)


def test_another_module_of_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "caffe", types.ModuleType("caffe"))
    with pytest.raises(ExtraError, match="is not Caffe's"):
        pycaffe()
    monkeypatch.setitem(sys.modules, "caffe", None)
    with pytest.raises(ExtraError, match="comes with Caffe and not from PyPI"):
        engines.engine("caffe")


def test_engines_by_name() -> None:
    assert engines.engine("onnxruntime", 1).name == "onnxruntime"
    with pytest.raises(EngineError, match="expected an engine out of onnxruntime, opencv, caffe, found 'tea'"):
        engines.engine("tea")


def test_caffe_itself_where_it_is_installed() -> None:
    pytest.importorskip("caffe", reason="pycaffe is not installed")
    for folder in sorted((GOLDEN / "conversions").iterdir()):
        if not folder.is_dir():
            continue
        with case(folder) as (net, weights), np.load(folder / "golden.npz") as file:
            session = PyCaffe().load(net, weights)
            made = session.run(dict.fromkeys(session.inputs, file["in:same"]))
            for name, blob in made.items():
                assert difference(blob.reshape(file[f"same:{name}"].shape), file[f"same:{name}"]) < 1e-5
