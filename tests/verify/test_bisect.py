"""The bisection names the layer that was changed, and no other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe_fcn.engines.onnxruntime import OnnxRuntime, OnnxRuntimeSession
from caffe_fcn.engines.opencv import OpenCv
from caffe_fcn.engines.protocol import ShapedNet
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.report.bisection import layers
from caffe_fcn.schema import Message
from caffe_fcn.verify import streaming
from caffe_fcn.verify.bisection import Bisection, FirstDifference
from caffe_fcn.verify.settings import VerifySettings
from tests.passes.nets import conv, data, fc, layer
from tests.passes.test_cut import NET as JOINED
from tests.paths import GOLDEN
from tests.verify.test_finer_twins import POOLED, finer
from tests.verify.test_folded_twins import converted, folded, made
from tests.verify.twins import CHANNELS_LAST, FAILS, HOLDS, NOT_SHOWN, Pair, array, case, change_one, fill, written

CASES = sorted(path for path in (GOLDEN / "conversions").iterdir() if path.is_dir())
FOLDS = ["conv_bn_scale_inplace", "preactivation", "residual", "scale_alone"]
SETTINGS = VerifySettings(bisect=True)

BRANCHES = (
    data(shape="1 2 8 10")
    + conv("stem", "data", 4)
    + layer("relu", "ReLU", "stem", "stem")
    + conv("left", "stem", 3, 3, "pad: 1")
    + layer("bent", "ReLU", "left", "left")
    + layer("norm", "LRN", "left", params="lrn_param { local_size: 3 alpha: 0.5 }")
    + conv("right", "stem", 3, 3, "pad: 1")
    + layer("sum", "Eltwise", "norm right")
    + layer("drop", "Dropout", "sum", "sum")
    + layer("pool", "Pooling", "sum", params="pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    + fc("score", "pool", 5)
    + layer("prob", "Softmax", "score")
)


def bisected(pair: Pair, **options: Any) -> Bisection:
    found = pair.verify(VerifySettings(bisect=True, **options))
    assert found.bisection is not None and found.weights_proof is None and found.same_size is None
    assert found.holds == (found.bisection.status is HOLDS)
    return found.bisection


def change_middle(name: str, held: dict[str, Message]) -> None:
    values = held[name].blobs[0].data
    values[len(values) // 2] += 0.5


def first(found: Bisection) -> FirstDifference:
    assert found.status is FAILS
    (one,) = found.first
    assert all(gap.small for gap in one.inputs) != bool(one.gone) and not one.output.small
    return one


# ---- Equal nets ----


@pytest.mark.thorough
@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_converted_classifiers_agree_everywhere(folder: Path, tmp_path: Path) -> None:
    found = bisected(case(folder, tmp_path))
    assert found.status is HOLDS and found.agreed >= 3 and not found.gone and not found.new


@pytest.mark.thorough
@pytest.mark.parametrize("name", FOLDS)
def test_folded_nets_agree_behind_the_layers_that_are_gone(name: str, tmp_path: Path) -> None:
    folder = GOLDEN / "folds" / name
    found = bisected(made(folder / "net.prototxt", folder / "net.caffemodel", tmp_path, folded, converted))
    assert found.status is HOLDS and bool(found.gone) == (name != "preactivation")


@pytest.mark.thorough
def test_other_orders_other_layers_and_finer_maps_agree(tmp_path: Path) -> None:
    def folder(name: str) -> Path:
        (tmp_path / name).mkdir()
        return tmp_path / name

    assert bisected(written(CHANNELS_LAST, folder("a"))).status is HOLDS
    cut = bisected(written(JOINED, folder("b")))
    assert (cut.status, cut.gone, cut.new) == (HOLDS, ("cat",), ("fc_1-conv", "fc_2-conv"))
    assert bisected(finer(POOLED, folder("c"), 2)).status is HOLDS


@pytest.mark.thorough
def test_outputs_that_only_hand_values_on_and_layers_behind_a_cut_agree(tmp_path: Path) -> None:
    more = layer("flat", "Flatten", "c2") + layer("kept", "Dropout", "data") + fc("last", "prob", 4)
    found = bisected(written(JOINED + more, tmp_path))
    assert (found.status, found.unmatched) == (HOLDS, ())


@pytest.mark.thorough
def test_a_net_in_many_parts_is_the_same_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = written(BRANCHES, tmp_path)
    whole = bisected(pair)
    monkeypatch.setattr(streaming, "_PART", 1)
    assert bisected(pair)._replace(first=()) == whole and (whole.status, whole.agreed) == (HOLDS, 10)
    pair.blobs(lambda held: change_one(held["right"].blobs[0]))
    assert first(bisected(pair)).twin == "right"


def test_rounding_is_no_difference(tmp_path: Path) -> None:
    def nudge(held: dict[str, Message]) -> None:
        for name in ("stem", "left", "right", "score-conv"):
            blob = held[name].blobs[0]
            fill(blob, np.nextafter(array(blob), np.float32(9)))

    pair = written(BRANCHES, tmp_path).blobs(nudge)
    assert bisected(pair).status is HOLDS
    assert bisected(pair, tolerance=0.0).first[0].twin == "stem"


# ---- A changed layer ----


@pytest.mark.thorough
@pytest.mark.parametrize("folder", [GOLDEN / "conversions" / name for name in ("lenet", "transpose")])
def test_a_changed_weight_of_each_layer_is_named(folder: Path, tmp_path: Path) -> None:
    pair = case(folder, tmp_path)
    right = pair.fcn_weights.read_bytes()
    layers: list[str] = []
    pair.blobs(lambda held: layers.extend(name for name, each in held.items() if each.blobs))
    assert layers
    for name in layers:
        pair.fcn_weights.write_bytes(right)
        found = first(bisected(pair.blobs(partial(change_middle, name))))
        assert found.twin == name and not found.fields and not found.rewired
        assert [(each.twin, each.blob.position, each.blob.differing) for each in found.blobs] == [(name, 0, 1)]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "before", "after", "field"),
    [
        ("left", "pad: 1", "pad: 2 dilation: 2", "dilation"),
        ("relu", 'top: "stem"  }', 'top: "stem" relu_param { negative_slope: 0.1 } }', "relu_param.negative_slope"),
        ("bent", 'type: "ReLU" bottom: "left"', 'type: "AbsVal" bottom: "left"', "type"),
        ("norm", "alpha: 0.5", "alpha: 0.25", "lrn_param.alpha"),
        ("sum", 'top: "sum"  }', 'top: "sum" eltwise_param { operation: MAX } }', "eltwise_param.operation"),
        ("pool", "pool: MAX", "pool: AVE", "pooling_param.pool"),
        ("prob", '"Softmax"', '"Sigmoid"', "type"),
    ],
)
def test_a_changed_field_is_named(name: str, before: str, after: str, field: str, tmp_path: Path) -> None:
    pair = written(BRANCHES, tmp_path)
    text = pair.fcn.read_text()
    start = text.index(f'name: "{name}"')
    pair.text(lambda text: text[:start] + text[start:].replace(before, after, 1))
    found = first(bisected(pair))
    assert (found.layer, found.twin, found.fields[-1].field) == (name, name, field)
    assert not found.blobs and not found.rewired
    if field == "pooling_param.pool":
        assert (found.fields[0].expected, found.fields[0].found) == ("MAX", "AVE")


def test_another_size_is_a_difference(tmp_path: Path) -> None:
    pair = written(BRANCHES, tmp_path).text(lambda text: text.replace("stride: 2", "stride: 2 pad: 1"))
    found = bisected(pair)
    gap = first(found).output
    assert (gap.blob.name, gap.expected, gap.found, gap.difference) == ("pool", (1, 3, 3, 4), (1, 3, 4, 5), None)
    assert (found.agreed, found.behind) == (7, 2)


def test_parallel_branches_are_both_named(tmp_path: Path) -> None:
    def change(held: dict[str, Message]) -> None:
        change_one(held["left"].blobs[0])
        change_one(held["right"].blobs[1] if len(held["right"].blobs[1].data) > 7 else held["right"].blobs[0])
        change_one(held["score-conv"].blobs[0])

    found = bisected(written(BRANCHES, tmp_path).blobs(change))
    assert [each.twin for each in found.first] == ["left", "right"]
    assert (found.agreed, found.behind) == (2, 6)


@pytest.mark.thorough
def test_layers_that_are_missing_new_or_read_another_blob(tmp_path: Path) -> None:
    bent = layer("bent", "ReLU", "left", "left")
    pair = written(BRANCHES, tmp_path)
    right = pair.fcn.read_text()
    pair.text(lambda text: text.replace(bent.strip(), ""))
    found = bisected(pair)
    assert found.gone == ("bent",) and (first(found).twin, first(found).gone) == ("norm", ("bent",))
    told = dict(layers(found))["layer 'norm' (LRN)"]
    assert told[0].startswith("reads left: off by ")
    assert told[-1] == "in the original, it reads the output of 'bent', which the new net lacks"
    pair.fcn.write_text(right.replace(bent.strip(), bent + layer("more", "AbsVal", "stem", "abs")))
    pair.text(
        lambda text: text.replace(
            '"right" type: "Convolution" bottom: "stem"', '"right" type: "Convolution" bottom: "abs"'
        )
    )
    assert bisected(pair).status is HOLDS  # behind a ReLU, AbsVal changes nothing
    pair.text(lambda text: text.replace('"AbsVal"', '"TanH"'))
    found = bisected(pair)
    assert found.new == ("more",) and (first(found).twin, first(found).new) == ("right", ("more",))
    told = dict(layers(found))["layer 'right' (Convolution)"]
    assert told[:2] == ["reads the output of 'more', which the original lacks", "made from stem: the same values"]
    pair.fcn.write_text(right.replace('bottom: "norm" bottom: "right"', 'bottom: "left" bottom: "right"'))
    assert first(bisected(pair)).rewired and first(bisected(pair)).twin == "sum"


@pytest.mark.thorough
def test_a_part_of_a_layer_that_was_cut_is_named(tmp_path: Path) -> None:
    pair = written(JOINED, tmp_path).blobs(lambda held: change_one(held["fc_2-conv"].blobs[0]))
    found = first(bisected(pair))
    assert (found.layer, found.twin, found.rewired, found.new) == ("fc", "fc", False, ())
    assert [(each.layer, each.twin) for each in found.blobs] == [("fc_2", "fc_2-conv")]


@pytest.mark.thorough
def test_a_folded_weight_is_held_against_the_folded_original(tmp_path: Path) -> None:
    folder = GOLDEN / "folds" / "conv_bn_scale_inplace"
    pair = made(folder / "net.prototxt", folder / "net.caffemodel", tmp_path, folded)
    found = first(bisected(pair.blobs(lambda held: change_one(held["conv1"].blobs[0]))))
    assert found.twin == "conv1" and [each.blob.differing for each in found.blobs] == [1] and not found.gone


# ---- What cannot be compared ----


def test_values_that_are_not_finite_are_a_difference(tmp_path: Path) -> None:
    def overflow(held: dict[str, Message]) -> None:
        held["score-conv"].blobs[0].data[:] = [3e38] * len(held["score-conv"].blobs[0].data)

    found = first(bisected(written(BRANCHES, tmp_path).blobs(overflow)))
    assert found.twin == "score-conv" and not found.output.finite


def test_what_does_not_fit_is_not_shown(tmp_path: Path) -> None:
    pair = written(BRANCHES, tmp_path).text(lambda text: text.replace("num_output: 4", "num_output: 5"))
    found = bisected(pair)
    assert found.status is NOT_SHOWN and "stem" in found.not_shown


class OddEngine(OnnxRuntime):
    """An engine that computes LRN layers otherwise."""

    name = "odd"

    def load(self, net: ShapedNet, weights: WeightFile, *, outputs: Sequence[str] = ()) -> OnnxRuntimeSession:
        """Load NET with another LRN."""
        for node in net.graph.nodes:
            if node.type == "LRN":
                node.layer.lrn_param.alpha *= 2
        return super().load(net, weights, outputs=outputs)


@pytest.mark.thorough
def test_the_layer_that_an_engine_computes_otherwise(tmp_path: Path) -> None:
    pair = written(BRANCHES, tmp_path)
    pair.fcn, pair.fcn_weights = pair.net, pair.weights
    found = bisected(pair, engine=OddEngine(), original_engine="onnxruntime")
    assert (first(found).twin, found.original_engine, first(found).fields) == ("norm", "onnxruntime", ())
    assert bisected(pair, engine=OddEngine(), original_engine=None).status is HOLDS


@pytest.mark.thorough
def test_another_engine(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    pair = written(BRANCHES, tmp_path)
    assert bisected(pair, engine=OpenCv()).status is HOLDS
    assert bisected(pair, engine=OpenCv(), original_engine="onnxruntime").status is HOLDS
    pair.blobs(lambda held: change_one(held["right"].blobs[0]))
    assert first(bisected(pair, engine=OpenCv())).twin == "right"
