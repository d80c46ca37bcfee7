"""What Caffe did to a net when it built it for training is undone in the net inside a caffemodel, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from caffe_fcn import schema
from caffe_fcn.net.source import read_net
from caffe_fcn.net.upgrade import upgrade_with_origins
from caffe_fcn.schema import Message
from tests.paths import GOLDEN, SHARED_MODELS

FROM_CAFFE = sorted(path.parent for path in GOLDEN.glob("*/*/net.caffemodel"))
DATA = 'layer { name: "in" type: "Input" top: "data" }'
SPLIT = """
layer { name: "data_in_0_split" type: "Split" bottom: "data" top: "data_in_0_split_0" top: "data_in_0_split_1" %s }
"""
READERS = """
layer { name: "a" type: "ReLU" bottom: "data_in_0_split_0" top: "a" }
%s
layer { name: "b" type: "Eltwise" bottom: "data_in_0_split_1" bottom: "a" top: "b" }
"""


def inside(path: Path, text: str) -> Any:
    """The layers of the net inside a caffemodel that holds the net TEXT."""
    (path / "net.caffemodel").write_bytes(text_format.Parse(text, schema.NetParameter()).SerializeToString())
    return read_net(path / "net.caffemodel").net.layer


def test_readers_of_a_split_read_the_blob_itself(tmp_path: Path) -> None:
    layers = inside(tmp_path, DATA + SPLIT % "phase: TRAIN" + READERS % "")
    assert [(layer.name, list(layer.bottom)) for layer in layers] == [
        ("in", []),
        ("a", ["data"]),
        ("b", ["data", "a"]),
    ]


def test_a_layer_in_place_may_read_a_copy_last(tmp_path: Path) -> None:
    last = 'layer { name: "c" type: "ReLU" bottom: "data_in_0_split_1" top: "data" }'
    text = DATA + SPLIT % "" + READERS.partition("%s")[0] + last
    assert [list(layer.bottom) for layer in inside(tmp_path, text)] == [[], ["data"], ["data"]]


@pytest.mark.parametrize(
    "text",
    [
        DATA + SPLIT % "loss_weight: 1 loss_weight: 0" + READERS % "",
        DATA + SPLIT.replace("data_in_0_split_", "copy_") % "" + READERS.replace("data_in_0_split_", "copy_") % "",
        DATA + SPLIT % "" + READERS % 'layer { name: "c" type: "ReLU" bottom: "a" top: "data" }',
        DATA + SPLIT % "" + READERS % 'layer { name: "c" type: "ReLU" bottom: "a" top: "data_in_0_split_1" }',
        DATA + SPLIT % "",
    ],
    ids=["weighed", "the user's", "overwritten blob", "overwritten copy", "unread copies"],
)
def test_a_split_that_means_something_stays(tmp_path: Path, text: str) -> None:
    assert list(inside(tmp_path, text)) == list(text_format.Parse(text, schema.NetParameter()).layer)


@pytest.mark.thorough
def test_what_caffe_has_saved_is_the_net_it_was_given() -> None:
    """But for an Input layer, as the upgrade makes it, and what layers set themselves: rates of 0, loss weights."""
    assert len(FROM_CAFFE) > 90
    for folder in FROM_CAFFE:
        beside, _ = upgrade_with_origins(read_net(folder / "net.prototxt").net, source="net")
        assert without_settings(read_net(folder / "net.caffemodel").net) == without_settings(beside), folder


def without_settings(net: Message) -> list[Message]:
    """The layers of NET without weights of losses, and rates of what is not learned."""
    for layer in net.layer:
        layer.ClearField("loss_weight")
        if layer.type == "BatchNorm":
            layer.ClearField("param")
    return list(net.layer)


@pytest.mark.parametrize("name", ["slim320", "wxsr"])
def test_real_models_bring_the_net_of_their_prototxt(name: str) -> None:
    """Of other shared models the prototxt is not quite what was trained."""
    folder = SHARED_MODELS / name
    if not folder.exists():
        pytest.skip(f"{folder} is not there; it is shared, not part of the project")
    trained, beside = (read_net(folder / file).net for file in ("net.caffemodel", "net.prototxt"))
    for layer in (*trained.layer, *beside.layer):
        layer.ClearField("param")
        layer.ClearField("propagate_down")
    assert list(trained.layer) == list(beside.layer)
