"""What of a net is lowered: a training net as its deploy net would have it, and what is asked for by name."""

from __future__ import annotations

from itertools import pairwise

import pytest

from caffe_fcn.errors import LoweringError
from caffe_fcn.onnx.scope import ALL, Scope, choose_scope
from tests.engines.nets import net_of
from tests.net.nets import data, layer

IMAGES = data(2, 3, 8, 8) + data(2, name="label")
SCORES = layer("InnerProduct", "inner_product_param { num_output: 5 }", top="scores", name="ip")


def scope(text: str, *wanted: str, phase: str = "TEST") -> Scope:
    net = net_of(text, phase)
    return choose_scope(net.graph, net.shapes, wanted)


def ends(text: str, *wanted: str) -> tuple[list[str], list[str]]:
    """The names of the inputs and the outputs."""
    chosen = scope(text, *wanted)
    return [blob.name for blob in chosen.inputs], [blob.name for blob in chosen.outputs]


def loss(kind: str, bottoms: str, name: str = "loss", tops: str = "", more: str = "") -> str:
    return layer(kind, more, bottoms, tops or name, name)


def test_a_softmax_with_loss_becomes_its_softmax() -> None:
    chosen = scope(IMAGES + SCORES + loss("SoftmaxWithLoss", "scores label", more="softmax_param { axis: -1 }"))
    assert [blob.name for blob in chosen.inputs] == ["data"]
    assert [blob.name for blob in chosen.outputs] == ["prob"]
    softmax = chosen.graph.nodes[-1]
    assert softmax.type == "Softmax" and softmax.layer.softmax_param.axis == -1 and softmax.name == "loss"
    assert chosen.shapes.blobs[chosen.outputs[0]] == (2, 5)


def test_a_sigmoid_loss_becomes_its_sigmoid() -> None:
    text = IMAGES + data(2, 5, name="targets") + SCORES + loss("SigmoidCrossEntropyLoss", "scores targets")
    assert ends(text) == (["data"], ["prob"])
    assert scope(text).graph.nodes[-1].type == "Sigmoid"


@pytest.mark.parametrize(
    ("tops", "name"), [("loss p", "p"), ("prob", "prob"), ("loss", "prob")], ids=["second", "own", "common"]
)
def test_probabilities_are_called_as_deploy_nets_call_them(tops: str, name: str) -> None:
    assert ends(IMAGES + SCORES + loss("SoftmaxWithLoss", "scores label", tops=tops))[1] == [name]


def test_a_name_that_is_taken_is_not_given_twice() -> None:
    other = layer("ReLU", bottom="scores", top="prob", name="relu") + layer("Silence", bottom="prob", top="")
    outputs = ends(IMAGES + SCORES + other + loss("SoftmaxWithLoss", "scores label"))[1]
    assert outputs == ["loss_prob"]


def test_a_net_with_both_a_loss_and_its_softmax_has_one() -> None:
    text = IMAGES + SCORES + layer("Softmax", bottom="scores", top="p") + loss("SoftmaxWithLoss", "scores label")
    assert ends(text) == (["data"], ["p"])


def test_what_reads_a_second_top_goes_on_reading_it() -> None:
    text = IMAGES + SCORES + loss("SoftmaxWithLoss", "scores label", tops="loss p")
    text += layer("ArgMax", bottom="p", top="best", name="best")
    assert ends(text) == (["data"], ["best"])
    assert [node.type for node in scope(text).graph.nodes] == ["Input", "InnerProduct", "Softmax", "ArgMax"]


@pytest.mark.parametrize("kind", ["EuclideanLoss", "HingeLoss", "Accuracy", "SmoothL1Loss"])
def test_of_other_losses_the_scores_are_left(kind: str) -> None:
    text = IMAGES + SCORES + layer("Power", bottom="label", top="flat", name="flat")
    text += loss(kind, "scores flat")
    assert ends(text) == (["data"], ["scores"])
    assert scope(text).left_out == ("loss",)


def test_what_is_computed_from_a_loss_goes_with_it() -> None:
    text = IMAGES + SCORES + loss("EuclideanLoss", "scores label") + layer("Power", bottom="loss", top="more", name="m")
    assert ends(text) == (["data"], ["scores"])
    assert scope(text).left_out == ("loss", "m")


def test_losses_of_less_weight_for_the_same_label_only_help_the_training() -> None:
    head = SCORES.replace("scores", "more").replace('"ip"', '"ip2"')
    text = IMAGES + head + loss("SoftmaxWithLoss", "more label", "loss1", more="loss_weight: 0.3")
    text += layer("Accuracy", bottom="more label", top="top1", name="top1")
    text += SCORES + loss("SoftmaxWithLoss", "scores label", "loss2", more="loss_weight: 1")
    assert ends(text) == (["data"], ["prob"])
    chosen = scope(text)
    assert [node.name for node in chosen.graph.nodes] == ["data", "ip", "loss2"]
    assert chosen.left_out == ("loss1", "top1")


def test_losses_for_labels_of_their_own_are_tasks_of_their_own() -> None:
    head = SCORES.replace("scores", "more").replace('"ip"', '"ip2"')
    text = IMAGES + data(2, name="label2") + SCORES + head
    text += loss("SoftmaxWithLoss", "scores label", "one", more="loss_weight: 0.5")
    text += loss("SoftmaxWithLoss", "more label2", "two")
    assert ends(text) == (["data"], ["prob", "two_prob"])


def test_what_is_silenced_is_no_output() -> None:
    text = data(1, 4) + layer("Slice", top="a b") + layer("Silence", bottom="b", top="", name="hush")
    assert ends(text) == (["data"], ["a"])
    assert ends(text, "b") == (["data"], ["b"])
    assert scope(text).left_out == ("hush",)


def test_outputs_by_name_need_no_more_than_they_need() -> None:
    text = data(1, 4) + data(1, 4, name="other") + layer("ReLU", top="a", name="a")
    text += layer("Eltwise", bottom="a other", top="b", name="b")
    assert ends(text) == (["data", "other"], ["b"])
    assert ends(text, "a") == (["data"], ["a"])
    assert ends(text, ALL) == (["data", "other"], ["a", "b"])


def test_a_blob_asked_for_is_the_last_of_its_name() -> None:
    text = data(1, 4) + layer("Sigmoid", top="a", name="a") + layer("ReLU", bottom="a", top="a", name="b")
    text += layer("Power", bottom="a", top="c", name="c")
    (blob,) = scope(text, "a").outputs
    assert blob == ("a", 1)
    assert [tuple(blob) for blob in scope(text, ALL).outputs] == [("a", 1), ("c", 0)]


DUMMY = 'layer {{ name: "d" type: "DummyData" top: "d" dummy_data_param {{ shape {{ dim: 2 dim: 3 }} {} }} }}\n'


def test_all_blobs_are_without_those_that_come_with_an_input() -> None:
    text = 'layer { name: "data" type: "Data" top: "data" top: "label" transform_param { crop_size: 8 } }\n'
    assert ends(text + SCORES, ALL) == (["data"], ["scores"])


def test_dummy_data_is_a_constant_unless_it_is_what_is_fed() -> None:
    constant, drawn = DUMMY.format(""), DUMMY.format('data_filler { type: "gaussian" }')
    sum_of = layer("Eltwise", bottom="data d", top="s")
    assert ends(data(2, 3) + constant + sum_of) == (["data"], ["s"])
    assert ends(data(2, 3) + drawn + sum_of) == (["data", "d"], ["s"])
    assert ends(constant + layer("ReLU", bottom="d")) == (["d"], ["out"])
    assert ends(constant) == ([], ["d"])


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(LoweringError, match="found none after leaving out losses"):
        scope(data(2, 3, name="a") + data(2, 3, name="b") + loss("EuclideanLoss", "a b"))


def test_the_input_that_no_layer_reads_is_not_fed() -> None:
    assert ends(IMAGES + layer("ReLU")) == (["data"], ["out"])


@pytest.mark.parametrize(("blobs", "rest"), [(8, ""), (9, " and 1 more (see `Net.inspect(...)`)")])
def test_a_list_of_blobs_that_is_cut_says_so(blobs: int, rest: str) -> None:
    names = ["data", *(f"b{number}" for number in range(blobs))]
    text = data(1, 2) + "".join(layer("ReLU", bottom=bottom, top=top, name=top) for bottom, top in pairwise(names))
    net = net_of(text)
    with pytest.raises(LoweringError) as caught:
        choose_scope(net.graph, net.shapes, ["b"])
    named, _, left = str(caught.value).partition("expected one of ")[2].partition(" and ")
    assert len(named.split(", ")) == 8 and (f" and {left}" if left else "") == rest
