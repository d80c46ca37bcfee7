"""Flattened and reshaped maps: the axes of the original decide what a layer may do, and nothing is lost on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_fcn.errors import ShapeError, SurgeryError
from tests.passes.nets import conv, data, fc, kernels, layer, layers, planned
from tests.paths import CASES
from tests.verify.twins import HOLDS, Pair, ends

GLOBAL = "pooling_param { pool: AVE global_pooling: true }"


def reshape(name: str, bottom: str, dims: str) -> str:
    shape = " ".join(f"dim: {extent}" for extent in dims.split())
    return layer(name, "Reshape", bottom, params=f"reshape_param {{ shape {{ {shape} }} }}")


@pytest.mark.parametrize(
    ("case", "culprit"),
    [
        ("concatlast", r"cat \(Concat\) works along axis 2 of 'r1' \(1×12×6\)"),
        ("smlast", r"sm \(Softmax\) works along axis 1 of 'r1' \(1×2×2\)"),
        ("preluaxes", r"bn \(PReLU\) works along axis 1 of 'r1' \(1×2×2\)"),
    ],
)
def test_an_axis_that_is_not_the_channels_is_refused(case: str, culprit: str, tmp_path: Path) -> None:
    paths = CASES / f"{case}.prototxt", CASES / f"{case}.caffemodel"
    with pytest.raises(
        SurgeryError, match=rf"'fc' cannot become a Convolution: {culprit}.*; leave it unchanged with skip='fc'"
    ):
        Pair(*paths, tmp_path)
    assert not planned(paths[0].read_text(), skip=("fc",)).changes


@pytest.mark.thorough
def test_an_output_does_not_go_with_its_flattening(tmp_path: Path) -> None:
    pair = Pair(CASES / "lostout.prototxt", CASES / "lostout.caffemodel", tmp_path)
    assert ends(pair.verify()) == [HOLDS] * 3
    plan = planned((CASES / "lostout.prototxt").read_text())
    assert layers(plan)["embedding"].type == "Split" and layers(plan)["embedding"].bottom == ["gap"]
    assert "outputs of the net have other names: fc is now fc-conv" in plan.notes


def test_an_old_name_of_the_axis_stays_the_only_one() -> None:
    plan = planned((CASES / "concatdim.prototxt").read_text())
    assert layers(plan)["cat"].concat_param.concat_dim == 1 and not layers(plan)["cat"].concat_param.HasField("axis")
    assert plan.conversions[0].channels == 6 and plan.conversions[0].reordered


def test_windows_over_three_axes_that_are_global_as_well_are_refused() -> None:
    with pytest.raises(ShapeError, match=r'layer "p1" \(Pooling\): global_pooling and kernel_depth are both given'):
        planned((CASES / "pool3d.prototxt").read_text())


def test_a_reshaping_to_the_shape_that_is_there_vanishes() -> None:
    plan = planned((CASES / "reshape_noop.prototxt").read_text())
    assert kernels(plan) == {"ip": (1, 1)} and "rs" not in layers(plan)
    assert not any("nominal" in note for note in plan.notes)


def test_a_reshaping_that_does_nothing_vanishes_wherever_it_stands() -> None:
    text = data() + reshape("same", "data", "1 2 8 10") + conv("c", "same", 4) + fc("fc", "c", 5)
    plan = planned(text)
    assert layers(plan)["c"].bottom == ["data"] and "same" not in layers(plan)
    assert not any("nominal" in note for note in plan.notes)
    assert "same" in layers(planned(text, skip=("fc",)))


def test_a_map_that_is_flattened_and_put_together_again_stays_a_map() -> None:
    text = data() + layer("flat", "Flatten", "data") + reshape("map", "flat", "1 2 8 10") + conv("c", "map", 4)
    plan = planned(text + fc("fc", "c", 5))
    assert layers(plan)["c"].bottom == ["data"] and not {"flat", "map"} & layers(plan).keys()


def test_reshaping_and_permuting_back_and_forth_is_followed() -> None:
    turn = layer("nhwc", "Permute", "data", params="permute_param { order: 0 order: 2 order: 3 order: 1 }")
    rows = reshape("rows", "nhwc", "0 80 2")
    back = layer("back", "Permute", "rows", params="permute_param { order: 0 order: 2 order: 1 }")
    plan = planned(
        data() + turn + rows + layer("r", "ReLU", "rows") + back.replace('"rows"', '"r"') + fc("fc", "back", 5)
    )
    edit = plan.conversions[0]
    assert (edit.channels, edit.kernel, edit.reordered) == (2, (8, 10), False)
    assert layers(plan)["r"].bottom == ["data"] and layers(plan)["fc-conv"].bottom == ["r"]


def test_an_inner_product_that_stays_reads_no_other_order() -> None:
    turn = layer("nhwc", "Permute", "data", params="permute_param { order: 0 order: 2 order: 3 order: 1 }")
    text = data() + turn + layer("r", "ReLU", "nhwc") + layer("flat", "Flatten", "r") + fc("a", "flat", 5)
    with pytest.raises(SurgeryError, match=r"b \(InnerProduct\) reads 'flat' position by position"):
        planned(text + fc("b", "flat", 3), skip=("b",))


@pytest.mark.parametrize(("axis", "written"), [("-1", 1), ("1", 1)])
def test_an_inner_product_that_stays_flattens_the_same_axes(axis: str, written: int) -> None:
    text = data() + fc("a", "data", 5) + fc("b", "a", 3, f"axis: {axis}")
    plan = planned(text, skip=("b",))
    assert layers(plan)["b"].inner_product_param.axis == written


def test_the_scores_of_a_loss_are_a_map_as_the_scores_before_it() -> None:
    loss = layer("loss", "SoftmaxWithLoss", "fc label", "loss prob")
    text = data() + data("label", "1") + fc("fc", "data", 5) + loss
    plan = planned(text + layer("again", "Softmax", "prob", params="softmax_param { axis: -1 }"))
    assert layers(plan)["again"].softmax_param.axis == 1


def test_a_loss_that_names_no_top_is_a_loss() -> None:
    text = data() + data("label", "1") + fc("fc", "data", 5) + layer("loss", "SoftmaxWithLoss", "fc label", "")
    assert kernels(planned(text)) == {"fc": (8, 10)}


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("Softmax", "softmax_param { axis: 2 }"),
        ("Concat", "concat_param { axis: 3 }"),
        ("Tile", "tile_param { axis: 2 tiles: 2 }"),
        ("Scale", "scale_param { axis: 1 num_axes: -1 }"),
        ("Reduction", "reduction_param { axis: 2 }"),
        ("MVN", ""),
        ("Interp", "interp_param { height: 4 width: 4 }"),
        ("Embed", "embed_param { input_dim: 9 num_output: 3 }"),
    ],
)
def test_what_works_along_the_spatial_axes_of_a_window_is_refused(kind: str, params: str) -> None:
    text = data() + conv("c", "data", 4) + layer("end", "Pooling", "c", params=GLOBAL)
    with pytest.raises(SurgeryError, match=rf"late \({kind}\).*; keep global poolings"):
        planned(text + layer("late", kind, "end end" if kind == "Concat" else "end", params=params))


def test_an_output_of_one_phase_may_be_read_in_the_other() -> None:
    loss = layer("loss", "EuclideanLoss", "embedding target", params="include { phase: TRAIN }")
    target = data("target", "1 4").replace("input_param", "include { phase: TRAIN } input_param")
    text = (CASES / "lostout.prototxt").read_text() + target + loss
    after = layers(planned(text))
    assert (after["embedding"].type, after["loss"].bottom[0]) == ("Split", "gap")


def test_a_flattening_that_another_phase_needs_is_told_where_it_is_an_output_now() -> None:
    store = layer("store", "HDF5Output", "flat", "", "include { phase: TRAIN }")
    plan = planned(data() + layer("flat", "Flatten", "data") + store + fc("fc", "flat", 5))
    assert "flat" in layers(plan) and layers(plan)["fc-conv"].bottom == ["data"]
    assert "the converted net has further outputs, which only another phase reads: flat" in plan.notes


def test_an_axis_that_is_added_to_a_window_is_none_of_the_kernel() -> None:
    added = layer("added", "Reshape", "end", params="reshape_param { shape { dim: 1 } axis: 4 num_axes: 0 }")
    text = data() + conv("c", "data", 4) + layer("end", "Pooling", "c", params=GLOBAL) + added + fc("fc", "added", 5)
    assert kernels(planned(text)) == {"fc": (1, 1)} and "added" not in layers(planned(text))


def test_two_outputs_that_are_one_map_keep_their_names() -> None:
    text = data() + fc("fc", "data", 5) + layer("p", "Softmax", "fc") + layer("a", "Flatten", "p")
    assert "outputs of the net have other names: a is now p" in planned(text).notes
    after = layers(planned(text + reshape("b", "p", "0 -1")))
    assert [(after[name].type, after[name].bottom) for name in ("a", "b")] == [("Split", ["p"])] * 2


def test_a_shape_of_its_own_on_the_way_to_an_output_is_refused_at_its_layer() -> None:
    text = data() + fc("fc", "data", 6) + reshape("grid", "fc", "0 2 3") + layer("out", "Sigmoid", "grid")
    with pytest.raises(SurgeryError, match=r"grid \(Reshape\) reshapes to the fixed size 1×2×3; .*skip='fc'"):
        planned(text)


def test_a_permuted_map_may_end_the_net() -> None:
    turn = layer("nhwc", "Permute", "end", params="permute_param { order: 0 order: 2 order: 3 order: 1 }")
    text = data() + conv("c", "data", 4) + layer("end", "Pooling", "c", params=GLOBAL) + turn
    assert layers(planned(text))["nhwc"].bottom == ["end"]
    softmax = layer("p", "Softmax", "nhwc", params="softmax_param { axis: -1 }")
    after = layers(planned(text + softmax))
    assert after["p"].bottom == ["end"] and after["p"].softmax_param.axis == 1 and "nhwc" not in after
