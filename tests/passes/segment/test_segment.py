"""Segmentation nets made of classifiers, against the reference Caffe's answers and the published nets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from caffe_fcn.api.net import Net
from caffe_fcn.errors import SurgeryError
from caffe_fcn.files import prototxt
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.source import interpret
from caffe_fcn.passes.segment.changes import Stage
from caffe_fcn.passes.segment.padding import PadReason
from caffe_fcn.report.segment import dropped
from caffe_fcn.schema import Message
from tests.passes.nets import conv, data, fc, layer, model_of
from tests.passes.segment.nets import INDEX, NETS, SEGMENTS, VGG, Segmented, golden, layers_of, segmented

VALUES = [(name, int(key[0])) for name in NETS for key in INDEX[name]["values"]]
HEAD = ("num_output", "bias_term", "kernel_size", "kernel_h", "kernel_w", "stride", "group", "pad")


def kept(name: str, skips: int) -> Segmented:
    """The golden net NAME with so many skips and its own classifier, for the size of its golden input."""
    entry, values = INDEX[name], np.load(SEGMENTS / name / "golden.npz")
    return segmented(
        golden(name),
        keep_classifier=True,
        skip=tuple(list(entry["skips"])[:skips]),
        pad=entry["values"][f"{skips} skips"]["pad"],
        input_size=values["in:data"].shape[2:],
    )


# ---- Against Caffe ----


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "skips"), VALUES)
def test_the_answers_are_those_of_caffe(name: str, skips: int) -> None:
    values, plan = np.load(SEGMENTS / name / "golden.npz"), kept(name, skips)
    coarse = f"{INDEX[name]['last']}-conv"
    found = Net(plan.model, plan).load(blobs=["score", coarse]).run({"data": values["in:data"]})
    for blob, key in (("score", "out"), (coarse, "scores")):
        expected = values[f"{key}:{skips}_skips"]
        assert found[blob].shape == expected.shape
        assert np.abs(found[blob] - expected).max() < 3e-6 * np.ptp(expected)


@pytest.mark.parametrize(("name", "skips"), VALUES)
def test_the_layers_are_those_of_the_measured_nets(name: str, skips: int) -> None:
    text = (SEGMENTS / name / f"segment_{skips}_skips.prototxt").read_bytes()
    expected = interpret(prototxt.parse(text, "golden")).net
    plan = kept(name, skips)
    found = {each.name: each for each in plan.net.layer}
    stages = plan.head.stages
    theirs = [each.name for each in expected.layer if each.type == "Deconvolution"]
    names = dict(zip(theirs, [stage.layer for stage in stages], strict=True))
    assert len(found) == len(expected.layer)
    for wanted in expected.layer:
        made = found[names.get(wanted.name, wanted.name)]
        assert made.type == wanted.type
        assert list(made.bottom) == [names.get(bottom, bottom) for bottom in wanted.bottom]
        assert window(made) == window(wanted)
        assert list(made.crop_param.offset) == list(wanted.crop_param.offset)
        assert made.input_param == wanted.input_param and pooling(made) == pooling(wanted)


CASES = [
    (name, case)
    for name in NETS
    for case in INDEX[name]["cases"]
    if case["pad"] == 100 and "null" not in case and len(case["skips"]) != 1
]


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}-{len(case['skips'])}" for name, case in CASES])
def test_the_shapes_are_those_of_caffe(name: str, case: dict[str, Any]) -> None:
    net, skips = golden(name, weights=False), tuple(case["skips"])
    for given, expected in case["outputs"].items():
        plan = segmented(net, classes=3, skip=skips, pad=100, input_size=tuple(map(int, given.split("x")))[2:])
        graph, shapes = plan.model.graph, plan.model.shapes[plan.model.phase]
        found = {blob.name: shape for blob, shape in shapes.blobs.items() if isinstance(shape, tuple)}
        assert list(found["score"]) == expected and list(found["score_fr"]) == case["score_fr"][given]
        assert upsampling_weights(plan) == case["upsampling_weights"]["group 3"]
        assert [blob.name for blob in graph.outputs] == ["score"]
    dense = segmented(net, classes=3, skip=skips, pad=100, dense_upsampling=True)
    assert upsampling_weights(dense) == case["upsampling_weights"]["group 1"]


def upsampling_weights(plan: Segmented) -> list[list[int]]:
    """The shapes of the weights of the Deconvolutions, in their order."""
    params = plan.model.shapes[plan.model.phase].params
    nodes = [node for node in plan.model.graph.nodes if node.type == "Deconvolution"]
    return [list(shape) for node in nodes for shape in params[node.index]]


def window(layer: Message) -> list[object]:
    values = [getattr(layer.convolution_param, name) for name in HEAD]
    return [list(value) if hasattr(value, "append") else value for value in values]


def pooling(layer: Message) -> list[object]:
    return [getattr(layer.pooling_param, name) for name in ("pool", "kernel_size", "stride", "pad", "global_pooling")]


# ---- Layers and names ----


def test_skips_are_sorted_and_scaled() -> None:
    plan = segmented(VGG, skip=("pool1:0.01", "pool2"))
    made = layers_of(plan)
    assert [stage.blob for stage in plan.head.stages] == ["pool2", "pool1", "data"]
    scale = made["scale_pool1"]
    assert (scale.param[0].lr_mult, scale.scale_param.filler.type) == (0, "constant")
    assert scale.scale_param.filler.value == pytest.approx(0.01)
    assert list(made["score_pool1"].bottom) == ["scale_pool1"]
    assert "scale_pool2" not in made


def test_a_blob_may_have_a_colon_in_its_name() -> None:
    plan = segmented(VGG.replace('"pool2"', '"pool2:1"'), skip=("pool2:1",))
    assert (plan.head.stages[0].blob, plan.head.stages[0].scale) == ("pool2:1", None)


def test_two_upsamplings_never_have_one_name() -> None:
    """Both are by 2, the first and the last; published names have the factor of either."""
    made = [stage.layer for stage in segmented(VGG, skip=("pool2", "pool1")).head.stages]
    assert made == ["upscore2", "upscore_pool2", "upscore"]


def test_a_prefix_keeps_names_apart() -> None:
    net = VGG.replace('"fc6"', '"score"')
    with pytest.raises(SurgeryError, match=r"the name 'score' of a new layer is in use; .*prefix"):
        segmented(VGG.replace('"conv1"', '"score"'))
    made = layers_of(segmented(net, prefix="seg_", skip=("pool2",)))
    assert list(made)[-7:-3] == ["seg_score_fr", "seg_upscore2", "seg_score_pool2", "seg_score_pool2c"]
    assert made["seg_score"].type == "Crop"


def test_upsampling_that_learns_and_in_one_group() -> None:
    made = layers_of(segmented(VGG, learn_upsampling=True))["upscore"]
    assert not made.param and made.convolution_param.group == 2
    plan = segmented(VGG, dense_upsampling=True)
    dense = layers_of(plan)["upscore"]
    assert not dense.convolution_param.HasField("group") and not dense.convolution_param.HasField("weight_filler")
    assert "no filler" in plan.notes[-1]


def test_a_padding_that_is_there_is_no_change() -> None:
    net = data(shape="1 3 96 96") + conv("conv1", "data", 4, 7, "stride: 4 pad: {}") + conv("conv2", "conv1", 5, 1)
    pad = segmented(net.replace("{}", "0")).head.padding.pad
    again = segmented(net.replace("{}", str(pad)), pad="keep")
    assert again.of_kind("padding") == [] and again.head.padding.why is PadReason.KEPT
    assert segmented(net.replace("{}", str(pad))).of_kind("padding") == []


# ---- Classifiers ----

POOLED = (
    data(shape="1 3 64 64")
    + conv("conv1", "data", 4, 3, "pad: 1 stride: 2")
    + layer("pool1", "Pooling", "conv1", params="pooling_param { kernel_size: 2 stride: 2 }")
    + layer("pool", "Pooling", "pool1", params="pooling_param { pool: AVE kernel_size: 16 }")
    + layer("drop", "Dropout", "pool", "pool")
    + fc("fc", "pool", 5)
    + layer("prob", "Softmax", "fc")
)


def test_pooling_before_the_classifier_stays_or_goes() -> None:
    with_pooling, without = segmented(POOLED), segmented(POOLED, drop_pooling=True)
    assert list(layers_of(with_pooling)["score_fr"].bottom) == ["pool"]
    made = layers_of(without)
    assert "pool" not in made and list(made["drop"].bottom) == ["pool1"]
    assert with_pooling.head.padding.pad and without.head.padding.pad is not None
    assert without.head.padding.pad < with_pooling.head.padding.pad
    with pytest.raises(SurgeryError, match="there is no pooling over the whole map"):
        segmented(VGG, drop_pooling=True)


def test_pooling_behind_the_classifier_stays_and_a_relu_goes() -> None:
    net = (
        data(shape="1 3 64 64")
        + conv("conv1", "data", 4, 3, "pad: 1 stride: 4")
        + conv("conv10", "conv1", 5, 1)
        + layer("relu10", "ReLU", "conv10", "conv10")
        + layer("pool10", "Pooling", "conv10", params="pooling_param { pool: AVE global_pooling: true }")
        + layer("prob", "Softmax", "pool10")
    )
    made = layers_of(segmented(net))
    assert "relu10" not in made and "prob" not in made
    assert list(made["pool10"].bottom) == ["score_fr"] and list(made["upscore"].bottom) == ["pool10"]
    assert made["pool10"].pooling_param.kernel_size == 16
    kept = layers_of(segmented(net, keep_classifier=True))
    assert "relu10" in kept and kept["upscore"].convolution_param.num_output == 5
    dropped = layers_of(segmented(net, drop_pooling=True))
    assert "pool10" not in dropped and list(dropped["upscore"].bottom) == ["score_fr"]


HEADS = VGG + conv("other", "pool2", 3, 1) + layer("other_prob", "Softmax", "other")


def test_several_classifiers() -> None:
    with pytest.raises(SurgeryError, match="several classifiers: fc8, other; choose one, such as at='other'"):
        segmented(HEADS)
    made = layers_of(segmented(HEADS, at="fc8"))
    assert "other" not in made and "score_fr" in made
    other = segmented(HEADS, at="other")
    assert "fc6-conv" not in layers_of(other) and other.head.stages[-1].factor == 4
    with pytest.raises(SurgeryError, match=r"no layer is called 'fc9'; .*did you mean 'fc8'"):
        segmented(HEADS, at="fc9")


def test_labels_and_losses_go() -> None:
    net = (
        VGG
        + layer("label", "Input", "", "label", "input_param { shape { dim: 1 } }")
        + layer("loss", "SoftmaxWithLoss", "fc8 label")
        + layer("accuracy", "Accuracy", "fc8 label")
    )
    plan = segmented(net)
    assert [blob.name for blob in plan.model.graph.outputs] == ["score"]
    assert {change.layer for change in plan.of_kind("dropped")} == {"prob", "label", "loss", "accuracy"}


def test_a_loss_without_a_top_ends_a_classifier() -> None:
    """So end the training nets of old formats."""
    prob = layer("prob", "Softmax", "fc8")
    label = layer("label", "Input", "", "label", "input_param { shape { dim: 1 } }")
    net = VGG.replace(prob, label + layer("loss", "SoftmaxWithLoss", "fc8 label", ""))
    plan = segmented(net)
    assert plan.head.stages == segmented(VGG).head.stages
    assert {change.layer for change in dropped(plan)} == {"label", "loss"}


def test_dummy_data_is_the_image_where_nothing_else_is() -> None:
    image = data(shape="1 3 96 96")
    net = VGG.replace(
        image, layer("data", "DummyData", "", "data", "dummy_data_param { shape { dim: 1 dim: 3 dim: 96 dim: 96 } }")
    )
    assert net != VGG and segmented(net).head.stages == segmented(VGG).head.stages


def test_weights_that_caffe_cannot_read_are_noted() -> None:
    """400 classes in one group have 400×400×64×64 values, 2.6 GB."""
    told = "the weights have 2.6 GB, but Caffe reads only caffemodels of less than 2 GiB; write them as HDF5"
    net = golden("vgg")
    assert any(note.startswith(told) for note in segmented(net, classes=400, dense_upsampling=True).notes)
    assert segmented(net, classes=300, dense_upsampling=True).notes == ()


def test_one_net_of_several_in_a_file() -> None:
    net = VGG.replace('"data" type', '"data" include { phase: TEST } type', 1) + data(shape="8 3 96 96").replace(
        "type", "include { phase: TRAIN } type"
    )
    with pytest.raises(SurgeryError, match="segment needs a net for phase TEST only"):
        segmented(net)


FED = VGG.replace(data(shape="1 3 96 96"), "").replace(layer("prob", "Softmax", "fc8"), "")
"""The net without its input and its output."""
TRAINING = (
    layer("in", "Data", "", "data label", "include { phase: TRAIN } data_param { batch_size: 8 }")
    + layer("in", "Data", "", "data label", "include { phase: TEST } transform_param { crop_size: 96 }")
    + FED
    + layer("aux", "InnerProduct", "pool2", params="inner_product_param { num_output: 5 }")
    + layer("loss", "SoftmaxWithLoss", "fc8 label")
    + layer("loss2", "SoftmaxWithLoss", "aux label", params="loss_weight: 0.3")
    + layer("accuracy", "Accuracy", "fc8 label", params="include { phase: TEST }")
)


@pytest.mark.parametrize(
    "selection", [ANY_NET, Selection(phase="TEST"), Selection(phase="TRAIN", shapes={"data": (1, 3, 96, 96)})]
)
def test_a_training_net_gives_what_its_deploy_net_gives(selection: Selection) -> None:
    plan = segmented(model_of(TRAINING, selection))
    assert plan.net == segmented(VGG).net and not plan.notes[1:]
    gone = {"aux", "loss", "loss2"} | ({"accuracy"} if selection.phase != "TRAIN" else set())
    assert {change.layer for change in dropped(plan)} == gone


def test_a_head_that_only_trains_can_be_named() -> None:
    plan = segmented(model_of(TRAINING, Selection(phase="TEST")), at="aux")
    assert plan.head.stages[0].factor == 4 and "fc6" not in layers_of(plan)


def test_notes_on_layers_that_go_are_left_out() -> None:
    more = layer("label", "Input", "", "label", "input_param { shape { dim: 64 } }") + layer("n", "Normalize", "pool1")
    plan = segmented(VGG + more + layer("loss", "SoftmaxWithLoss", "fc8 label"), at="fc8")
    assert plan.notes == () and plan.before.notes


# ---- The classifier's own answers ----


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["alexnet", "googlenet", "lenet"])
def test_kept_scores_are_the_dense_map_of_the_converted_net(name: str) -> None:
    values = np.load(SEGMENTS / name / "golden.npz")["in:data"]
    plan = segmented(golden(name), keep_classifier=True, input_size=values.shape[2:])
    coarse, pad = plan.head.coarse, plan.head.padding.pad
    found = Net(plan.model, plan).load(blobs=["score", coarse]).run({"data": values})
    more = (pad or 0) - INDEX[name]["first_pad"]
    padded = np.pad(values, ((0, 0), (0, 0), (more, more), (more, more)))
    converted = Net(golden(name)).convolutionalize(input_size=padded.shape[2:])
    dense = converted.load(blobs=coarse).run({"data": padded})[coarse]
    assert np.abs(dense - found[coarse]).max() <= 1e-6 * np.ptp(dense)
    stage = plan.head.stages[-1]
    if stage.kernel == 2 * stage.factor - 1:
        there, cells = at_centres(found["score"], dense, stage)
        assert there.size and np.abs(there - cells).max() <= 1e-6 * np.ptp(dense)


def at_centres(score: np.ndarray, dense: np.ndarray, stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """What SCORE has in the pixels that are the centres of windows, and the cells of DENSE there."""
    cells = []
    for axis, offset in enumerate(stage.offset):
        place = [stage.factor * cell + stage.factor - 1 - offset for cell in range(dense.shape[axis + 2])]
        cells.append([(cell, pixel) for cell, pixel in enumerate(place) if 0 <= pixel < score.shape[axis + 2]])
    (rows, down), (columns, across) = ([list(each) for each in zip(*axis, strict=True)] for axis in cells)
    return score[:, :, down][:, :, :, across], dense[:, :, rows][:, :, :, columns]


def test_v1_and_input_fields() -> None:
    text = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 24 input_dim: 24\n'
    text += 'layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" convolution_param '
    text += "{ num_output: 4 kernel_size: 3 stride: 2 } blobs_lr: 1 blobs_lr: 2 }\n"
    text += 'layers { name: "ip" type: INNER_PRODUCT bottom: "c" top: "ip" inner_product_param { num_output: 7 } }\n'
    text += 'layers { name: "prob" type: SOFTMAX bottom: "ip" top: "prob" }\n'
    plan = segmented(text)
    assert [each.type for each in plan.net.layer][-3:] == ["Convolution", "Deconvolution", "Crop"]
    assert list(layers_of(plan)["score"].bottom) == ["upscore", "data"]
    assert interpret(plan.document).net == plan.net
