"""What scales and shifts goes into the weights before it: as measured with the reference Caffe, and case by case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.engines.nets import one_net
from caffe_fcn.engines.onnxruntime import OnnxRuntime
from caffe_fcn.errors import SurgeryError, WeightsError
from caffe_fcn.files import prototxt
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import meet, open_model
from caffe_fcn.model.writing import write_model
from caffe_fcn.net.options import Selection
from caffe_fcn.net.source import interpret
from caffe_fcn.passes.alone import alone
from caffe_fcn.passes.convolutionalize import Options, convolutionalize
from caffe_fcn.passes.convolutionalize.naming import Naming
from caffe_fcn.passes.fold import fold
from tests.passes.nets import conv, data, fc, layer
from tests.paths import GOLDEN, ROOT

CASES = sorted(path for path in (GOLDEN / "folds").iterdir() if path.is_dir())
CLASSIFIERS = [GOLDEN / "conversions" / name for name in ("lenet", "resnet")]
POWERS = {"p1": "conv1", "p2": "conv2", "bn2": "conv2"}
"""Of what Caffe's cases leave to choice: a Power is folded, and what follows it."""
SCALE = "scale_param { bias_term: true }"


@pytest.fixture(params=CASES, ids=lambda path: path.name)
def case(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def opened(case: Path, *, trained: bool = True) -> Model:
    return open_model(str(case / "net.prototxt"), str(case / "net.caffemodel") if trained else None)


def model_of(text: str, **selection: Any) -> Model:
    return meet(interpret(prototxt.parse(text, "net.prototxt")), None, Selection(**selection))


def trained(text: str, blobs: dict[str, list[Any]], directory: Path, **selection: Any) -> Model:
    """The model of TEXT, its layers with BLOBS as their weights."""
    net = schema.NetParameter()
    for name, arrays in blobs.items():
        made = net.layer.add(name=name)
        for array in arrays:
            made.blobs.add(data=np.ravel(array), shape={"dim": np.shape(array)})
    (directory / "net.prototxt").write_text(text)
    (directory / "net.caffemodel").write_bytes(net.SerializeToString())
    paths = str(directory / "net.prototxt"), str(directory / "net.caffemodel")
    return open_model(*paths, Selection(**selection))


def single(values: Any) -> Any:
    return np.array(values, np.float32)


def wiring(model: Model) -> list[tuple[str, list[str], list[str]]]:
    """The layers of the text of MODEL with bottoms and tops."""
    net = interpret(model.document).net
    return [(each.name, list(each.bottom), list(each.top)) for each in net.layer if each.type != "Input"]


def reasons(text: str) -> dict[str, str]:
    return {entry.layer: entry.reason for entry in fold(model_of(text)).left_alone}


def values(model: Model) -> dict[str, list[tuple[tuple[int, ...], bytes]]]:
    return {
        name: [(tensor.shape, tensor.read(0, tensor.count).tobytes()) for tensor in tensors]
        for name, tensors in model.tensors.items()
    }


# ---- Measured with the reference Caffe ----


@pytest.mark.parametrize("weights", [True, False], ids=["weights", "text"])
def test_what_folds_and_what_stays(case: Path, weights: bool) -> None:
    golden = json.loads((case / "golden.json").read_text())
    chosen = POWERS if case.name == "power_after_conv" else {}
    made = fold(opened(case, trained=weights))
    assert {each.layer: each.into for each in made.decision.of_kind("folded")} == golden["folded"] | chosen  # type: ignore[attr-defined]
    assert [each.layer for each in made.decision.of_kind("dropped")] == golden["dropped"]
    assert {entry.layer for entry in made.left_alone} == golden["stays"].keys() | (golden["may"].keys() - chosen.keys())
    assert [each.name for each in made.model.net.layer] == [n for n in golden["layers_after"] if n not in chosen]
    assert sorted(blob.name for blob in made.model.graph.outputs) == golden["outputs"]


@pytest.mark.parametrize("suffix", ["caffemodel", "caffemodel.h5"])
def test_answers_are_caffes(case: Path, suffix: str, tmp_path: Path) -> None:
    paths = str(tmp_path / "net.prototxt"), str(tmp_path / f"net.{suffix}")
    write_model(fold(opened(case)).model, *paths)
    with np.load(case / "golden.npz") as golden:
        folded = open_model(*paths)
        assert folded.weights is not None
        net = one_net(folded.source, folded.weights)
        outputs = [name.removeprefix("out:") for name in golden if name.startswith("out:")]
        fed = {name.removeprefix("in:"): golden[name] for name in golden if name.startswith("in:")}
        found = OnnxRuntime().load(net.net, net.weights, outputs=outputs).run(fed)
        for name in outputs:
            expected = golden[f"out:{name}"]
            assert np.abs(found[name] - expected).max() <= 1e-5 * np.abs(expected).max(), name


@pytest.mark.parametrize("case", CASES + CLASSIFIERS, ids=lambda path: path.name)
def test_folding_and_converting_can_be_exchanged(case: Path) -> None:
    keep = Options(Naming("", ()))
    model = opened(case)
    one, other = convolutionalize(fold(model).model, keep).model, fold(convolutionalize(model, keep).model).model
    assert one.net == other.net and values(one) == values(other)
    assert bytes(one.document) == bytes(other.document)
    one, other = convolutionalize(fold(model).model).model, fold(convolutionalize(model).model).model
    ends = {f"{blob.name}-conv": blob.name for blob in model.graph.outputs}  # new names for tops of converted layers
    for each in (*one.net.layer, *other.net.layer):
        each.top[:] = [ends.get(top, top) for top in each.top]
    assert one.net == other.net and values(one) == values(other)


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "lenet", "vgg16"])
def test_the_texts_of_whole_classifiers_can_be_folded_before_or_after(name: str) -> None:
    model = open_model(str(ROOT / "models" / f"{name}.prototxt"), None, Selection(phase="TEST"))
    model = alone(model).model
    one, other = convolutionalize(fold(model).model).model, fold(convolutionalize(model).model).model
    assert one.net == other.net and bytes(one.document) == bytes(other.document)
    assert len(one.net.layer) < len(model.net.layer) or name == "lenet"


def test_folding_twice_changes_nothing_more(case: Path) -> None:
    once = fold(opened(case))
    again = fold(once.model)
    assert not again.changes and bytes(again.model.document) == bytes(once.model.document)


# ---- Values ----


def test_sums_are_in_double_precision_and_rounded_once(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weights, bias = random.standard_normal((3, 2, 1, 1), np.float32), random.standard_normal(3, np.float32)
    mean, variance = random.standard_normal(3, np.float32), random.random(3, np.float32)
    scale, shift = random.standard_normal((2, 3), np.float32)
    text = (
        data() + conv("conv", "data", 3, 1) + layer("bn", "BatchNorm", "conv") + layer("s", "Scale", "bn", "out", SCALE)
    )
    blobs: dict[str, list[Any]] = {"conv": [weights, bias], "bn": [mean, variance, single([1.7])], "s": [scale, shift]}
    made = values(fold(trained(text, blobs, tmp_path)).model)
    factor = np.float64(scale) / np.sqrt(np.float64(variance) / np.float32(1.7) + np.float32(1e-5))
    wanted = np.float64(weights) * factor.reshape(3, 1, 1, 1)
    summand = (np.float64(bias) - np.float64(mean) / np.float32(1.7)) * factor + shift
    assert list(made) == ["conv"]
    (_, found), (_, found_bias) = made["conv"]
    assert found == wanted.astype(np.float32).tobytes()
    np.testing.assert_allclose(np.frombuffer(found_bias, np.float32), summand, rtol=2.0**-23)


def test_a_normalisation_of_forks_brings_its_scale_and_shift(tmp_path: Path) -> None:
    text = data(shape="1 1 2 2") + conv("conv", "data", 2, 1, "bias_term: false") + layer("bn", "BatchNorm", "conv")
    weights = {"conv": [single([[[[1]]], [[[2]]]])]}
    mean, variance, scale, shift = single([[1, 2], [4 - 1e-5, 9 - 1e-5], [3, 5], [7, 8]])
    wanted = {"bn": ([1.5, 10 / 3], [5.5, 14 / 3])}["bn"]
    for blobs in ([mean, variance, [1.0], scale, shift], [scale, shift, mean, variance, [1.0]]):
        tensors = fold(trained(text, {**weights, "bn": blobs}, tmp_path)).model.tensors["conv"]
        for tensor, expected in zip(tensors, wanted, strict=True):
            np.testing.assert_allclose(tensor.read(0, 2), expected, rtol=1e-6)


@pytest.mark.parametrize("merged", [True, False])
def test_bn_of_other_forks_folds_too(merged: bool, tmp_path: Path) -> None:
    more = "bn_param { bn_mode: INFERENCE }" if merged else "bn_param { eps: 0 }"
    text = data(shape="1 1 2 2") + conv("conv", "data", 2, 1) + layer("bn", "BN", "conv", params=more)
    scale, shift, mean, variance = single([[3, 5], [7, 8], [1, 2], [4, 9]]).reshape(4, 1, 2, 1, 1)
    blobs = [scale, shift] if merged else [scale, shift, mean, variance]
    made = fold(trained(text, {"conv": [np.ones((2, 1, 1, 1)), np.ones(2)], "bn": blobs}, tmp_path)).model
    weights, bias = (tensor.read(0, 2).tolist() for tensor in made.tensors["conv"])
    assert weights == pytest.approx([3, 5] if merged else [1.5, 5 / 3])
    assert bias == pytest.approx([10, 13] if merged else [7, 8 - 5 / 3])


@pytest.mark.parametrize(
    ("variant", "dtype"), [("double", "float64"), ("v1", "float32"), ("diff", "float32"), ("unpacked", "float32")]
)
def test_weights_of_every_encoding_fold(variant: str, dtype: str, tmp_path: Path) -> None:
    lenet = GOLDEN / "conversions" / "lenet"
    halved = layer("half", "Power", "ip2", "ip2", "power_param { scale: 0.5 shift: 1 }")
    text = (lenet / "net.prototxt").read_text().replace('layer {\n  name: "prob"', f'{halved}layer {{\n  name: "prob"')
    (tmp_path / "net.prototxt").write_text(text)
    paths = str(tmp_path / "folded.prototxt"), str(tmp_path / "folded.caffemodel")
    model = open_model(str(tmp_path / "net.prototxt"), str(lenet / "variants" / f"{variant}.caffemodel"))
    write_model(fold(model).model, *paths)
    weights, bias = open_model(*paths).tensors["ip2"]
    assert (weights.shape, bias.shape, weights.dtype, bias.dtype) == ((10, 32), (10,), dtype, dtype)
    old, old_bias = (tensor.read(0, tensor.count) for tensor in model.tensors["ip2"])
    assert np.array_equal(weights.read(0, 320), old / 2)
    np.testing.assert_allclose(bias.read(0, 10), old_bias / 2 + 1, rtol=2.0**-23)


def test_a_layer_without_weights_stays_where_there_are_weights(tmp_path: Path) -> None:
    text = data() + conv("conv", "data", 3, 1) + layer("s", "Scale", "conv") + conv("other", "s", 3, 1)
    text += layer("t", "Scale", "other")
    blobs: dict[str, list[Any]] = {"conv": [np.ones((3, 2, 1, 1)), np.ones(3)], "t": [np.ones(3)]}
    with pytest.raises(WeightsError, match=r"no weights for layers 's', 'other', without a filler.*nothing else is"):
        fold(trained(text, blobs, tmp_path))
    text += conv("last", "t", 3, 1) + layer("u", "Scale", "last")
    blobs |= {"last": [np.ones((3, 3, 1, 1)), np.ones(3)], "u": [np.ones(3)]}
    made = fold(trained(text, blobs, tmp_path))
    assert [change.layer for change in made.decision.of_kind("folded")] == ["u"]
    assert {entry.layer: entry.reason for entry in made.left_alone} == {
        "s": "the weights have no values for 's'",
        "t": "the weights have no values for 'other'",
    }


# ---- What keeps a layer from going ----


@pytest.mark.parametrize(
    ("params", "bottom", "word"),
    [
        ('"Scale" scale_param { axis: 2 num_axes: 1 }', "conv", "channels"),
        ('"Scale" scale_param { num_axes: -1 }', "conv", "channels"),
        ('"BatchNorm" batch_norm_param { use_global_stats: false }', "conv", "batch"),
        ('"BatchNorm" batch_norm_param { relu: true }', "conv", "ReLU"),
        ('"BatchNorm"', "rows", "channels"),
        ('"Scale"', "rows", "channels"),
        ('"Bias"', "data", "data"),
        ('"Power" power_param { power: 0.5 }', "conv", "power"),
        ('"Scale"', "rectified", "ReLU"),
        ('"Dropout" dropout_param { scale_train: false }', "conv", "scale_train"),
    ],
)
def test_why_a_layer_stays(params: str, bottom: str, word: str) -> None:
    text = (
        data()
        + {
            "conv": conv("conv", "data", 3, 1),
            "rows": fc("rows", "data", 3, "axis: 2"),
            "data": "",
            "rectified": conv("rectified", "data", 3, 1, "relu: true"),
        }[bottom]
    )
    kind, _, more = params.partition(" ")
    assert word in reasons(text + layer("x", kind.strip('"'), bottom, params=more))["x"]


@pytest.mark.parametrize("more", ["num_axes: 0", "axis: -3", "axis: 1 num_axes: 1"])
def test_a_scale_of_the_channels_goes_however_it_says_so(more: str) -> None:
    text = data() + conv("conv", "data", 3, 1) + layer("s", "Scale", "conv", params=f"scale_param {{ {more} }}")
    assert reasons(text) == {}


@pytest.mark.parametrize("kind", ["ConvolutionDepthwise", "DepthwiseConvolution"])
def test_depthwise_convolutions_of_forks_take_up_a_scale(kind: str, tmp_path: Path) -> None:
    text = data() + conv("conv", "data", 2, 1, "bias_term: false").replace("Convolution", kind, 1)
    text += layer("s", "Scale", "conv", params=SCALE)
    blobs: dict[str, list[Any]] = {"conv": [single([5, 7]).reshape(2, 1, 1, 1)], "s": [[2, 3], [1, 4]]}
    weights, bias = fold(trained(text, blobs, tmp_path)).model.tensors["conv"]
    assert (weights.read(0, 2).tolist(), bias.read(0, 2).tolist()) == ([10, 21], [1, 4])


def test_rows_with_channels_last_take_up_a_scale_of_the_last_axis() -> None:
    scale = layer("s", "Scale", "rows", params="scale_param { axis: 2 }")
    assert reasons(data() + fc("rows", "data", 3, "axis: 2") + scale) == {}


SHARED = 'param {{ name: "{0}_w" }} param {{ name: "{0}_b" }}'


def twins(first: str, second: str) -> str:
    """Two branches that share a convolution, each with a Scale behind it."""
    text = data("a") + data("b")
    for name, scaled in (("a", first), ("b", second)):
        text += conv(f"conv_{name}", name, 3, 1).replace("type:", SHARED.format("c") + " type:", 1)
        text += layer(f"s_{name}", "Scale", f"conv_{name}", params=f"{scaled} {SCALE}")
    return text


def test_layers_that_share_parameters_fold_where_they_fold_alike() -> None:
    assert reasons(twins(SHARED.format("s"), SHARED.format("s"))) == {}
    for first, second in ((SHARED.format("s"), SHARED.format("t")), ("", ""), ('param { name: "s_w" }',) * 2):
        assert reasons(twins(first, second)).keys() == {"s_a", "s_b"}


def test_what_goes_shares_nothing_with_what_stays() -> None:
    scale = layer("s", "Scale", "conv", params=f"{SHARED.format('s')} {SCALE}")
    other = layer("t", "Scale", "data", params=f"{SHARED.format('s')} {SCALE}")
    found = reasons(data(shape="1 3 4 4") + conv("conv", "data", 3, 1) + scale + other)
    assert found.keys() == {"s", "t"} and "'t'" in found["s"]


# ---- Names and wires ----


def test_blobs_behind_a_fold_are_found_under_the_name_before_it() -> None:
    text = data() + conv("conv", "data", 3, 1) + layer("bn", "BatchNorm", "conv") + layer("s", "Scale", "bn")
    text += layer("relu", "ReLU", "s", "s") + conv("next", "s", 2, 1) + layer("sum", "Eltwise", "next next")
    assert wiring(fold(model_of(text)).model) == [
        ("conv", ["data"], ["conv"]),
        ("relu", ["conv"], ["conv"]),
        ("next", ["conv"], ["next"]),
        ("sum", ["next", "next"], ["sum"]),
    ]


def test_an_output_keeps_its_name() -> None:
    text = data() + conv("conv", "data", 3, 1) + layer("s", "Scale", "conv") + layer("relu", "ReLU", "s", "s")
    text += layer("drop", "Dropout", "s", "s")
    assert wiring(fold(model_of(text)).model) == [("conv", ["data"], ["conv"]), ("relu", ["conv"], ["s"])]


def test_a_dropout_of_which_others_read_the_bottom_leaves_nothing_in_place_on_it() -> None:
    text = (
        data() + conv("conv", "data", 3, 1) + layer("drop", "Dropout", "conv") + layer("relu", "ReLU", "drop", "drop")
    )
    text += layer("sum", "Eltwise", "drop conv")
    assert wiring(fold(model_of(text)).model) == [
        ("conv", ["data"], ["conv"]),
        ("relu", ["conv"], ["drop"]),
        ("sum", ["drop", "conv"], ["sum"]),
    ]


def test_nothing_works_in_place_on_an_input() -> None:
    text = (
        data() + layer("drop", "Dropout", "data") + layer("relu", "ReLU", "drop", "drop") + conv("conv", "drop", 2, 1)
    )
    assert wiring(fold(model_of(text)).model)[0] == ("relu", ["data"], ["drop"])


def test_a_dropout_that_makes_an_output_stays_where_it_is_needed() -> None:
    text = (
        data() + conv("conv", "data", 3, 1) + layer("drop", "Dropout", "conv") + layer("relu", "ReLU", "conv", "relu")
    )
    text += layer("whole", "Dropout", "data")
    assert reasons(text).keys() == {"drop", "whole"}


def test_splits_go_but_for_outputs_and_what_is_in_place() -> None:
    text = data() + conv("conv", "data", 3, 1) + layer("split", "Split", "conv", "one two")
    assert wiring(fold(model_of(text + layer("sum", "Eltwise", "one two"))).model)[1:] == [
        ("sum", ["conv", "conv"], ["sum"])
    ]
    assert reasons(text).keys() == {"split"}
    assert reasons(text + layer("relu", "ReLU", "one", "one") + layer("sum", "Eltwise", "one two")).keys() == {"split"}


def test_what_lies_behind_a_split_with_another_reader_is_not_folded() -> None:
    text = data() + conv("conv", "data", 3, 1) + layer("split", "Split", "conv", "one two")
    text += layer("s", "Scale", "one") + layer("sum", "Eltwise", "s two")
    assert reasons(text) == {"s": "the output of 'conv' is also read by 'sum'"}


def test_a_scale_behind_a_dropout_folds() -> None:
    text = data() + conv("conv", "data", 3, 1) + layer("drop", "Dropout", "conv", "conv") + layer("s", "Scale", "conv")
    made = fold(model_of(text))
    assert made.left_alone == () and wiring(made.model) == [("conv", ["data"], ["s"])]


def test_a_scale_behind_other_axes_folds_where_the_channels_stay() -> None:
    text = data() + conv("conv", "data", 3, 1) + layer("flat", "Flatten", "conv", params="flatten_param { axis: 2 }")
    made = fold(model_of(text + layer("s", "Scale", "flat")))
    assert made.left_alone == ()
    assert wiring(made.model) == [("conv", ["data"], ["conv"]), ("flat", ["conv"], ["s"])]
    assert reasons(text + layer("s", "Scale", "flat") + layer("sum", "Reduction", "conv")).keys() == {"s"}
    whole = layer("whole", "Flatten", "conv") + layer("s", "Scale", "whole")
    assert reasons(data() + conv("conv", "data", 3, 1) + whole).keys() == {"s"}
    swapped = layer("p", "Permute", "conv", params="permute_param { order: 0 order: 1 order: 3 order: 2 }")
    assert reasons(data() + conv("conv", "data", 3, 1) + swapped + layer("s", "Scale", "p")).keys() == {"s"}


def test_a_long_row_of_layers_is_no_matter() -> None:
    text = data() + conv("conv", "data", 3, 1)
    text += "".join(layer(f"d{i + 1}", "Dropout", f"d{i}" if i else "conv") for i in range(1200))
    assert wiring(fold(model_of(text + layer("s", "Scale", "d1200"))).model) == [("conv", ["data"], ["s"])]


# ---- Phases ----

TRAIN = "include { phase: TRAIN }"
SHAPE = "dummy_data_param { shape { dim: 1 dim: 2 dim: 8 dim: 10 } }"
TRAINING = data().replace("type:", "include { phase: TEST } type:", 1)
TRAINING += layer("data", "DummyData", "", "data", f"{TRAIN} {SHAPE}")
TRAINING += conv("conv", "data", 3, 1) + layer("s", "Scale", "conv", "conv") + fc("extra", "conv", 2, params=TRAIN)


def test_a_net_for_training_is_refused_with_the_way_round() -> None:
    for selection in ({}, {"phase": "TRAIN"}):
        with pytest.raises(SurgeryError, match=r"phase='TEST'"):
            fold(model_of(TRAINING, **selection))


def test_the_net_of_one_phase_alone(tmp_path: Path) -> None:
    blobs: dict[str, list[Any]] = {
        "conv": [np.ones((3, 2, 1, 1)), np.ones(3)],
        "s": [np.ones(3)],
        "extra": [np.ones((2, 240)), np.ones(2)],
    }
    made = alone(trained(TRAINING, blobs, tmp_path, phase="TEST")).model
    assert [each.name for each in made.net.layer] == ["data", "conv", "s"]
    assert not any(each.include for each in interpret(made.document).net.layer)
    assert made.tensors.keys() == {"conv", "s"}
    assert [each.name for each in fold(made).model.net.layer] == ["data", "conv"]


def test_a_flatten_of_one_axis_is_no_matter() -> None:
    """Whatever is behind it folds as if it were not there, before a conversion, which drops it, as after it."""
    text = data() + fc("fc", "data", 3) + layer("flat", "Flatten", "fc") + layer("s", "Scale", "flat", "out", SCALE)
    assert wiring(fold(model_of(text)).model) == [("fc", ["data"], ["fc"]), ("flat", ["fc"], ["out"])]


def test_a_net_of_which_layers_are_for_test_only_is_one_net(tmp_path: Path) -> None:
    """As the detections of a deploy net. Layers for TRAIN make another net."""
    text = data() + conv("conv", "data", 3, 1) + layer("s", "Scale", "conv")
    text += layer("best", "ArgMax", "s", params="include { phase: TEST }")
    blobs: dict[str, list[Any]] = {"conv": [np.ones((3, 2, 1, 1)), np.ones(3)], "s": [np.ones(3)]}
    made = fold(trained(text, blobs, tmp_path))
    assert [change.layer for change in made.decision.of_kind("folded")] == ["s"]
    assert made.model.net.layer[-1].include
    with pytest.raises(SurgeryError, match="found layers for another phase or stage"):
        fold(trained(text + layer("quiet", "Silence", "s", "", "include { phase: TRAIN }"), blobs, tmp_path))
