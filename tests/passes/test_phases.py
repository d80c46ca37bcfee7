"""Nets with layers for training and for testing, converted as one file."""

from __future__ import annotations

import pytest

from caffe_fcn.errors import NetError, SurgeryError
from caffe_fcn.net.options import Selection
from caffe_fcn.passes.conversion import Settings
from caffe_fcn.passes.convolutionalize.naming import Naming
from tests.passes.nets import data, fc, kernels, layer, layers, planned
from tests.paths import CASES


def images(phase: str, crop: int, batch: int = 4) -> str:
    return layer(
        "data",
        "Data",
        "",
        "data label",
        f"include {{ phase: {phase} }} transform_param {{ crop_size: {crop} }} data_param {{ batch_size: {batch} }}",
    )


HEAD = fc("fc", "data", 5)
LOSS = layer("loss", "SoftmaxWithLoss", "fc label", params="include { phase: TRAIN }")
ACCURACY = layer("accuracy", "Accuracy", "fc label", params="include { phase: TEST }")


def test_both_phases_follow_one_conversion() -> None:
    plan = planned(images("TRAIN", 6) + images("TEST", 6, 1) + HEAD + LOSS + ACCURACY)
    assert kernels(plan) == {"fc": (6, 6)} and len(plan.conversions) == 1
    assert layers(plan)["loss"].bottom[0] == layers(plan)["accuracy"].bottom[0] == "fc-conv"


def test_phases_that_disagree_are_refused_unless_one_is_chosen() -> None:
    text = images("TRAIN", 6) + images("TEST", 7) + HEAD + LOSS + ACCURACY
    with pytest.raises(SurgeryError, match=r"'fc'.*both phases.*7×7.*6×6.*phase"):
        planned(text)
    plan = planned(text, Settings(selection=Selection(phase="TRAIN")))
    assert kernels(plan) == {"fc": (6, 6)}
    assert layers(plan)["accuracy"].bottom[0] == "fc-conv"  # of the other phase, and still follows


def test_a_file_for_training_only_is_converted_for_training() -> None:
    assert kernels(planned(images("TRAIN", 6) + HEAD + LOSS)) == {"fc": (6, 6)}


def test_stages_choose_layers() -> None:
    stage = fc("other", "data", 4, params='include { stage: "extra" }')
    text = data() + HEAD + stage
    plan = planned(text)
    assert kernels(plan) == {"fc": (8, 10)} and any("other" in note and "stages" in note for note in plan.notes)
    assert kernels(planned(text, Settings(selection=Selection(stages=("extra",))))) == {"fc": (8, 10), "other": (8, 10)}


def test_levels_choose_layers() -> None:
    text = data() + fc("fc", "data", 4, params="include { min_level: 2 }")
    assert kernels(planned(text)) == {} and kernels(planned(text, Settings(selection=Selection(level=2)))) == {
        "fc": (8, 10)
    }


def test_input_size_is_written_to_input_layers_and_input_fields() -> None:
    plan = planned(data() + HEAD, Settings(input_size=(20, 30)))
    assert list(layers(plan)["data"].input_param.shape[0].dim) == [1, 2, 20, 30]
    fields = 'input: "data" input_dim: 1 input_dim: 2 input_dim: 8 input_dim: 10\n'
    assert list(planned(fields + HEAD, Settings(input_size=(20, 30))).net.input_dim) == [1, 2, 20, 30]
    shape = 'input: "data" input_shape { dim: 1 dim: 2 dim: 8 dim: 10 }\n'
    assert list(planned(shape + HEAD, Settings(input_size=(20, 30))).net.input_shape[0].dim) == [1, 2, 20, 30]


def test_input_size_is_written_to_the_crops_of_both_phases() -> None:
    text = images("TRAIN", 6) + images("TEST", 6) + HEAD
    plan = planned(text, Settings(input_size=(9, 9)))
    assert [layer.transform_param.crop_size for layer in plan.net.layer[:2]] == [9, 9]
    with pytest.raises(SurgeryError, match=r"can crop squares only"):
        planned(text, Settings(input_size=(9, 10)))


def test_an_input_size_at_which_the_labels_no_longer_fit_is_refused() -> None:
    text = images("TRAIN", 6) + images("TEST", 6) + HEAD + ACCURACY
    with pytest.raises(SurgeryError) as refused:
        planned(text, Settings(input_size=(9, 9)))
    assert 'with input_size=(9, 9) Caffe would refuse the net: layer "accuracy" (Accuracy): ' in str(refused.value)
    assert "found 64 = 4×4×4 predictions (4×5×4×4 with the classes on axis 1) and 4 labels (4);" in str(refused.value)
    for settings in (Settings(), Settings(input_size=(6, 6))):
        assert not any("label" in note for note in planned(text, settings).notes)


def test_labels_that_did_not_fit_before_are_noted_as_they_are_written() -> None:
    text = (CASES / "loss_map.prototxt").read_text()
    for size, found in ((None, "8 = 2×2×2"), ((40, 40), "3200 = 2×40×40")):
        notes = [note for note in planned(text, Settings(input_size=size)).notes if "label" in note]
        assert [note.partition("found ")[2].partition(" predictions")[0] for note in notes] == [found]
        assert notes[0].startswith('Caffe does not build the net: layer "loss" (SoftmaxWithLoss): ')


def test_input_size_below_the_window_is_refused() -> None:
    with pytest.raises(SurgeryError, match=r"input_size=\(4, 4\) does not suit"):
        planned(data() + HEAD, Settings(input_size=(4, 4)))


def test_input_size_of_a_net_without_images_is_refused() -> None:
    with pytest.raises(SurgeryError, match=r"no input with 2 spatial axes"):
        planned(data(shape="1 6") + HEAD, Settings(input_size=(4, 4)))


def test_a_shape_for_a_blob_that_is_not_there_is_refused() -> None:
    with pytest.raises(NetError, match=r"'nowhere'"):
        planned(data() + HEAD, Settings(selection=Selection(shapes={"nowhere": (1, 2)})))


def test_a_flattening_that_another_phase_reads_stays_in_both() -> None:
    flat = layer("flat", "Flatten", "data")
    head = fc("fc", "flat", 5)
    loss = layer("aux", "EuclideanLoss", "flat flat", params="include { phase: TRAIN }")
    text = images("TRAIN", 6) + images("TEST", 6) + flat + head + LOSS + ACCURACY + loss
    for settings in (Settings(), Settings(selection=Selection(phase="TEST"))):
        after = layers(planned(text, settings))
        assert after["fc-conv"].bottom == ["data"] and after["flat"].bottom == ["data"]
        assert after["aux"].bottom == ["flat", "flat"]


def test_a_blob_that_another_stage_makes_keeps_its_name_or_the_net_is_refused() -> None:
    here = layer("fa", "InnerProduct", "data", "fc", 'exclude { stage: "b" } inner_product_param { num_output: 5 }')
    there = layer("fb", "InnerProduct", "data", "fc", 'include { stage: "b" } inner_product_param { num_output: 5 }')
    text = data() + here + there + layer("p", "Softmax", "fc")
    with pytest.raises(SurgeryError, match=r"p reads 'fc'; in another phase or stage fb makes it.*suffix=''"):
        planned(text)
    assert layers(planned(text, naming=Naming("")))["p"].bottom == ["fc"]


def test_a_new_name_that_another_stage_uses_is_refused() -> None:
    other = layer("fc-conv", "ReLU", "data", "x", 'include { stage: "b" }')
    with pytest.raises(SurgeryError, match=r"another phase or stage uses the new name 'fc-conv'"):
        planned(data() + HEAD + other)


def test_a_twin_that_caffe_does_not_build_is_noted() -> None:
    """The vector of the original had two axes, the map of the twin has five."""
    volume = data(shape="1 2 3 4 4") + fc("fc", "data", 3) + layer("p", "PReLU", "fc")
    (note,) = [note for note in planned(volume, Settings()).notes if "Caffe" in note]
    assert note.startswith(
        'Caffe does not build the converted net: layer "p" (PReLU): the bottom has 5 axes (1×3×1×1×1)'
    )
    assert not any(
        "Caffe" in note for note in planned(data() + fc("fc", "data", 3) + layer("p", "PReLU", "fc"), Settings()).notes
    )


def test_a_flattening_goes_although_another_stage_reads_what_became_of_it_in_place() -> None:
    flat = layer("flat", "Flatten", "data") + layer("r", "ReLU", "flat", "flat")
    there = layer("store", "HDF5Output", "flat", "", 'include { stage: "b" }')
    after = layers(planned(data() + flat + there + fc("fc", "flat", 5)))
    assert "flat" not in after and after["r"].bottom == ["data"] and after["store"].bottom == ["flat"]


@pytest.mark.parametrize(
    "teller",
    [
        data("data", "1 1 6 6").replace('top: "data"', 'top: "data" include { phase: TEST }'),
        images("TEST", 6).replace("transform_param {", "transform_param { force_gray: true"),
        images("TEST", 6).replace('"Data"', '"ImageData" image_data_param { is_color: false }'),
    ],
)
def test_one_phase_tells_the_channels_of_the_other(teller: str) -> None:
    plan = planned(images("TRAIN", 6) + teller + HEAD, Settings(input_size=(9, 9)))
    assert [edit.weight_shape for edit in plan.conversions] == [(5, 1, 6, 6)]
    assert not any("channels" in note for note in plan.notes)
