"""Nets for Caffe before the Input layer: inputs as fields of the net, and refusals of what that Caffe lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

import caffe_fcn
from caffe_fcn.errors import NetError
from caffe_fcn.files import prototxt
from caffe_fcn.net.source import interpret, read_net
from caffe_fcn.net.upgrade import upgrade
from caffe_fcn.passes.upgrade import Upgrade, upgrade_file
from tests.passes.nets import conv, data, fc, layer
from tests.paths import GOLDEN


def for_old(text: str) -> Upgrade:
    return upgrade_file(interpret(prototxt.parse(text, "net.prototxt")), old=True)


def text_of(upgraded: Upgrade) -> str:
    assert upgraded.document is not None
    return upgraded.document.text


def test_input_layers_become_fields() -> None:
    text = 'name: "n"\n# the picture\n' + data("data", "2 3 8 8") + conv("c", "data", 4) + data("more", "1 2 3 4")
    made = for_old(text)
    assert made.changes == ("Input layers become input fields of the net: data, more",)
    dims = "".join(f"input_dim: {extent}\n" for extent in (2, 3, 8, 8, 1, 2, 3, 4))
    assert text_of(made) == f'name: "n"\ninput: "data"\ninput: "more"\n{dims}# the picture\n{conv("c", "data", 4)}'


def test_other_axes_need_shapes() -> None:
    text = text_of(for_old(data("data", "2 3 8 8") + data("ids", "2") + conv("c", "data", 4)))
    assert "input_dim" not in text
    net = interpret(prototxt.parse(text, "x")).net
    assert [list(shape.dim) for shape in net.input_shape] == [[2, 3, 8, 8], [2]]


def test_one_shape_may_be_for_all_tops() -> None:
    both = layer("in", "Input", "", "a b", "input_param { shape { dim: 2 dim: 3 } }") + fc("fc", "a", 3)
    net = interpret(prototxt.parse(text_of(for_old(both)), "x")).net
    assert list(net.input) == ["a", "b"] and [list(shape.dim) for shape in net.input_shape] == [[2, 3]] * 2


@pytest.mark.parametrize(
    "shapes", ["input_dim: 1 input_dim: 2 input_dim: 8 input_dim: 8", "input_shape { dim: 1 dim: 2 }"]
)
def test_fields_stay_byte_for_byte(shapes: str) -> None:
    text = f'input: "data"\n{shapes}\n' + layer("relu", "ReLU", "data")
    made = for_old(text)
    assert text_of(made) == text and made.changes == ()


@pytest.mark.parametrize("name", ["input_fields", "v1_deploy"])
def test_what_it_reads_as_is_the_same_net(name: str) -> None:
    """The upgrade of the result is that of the file."""
    source = read_net(GOLDEN / "upgrades" / f"{name}.in.prototxt")
    made = upgrade_file(source, old=True)
    net = interpret(prototxt.parse(text_of(made), "x")).net
    assert net.input and not any(each.type == "Input" for each in net.layer) and not net.layers
    assert upgrade(net) == upgrade(source.net)


NEWER = [
    (layer("x", "Crop", "data data"), "(Crop): its type is newer than the Input layer"),
    (layer("x", "LSTM", "data data", params="recurrent_param { num_output: 3 }"), "(LSTM): its type"),
    (layer("x", "Parameter", "", params="parameter_param { shape { dim: 1 } }"), "(Parameter): its type"),
    (layer("x", "Swish", "data"), "(Swish): its type"),
    (layer("x", "Clip", "data", params="clip_param { min: 0 max: 1 }"), "(Clip): its type"),
    (
        layer("x", "Pooling", "data", params="pooling_param { kernel_size: 2 round_mode: FLOOR }"),
        "(Pooling): pooling_param.round_mode is newer",
    ),
    (
        layer("x", "InfogainLoss", "data data", params="infogain_loss_param { axis: 1 }"),
        "(InfogainLoss): infogain_loss_param.axis is newer",
    ),
]


@pytest.mark.parametrize(("text", "expected"), NEWER)
def test_what_old_caffe_lacks_is_refused_by_name(text: str, expected: str) -> None:
    with pytest.raises(NetError) as error:
        for_old(data() + text)
    assert f'layer "x" {expected}' in str(error.value)


def test_what_old_caffe_has_stays() -> None:
    """Layers of the months before: BatchNorm, Scale, ELU, and dilation."""
    text = data() + conv("c", "data", 4, 3, "dilation: 2") + layer("bn", "BatchNorm", "c", "c")
    text += layer("s", "Scale", "c", "c") + layer("elu", "ELU", "c", "c")
    assert text_of(for_old(text)).endswith(text.split("\n", 1)[1])


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("include { phase: TEST } input_param { shape { dim: 1 } }", "has include or exclude rules"),
        ("", "expected one shape, or 1, found 0"),
    ],
)
def test_an_input_that_fields_cannot_hold(params: str, expected: str) -> None:
    with pytest.raises(NetError, match=expected):
        for_old(layer("data", "Input", "", params=params) + layer("relu", "ReLU", "data"))


def test_the_library_writes_the_same(tmp_path: Path) -> None:
    text = 'name: "n"\n' + data() + conv("c", "data", 4)
    (tmp_path / "net.prototxt").write_text(text)
    with caffe_fcn.open(tmp_path / "net.prototxt") as net:
        made = net.upgrade(target="old")
        assert made.text.decode() == text_of(for_old(text)) and made.shapes.blobs["c"] == net.shapes.blobs["c"]
        assert made.upgrade().shapes.blobs["c"] == net.shapes.blobs["c"]
