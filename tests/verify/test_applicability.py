"""Where the dense proof does not apply: each of the four causes, and what looks like one and is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_fcn.net.geometry import Cause, Reason
from caffe_fcn.passes.conversion import Settings
from caffe_fcn.passes.convolutionalize import Options as ConvertOptions
from caffe_fcn.report.verify import lines
from caffe_fcn.verify.records import Exemption, Inapplicable, Verification
from caffe_fcn.verify.settings import VerifySettings
from tests.passes.nets import conv, data, fc, layer, planned
from tests.verify.twins import DOES_NOT_APPLY, FAILS, HOLDS, NOT_SHOWN, ends, written

GLOBAL = layer("pool", "Pooling", "c", params="pooling_param { pool: AVE global_pooling: true }")


def reason(found: Verification) -> Inapplicable | None:
    assert found.dense is not None
    return found.dense.inapplicable


def test_a_net_of_several_inputs(tmp_path: Path) -> None:
    text = data("left") + data("right") + layer("both", "Eltwise", "left right") + fc("fc", "both", 3)
    found = written(text, tmp_path).verify()
    assert ends(found) == [HOLDS, HOLDS, DOES_NOT_APPLY] and found.holds
    assert reason(found) == (Exemption.SEVERAL_INPUTS, ("left", "right"), ())


@pytest.mark.thorough
def test_a_label_is_no_input(tmp_path: Path) -> None:
    text = data(shape="1 2 6 6") + data("label", shape="1") + conv("c", "data", 3) + fc("fc", "c", 5)
    found = written(text + layer("loss", "SoftmaxWithLoss", "fc label"), tmp_path).verify()
    assert ends(found) == [HOLDS, HOLDS, HOLDS]


def test_two_nets_of_one_size(tmp_path: Path) -> None:
    """An InnerProduct behind the converted one was left as it was."""
    text = data() + conv("c", "data", 4) + fc("a", "c", 3) + fc("b", "a", 2)
    found = written(text, tmp_path, Settings(ConvertOptions(skip=("b",)))).verify()
    assert ends(found) == [HOLDS, HOLDS, DOES_NOT_APPLY] and found.holds
    assert reason(found) == (Exemption.FIXED_SIZE, ("b",), ())


@pytest.mark.thorough
def test_a_twin_of_one_size_whose_original_takes_any(tmp_path: Path) -> None:
    """As where the two pairs are swapped."""
    pair = written(data() + conv("c", "data", 4) + fc("a", "c", 3), tmp_path)
    pair.net, pair.fcn = pair.fcn, pair.net
    pair.weights, pair.fcn_weights = pair.fcn_weights, pair.weights
    found = pair.verify()
    assert ends(found) == [FAILS, HOLDS, NOT_SHOWN]
    assert found.weights_proof is not None
    assert found.weights_proof.fields == (("a-conv", "a", "type", "Convolution", "InnerProduct"),)


@pytest.mark.parametrize("skip", [("a", "b"), ()], ids=["left-as-it-was", "convolutional-already"])
def test_nothing_was_converted(skip: tuple[str, ...], tmp_path: Path) -> None:
    text = data() + conv("c", "data", 4) + (fc("a", "c", 3) + fc("b", "a", 2) if skip else "")
    found = written(text, tmp_path, Settings(ConvertOptions(skip=skip))).verify()
    assert ends(found) == [HOLDS, HOLDS, DOES_NOT_APPLY] and found.holds and found.engine == ""
    assert reason(found) == (Exemption.NOTHING_CONVERTED, (), ())
    assert found.same_size is not None and all(each.identical for each in found.same_size.outputs)


def test_cells_that_depend_on_the_whole_map(tmp_path: Path) -> None:
    text = data() + conv("c", "data", 4) + GLOBAL + fc("fc", "pool", 3)
    found = written(text, tmp_path, Settings(ConvertOptions(keep_global_pooling=True))).verify()
    assert ends(found) == [HOLDS, HOLDS, DOES_NOT_APPLY] and found.holds
    assert reason(found) == (Exemption.EXACT_NOWHERE, (), (Reason(Cause.WHOLE_MAP, "pool"),))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kind", "params", "more"),
    [
        ("Tile", "tile_param { axis: 2 tiles: 2 }", ""),
        ("Concat", "concat_param { axis: 2 }", "c"),
        ("Slice", "slice_param { axis: 2 slice_point: 2 }", ""),
        ("ArgMax", "argmax_param { axis: 2 }", ""),
        ("Permute", "permute_param { order: 0 order: 1 order: 3 order: 2 }", ""),
        ("Flip", "flip_param { flip_width: true flip_height: false }", ""),
        ("Interp", "interp_param { height: 7 width: 9 }", ""),
    ],
)
def test_layers_whose_cells_have_no_window(kind: str, params: str, more: str, tmp_path: Path) -> None:
    """The note of convert and the proof name the layer, and not those behind it."""
    moved = layer("moved", kind, f"c {more}", "moved left" if kind == "Slice" else "moved", params)
    text = data() + conv("c", "data", 4) + moved + layer("relu", "ReLU", "moved") + fc("fc", "relu", 3)
    told = "moved produces cells without a window"
    assert f"on a larger input each answer depends on more than its window, because {told}" in planned(text).notes
    found = written(text, tmp_path).verify()
    assert reason(found) == (Exemption.EXACT_NOWHERE, (), (Reason(Cause.NO_WINDOWS, "moved"),))
    assert any(told in line for line in lines(found))


def finer(kernel: int, more: str) -> str:
    params = f"convolution_param {{ num_output: 3 kernel_size: {kernel} {more} }}"
    return layer("x", "Deconvolution", "pool", params=params)


def around(size: int) -> str:
    return layer("x", "LRN", "pool", params=f"lrn_param {{ norm_region: WITHIN_CHANNEL local_size: {size} alpha: 2 }}")


BEHIND = {
    "a window over one cell": (conv("x", "pool", 3, 1), HOLDS),
    "a sum of one cell": (finer(2, "stride: 2"), HOLDS),
    "a square of one cell": (around(1), HOLDS),
    "padding around one cell": (conv("x", "pool", 3, 1, "pad: 1"), HOLDS),
    "places of padded cells": (
        conv("x", "pool", 3, 1, "pad: 1") + layer("y", "ArgMax", "x", params="argmax_param { axis: 1 }"),
        HOLDS,
    ),
    "one cell of three with one input": (finer(3, "stride: 2"), HOLDS),
    "padded windows": (conv("x", "pool", 3, 3, "pad: 1"), DOES_NOT_APPLY),
    "padded cells in one product": (conv("x", "pool", 3, 1, "pad: 1") + fc("y", "x", 4), DOES_NOT_APPLY),
    "a window larger than the map": (conv("x", "pool", 3, 3, "stride: 3"), DOES_NOT_APPLY),
    "sums of two cells": (finer(4, "stride: 2"), DOES_NOT_APPLY),
    "sums of two cells, cut": (finer(4, "stride: 2 pad: 1"), DOES_NOT_APPLY),
    "squares of three cells": (around(3), DOES_NOT_APPLY),
    "a padded pooling": (
        layer("x", "Pooling", "pool", params="pooling_param { pool: MAX kernel_size: 3 stride: 1 pad: 1 }"),
        DOES_NOT_APPLY,
    ),
}
"""Layers behind a global pooling, which becomes a window and makes one cell of a nominal input, and whether the dense
proof holds: not where they see a border in every cell."""


@pytest.mark.thorough
@pytest.mark.parametrize("kind", BEHIND)
def test_borders_of_nominal_maps(kind: str, tmp_path: Path) -> None:
    """That a layer before pads is no matter."""
    head, status = BEHIND[kind]
    text = data() + conv("c", "data", 4, more="pad: 1") + GLOBAL + head
    found = written(text, tmp_path).verify()
    assert ends(found) == [HOLDS, HOLDS, status]
    told = "on a larger input each answer depends on more than its window, because x sees map borders at the nominal "
    assert (f"{told}size; a larger map does not have them there" in planned(text).notes) == (status is DOES_NOT_APPLY)
    if status is DOES_NOT_APPLY:
        assert reason(found) == (Exemption.EXACT_NOWHERE, (), (Reason(Cause.NOMINAL_BORDERS, "x"),))


@pytest.mark.thorough
def test_a_twin_that_is_wrong_in_the_cells_without_borders_fails(tmp_path: Path) -> None:
    """Of nine cells one is compared."""
    pair = written(data() + conv("c", "data", 4) + GLOBAL + conv("x", "pool", 3, 1, "pad: 1"), tmp_path)
    found = pair.verify(VerifySettings(proofs=("dense",)))
    assert ends(found) == [HOLDS] and found.dense is not None
    assert (found.dense.outputs[0].compared, found.dense.outputs[0].cells) == (1, 9)
    assert any("compared in 1 of 9 cells of a window" in line for line in lines(found))
    pair.blobs(lambda layers: layers["x"].blobs[0].data.__setitem__(0, 9.0))
    assert ends(pair.verify(VerifySettings(proofs=("dense",)))) == [FAILS]


IDLE = {
    "Concat": "concat_param { axis: 2 }",
    "Flatten": "flatten_param { axis: 2 end_axis: 2 }",
    "Permute": "permute_param { order: 0 order: 1 order: 2 }",
    "Reshape": "reshape_param { shape { dim: 0 dim: 0 dim: 0 dim: 0 } }",
    "Slice": "slice_param { axis: 2 }",
    "Tile": "tile_param { axis: 3 tiles: 1 }",
}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", IDLE)
def test_what_does_nothing_changes_no_verdict(kind: str, tmp_path: Path) -> None:
    """Convolutions behind it are before the first converted layer, whether or not the twin has it, and in place."""
    text = data() + conv("c", "data", 4) + layer("idle", kind, "c", "b", IDLE[kind]) + layer("r", "ReLU", "b", "b")
    text += conv("padded", "b", 3, more="pad: 1") + fc("fc", "padded", 5)
    found = written(text, tmp_path).verify()
    assert ends(found) == [HOLDS] * 3 and found.dense is not None
    assert found.dense.outputs[0].reasons == (Reason(Cause.PADS, "padded"),)


@pytest.mark.thorough
def test_a_window_that_the_twin_made_global_is_no_reason(tmp_path: Path) -> None:
    """Where the original has a window, the twin must have it."""
    line = "pooling_param { pool: AVE kernel_h: 6 kernel_w: 8 }"
    pool = layer("pool", "Pooling", "c", params=line)
    pair = written(data() + conv("c", "data", 4) + pool + fc("fc", "pool", 3), tmp_path)
    assert pair.verify().holds
    found = pair.text(lambda text: text.replace(line, "pooling_param { pool: AVE global_pooling: true }")).verify()
    assert ends(found)[0] is FAILS and found.weights_proof is not None
    assert [each.field for each in found.weights_proof.fields] == ["pooling_param.global_pooling"]


@pytest.mark.thorough
def test_one_output_of_two(tmp_path: Path) -> None:
    """A map that was convolutional already is the same in both; the other is proven."""
    text = data() + conv("c", "data", 4) + conv("map", "c", 2) + fc("fc", "c", 3)
    found = written(text, tmp_path).verify()
    assert ends(found) == [HOLDS, HOLDS, HOLDS] and found.dense is not None and found.same_size is not None
    assert {each.output.name: each.status for each in found.dense.outputs} == {"map": DOES_NOT_APPLY, "fc": HOLDS}
    assert [each.identical for each in found.same_size.outputs] == [True, False]


@pytest.mark.thorough
def test_an_axis_along_space_that_the_original_does_not_have_is_no_excuse(tmp_path: Path) -> None:
    """A Softmax over one channel makes ones, and so does one along an axis of one cell: of the nominal map."""
    text = data(shape="1 2 6 6") + fc("fc", "data", 1) + layer("soft", "Softmax", "fc")
    pair = written(text + layer("both", "Concat", "fc soft"), tmp_path)
    assert pair.verify().holds
    pair.text(lambda text: text.replace('type: "Softmax"', 'type: "Softmax" softmax_param { axis: 2 }'))
    assert ends(pair.verify()) == [HOLDS, HOLDS, FAILS]
