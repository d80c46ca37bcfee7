"""What is drawn: folding in place, marks, numbers and families."""

from __future__ import annotations

import pytest

from caffe_fcn.diagram.records import Diagram, Wire
from tests.diagram.nets import drawn
from tests.net.nets import data, layer

CONV = "convolution_param { num_output: 4 kernel_size: 3 }"


def boxes(diagram: Diagram) -> list[list[str]]:
    return [[each.type for each in box.layers] for box in diagram.boxes]


def test_layers_in_place_are_folded_into_their_producer() -> None:
    text = data(1, 3, 8, 8) + layer("Convolution", CONV, top="x", name="conv")
    text += "".join(layer(each, bottom="x", top="x", name=each) for each in ("BatchNorm", "Scale", "ReLU"))
    diagram = drawn(text + layer("Softmax", bottom="x", name="prob"))
    assert boxes(diagram) == [["Input"], ["Convolution", "BatchNorm", "Scale", "ReLU"], ["Softmax"]]
    assert [*diagram.wires] == [Wire(0, 0, 1), Wire(1, 0, 2)]
    assert [box.input for box in diagram.boxes] == [True, False, False]
    assert [[blob.output for blob in box.blobs] for box in diagram.boxes] == [[False], [False], [True]]


def test_a_blob_that_others_read_before_is_not_folded_away() -> None:
    text = data(1, 3, 8, 8) + layer("Convolution", CONV, top="x", name="conv")
    text += layer("Pooling", "pooling_param { kernel_size: 2 }", bottom="x", top="before", name="pool")
    diagram = drawn(text + layer("ReLU", bottom="x", top="x", name="relu"))
    assert boxes(diagram) == [["Input"], ["Convolution"], ["Pooling"], ["ReLU"]]
    assert Wire(1, 0, 3) in diagram.wires


def test_a_layer_in_place_on_one_of_several_tops_has_its_own_box() -> None:
    text = data(1, 4, 8, 8) + layer("Slice", top="one two", name="slice")
    diagram = drawn(text + layer("ReLU", bottom="two", top="two", name="relu"))
    assert boxes(diagram) == [["Input"], ["Slice"], ["ReLU"]]
    assert [*diagram.wires] == [Wire(0, 0, 1), Wire(1, 1, 2)]


def test_a_blob_read_twice_by_a_layer_is_one_wire() -> None:
    diagram = drawn(data(1, 3, 8, 8) + layer("Eltwise", bottom="data data"))
    assert [*diagram.wires] == [Wire(0, 0, 1)]


def test_what_is_unknown_is_drawn_so() -> None:
    diagram = drawn(data(1, 3, 8, 8) + layer("Mystery") + layer("ReLU", bottom="out", top="end"))
    mystery = diagram.boxes[1]
    assert mystery.layer.family == "unknown" and mystery.blobs[0].shape is None
    assert "layer (Mystery), unknown layer type" in mystery.layer.about


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ("3×3 → 4", layer("Convolution", CONV)),
        (
            "3×1 → 4, stride 2×1, pad 1×0, group 2",
            layer(
                "Convolution",
                "convolution_param { num_output: 4 kernel_h: 3 kernel_w: 1 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0 "
                "group: 2 }",
            ),
        ),
        (
            "3×3 → 4, pad 2, dilation 2",
            layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 pad: 2 dilation: 2 }"),
        ),
        ("MAX 2×2, stride 2", layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 }")),
        ("AVE 8×8, global pooling", layer("Pooling", "pooling_param { pool: AVE global_pooling: true }")),
        ("→ 10", layer("InnerProduct", "inner_product_param { num_output: 10 bias_term: false }")),
        ("SUM", layer("Eltwise", bottom="data data")),
        ("PROD", layer("Eltwise", "eltwise_param { operation: PROD }", bottom="data data")),
        ("ratio 0.4", layer("Dropout", "dropout_param { dropout_ratio: 0.4 }")),
        ("local size 5, alpha 0.0001", layer("LRN", "lrn_param { local_size: 5 alpha: 0.0001 }")),
        ("", layer("ReLU")),
        ("order 0 2 3 1", layer("Permute", "permute_param { order: [0, 2, 3, 1] }")),
    ],
)
def test_a_box_tells_the_numbers_of_its_layer(told: str, text: str) -> None:
    assert drawn(data(1, 4, 8, 8) + text).boxes[1].layer.numbers == told


def test_a_window_is_told_without_shapes() -> None:
    text = layer("Mystery", bottom="data", top="x", name="unknown") + layer("Convolution", CONV, bottom="x")
    assert drawn(data(1, 3, 8, 8) + text).boxes[2].layer.numbers == "3×3 → 4"


def test_the_phase_decides() -> None:
    loss = 'layer { name: "loss" type: "EuclideanLoss" bottom: "data" bottom: "data" include { phase: TRAIN } }\n'
    assert boxes(drawn(data(1, 3) + loss, phase="TRAIN")) == [["Input"], ["EuclideanLoss"]]
    assert boxes(drawn(data(1, 3) + loss)) == [["Input"]]


def test_a_net_without_layers_is_a_drawing() -> None:
    assert boxes(drawn('name: "empty"')) == []
