"""Twins that were folded, alone or before or after other passes: the same function within rounding, and no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import open_model
from caffe_fcn.model.passing import Claim
from caffe_fcn.model.writing import write_model
from caffe_fcn.net.options import Selection
from caffe_fcn.passes.convolutionalize import convolutionalize
from caffe_fcn.passes.cut import cut
from caffe_fcn.passes.fold import fold
from caffe_fcn.passes.fold.changes import FoldedBias
from caffe_fcn.passes.splitting import find_splits, split_batch_norms
from caffe_fcn.report.verify import document, lines
from caffe_fcn.schema import Message
from tests.engines.nets import add_layer
from tests.engines.test_batch_norm import LAYOUTS, parts
from tests.passes.nets import conv, data, fc, layer
from tests.paths import GOLDEN
from tests.verify.twins import DOES_NOT_APPLY, FAILS, HOLDS, Pair, array, ends, failures, fill

CASES = sorted(path for path in (GOLDEN / "folds").iterdir() if path.is_dir())
UNFOLDED = {"bn_elsewhere", "conv_two_tops", "dropout", "input_mean", "preactivation"}
"""The cases in which no layer is folded into another one."""
RESNET = GOLDEN / "conversions" / "resnet"

pytestmark = pytest.mark.thorough

Pass = Callable[[Model], Model]


def folded(model: Model) -> Model:
    return fold(model).model


def converted(model: Model) -> Model:
    return convolutionalize(model).model


def split(model: Model) -> Model:
    assert model.weights is not None
    return split_batch_norms(model, find_splits(model.source, model.weights)).model


def made(net: Path, weights: Path, out: Path, *passes: Pass) -> Pair:
    """The net and what PASSES make of it, one after the other."""
    pair = Pair.__new__(Pair)
    pair.net, pair.weights = net, weights
    pair.fcn, pair.fcn_weights = out / "twin.prototxt", out / "twin.caffemodel"
    model = open_model(str(net), str(weights))
    for each in passes:
        model = each(model)
    write_model(model, str(pair.fcn), str(pair.fcn_weights))
    return pair


def case(name: str, out: Path, *passes: Pass) -> Pair:
    return made(GOLDEN / "folds" / name / "net.prototxt", GOLDEN / "folds" / name / "net.caffemodel", out, *passes)


@pytest.mark.parametrize("name", [path.name for path in CASES])
def test_folded_nets_are_proven(name: str, tmp_path: Path) -> None:
    found = case(name, tmp_path, folded).verify()
    assert found.holds and found.claim is (Claim.SAME_BITS if name in UNFOLDED else Claim.SAME_FUNCTION), found
    assert found.weights_proof is not None and bool(found.weights_proof.computed) == (name not in UNFOLDED)
    assert not found.weights_proof.rounded
    assert ends(found)[2] is DOES_NOT_APPLY


@pytest.mark.parametrize("passes", [(folded, converted), (converted, folded)], ids=["folded first", "converted first"])
@pytest.mark.parametrize("name", ["ip_bn_scale", "ip_transpose", "residual", "shared_conv", "resnet"])
def test_sequences_are_proven(name: str, passes: tuple[Pass, ...], tmp_path: Path) -> None:
    folder = RESNET if name == "resnet" else GOLDEN / "folds" / name
    found = made(folder / "net.prototxt", folder / "net.caffemodel", tmp_path, *passes).verify()
    assert found.holds and found.claim is Claim.SAME_FUNCTION, found
    if name == "resnet":
        assert found.dense is not None and found.dense.sampled == 16
        assert all(each.features is not None and each.features.small for each in found.dense.outputs)


def cut_apart(model: Model) -> Model:
    return cut(model).model


ORDERS = {
    "cut first": (cut_apart, folded),
    "folded first": (folded, cut_apart),
    "folded, cut and converted": (folded, cut_apart, converted),
}


@pytest.mark.parametrize("passes", ORDERS.values(), ids=[*ORDERS])
def test_sequences_whose_order_matters(passes: tuple[Pass, ...], tmp_path: Path) -> None:
    """Before it is cut, the InnerProduct takes up the Scale behind it; after that there is a sum between."""
    text = data() + conv("a", "data", 2, 3) + layer("sa", "Scale", "a") + conv("b", "data", 2, 1)
    text += layer("fa", "Flatten", "sa") + layer("fb", "Flatten", "b") + layer("cat", "Concat", "fa fb")
    text += fc("fc", "cat", 5) + layer("sf", "Scale", "fc")
    random, weights = np.random.default_rng(0), schema.NetParameter()
    for name, *shapes in (("a", (2, 2, 3, 3), (2,)), ("sa", (2,)), ("b", (2, 2, 1, 1), (2,)), ("fc", (5, 256), (5,))):
        add_layer(weights, name, [random.standard_normal(shape) for shape in shapes])
    add_layer(weights, "sf", [random.standard_normal(5)])
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    files[0].write_text(text)
    files[1].write_bytes(weights.SerializeToString())
    found = made(*files, tmp_path, *passes).verify()
    assert found.holds and found.claim is Claim.SAME_FUNCTION, found


def of_a_fork(directory: Path, fields: str) -> tuple[Path, Path]:
    """A Convolution with a BatchNorm of NVCaffe behind it."""
    text = data() + conv("c", "data", 3) + layer("bn", "BatchNorm", "c", params=f"batch_norm_param {{ {fields} }}")
    random, held = np.random.default_rng(0), parts(3, 2.0)
    weights = schema.NetParameter()
    add_layer(weights, "c", [random.standard_normal((3, 2, 3, 3)), np.ones(3)])
    add_layer(weights, "bn", [held[name] for name in LAYOUTS["statistics first"]], type="BatchNorm")
    add_layer(weights, "fc", [random.standard_normal((4, 3 * 6 * 8)), np.ones(4)])
    files = directory / "net.prototxt", directory / "net.caffemodel"
    files[0].write_text(text + fc("fc", "bn", 4))
    files[1].write_bytes(weights.SerializeToString())
    return files


@pytest.mark.parametrize("fields", ["", "relu: true"])
@pytest.mark.parametrize("passes", [(folded,), (split, folded), (split, folded, converted)], ids=len)
def test_batch_norms_of_forks(fields: str, passes: tuple[Pass, ...], tmp_path: Path) -> None:
    """One that has a ReLU of its own does not fold, unless it is split first."""
    found = made(*of_a_fork(tmp_path, fields), tmp_path, *passes).verify()
    alone = fields and passes == (folded,)
    assert found.holds and found.claim is (Claim.SAME_BITS if alone else Claim.SAME_FUNCTION), found


def test_weights_for_each_place_of_a_batch(tmp_path: Path) -> None:
    """The bias of `gate2` lies on the axis of the items: what an item is answered depends on its place."""
    found = case("scale_two_bottoms", tmp_path, folded).verify()
    assert found.same_size is not None and found.same_size.status is HOLDS
    assert all(each.difference is not None and each.difference.allowed < 1e-3 for each in found.same_size.outputs)


def test_a_net_of_several_phases_is_compared_in_one(tmp_path: Path) -> None:
    """In which it was folded; where the phase is left open, that is told."""
    folder = GOLDEN / "folds" / "conv_bn_scale_tops"
    text = (folder / "net.prototxt").read_text()
    text += layer("extra", "Dropout", "data", params="include { phase: TRAIN }")
    text += layer("silence", "Silence", "extra", "", "include { phase: TRAIN }")
    (tmp_path / "net.prototxt").write_text(text)
    pair = case("conv_bn_scale_tops", tmp_path, folded)
    pair.net = tmp_path / "net.prototxt"
    assert pair.verify(selection=Selection(phase="TEST")).holds
    found = pair.verify()
    assert not found.holds and found.notes[-1].endswith("compare it with phase='TEST'")


# ---- What rounding explains ----


def in_single_precision(blobs: dict[str, Message]) -> None:
    """Fold conv1 of conv_bn_scale_tops as scripts do: in single precision, one layer after the other."""
    original = schema.NetParameter.FromString((GOLDEN / "folds/conv_bn_scale_tops/net.caffemodel").read_bytes())
    held = {each.name: [array(blob) for blob in each.blobs] for each in original.layer if each.blobs}
    (mean, variance, factor), scales = held["conv1/bn"], held["conv1/scale"]
    weights, *bias = held["conv1"]
    deviation = np.sqrt(variance / factor + np.float32(1e-5))
    moved = ((bias[0] if bias else np.float32(0)) - mean / factor) / deviation
    fill(blobs["conv1"].blobs[0], weights / deviation.reshape(-1, 1, 1, 1) * scales[0].reshape(-1, 1, 1, 1))
    fill(blobs["conv1"].blobs[1], moved * scales[0] + (scales[1] if len(scales) > 1 else np.float32(0)))


def test_other_orders_of_operations_are_allowed(tmp_path: Path) -> None:
    found = case("conv_bn_scale_tops", tmp_path, folded).blobs(in_single_precision).verify()
    assert found.holds and found.weights_proof is not None and found.weights_proof.rounded > 10, found
    told = "\n".join(lines(found))
    assert "net.prototxt: same function within rounding (run by onnxruntime)\n" in told
    assert f"; folded, within rounding: {', '.join(found.weights_proof.computed)} (" in told
    assert document(found)["claim"] == "same_function"
    assert document(found)["proofs"]["weights"]["rounded"] == found.weights_proof.rounded


def test_the_slack_of_a_bias_is_that_of_its_terms(tmp_path: Path) -> None:
    """The bias and the mean cancel: what is left is all rounding."""
    text = data() + conv("c", "data", 2, 1) + layer("bn", "BatchNorm", "c")
    held: dict[str, list[Any]] = {"c": [np.ones((2, 2, 1, 1)), [3, 4]], "bn": [[3, 4], [1, 2], [1]]}
    weights = schema.NetParameter()
    for name, blobs in held.items():
        add_layer(weights, name, [np.array(blob) for blob in blobs])
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    files[0].write_text(text)
    files[1].write_bytes(weights.SerializeToString())
    for bias, status in ((2e-7, HOLDS), (2e-5, FAILS)):
        pair = made(*files, tmp_path, folded)
        found = pair.blobs(lambda blobs, bias=bias: fill(blobs["c"].blobs[1], np.full(2, bias))).verify()  # type: ignore[misc]
        assert found.weights_proof is not None and found.weights_proof.status is status
        pair.fcn.unlink()
        pair.fcn_weights.unlink()


# ---- What it does not explain ----


def scaled(name: str, position: int, factor: float) -> Callable[[dict[str, Message]], None]:
    def change(blobs: dict[str, Message]) -> None:
        blobs[name].blobs[position].data[0] *= factor

    return change


def without_bias(blobs: dict[str, Message]) -> None:
    fill(blobs["conv1"].blobs[1], np.zeros(len(blobs["conv1"].blobs[1].data)))


def scaled_twice(blobs: dict[str, Message]) -> None:
    """By the Scale of the original, once more."""
    original = schema.NetParameter.FromString((GOLDEN / "folds/conv_bn_scale_tops/net.caffemodel").read_bytes())
    scale = next(each for each in original.layer if each.type == "Scale")
    weights = array(blobs["conv1"].blobs[0])
    fill(blobs["conv1"].blobs[0], weights * array(scale.blobs[0]).reshape(-1, 1, 1, 1))


WRONG: dict[str, Callable[[dict[str, Message]], None]] = {
    "a weight": scaled("conv1", 0, 1.001),
    "a weight by a little": scaled("conv1", 0, 1 + 1e-5),
    "a bias": scaled("conv1", 1, 1.001),
    "no bias": without_bias,
    "a scale twice": scaled_twice,
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_weights_are_found(name: str, tmp_path: Path) -> None:
    found = case("conv_bn_scale_tops", tmp_path, folded).blobs(WRONG[name]).verify()
    assert not found.holds and ends(found)[0] is FAILS
    assert "values differ from the folded original" in failures(found)[0]


def test_a_bias_that_is_missing(tmp_path: Path) -> None:
    pair = case("scale_alone", tmp_path, folded)
    pair.text(lambda text: text.replace("num_output", "bias_term: false num_output", 1))
    name = next(each for each in schema.NetParameter.FromString(pair.fcn_weights.read_bytes()).layer if each.blobs).name
    pair.blobs(lambda blobs: blobs[name].blobs.pop())
    found = pair.verify()
    assert not found.holds and any("holds, after folding, 2 blobs" in each for each in failures(found))


def test_an_eps_that_was_ignored(tmp_path: Path) -> None:
    """The twin is folded with another eps than the original has."""
    folder = GOLDEN / "folds" / "conv_bn_scale_tops"
    text = (folder / "net.prototxt").read_text()
    assert 'type: "BatchNorm"' in text
    (tmp_path / "net.prototxt").write_text(
        text.replace('type: "BatchNorm"', 'type: "BatchNorm" batch_norm_param { eps: 0.001 }', 1)
    )
    pair = made(tmp_path / "net.prototxt", folder / "net.caffemodel", tmp_path, folded)
    assert pair.verify().holds
    pair.net = folder / "net.prototxt"
    assert ends(pair.verify())[0] is FAILS


def test_a_layer_that_was_left_out(tmp_path: Path) -> None:
    """Not folded, but gone: its neighbours are as before."""
    folder = GOLDEN / "folds" / "conv_bn_scale_tops"
    pair = case("conv_bn_scale_tops", tmp_path, folded)
    pair.fcn_weights.write_bytes((folder / "net.caffemodel").read_bytes())
    assert ends(pair.verify())[0] is FAILS


def test_answers_are_those_of_the_original_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in the arithmetic of fold would be in both, the twin and what it is compared with."""
    right = FoldedBias.rows
    monkeypatch.setattr(FoldedBias, "rows", lambda self, first, last: right(self, first, last) + np.float32(0.01))
    found = case("conv_bn_scale_tops", tmp_path, folded, converted).verify()
    assert ends(found)[:2] == [HOLDS, FAILS]


@pytest.mark.parametrize("head", ["", fc("fc", "c", 4)], ids=["folded", "folded and converted"])
def test_layers_that_no_engine_runs(head: str, tmp_path: Path) -> None:
    """Before what is folded: both nets are run from the last blob on that is the same in both."""
    drawn = "pooling_param { pool: STOCHASTIC kernel_size: 2 }"
    text = data() + conv("first", "data", 2, 1) + layer("odd", "Pooling", "first", params=drawn)
    text += conv("c", "odd", 2) + layer("bn", "BatchNorm", "c", "c") + head
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    files[0].write_text(text)
    random, weights = np.random.default_rng(0), schema.NetParameter()
    add_layer(weights, "first", [random.standard_normal((2, 2, 1, 1)), np.ones(2)])
    add_layer(weights, "c", [random.standard_normal((2, 2, 3, 3)), np.ones(2)])
    add_layer(weights, "bn", [np.ones(2), np.array([2, 3]), np.ones(1)])
    if head:
        add_layer(weights, "fc", [random.standard_normal((4, 70)), np.ones(4)])
    files[1].write_bytes(weights.SerializeToString())
    found = made(*files, tmp_path, folded, converted).verify()
    assert ends(found)[:2] == [HOLDS, HOLDS], found
    assert found.notes[-1].startswith("compared from 'odd' on")
