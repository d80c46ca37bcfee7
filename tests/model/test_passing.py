"""What any pass can rely on: new layers, computed weights, phases, and other passes before and after it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from caffe_fcn import schema
from caffe_fcn.errors import SurgeryError
from caffe_fcn.files import prototxt
from caffe_fcn.files.blobs import DType
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.changes import (
    AddLayers,
    Change,
    Decision,
    DropLayer,
    LeftAlone,
    NewLayer,
    ReplaceLayer,
    Rewire,
)
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import meet, open_model
from caffe_fcn.model.passing import Claim, Phase, Result, carried_out, in_every_phase
from caffe_fcn.model.tensors import Repeating, Tensor
from caffe_fcn.model.writing import write_model
from caffe_fcn.net.obstacles import Obstacle
from caffe_fcn.net.source import interpret
from caffe_fcn.passes.convolutionalize import convolutionalize
from caffe_fcn.passes.convolutionalize.reasons import Stays
from tests.files.datasets import read, same, weights
from tests.passes.nets import conv, data, fc, layer, model_of

NET = data() + conv("c", "data", 3, 1) + layer("r", "ReLU", "c", "c") + fc("fc", "c", 4)
RNG = np.random.default_rng(0)
BLOBS = {
    "c": [RNG.normal(size=(3, 2, 1, 1)).astype("<f4"), np.zeros(3, "<f4")],
    "fc": [RNG.normal(size=(4, 240)).astype("<f4"), np.zeros(4, "<f4")],
}


@dataclass(frozen=True, repr=False)
class Negated(Tensor):
    """A tensor that is computed."""

    of: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return self.of.shape

    @property
    def dtype(self) -> DType:
        return self.of.dtype

    def rows(self, first: int, last: int) -> NDArray[Any]:
        return -self.of.rows(first, last)


@dataclass(frozen=True, repr=False)
class Negate(Change):
    """A Convolution gets the opposite weights."""

    def tensors(self, old: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(map(Negated, old))

    def describe(self) -> str:
        return "negated"


def negate(model: Model) -> Result:
    """A pass: the Convolution `c` is negated, and a Scale behind it makes up for that."""

    def decide(phase: Phase) -> Decision:
        changes: list[Change] = []
        for node in phase.graph.nodes:
            if node.name == "c":
                top = node.tops[0].name
                scale = schema.LayerParameter(name=f"{node.name}_scale", type="Scale", bottom=[top], top=[top])
                channels = node.layer.convolution_param.num_output
                blobs = (Repeating((channels,), (-1.0,)),) if phase.tensors else ()
                changes += [
                    Negate(node.index, node.name),
                    AddLayers(node.index, node.name, (NewLayer(scale, blobs),)),
                ]
        return Decision(tuple(changes), (LeftAlone("r", "ReLU", Obstacle(Stays.AS_ASKED)),), ("negated",))

    return in_every_phase(model, decide, claim=Claim.SAME_FUNCTION, verb="negate")


def opened(path: Path, text: str = NET) -> Model:
    (path / "net.prototxt").write_text(text)
    return open_model(str(path / "net.prototxt"), str(weights(path / "w.h5", **BLOBS)))


def write(model: Model, path: Path, suffix: str) -> None:
    write_model(model, str(path / "new.prototxt"), str(path / f"new{suffix}"), force=True)


@pytest.mark.parametrize("suffix", [".caffemodel", ".caffemodel.h5"])
def test_new_layers_and_computed_weights(suffix: str, tmp_path: Path) -> None:
    model = opened(tmp_path)
    result = negate(model)
    assert repr(model) == f"<Model {tmp_path / 'net.prototxt'}: 4 layers, 2 with weights>"
    assert repr(result.model) == f"<Model {tmp_path / 'net.prototxt'}: 5 layers, 3 with weights>"
    assert result.origins == (0, 1, None, 2, 3) == result.model.origins
    assert [each.describe() for each in result.changes] == ["negated", "followed by c_scale (Scale)"]
    assert result.changes[1].document() == {"behind": "c", "layers": [{"layer": "c_scale", "type": "Scale"}]}
    write(result.model, tmp_path, suffix)
    with open_weights(tmp_path / f"new{suffix}") as made:
        values = {name: [made.read_values(blob, 0, blob.count) for blob in blobs] for name, blobs in made.held.items()}
    np.testing.assert_array_equal(values["c"][0], -BLOBS["c"][0].ravel())
    np.testing.assert_array_equal(values["c_scale"][0], [-1, -1, -1])
    np.testing.assert_array_equal(values["fc"][0], BLOBS["fc"][0].ravel())
    again = open_model(str(tmp_path / "new.prototxt"), str(tmp_path / f"new{suffix}"))
    assert again.net == result.model.net and not again.misfit


def test_passes_follow_one_another(tmp_path: Path) -> None:
    """In either order: equal messages, equal weights."""
    made: list[tuple[Any, dict[str, Any]]] = []
    for order in ([negate, convolutionalize], [convolutionalize, negate]):
        model = opened(tmp_path)
        for each in order:
            model = each(model).model
        write(model, tmp_path, ".h5")
        made.append((model.net, read(tmp_path / "new.h5")))
    (net, blobs), (other, others) = made
    assert net == other
    assert blobs.keys() == {"c", "c_scale", "fc-conv"} and same(blobs, others)


def test_phases_that_disagree_are_refused() -> None:
    text = NET + layer("loss", "Softmax", "fc", params="include { phase: TRAIN }")
    model = meet(interpret(prototxt.parse(text, "net.prototxt")), None)

    def decide(phase: Phase) -> Decision:
        return Decision((Negate(1, "c"),) if phase.name == "TRAIN" else ())

    with pytest.raises(
        SurgeryError,
        match="need different changes: TRAIN: negated; TEST: unchanged; negate for one phase with",
    ):
        in_every_phase(model, decide, claim=Claim.SAME_FUNCTION, verb="negate")


def test_a_new_name_that_another_stage_has_is_refused() -> None:
    text = NET + layer("c_scale", "Scale", "c", "s", params='include { stage: "more" }')
    with pytest.raises(SurgeryError, match="another phase or stage uses the new name 'c_scale' already"):
        negate(model_of(text))


def test_new_layers_in_front_of_all(tmp_path: Path) -> None:
    model = opened(tmp_path)
    new = schema.LayerParameter(name="p", type="Parameter", top=["p"])
    new.parameter_param.shape.dim[:] = [3]
    added = AddLayers(-1, "", (NewLayer(new, (Repeating((3,), (2.0,)),)),))
    result = in_every_phase(model, lambda _: Decision((added,)), claim=Claim.NEW_FUNCTION, verb="add")
    assert [each.name for each in result.model.net.layer] == ["p", "data", "c", "r", "fc"]
    assert result.origins == (None, 0, 1, 2, 3)
    write(result.model, tmp_path, ".h5")
    assert read(tmp_path / "new.h5")["p"]["0"].tolist() == [2, 2, 2]
    assert (tmp_path / "new.prototxt").read_text().startswith('layer { name: "p" type: "Parameter" top: "p"')


def test_new_layers_without_a_record_of_their_own_are_written(tmp_path: Path) -> None:
    """Weights in HDF5 have no layers without blobs, and a new layer may stand behind one of these."""
    model = opened(tmp_path)
    new = schema.LayerParameter(name="s", type="Scale", bottom=["c"], top=["c"])
    added = AddLayers(2, "r", (NewLayer(new, (Repeating((3,), (2.0,)),)),))
    result = in_every_phase(model, lambda _: Decision((added,)), claim=Claim.NEW_FUNCTION, verb="scale")
    write(result.model, tmp_path, ".h5")
    assert read(tmp_path / "new.h5")["s"]["0"].tolist() == [2, 2, 2]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_comments_of_new_and_replaced_layers(newline: str) -> None:
    """They stand in front, through later passes too; a line cannot end a comment."""
    text = "".join(NET.replace("}layer", "}\nlayer").splitlines(keepends=True)).replace("\n", newline)
    model = model_of(text)
    data = schema.LayerParameter(name="d", type="DummyData", top=["data"])
    data.dummy_data_param.shape.add().dim[:] = [1, 3, 4, 4]
    scale = schema.LayerParameter(name="s", type="Scale", bottom=["c"], top=["c"])
    replace = ReplaceLayer(0, "data", "Input", NewLayer(data, comment=("fill in", "the size")))
    decision = Decision((replace, AddLayers(1, "c", (NewLayer(scale, comment=("a\nb",)),))))
    first = in_every_phase(model, lambda _: decision, claim=Claim.NEW_FUNCTION, verb="comment").model
    made = in_every_phase(first, lambda _: Decision((DropLayer(3, "r", "ReLU"),)), claim=Claim.SAME_FUNCTION, verb="x")
    lines = str(made.model.document.text).split(newline)
    places = [index for index, line in enumerate(lines) if line.startswith("#")]
    assert [lines[index] for index in places] == ["# fill in", "# the size", "# a?b"]
    assert lines[places[1] + 1].startswith("layer") and '"d"' in "".join(lines[places[1] : places[2]])
    assert lines[places[2] + 1].startswith("layer") and '"s"' in lines[places[2] + 1] + lines[places[2] + 2]


# ---- Layers replaced and dropped ----

COMMENTED = (
    data()
    + conv("c", "data", 3, 1)
    + """layer {
  name: "fc"  # the classifier
  type: 'InnerProduct'
  bottom: 'c'
  top: 'fc'
  oddity: 3
  param { lr_mult: 1 }  # of the weights
  # as many as there are classes
  inner_product_param {
    num_output: 4
    whim: 2
  }
}
"""
    + layer("r", "ReLU", "fc", "fc")
)

REPLACED = """layer {
  name: "score"  # the classifier
  type: 'Convolution'
  bottom: 'c'
  top: 'score'
  convolution_param { num_output: 2 kernel_size: 1 }
  # of the weights
  # as many as there are classes
}
"""


def replace_fc(model: Model) -> Result:
    """A pass: the classifier `fc` makes way for a Convolution of zeros."""
    new = schema.LayerParameter(name="score", type="Convolution", bottom=["c"], top=["score"])
    new.convolution_param.num_output = 2
    new.convolution_param.kernel_size[:] = [1]

    def decide(phase: Phase) -> Decision:
        blobs = (Repeating((2, 3, 1, 1), (0.0,)), Repeating((2,), (0.0,))) if phase.tensors else ()
        changes: list[Change] = []
        for node in phase.graph.nodes:
            if node.name == "fc":
                tops = {"fc": "score"}
                changes.append(ReplaceLayer(node.index, node.name, node.type, NewLayer(new, blobs), tops))
            elif "fc" in node.layer.bottom:
                changes.append(Rewire(node.index, node.name, {"fc": "score"}, {"fc": "score"}))
        return Decision(tuple(changes))

    return in_every_phase(model, decide, claim=Claim.NEW_FUNCTION, verb="replace")


@pytest.mark.parametrize("suffix", [".caffemodel", ".caffemodel.h5"])
def test_a_layer_is_replaced_with_its_weights(suffix: str, tmp_path: Path) -> None:
    result = replace_fc(opened(tmp_path, COMMENTED))
    change = result.changes[0]
    assert change.describe() == "InnerProduct replaced by score (Convolution)"
    assert change.document()["by"] == {"layer": "score", "type": "Convolution"}
    assert result.decision.new_names == {"fc": "score"} and result.origins == (0, 1, 2, 3)
    write(result.model, tmp_path, suffix)
    text = (tmp_path / "new.prototxt").read_text()
    assert text[text.index("layer {\n") : text.index('layer { name: "r"')] == REPLACED
    with open_weights(tmp_path / f"new{suffix}") as made:
        shapes = {name: [blob.shape for blob in blobs] for name, blobs in made.held.items()}
        assert shapes == {"c": [(3, 2, 1, 1), (3,)], "score": [(2, 3, 1, 1), (2,)]}
    again = open_model(str(tmp_path / "new.prototxt"), str(tmp_path / f"new{suffix}"))
    assert again.net == result.model.net and not again.misfit and not again.source.foreign


def test_a_layer_that_the_weights_lack_is_replaced_by_one_with_weights(tmp_path: Path) -> None:
    new = schema.LayerParameter(name="s", type="Scale", bottom=["c"], top=["c"])
    by = ReplaceLayer(2, "r", "ReLU", NewLayer(new, (Repeating((3,), (2.0,)),)))
    result = in_every_phase(opened(tmp_path), lambda _: Decision((by,)), claim=Claim.NEW_FUNCTION, verb="scale")
    write(result.model, tmp_path, ".caffemodel")
    with open_weights(tmp_path / "new.caffemodel") as made:
        assert {*made.held} == {"c", "fc", "s"}


def test_a_layer_is_dropped_with_its_weights_unless_another_has_its_name(tmp_path: Path) -> None:
    """Weights belong to a name."""
    for extra, left in (("", {"c"}), (fc("fc", "c", 4, params="include { stage: 'x' }"), {"c", "fc"})):
        model = opened(tmp_path, NET + extra)
        drop = Decision((DropLayer(3, "fc", "InnerProduct"),))
        result = carried_out(model, drop, claim=Claim.NEW_FUNCTION)
        assert result.model.tensors.keys() == left
