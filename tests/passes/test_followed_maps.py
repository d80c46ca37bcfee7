"""Maps followed to their end: other orders, other shapes, other sizes, and outputs."""

from __future__ import annotations

import pytest

from caffe_fcn.errors import SurgeryError
from caffe_fcn.passes.conversion import Settings
from caffe_fcn.passes.convolutionalize import Options
from tests.passes.nets import conv, data, fc, kernels, layer, layers, planned

RELU = "ReLU"
POOL = layer("pool", "Pooling", "c", params="pooling_param { pool: AVE global_pooling: true }")
NHWC = layer("nhwc", "Permute", "c", params="permute_param { order: 0 order: 2 order: 3 order: 1 }")


@pytest.mark.parametrize(
    "reader",
    [
        layer("loss", "EuclideanLoss", "flat target"),
        layer("out", "HDF5Output", "flat", ""),
        layer("a", "Split", "flat", "b d"),
    ],
)
def test_a_reordered_blob_is_seen_by_converted_layers_only(reader: str) -> None:
    text = data() + data("target", "1 192") + conv("c", "data", 4) + NHWC + layer("flat", "Flatten", "nhwc")
    relu = layer("r", RELU, "flat", "flat")
    with pytest.raises(SurgeryError, match=r"skip='fc'"):
        planned(text + relu + reader + fc("fc", "d" if "Split" in reader else "flat", 5))


def test_maps_from_tensorflow_are_joined_along_the_channels() -> None:
    text = (
        data()
        + conv("c", "data", 4)
        + conv("d", "data", 2)
        + NHWC
        + layer("nhwc2", "Permute", "d", params="permute_param { order: 0 order: 2 order: 3 order: 1 }")
        + layer("both", "Concat", "nhwc nhwc2", params="concat_param { axis: 3 }")
        + layer("flat", "Flatten", "both")
        + fc("fc", "flat", 5)
    )
    plan = planned(text)
    assert plan.conversions[0].channels == 6 and plan.conversions[0].reordered
    assert layers(plan)["both"].bottom == ["c", "d"] and layers(plan)["both"].concat_param.axis == 1


@pytest.mark.parametrize(
    "reshape",
    [
        layer("part", "Flatten", "c", params="flatten_param { axis: 2 }"),
        layer("part", "Flatten", "c", params="flatten_param { axis: 1 end_axis: 2 }"),
        layer("part", "Reshape", "c", params="reshape_param { shape { dim: 0 dim: 0 dim: -1 dim: 1 } }"),
        layer("part", "Reshape", "c", params="reshape_param { shape { dim: 0 dim: -1 dim: 1 dim: 1 } }"),
    ],
)
def test_a_reshaping_that_keeps_the_order_is_a_flattening_to_an_inner_product(reshape: str) -> None:
    plan = planned(data() + conv("c", "data", 4) + reshape + fc("fc", "part", 5))
    assert kernels(plan) == {"fc": (6, 8)} and "part" not in layers(plan)


def test_shuffling_channels_leaves_a_map_a_map() -> None:
    text = (
        data()
        + conv("c", "data", 4)
        + layer("g", "Reshape", "c", params="reshape_param { shape { dim: 0 dim: 2 dim: 2 dim: 6 dim: 8 } }")
        + layer("t", "Permute", "g", params="permute_param { order: 0 order: 2 order: 1 order: 3 order: 4 }")
        + layer("u", "Reshape", "t", params="reshape_param { shape { dim: 0 dim: 4 dim: 6 dim: 8 } }")
        + fc("fc", "u", 5)
    )
    assert kernels(planned(text)) == {"fc": (6, 8)}


def test_a_stray_convolution_param_does_not_leak_in() -> None:
    text = data() + fc("fc", "data", 5, params="convolution_param { stride: 2 group: 2 }")
    assert not layers(planned(text))["fc-conv"].convolution_param.stride
    assert layers(planned(text))["fc-conv"].convolution_param.group == 1


def test_a_sum_over_classes_is_no_loss() -> None:
    text = data() + fc("fc", "data", 5) + layer("sum", "Reduction", "fc", params="reduction_param { axis: 1 }")
    with pytest.raises(SurgeryError, match=r"sum \(Reduction\).*skip='fc'"):
        planned(text)


def test_a_refusal_spreads_through_what_follows() -> None:
    text = data() + layer("flat", "Flatten", "data") + layer("own", "BatchNorm", "flat")
    with pytest.raises(SurgeryError, match=r"own \(BatchNorm\).*positions"):
        planned(text + layer("r", RELU, "own") + fc("fc", "r", 5))


def test_a_join_that_makes_no_map_is_no_gate() -> None:
    text = data() + conv("c", "data", 4) + POOL + fc("fc", "pool", 5) + layer("s", "Silence", "fc c", "")
    assert kernels(planned(text)) == {"fc": (1, 1)}


def test_slices_of_the_batch_stay_views() -> None:
    cut = layer("cut", "Slice", "fc", "a b", "slice_param { axis: 0 slice_point: 1 }")
    assert kernels(planned(data(shape="2 2 8 10") + fc("fc", "data", 5) + cut + fc("end", "a", 3)))["end"] == (1, 1)


END = layer("end", "Pooling", "c", params="pooling_param { pool: AVE global_pooling: true }")


@pytest.mark.parametrize(
    "flatten",
    [layer("f", "Flatten", "end"), layer("f", "Reshape", "end", params="reshape_param { shape { dim: 0 dim: -1 } }")],
)
def test_a_flattening_behind_a_window_at_the_end_goes(flatten: str) -> None:
    plan = planned(data() + conv("c", "data", 4) + END + flatten + layer("p", "Softmax", "f"))
    assert layers(plan)["p"].bottom == ["end"] and "f" not in layers(plan)


def test_argmax_behind_a_window_at_the_end_gets_its_axis() -> None:
    plan = planned(data() + conv("c", "data", 4) + END + layer("p", "Softmax", "end") + layer("best", "ArgMax", "p"))
    assert layers(plan)["best"].argmax_param.axis == 1


def test_argmax_on_a_map_again_gets_its_axis() -> None:
    reshape = layer("r", "Reshape", "fc", params="reshape_param { shape { dim: 0 dim: -1 dim: 1 dim: 1 } }")
    text = data() + fc("fc", "data", 5) + reshape + conv("d", "r", 3, 1) + layer("best", "ArgMax", "d")
    assert layers(planned(text))["best"].argmax_param.axis == 1


def test_what_a_window_ends_in_must_take_a_map() -> None:
    fixed = layer("f", "Reshape", "end", params="reshape_param { shape { dim: 0 dim: 2 dim: 2 } }")
    text = data() + conv("c", "data", 4) + END + fixed
    with pytest.raises(SurgeryError, match=r"f \(Reshape\).*global_pooling='keep'"):
        planned(text)
    assert not planned(text, keep_global_pooling=True).changes


def test_a_layer_that_keeps_the_net_at_its_nominal_size_is_noted_and_refuses_another() -> None:
    text = data() + conv("c", "data", 4) + fc("a", "c", 5) + fc("b", "c", 3)
    assert any("'b' (InnerProduct) would need" in note for note in planned(text, skip=("b",)).notes)
    with pytest.raises(SurgeryError, match=r"input_size=\(10, 12\) does not suit.*'b' \(InnerProduct\) would need"):
        planned(text, Settings(options=Options(skip=("b",)), input_size=(10, 12)))


def test_in_place_work_on_a_flattening_that_stays_is_refused() -> None:
    text = data() + layer("flat", "Flatten", "data") + layer("s", "HDF5Output", "flat", "")
    with pytest.raises(SurgeryError, match=r"r changes 'flat' in place.*its own top"):
        planned(text + layer("r", RELU, "flat", "flat") + fc("fc", "flat", 5))


def test_an_output_that_goes_with_its_layer_is_told() -> None:
    plan = planned(data() + fc("fc", "data", 5) + layer("p", "Softmax", "fc") + layer("out", "Flatten", "p"))
    assert "outputs of the net have other names: out is now p" in plan.notes


def test_a_window_over_a_permuted_map_keeps_the_permutation() -> None:
    pool = layer("p", "Pooling", "nhwc", params="pooling_param { pool: AVE global_pooling: true }")
    text = data() + conv("c", "data", 4) + NHWC + pool + layer("flat", "Flatten", "nhwc") + fc("fc", "flat", 5)
    after = layers(planned(text))
    assert after["p"].bottom == ["nhwc"] and after["nhwc"].bottom == ["c"] and after["fc-conv"].bottom == ["c"]
