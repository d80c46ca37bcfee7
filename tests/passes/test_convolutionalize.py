"""What convolutionalize does to each thing it meets: nets before, nets after, and why some stay."""

from __future__ import annotations

from typing import Any

import pytest

from caffe_fcn.errors import ShapeError, SurgeryError
from caffe_fcn.net.options import Selection
from caffe_fcn.passes.conversion import Settings
from caffe_fcn.passes.convolutionalize.changes import WindowPooling
from caffe_fcn.passes.convolutionalize.naming import Naming, parse_rule
from tests.passes.nets import conv, data, fc, kernels, layer, layers, planned, reasons
from tests.paths import CASES

RELU = "ReLU"


def test_square_kernel_is_one_number_and_the_next_layer_has_kernel_one() -> None:
    plan = planned(data(shape="1 3 7 7") + fc("fc1", "data", 5) + fc("fc2", "fc1", 4))
    first, second = layers(plan)["fc1-conv"], layers(plan)["fc2-conv"]
    assert (first.type, list(first.convolution_param.kernel_size)) == ("Convolution", [7])
    assert list(second.convolution_param.kernel_size) == [1]
    assert (first.top, second.bottom) == (["fc1-conv"], ["fc1-conv"])
    assert not first.convolution_param.pad and not first.convolution_param.stride


def test_kernel_that_is_not_square_is_kernel_h_and_kernel_w() -> None:
    converted = layers(planned(data(shape="1 3 4 9") + fc("fc", "data", 5)))["fc-conv"].convolution_param
    assert (converted.kernel_h, converted.kernel_w, list(converted.kernel_size)) == (4, 9, [])


def test_more_spatial_axes_have_one_kernel_size_each() -> None:
    converted = layers(planned(data(shape="1 3 2 4 5") + fc("fc", "data", 5)))["fc-conv"].convolution_param
    assert list(converted.kernel_size) == [2, 4, 5]


def test_everything_of_the_layer_is_carried_over() -> None:
    text = data() + (
        'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"  # the head\n'
        '  param { name: "w" lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }\n'
        "  include { phase: TEST }\n"
        "  inner_product_param {\n"
        "    num_output: 5  # classes\n"
        "    bias_term: false\n"
        "    # how it starts\n"
        '    weight_filler { type: "gaussian" std: 0.01 }\n'
        "  }\n}\n"
    )
    plan = planned(text, Settings(selection=Selection(phase="TEST")))
    converted = layers(plan)["fc-conv"]
    assert [param.lr_mult for param in converted.param] == [1, 2]
    assert converted.param[0].name == "w" and len(converted.include) == 1
    assert not converted.convolution_param.bias_term
    assert converted.convolution_param.weight_filler.std == pytest.approx(0.01)
    for comment in ("# the head", "# classes", "# how it starts"):
        assert comment in str(plan.document)


def test_transpose_flag_goes() -> None:
    plan = planned(data() + fc("fc", "data", 5, "transpose: true"))
    assert plan.conversions[0].transposed
    assert "transpose" not in str(plan.document)


@pytest.mark.parametrize(
    "flatten",
    [
        layer("flat", "Flatten", "c"),
        layer("flat", "Reshape", "c", params="reshape_param { shape { dim: 0 dim: -1 } }"),
        layer("flat", "Reshape", "c", params="reshape_param { shape { dim: 1 dim: 192 } }"),
    ],
)
def test_flattening_goes_and_elementwise_layers_stay(flatten: str) -> None:
    text = data() + conv("c", "data", 4) + flatten + layer("r", RELU, "flat", "flat") + fc("fc", "flat", 5)
    plan = planned(text)
    after = layers(plan)
    assert kernels(plan) == {"fc": (6, 8)} and "flat" not in after
    # not in place on the map, which others may read
    assert (after["r"].bottom, after["r"].top, after["fc-conv"].bottom) == (["c"], ["flat"], ["flat"])


def test_flattening_stays_for_a_reader_that_needs_it() -> None:
    text = data() + layer("flat", "Flatten", "data") + fc("fc", "flat", 5) + layer("out", "HDF5Output", "flat", "")
    after = layers(planned(text))
    assert after["fc-conv"].bottom == ["data"] and after["flat"].bottom == ["data"] and after["out"].bottom == ["flat"]


def test_flattening_behind_a_converted_layer_goes() -> None:
    text = data() + fc("fc1", "data", 6) + layer("flat", "Flatten", "fc1") + fc("fc2", "flat", 5)
    after = layers(planned(text))
    assert "flat" not in after and after["fc2-conv"].bottom == ["fc1-conv"]


def test_reshape_to_the_shape_the_twin_has_anyway_goes() -> None:
    reshape = layer("map", "Reshape", "fc", params="reshape_param { shape { dim: 0 dim: 6 dim: 1 dim: 1 } }")
    after = layers(planned(data() + fc("fc", "data", 6) + reshape + conv("c", "map", 2, 1)))
    assert "map" not in after and after["c"].bottom == ["fc-conv"]


def test_concat_of_flattened_maps_of_one_grid_joins_channels() -> None:
    text = (
        data()
        + conv("a", "data", 4)
        + conv("b", "data", 2)
        + layer("fa", "Flatten", "a")
        + layer("fb", "Flatten", "b")
        + layer("both", "Concat", "fa fb")
        + fc("fc", "both", 5)
    )
    plan = planned(text)
    assert plan.conversions[0].channels == 6 and kernels(plan) == {"fc": (6, 8)}
    assert layers(plan)["both"].bottom == ["a", "b"] and not {"fa", "fb"} & layers(plan).keys()


def test_permute_and_flattening_go_and_columns_are_reordered() -> None:
    permute = layer("nhwc", "Permute", "c", params="permute_param { order: 0 order: 2 order: 3 order: 1 }")
    text = data() + conv("c", "data", 4) + permute + layer("flat", "Flatten", "nhwc") + fc("fc", "flat", 5)
    plan = planned(text)
    edit = plan.conversions[0]
    assert (edit.channels, edit.kernel, edit.reordered) == (4, (6, 8), True)
    assert layers(plan)["fc-conv"].bottom == ["c"] and not {"nhwc", "flat"} & layers(plan).keys()


def test_permute_in_another_order_is_not_undone() -> None:
    permute = layer("nhcw", "Permute", "data", params="permute_param { order: 0 order: 2 order: 1 order: 3 }")
    plan = planned(data() + permute + layer("flat", "Flatten", "nhcw") + fc("fc", "flat", 5))
    assert not plan.changes and "nhcw (Permute) moves the spatial axes" in reasons(plan)["fc"]


@pytest.mark.parametrize("kind", ["Scale", "Bias", "BatchNorm", "PReLU"])
def test_a_layer_that_treats_flattened_positions_apart_is_refused(kind: str) -> None:
    text = data() + layer("flat", "Flatten", "data") + layer("own", kind, "flat") + fc("fc", "own", 5)
    with pytest.raises(SurgeryError, match=r"net\.prototxt: .*'fc'.*own .*8×10 positions.*skip='fc'"):
        planned(text)
    assert not planned(text, skip=("fc",)).changes


@pytest.mark.parametrize("kind", ["Scale", "Bias", "BatchNorm", "PReLU", "Softmax"])
def test_the_same_layers_behind_a_converted_one_work_on_channels(kind: str) -> None:
    after = layers(planned(data() + fc("fc", "data", 5) + layer("own", kind, "fc") + fc("fc2", "own", 3)))
    assert after["own"].bottom == ["fc-conv"] and after["fc2-conv"].type == "Convolution"


def test_negative_axes_of_vectors_become_the_channel_axis() -> None:
    text = data() + fc("fc", "data", 5) + layer("p", "Softmax", "fc", params="softmax_param { axis: -1 }")
    assert layers(planned(text))["p"].softmax_param.axis == 1


def test_scale_over_all_axes_of_a_vector_covers_the_channels() -> None:
    text = data() + fc("fc", "data", 5) + layer("s", "Scale", "fc", params="scale_param { num_axes: -1 }")
    assert layers(planned(text))["s"].scale_param.num_axes == 1


def test_argmax_without_axis_gets_one() -> None:
    after = layers(planned(data() + fc("fc", "data", 5) + layer("best", "ArgMax", "fc")))
    assert after["best"].argmax_param.axis == 1


def test_argmax_that_pairs_index_and_value_is_refused() -> None:
    best = layer("best", "ArgMax", "fc", params="argmax_param { out_max_val: true }")
    with pytest.raises(SurgeryError, match=r"best .*out_max_val.*skip='fc'"):
        planned(data() + fc("fc", "data", 5) + best)


def test_slice_of_a_converted_blob_cuts_channels() -> None:
    cut = layer("cut", "Slice", "fc", "a b", "slice_param { slice_point: 2 }")
    assert kernels(planned(data() + fc("fc", "data", 5) + cut + fc("end", "a", 3)))["end"] == (1, 1)


POOL = layer("pool", "Pooling", "c", params="pooling_param { pool: AVE global_pooling: true }")


def windows(text: str, **options: Any) -> dict[str, tuple[int, ...]]:
    plan = planned(text, None, **options)
    return {edit.layer: edit.kernel for edit in plan.changes if isinstance(edit, WindowPooling)}


def test_global_pooling_before_a_converted_layer_becomes_a_window() -> None:
    text = data() + conv("c", "data", 4) + POOL + fc("fc", "pool", 5)
    plan = planned(text)
    pooling = layers(plan)["pool"].pooling_param
    assert (pooling.kernel_h, pooling.kernel_w, pooling.stride) == (6, 8, 1) and not pooling.HasField("global_pooling")
    assert kernels(plan) == {"fc": (1, 1)}


def test_global_pooling_at_the_end_becomes_a_window_without_any_inner_product() -> None:
    assert windows(data() + conv("c", "data", 4) + POOL + layer("p", "Softmax", "pool")) == {"pool": (6, 8)}


def test_global_pooling_can_be_kept() -> None:
    text = data() + conv("c", "data", 4) + POOL + fc("fc", "pool", 5)
    assert windows(text, keep_global_pooling=True) == {} and kernels(planned(text, keep_global_pooling=True)) == {
        "fc": (1, 1)
    }


def test_global_pooling_before_a_skipped_layer_stays() -> None:
    plan = planned(data() + conv("c", "data", 4) + POOL + fc("fc", "pool", 5), skip=("fc",))
    assert not plan.changes and "feeds fc" in reasons(plan)["pool"]


def test_a_gate_is_left_alone_and_the_classifier_behind_it_is_not() -> None:
    text = (
        data()
        + conv("c", "data", 4)
        + POOL
        + fc("squeeze", "pool", 2)
        + fc("excite", "squeeze", 4)
        + layer("gated", "Scale", "c excite", params="scale_param { axis: 0 }")
        + layer("end", "Pooling", "gated", params="pooling_param { pool: AVE global_pooling: true }")
        + fc("fc", "end", 5)
    )
    plan = planned(text)
    assert kernels(plan) == {"fc": (1, 1)} and windows(text) == {"end": (6, 8)}
    assert {"squeeze", "excite", "pool"} <= reasons(plan).keys()
    assert all("gate" in reasons(plan)[name] for name in ("squeeze", "excite", "pool"))


ROIS = data("rois", "3 5") + layer(
    "roi", "ROIPooling", "data rois", params="roi_pooling_param { pooled_h: 3 pooled_w: 3 spatial_scale: 1 }"
)


def test_inner_products_behind_region_pooling_are_left_alone_unless_named() -> None:
    text = data() + ROIS + fc("fc6", "roi", 5) + fc("fc7", "fc6", 4)
    plan = planned(text)
    assert not plan.changes and "roi" in reasons(plan)["fc6"] and "roi" in reasons(plan)["fc7"]
    forced = planned(text, only=("fc6",))
    assert kernels(forced) == {"fc6": (3, 3)} and not any("nominal" in note for note in forced.notes)


def test_inner_product_over_dummy_data_without_height_and_width_is_left_alone() -> None:
    dummy = layer("d", "DummyData", "", params="dummy_data_param { num: 1 channels: 6 height: 1 width: 1 }")
    assert "DummyData" in reasons(planned(dummy + fc("fc", "d", 5)))["fc"]


def test_inner_product_over_flat_data_is_left_alone() -> None:
    assert "no height and width" in reasons(planned(data(shape="1 6") + fc("fc", "data", 5)))["fc"]


def test_inner_product_along_another_axis_is_left_alone() -> None:
    assert "axis 2" in reasons(planned(data() + fc("fc", "data", 5, "axis: 2")))["fc"]


SQUEEZED = layer("s", "Squeeze", "a", params="squeeze_param { axis: 1 }")


@pytest.mark.parametrize("items", [1, 2])
def test_inner_product_over_the_items_of_a_batch_is_no_convolution(items: int) -> None:
    """Of a blob with one axis, 0 is the first axis and the last."""
    behind = data(shape=f"{items} 2 8 10") + fc("a", "data", 1) + SQUEEZED + fc("b", "s", 4, "axis: 0")
    with pytest.raises(SurgeryError, match=r"b \(InnerProduct\) works along axis 0 of 's' .* skip='a'"):
        planned(behind)
    alone = planned(behind, skip=("a",))
    assert reasons(alone)["b"].startswith("its input comes from a") and not alone.conversions
    vector = planned(data(shape=f"{items}") + fc("b", "data", 4, "axis: 0"))
    assert reasons(vector) == {"b": "works along axis 0 of its input, not along axis 1"}


def test_inner_product_after_a_sequence_is_left_alone() -> None:
    lstm = layer("lstm", "LSTM", "x cont", params="recurrent_param { num_output: 4 }")
    text = data("x", "3 2 5") + data("cont", "3 2") + lstm + fc("fc", "lstm", 5)
    assert "sequence" in reasons(planned(text))["fc"]


def test_strict_makes_leaving_alone_an_error() -> None:
    with pytest.raises(SurgeryError, match=r"strict.*fc: .*no height"):
        planned(data(shape="1 6") + fc("fc", "data", 5), Settings(strict=True))


def shared(name: str, bottom: str, outputs: int, weight: str, more: str = "") -> str:
    return fc(name, bottom, outputs, more, f'param {{ name: "{weight}" }}')


def test_sharers_that_agree_are_converted_together() -> None:
    text = data("a") + data("b") + shared("fa", "a", 5, "w") + shared("fb", "b", 5, "w")
    assert kernels(planned(text)) == {"fa": (8, 10), "fb": (8, 10)}


def test_tied_transposed_twins_are_left_alone_together() -> None:
    text = (
        data(shape="1 6 1 1") + shared("encode", "data", 4, "w") + shared("decode", "encode", 6, "w", "transpose: true")
    )
    plan = planned(text)
    assert not plan.conversions
    assert "transposed" in reasons(plan)["encode"] and "transposed" in reasons(plan)["decode"]


def test_sharers_that_would_disagree_are_refused() -> None:
    text = data("a", "1 2 3 4") + data("b", "1 4 3 2") + shared("fa", "a", 5, "w") + shared("fb", "b", 5, "w")
    with pytest.raises(SurgeryError, match=r"'w'.*fa 5×2×3×4.*fb 5×4×3×2"):
        planned(text)


def test_join_of_maps_with_different_strides_is_refused() -> None:
    text = (
        data(shape="1 2 8 8")
        + conv("near", "data", 2, 1)
        + conv("far", "data", 2, 2, "stride: 2")
        + fc("a", "near", 5)
        + fc("b", "far", 5)
        + layer("sum", "Eltwise", "a b")
    )
    with pytest.raises(SurgeryError, match=r"sum \(Eltwise\).*'a-conv' \(stride 1×1\) and 'b-conv' \(stride 2×2\)"):
        planned(text)


def test_join_with_something_that_is_no_map_is_refused() -> None:
    text = data() + data("age", "1 3") + fc("fc", "data", 5) + layer("both", "Concat", "fc age") + fc("end", "both", 2)
    with pytest.raises(SurgeryError, match=r"both \(Concat\) joins 'fc'.*with 'age'.*skip='fc'"):
        planned(text)


def test_fixed_reshape_of_the_output_is_refused_and_can_be_skipped() -> None:
    text = (
        data()
        + fc("fc", "data", 6)
        + layer("r", "Reshape", "fc", params="reshape_param { shape { dim: 0 dim: 2 dim: 3 } }")
    )
    with pytest.raises(SurgeryError, match=r"r \(Reshape\).*1×2×3.*skip='fc'"):
        planned(text)
    assert not planned(text, skip=("fc",)).changes


def test_recurrent_layer_on_the_output_is_refused() -> None:
    reshape = layer("r", "Reshape", "fc", params="reshape_param { shape { dim: 1 dim: 1 dim: 6 } }")
    with pytest.raises(SurgeryError, match=r"skip='fc'"):
        planned(data() + fc("fc", "data", 6) + reshape)


def test_inner_product_left_behind_a_converted_one_is_noted() -> None:
    plan = planned(data() + fc("fc1", "data", 5) + fc("fc2", "fc1", 4), only=("fc1",))
    assert kernels(plan) == {"fc1": (8, 10)} and any("only its nominal input size" in note for note in plan.notes)


def test_overwriting_a_map_in_place_before_it_is_read_is_refused() -> None:
    text = data() + layer("flat", "Flatten", "data") + layer("r", RELU, "data", "data") + fc("fc", "flat", 5)
    with pytest.raises(SurgeryError, match=r"fc would read 'data' after r changed it in place"):
        planned(text)


def test_an_unknown_layer_on_the_way_is_an_error_that_names_the_option() -> None:
    text = data() + layer("odd", "Oddity", "data") + fc("fc", "odd", 5)
    with pytest.raises(ShapeError, match=r"net\.prototxt: layer 'fc'.*'odd'.*Oddity.*shapes=\{'odd': \(N, C, H, W\)\}"):
        planned(text)
    assert kernels(planned(text, Settings(selection=Selection(shapes={"odd": (1, 3, 4, 5)})))) == {"fc": (4, 5)}


def test_an_input_of_unknown_size_is_an_error_that_names_the_option() -> None:
    text = layer("d", "Data", "", "img label", "data_param { batch_size: 2 }") + fc("fc", "img", 5)
    with pytest.raises(ShapeError, match=r"layer 'fc'.*'d'.*shapes=\{'img': \(N, C, H, W\)\}"):
        planned(text)
    assert kernels(planned(text, Settings(selection=Selection(shapes={"img": (2, 1, 4, 4)})))) == {"fc": (4, 4)}


def test_a_net_without_inner_products_stays_as_it_is() -> None:
    text = data() + conv("c", "data", 4)
    plan = planned(text)
    assert not plan.changes and str(plan.document) == text


def test_names_can_be_kept_given_a_suffix_or_a_rule() -> None:
    text = data() + fc("fc6", "data", 5) + fc("fc7", "fc6", 4)
    assert {"fc6", "fc7"} <= layers(planned(text, naming=Naming(""))).keys()
    assert {"fc6_x", "fc7_x"} <= layers(planned(text, naming=Naming("_x"))).keys()
    assert {"conv6", "conv7"} <= layers(planned(text, naming=Naming(rules=(parse_rule(r"fc(\d+)=conv\1"),)))).keys()


def test_a_top_of_another_name_gets_the_suffix_as_well() -> None:
    text = (
        data()
        + layer("fc-5", "InnerProduct", "data", "fc", "inner_product_param { num_output: 5 }")
        + layer("p", "Softmax", "fc")
    )
    after = layers(planned(text))
    assert after["fc-5-conv"].top == ["fc-conv"] and after["p"].bottom == ["fc-conv"]


def test_a_new_name_that_is_taken_is_refused() -> None:
    text = data() + conv("fc-conv", "data", 2) + fc("fc", "fc-conv", 5)
    with pytest.raises(SurgeryError, match=r"'fc' would become 'fc-conv'.*suffix"):
        planned(text)


@pytest.mark.parametrize("option", ["only", "skip"])
def test_a_name_that_matches_nothing_is_an_error(option: str) -> None:
    with pytest.raises(SurgeryError, match=r"'fc9'; the net has: fc6"):
        planned(data() + fc("fc6", "data", 5), None, **{option: ("fc9",)})


def test_patterns_choose_several_layers() -> None:
    text = data() + fc("fc6", "data", 5) + fc("score", "data", 4)
    assert kernels(planned(text, only=("fc*",))) == {"fc6": (8, 10)}
    assert kernels(planned(text, skip=("fc*",))) == {"score": (8, 10)}


def test_paths_that_part_company_on_a_larger_input_are_refused() -> None:
    text = (
        data(shape="1 2 8 8")
        + fc("a", "data", 5)
        + layer("fixed", "Interp", "data", params="interp_param { height: 4 width: 4 }")
        + fc("b", "fixed", 5)
        + layer("sum", "Eltwise", "a b")
    )
    with pytest.raises(SurgeryError, match=r"larger input: .*sum.*skip"):
        planned(text)


# ---- Exact nowhere ----


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("mvn", "m reads the whole map"),
        ("batch_stats", "b reads the whole batch"),
        ("softmax_space", "s reads the whole axis 2"),
    ],
)
def test_a_map_that_is_exact_nowhere_is_noted(case: str, why: str) -> None:
    plan = planned((CASES / f"{case}.prototxt").read_text())
    assert kernels(plan)
    assert f"on a larger input each answer depends on more than its window, because {why}" in plan.notes


def test_statistics_of_the_batch_are_expected_in_training() -> None:
    text = data() + layer("b", "BatchNorm", "data") + fc("fc", "b", 5)
    text += 'layer { name: "half" type: "Silence" bottom: "b" include { phase: TRAIN } }'
    assert not any("larger input" in note for note in planned(text).notes)
