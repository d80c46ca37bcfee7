"""Nets that compute a new function: accepted, fitting, running, and untouched where no pass changed them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.files.blobs import DType
from caffe_fcn.model.changes import AddLayers, Change, Decision, NewLayer, ReplaceLayer, Rewire, SetParameter
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import NetAndWeights, open_inputs, open_model
from caffe_fcn.model.passing import Claim, Phase, Result, in_every_phase
from caffe_fcn.model.tensors import Repeating
from caffe_fcn.model.writing import write_model
from caffe_fcn.net.options import ANY_NET
from caffe_fcn.passes.channels import change_channels
from caffe_fcn.passes.convolutionalize import convolutionalize
from caffe_fcn.passes.fold import fold
from caffe_fcn.report.verify import document, lines, summary
from caffe_fcn.schema import Message
from caffe_fcn.verify.new_function_records import Fate, LayerFate
from caffe_fcn.verify.records import Status, Verification
from caffe_fcn.verify.settings import VerifySettings
from caffe_fcn.verify.verify import verify
from tests.engines.nets import add_layer
from tests.passes.nets import conv, data, fc, layer
from tests.verify.twins import FAILS, HOLDS, NOT_SHOWN

NET = (
    data(shape="1 3 12 12")
    + conv("c1", "data", 4)
    + layer("bn", "BatchNorm", "c1", "c1")
    + layer("r1", "ReLU", "c1", "c1")
    + conv("c2", "c1", 5)
    + fc("fc1", "c2", 6)
    + layer("r2", "ReLU", "fc1", "fc1")
    + fc("fc2", "fc1", 7)
    + layer("prob", "Softmax", "fc2")
)
RNG = np.random.default_rng(5)
BLOBS = {
    "c1": [RNG.normal(size=(4, 3, 3, 3)), RNG.normal(size=4)],
    "bn": [RNG.normal(size=4), np.ones(4), np.ones(1)],
    "c2": [RNG.normal(size=(5, 4, 3, 3)), RNG.normal(size=5)],
    "fc1": [RNG.normal(size=(6, 320)), RNG.normal(size=6)],
    "fc2": [RNG.normal(size=(7, 6)), RNG.normal(size=7)],
}


def zeros(*shapes: tuple[int, ...], dtype: DType = "float32") -> tuple[Repeating, ...]:
    return tuple(Repeating(shape, (0.0,), dtype) for shape in shapes)


def head(model: Model) -> Result:
    """A pass: the last classifier makes way for scores of two classes, which are upsampled, and the Softmax goes with
    it; the first Convolution is padded."""
    score = schema.LayerParameter(name="score", type="Convolution", top=["score"])
    score.convolution_param.num_output = 2
    score.convolution_param.kernel_size[:] = [1]
    up = schema.LayerParameter(name="up", type="Deconvolution", bottom=["score"], top=["up"])
    up.convolution_param.num_output, up.convolution_param.bias_term = 2, False
    up.convolution_param.kernel_size[:], up.convolution_param.stride[:] = [4], [2]

    def decide(phase: Phase) -> Decision:
        changes: list[Change] = []
        for node in phase.graph.nodes:
            if node.name == "c1":
                changes.append(Padded(node.index, node.name, "convolution_param", "pad", 8))
            if node.name in ("fc2", "fc2-conv"):
                score.bottom[:] = [node.bottoms[0].name]
                by = NewLayer(score, zeros((2, 6, 1, 1), (2,)))
                changes.append(ReplaceLayer(node.index, node.name, node.type, by, {node.tops[0].name: "score"}))
                changes.append(AddLayers(node.index, node.name, (NewLayer(up, zeros((2, 2, 4, 4))),)))
            if node.name == "prob":
                changes.append(Rewire(node.index, node.name, {node.bottoms[0].name: "up"}))
        return Decision(tuple(changes))

    return in_every_phase(model, decide, claim=Claim.NEW_FUNCTION, verb="head")


class Padded(SetParameter):
    """A field of which there is a list."""

    def apply(self, target: Message) -> None:
        getattr(getattr(target, self.message), self.name)[:] = [self.value]


Pass = Callable[[Model], Result]


class Made:
    """The net and what PASSES make of it, as files in DIRECTORY."""

    def __init__(self, directory: Path, *passes: Pass, net: str = NET) -> None:
        self.files = [directory / name for name in ("a.prototxt", "a.caffemodel", "b.prototxt", "b.caffemodel")]
        self.files[0].write_text(net)
        weights = schema.NetParameter()
        for name, blobs in BLOBS.items():
            add_layer(weights, name, blobs)
        self.files[1].write_bytes(weights.SerializeToString())
        self.results: list[Result] = []
        model = open_model(str(self.files[0]), str(self.files[1]))  # open as long as the results are
        for each in passes:
            self.results.append(each(model))
            model = self.results[-1].model
        write_model(model, str(self.files[2]), str(self.files[3]), force=True)

    def text(self, old: str, new: str) -> Made:
        text = self.files[2].read_text()
        assert text.count(old) == 1
        self.files[2].write_text(text.replace(old, new))
        return self

    def blobs(self, change: Callable[[dict[str, Message]], object]) -> Made:
        net = schema.NetParameter.FromString(self.files[3].read_bytes())
        change({each.name: each for each in net.layer})
        self.files[3].write_bytes(net.SerializeToString())
        return self

    def verify(self, claim: str = "new-function", results: Sequence[Result] = ()) -> Verification:
        with ExitStack() as stack:
            sides = []
            for net, weights in (self.files[:2], self.files[2:]):
                source, opened = open_inputs(str(net), str(weights))
                assert opened is not None
                sides.append(NetAndWeights(source, stack.enter_context(opened)))
            options = VerifySettings(claim=claim)  # type: ignore[arg-type]
            return verify(sides[0], sides[1], ANY_NET, options, results)


def fates(found: Verification) -> dict[str, LayerFate]:
    assert found.new_function is not None
    return {str(each.twin or each.layer): each for each in found.new_function.layers.layers}


def statuses(found: Verification) -> dict[str, Status]:
    assert list(found.statuses) == ["acceptance", "weights", "layers", "run"] or found.new_function is None
    return found.statuses


ORDERS: dict[str, tuple[Pass, ...]] = {
    "converted": (convolutionalize, head),
    "folded and converted": (fold, convolutionalize, head),
    "converted and folded": (convolutionalize, fold, head),
}


@pytest.mark.thorough
@pytest.mark.parametrize("order", ORDERS)
def test_what_became_of_each_layer(order: str, tmp_path: Path) -> None:
    made = Made(tmp_path, *ORDERS[order])
    for found in (made.verify("auto", made.results), made.verify()):  # the passes are known, or not
        assert found.holds and found.proven and found.claim is Claim.NEW_FUNCTION, "\n".join(lines(found))
        told = {name: each.fate.value for name, each in fates(found).items() if each.fate is not Fate.UNTOUCHED}
        assert told == {"c1": "changed", "fc1-conv": "converted", "score": "replaced", "up": "new", "prob": "changed"}
        field = fates(found)["c1"].fields[0]
        assert (field.field, field.expected, field.found) == ("pad", "0×0", "8×8")
        assert fates(found)["score"].layer == "fc2" and fates(found)["fc1-conv"].layer == "fc1"
        assert fates(found)["prob"].rewired and not fates(found)["r1"].rewired
        assert [name for name, each in fates(found).items() if each.identical] == ["data"]
        assert found.new_function is not None
        assert found.new_function.run.outputs == {"prob": (1, 2, 36, 36)}


@pytest.mark.thorough
def test_layers_before_the_change_make_what_they_made(tmp_path: Path) -> None:
    made = Made(tmp_path, convolutionalize, head).text("pad: 8", "")
    same = [name for name, each in fates(made.verify()).items() if each.identical]
    assert same == ["data", "c1", "bn", "r1", "c2", "fc1-conv", "r2"]


def bit(name: str, position: int = 0) -> Callable[[dict[str, Message]], object]:
    """A change of the last bit of a value."""

    def change(layers: dict[str, Message]) -> None:
        values = layers[name].blobs[position].data
        values[3] = float(np.nextafter(np.float32(values[3]), np.float32(9)))

    return change


@pytest.mark.parametrize("name", ["c1", "c2", "bn", "fc1-conv"])
def test_a_weight_that_is_off_by_one_bit(name: str, tmp_path: Path) -> None:
    made = Made(tmp_path, convolutionalize, head).blobs(bit(name, name == "bn"))
    for found in (made.verify(), made.verify("auto", made.results)):
        assert statuses(found)["layers"] is FAILS and not found.holds
        assert f"layer {name!r}, blob {int(name == 'bn')}: 1 value that the original does not have" in summary(found)


@pytest.mark.parametrize("name", ["score", "up"])
def test_a_new_weight_that_is_off_by_one_bit(name: str, tmp_path: Path) -> None:
    made = Made(tmp_path, convolutionalize, head).blobs(bit(name))
    found = made.verify("auto", made.results)
    assert statuses(found)["layers"] is FAILS and not found.holds
    assert f"layer {name!r}, blob 0: 1 value that the pass does not make" in summary(found)


def test_a_net_whose_own_input_fields_change(tmp_path: Path) -> None:
    text = NET.replace(data(shape="1 3 12 12"), 'input: "data" input_dim: [1, 3, 12, 12]\n')
    made = Made(tmp_path, convolutionalize, lambda model: change_channels(model, 5), net=text)
    found = made.verify("auto", made.results)
    assert found.holds and found.claim is Claim.NEW_FUNCTION, summary(found)


def test_a_layer_that_is_converted_and_changed_is_compared_bit_by_bit(tmp_path: Path) -> None:
    made = Made(tmp_path, convolutionalize, lambda model: change_channels(model, 5)).blobs(bit("fc1-conv"))
    for found in (made.verify(), made.verify("auto", made.results)):
        assert statuses(found)["layers"] is FAILS


def test_only_what_is_folded_may_be_rounded_otherwise(tmp_path: Path) -> None:
    made = Made(tmp_path, fold, convolutionalize, head).blobs(bit("c1"))
    assert made.verify().holds
    assert statuses(made.blobs(bit("c2")).verify())["layers"] is FAILS


MORE = 'layer { name: "more" type: "AbsVal" bottom: "c1" top: "c1" }'


@pytest.mark.thorough
def test_what_the_passes_do_not_say(tmp_path: Path) -> None:
    """A field, a layer, and one that is gone: seen without the passes, wrong with them."""
    for old, new, name in (
        ("num_output: 5 kernel_size: 3", "num_output: 5 kernel_size: 3 pad: 1", "c2"),
        (
            'layer { name: "r1"',
            'layer { name: "more" type: "AbsVal" bottom: "c1" top: "c1" } layer { name: "r1"',
            "more",
        ),
        ('layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1"  }', "", "r1"),
    ):
        made = Made(tmp_path, convolutionalize, head)
        made.text(old, new)
        found, seen = made.verify("auto", made.results), made.verify()
        assert fates(found)[name].fate in (Fate.CHANGED, Fate.NEW, Fate.GONE)
        assert statuses(found)["layers"] is FAILS and statuses(seen)["layers"] is HOLDS
        assert name in summary(found)


@pytest.mark.thorough
def test_a_net_that_caffe_refuses(tmp_path: Path) -> None:
    """A type of a fork is refused, unless the original has the layer too; a shape is impossible."""
    made = Made(tmp_path, convolutionalize, head)
    made.text('layer { name: "r2" type: "ReLU"', 'layer { name: "r2" type: "CReLU"')
    found = made.verify()
    assert statuses(found)["acceptance"] is FAILS and not found.holds
    assert found.new_function is not None and found.new_function.acceptance.refusals[0].layer == "r2"
    assert "BVLC Caffe has no layer type 'CReLU'" in summary(found)
    text = NET.replace('"Softmax" bottom: "fc2"', '"Mish" bottom: "fc2"')
    found = Made(tmp_path, convolutionalize, head, net=text).verify()
    assert statuses(found)["acceptance"] is HOLDS  # the layer reads another blob, but the original has it
    text = NET.replace('name: "r1" type: "ReLU"', 'name: "r1" type: "Mish"')
    found = Made(tmp_path, convolutionalize, head, net=text).verify()
    assert statuses(found)["acceptance"] is HOLDS and found.new_function is not None
    assert [each.inherited for each in found.new_function.acceptance.refusals] == [True]


def test_what_the_original_was_refused_for_already(tmp_path: Path) -> None:
    shuffled = layer("mix", "ShuffleChannel", "c1", "c1", "shuffle_channel_param { group: 2 }")
    made = Made(tmp_path, convolutionalize, head, net=NET.replace(conv("c2", "c1", 5), shuffled + conv("c2", "c1", 5)))
    found = made.text("group: 2", "group: 4").verify()
    assert fates(found)["mix"].fate is Fate.CHANGED and found.new_function is not None
    assert [each.inherited for each in found.new_function.acceptance.refusals] == [True]
    assert statuses(found)["acceptance"] is HOLDS


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    made = Made(tmp_path, convolutionalize, head).text("num_output: 2 kernel_size: 1", "num_output: 3 kernel_size: 1")
    found = made.verify()
    assert statuses(found)["weights"] is FAILS and statuses(found)["run"] is NOT_SHOWN


def test_weights_that_are_missing(tmp_path: Path) -> None:
    found = Made(tmp_path, convolutionalize, head).blobs(lambda layers: layers["up"].blobs.pop()).verify()
    assert statuses(found)["weights"] is FAILS and found.new_function is not None
    assert found.new_function.weights.missing == ("up",)


def test_a_net_that_cannot_be_built(tmp_path: Path) -> None:
    made = Made(tmp_path, convolutionalize, head).text('bottom: "up"', 'bottom: "nothing"')
    found = made.verify()
    assert statuses(found) == {"acceptance": FAILS, "weights": FAILS, "layers": NOT_SHOWN, "run": NOT_SHOWN}
    assert document(found)["new_function"]["layers"]["layers"] == []


def test_values_that_are_not_finite(tmp_path: Path) -> None:
    def infinite(layers: dict[str, Message]) -> None:
        layers["up"].blobs[0].data[:] = [3e38] * len(layers["up"].blobs[0].data)
        layers["score"].blobs[1].data[:] = [3e38, 3e38]

    found = Made(tmp_path, convolutionalize, head).blobs(infinite).verify()
    assert statuses(found)["run"] is FAILS and not found.holds


# ---- The claim that is asked for ----


@pytest.mark.thorough
def test_claims_that_are_not_met(tmp_path: Path) -> None:
    made = Made(tmp_path, fold, convolutionalize)
    assert made.verify("auto").claim is Claim.SAME_FUNCTION and made.verify("same-function").holds
    found = made.verify("same-bits")
    assert not found.holds and not found.met
    assert "the claim 'same bits', found 'same function within rounding'" in next(iter(lines(found)))
    converted = Made(tmp_path, convolutionalize)
    assert all(converted.verify(claim).holds for claim in ("auto", "same-bits", "same-function", "new-function"))


def test_a_new_function_is_not_the_same(tmp_path: Path) -> None:
    found = Made(tmp_path, convolutionalize, head).verify("auto")
    assert not found.holds and found.claim is Claim.SAME_BITS
