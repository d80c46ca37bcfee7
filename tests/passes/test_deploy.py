"""Deploy nets of training nets: inputs in place of data layers, what losses contain, and nothing that only trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_fcn.errors import ShapeError, SurgeryError
from caffe_fcn.files import prototxt
from caffe_fcn.model.opening import meet
from caffe_fcn.model.passing import Claim
from caffe_fcn.net.options import Selection
from caffe_fcn.net.shapes import Shape
from caffe_fcn.net.source import interpret
from caffe_fcn.passes.deploy_options import DeployOptions
from caffe_fcn.passes.deploying import deploying
from caffe_fcn.passes.planning import Plan, planned
from caffe_fcn.schema import Message
from tests.engines.nets import net_of, weights_of
from tests.passes.nets import conv, data, fc, layer

TRAIN, TEST = (f"include {{ phase: {phase} }}" for phase in ("TRAIN", "TEST"))
CROP = "transform_param { crop_size: 8 mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.5 }"


def source(params: str = f"{CROP} data_param {{ batch_size: 7 }}", kind: str = "Data", tops: str = "data label") -> str:
    return layer("source", kind, "", tops, params)


def loss(scores: str, label: str = "label", kind: str = "SoftmaxWithLoss", more: str = "", name: str = "loss") -> str:
    return layer(name, kind, f"{scores} {label}", name, more)


def deployed(text: str, options: DeployOptions | None = None, phase: str = "TEST", **shapes: Shape) -> Plan:
    """The plan for the net TEXT, without weights."""
    selection = Selection(phase="TRAIN" if phase == "TRAIN" else "TEST", shapes=shapes)
    found = interpret(prototxt.parse(text, "net.prototxt"))
    return planned(meet(found, None, selection), lambda model: deploying(model, options), resized=True)


def net(plan: Plan) -> dict[str, Message]:
    """The layers of the new net, as its text says."""
    return {each.name: each for each in interpret(plan.document).net.layer}


def kinds(plan: Plan) -> dict[str, str]:
    return {name: each.type for name, each in net(plan).items()}


def outputs(plan: Plan) -> list[str]:
    return [blob.name for blob in plan.model.graph.outputs]


NET = source() + conv("conv", "data", 4) + fc("fc", "conv", 3)
ENDED = NET + layer("acc", "Accuracy", "fc label", params=TEST) + loss("fc")


def test_a_classifier() -> None:
    plan = deployed(ENDED)
    assert kinds(plan) == {"data": "Input", "conv": "Convolution", "fc": "InnerProduct", "prob": "Softmax"}
    assert [tuple(shape.dim) for shape in net(plan)["data"].input_param.shape] == [(1, 3, 8, 8)]
    prob = net(plan)["prob"]
    assert (list(prob.bottom), list(prob.top)) == (["fc"], ["prob"]) and not prob.HasField("softmax_param")
    assert [result.claim for result in plan.results] == [Claim.SAME_BITS] * 3 and plan.notes == ()
    assert outputs(plan) == ["prob"]


def test_what_the_data_layer_did_stands_in_a_comment() -> None:
    told = (
        "# The layer source (Data) fed images: channels in the order B, G, R, minus the mean 104, 117, 123, times 0.5."
    )
    assert deployed(ENDED).document.text.splitlines()[0] == told
    grey = source('transform_param { crop_size: 8 force_gray: true mean_file: "a\\nb" }') + ENDED.split("\n", 1)[1]
    assert deployed(grey).document.text.startswith(
        "# The layer source (Data) fed images: grey, minus the mean in a?b.\n"
    )
    plain = source(kind="MemoryData", params="memory_data_param { batch_size: 2 channels: 1 height: 8 width: 8 }")
    assert "#" not in deployed(plain + ENDED.split("\n", 1)[1]).document.text


def test_layers_of_other_phases_go_and_so_do_rules_and_the_state() -> None:
    text = (
        "state { phase: TRAIN stage: 'x' }\n"
        + ENDED.replace("layer {", f"layer {{ {TRAIN}", 1)
        + source()[:-3]
        + f"{TEST} }}\n"
    )
    text = text.replace('name: "conv"', 'name: "conv" exclude { stage: "y" }')
    text = "\n".join([text.splitlines()[0], text.splitlines()[-1], *text.splitlines()[1:-1]])
    plan = deployed(text)
    assert list(kinds(plan)) == ["data", "conv", "fc", "prob"]
    assert "include" not in plan.document.text and "exclude" not in plan.document.text
    assert not plan.net.HasField("state")


def test_comments_of_layers_that_stay_stay() -> None:
    text = ENDED.replace('layer { name: "fc"', '# the classes\nlayer { name: "fc"').replace("} }\n", "} } # end\n")
    made = deployed(text).document.text
    assert '# the classes\nlayer { name: "fc"' in made and "num_output: 3  } } # end\n" in made


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("SoftmaxWithLoss", "softmax_param { axis: 1 }", {"prob": "Softmax"}),
        ("SigmoidCrossEntropyLoss", "", {"prob": "Sigmoid"}),
        ("EuclideanLoss", "", {}),
        ("HingeLoss", "", {}),
        ("Python", "loss_weight: 1", {}),
    ],
)
def test_what_becomes_of_losses(kind: str, more: str, expected: dict[str, str]) -> None:
    text = source() + layer("target", "Split", "label", "a b") + conv("conv", "data", 4) + fc("fc", "conv", 1)
    plan = deployed(text + loss("fc", "b", kind, more) + layer("s", "Silence", "a", ""))
    assert {name: each for name, each in kinds(plan).items() if name not in ("data", "conv", "fc")} == expected
    assert outputs(plan) == list(expected or ["fc"])
    assert all(each.softmax_param.axis == 1 for name, each in net(plan).items() if each.type == "Softmax")


def test_labels_may_come_first() -> None:
    plan = deployed(NET.replace('"fc" ', '"fc" ') + loss("label", "fc", "EuclideanLoss"))
    assert outputs(plan) == ["fc"] and list(kinds(plan)) == ["data", "conv", "fc"]


def test_a_loss_of_several_layers_goes() -> None:
    text = NET + layer("diff", "Eltwise", "fc label") + layer("abs", "AbsVal", "diff")
    plan = deployed(text + layer("sum", "Reduction", "abs", params="loss_weight: 2"), label=(7, 3))
    assert list(kinds(plan)) == ["data", "conv", "fc"] and outputs(plan) == ["fc"]


AUXILIARY = NET + fc("aux", "conv", 3) + loss("aux", more="loss_weight: 0.3", name="aux_loss") + loss("fc")


def test_heads_that_only_help_the_training_go() -> None:
    assert list(kinds(deployed(AUXILIARY))) == ["data", "conv", "fc", "prob"]
    kept = deployed(AUXILIARY, DeployOptions(keep_heads=True))
    assert outputs(kept) == ["aux_loss_prob", "prob"]
    assert net(kept)["prob"].bottom[0] == "fc" and net(kept)["aux_loss_prob"].bottom[0] == "aux"


def test_heads_that_are_measured_by_what_their_losses_contain_go_with_them() -> None:
    measured = layer("p", "Softmax", "aux") + layer("acc", "Accuracy", "p label")
    assert outputs(deployed(AUXILIARY + measured)) == ["prob"]


def test_heads_with_labels_of_their_own_stay() -> None:
    text = source(tops="data label other", kind="Data") + NET.split("\n", 1)[1] + fc("age", "conv", 1)
    plan = deployed(text + loss("fc") + loss("age", "other", "EuclideanLoss", "loss_weight: 0.1", "l2"), other=(7, 1))
    assert outputs(plan) == ["age", "prob"]


def test_a_loss_that_is_only_watched_gives_no_output() -> None:
    """As in the autoencoder of MNIST, whose Sigmoid is there already."""
    text = (
        source() + layer("flat", "Flatten", "data") + fc("decode", "flat", 192) + layer("neuron", "Sigmoid", "decode")
    )
    cross = loss("decode", "flat", "SigmoidCrossEntropyLoss", "loss_weight: 1", "cross")
    plan = deployed(text + cross + loss("neuron", "flat", "EuclideanLoss", "loss_weight: 0", "l2"))
    assert outputs(plan) == ["neuron"] and "prob" not in kinds(plan)


def test_losses_of_training_alone_tell_what_the_net_is_for() -> None:
    plan = deployed(NET + layer("acc", "Accuracy", "fc label", params=TEST) + loss("fc", more=TRAIN))
    assert outputs(plan) == ["prob"]
    other = layer("acc", "Accuracy", "fc label", params=TEST) + loss("fc", "weights", more=TRAIN)
    weights = layer("weights", "DummyData", "", params=f"{TRAIN} dummy_data_param {{ shape {{ dim: 7 }} }}")
    assert outputs(deployed(NET + weights + other)) == ["fc"]


def test_what_is_made_of_labels_alone_goes() -> None:
    text = NET + layer("slice", "Slice", "label", "one two", "slice_param { axis: 0 slice_point: 3 }")
    assert list(kinds(deployed(text + loss("fc")))) == ["data", "conv", "fc", "prob"]
    assert list(kinds(deployed(text))) == ["data", "conv", "fc"]


def test_inputs_that_only_losses_read_go() -> None:
    both = data("data", "2 3 8 8") + data("label", "2") + NET.split("\n", 1)[1] + loss("fc")
    assert list(kinds(deployed(both))) == ["data", "conv", "fc", "prob"]
    fields = 'input: "label" input_shape { dim: 2 }\ninput: "data" input_shape { dim: 2 dim: 3 dim: 8 dim: 8 }\n'
    made = deployed(fields + NET.split("\n", 1)[1] + loss("fc"))
    assert list(made.net.input) == ["data"] and [list(each.dim) for each in made.net.input_shape] == [[2, 3, 8, 8]]
    old = 'input: "data"\ninput_dim: 2 input_dim: 3 input_dim: 8 input_dim: 8\ninput: "label"\n'
    old += "input_dim: 2 input_dim: 1 input_dim: 1 input_dim: 1\n"
    made = deployed(old + NET.split("\n", 1)[1] + loss("fc"))
    assert list(made.net.input) == ["data"] and list(made.net.input_dim) == [2, 3, 8, 8]
    together = layer(
        "in", "Input", "", "data label", "input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } shape { dim: 2 } }"
    )
    made = deployed(together + NET.split("\n", 1)[1] + loss("fc"))
    assert [list(shape.dim) for shape in net(made)["data"].input_param.shape] == [[2, 3, 8, 8]]


def test_values_of_fillers_are_data_where_nothing_else_is() -> None:
    dummy = source("dummy_data_param { shape { dim: 5 dim: 3 dim: 8 dim: 8 } shape { dim: 5 } }", "DummyData")
    assert kinds(deployed(dummy + ENDED.split("\n", 1)[1]))["data"] == "Input"
    ones = layer("ones", "DummyData", "", params="dummy_data_param { shape { dim: 7 dim: 3 } }")
    plan = deployed(NET + ones + layer("sum", "Eltwise", "fc ones") + loss("sum"))
    assert kinds(plan)["ones"] == "DummyData" and list(net(plan)["data"].input_param.shape[0].dim) == [7, 3, 8, 8]


def test_a_name_that_another_layer_has() -> None:
    text = ENDED.replace('name: "conv"', 'name: "data"').replace('name: "fc"', 'name: "prob"')
    assert [each.name for each in deployed(text).net.layer] == ["source", "data", "prob", "loss"]


def test_items_are_kept_where_a_layer_counts_them() -> None:
    reshape = layer("r", "Reshape", "fc", params="reshape_param { shape { dim: 7 dim: 3 } }")
    plan = deployed(NET + reshape + loss("r"))
    assert list(net(plan)["data"].input_param.shape[0].dim) == [7, 3, 8, 8]


def test_a_loss_weight_of_a_layer_that_stays_goes() -> None:
    text = NET.replace('name: "fc"', 'loss_weight: 0.1 name: "fc"') + loss("fc")
    assert not net(deployed(text))["fc"].loss_weight


# ---- Dropout ----


def test_dropout_stays_unless_it_is_to_go() -> None:
    text = (
        source() + conv("conv", "data", 4) + layer("drop", "Dropout", "conv", "conv") + layer("out", "Dropout", "conv")
    )
    text += fc("fc", "out", 3) + layer("last", "Dropout", "fc", "fc") + loss("fc")
    assert [name for name, kind in kinds(deployed(text)).items() if kind == "Dropout"] == ["drop", "out", "last"]
    plan = deployed(text, DeployOptions(drop_dropout=True))
    assert kinds(plan) == {"data": "Input", "conv": "Convolution", "fc": "InnerProduct", "prob": "Softmax"}
    assert list(net(plan)["fc"].bottom) == ["conv"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (layer("drop", "Dropout", "fc"), "its top 'drop' is an output of the net"),
        (
            layer("drop", "Dropout", "fc") + layer("relu", "ReLU", "fc", "fc") + layer("sum", "Eltwise", "fc drop"),
            "'relu' works in place on its bottom",
        ),
    ],
)
def test_a_dropout_that_others_need_stays(text: str, why: str) -> None:
    plan = deployed(NET + text, DeployOptions(drop_dropout=True))
    assert "drop" in kinds(plan) and [(each.layer, each.reason) for each in plan.left_alone] == [("drop", why)]


# ---- What is not there ----


def test_a_deploy_net_stays_as_it_is() -> None:
    text = data() + conv("conv", "data", 3) + layer("drop", "Dropout", "conv") + layer("sink", "Unheard", "drop", "")
    plan = deployed(text)
    assert plan.changes == () and plan.document.text == text


def test_an_input_that_nothing_reads_stays() -> None:
    text = data() + data("unread", "2 3") + conv("conv", "data", 3)
    assert deployed(text).changes == ()
    assert list(kinds(deployed(text + data("label", "1") + loss("conv")))) == ["data", "unread", "conv", "prob"]


def test_a_net_of_measures_alone_is_refused() -> None:
    with pytest.raises(SurgeryError, match="expected a net with outputs, found none"):
        deployed(source() + layer("acc", "Accuracy", "label data"))


def test_a_shape_that_nothing_tells_is_asked_for() -> None:
    text = NET.replace("crop_size: 8", "") + loss("fc")
    with pytest.raises(ShapeError, match=r"shape of the input 'data' is unknown.*shapes=\{'data': \(N, C, H, W\)\}"):
        deployed(text)
    assert list(net(deployed(text, data=(2, 3, 9, 9)))["data"].input_param.shape[0].dim) == [2, 3, 9, 9]


def test_a_size_that_the_weights_leave_open_is_asked_for(tmp_path: Path) -> None:
    """A stride hides some sizes from the weights; without strides they tell the one there is."""
    for stride, size in (("stride: 2", None), ("", (1, 3, 9, 9))):
        text = (
            source("data_param { batch_size: 2 }")
            + conv("conv", "data", 4, 3, stride)
            + fc("fc", "conv", 3)
            + loss("fc")
        )
        with weights_of(net_of(text, given={"data": (1, 3, 9, 9)}), tmp_path / "w") as weights:
            model = meet(interpret(prototxt.parse(text, "net.prototxt")), weights)
            if size is None:
                with pytest.raises(ShapeError, match=r"images of 9×9, and larger ones.*\('?1'?, '?3'?, '?H'?, '?W'?\)"):
                    list(deploying(model))
            else:
                *_, made = deploying(model)
                assert made.model.shapes["TEST"].blobs[made.model.graph.nodes[0].tops[0]] == size
