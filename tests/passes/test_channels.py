"""Pictures of more channels, or of one in place of three: the input, the first convolutions, and the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim
from caffe_fcn.model.writing import write_model
from caffe_fcn.net.source import interpret
from caffe_fcn.passes.channels import change_channels
from tests.passes.nets import conv, data, fc, layer, model_of
from tests.passes.test_reduce import answers, array, trained

COLOUR = data(shape="1 3 6 6")
NET = COLOUR + layer("pool", "Pooling", "data", params="pooling_param { kernel_size: 2 }") + conv("a", "pool", 4)
NET += conv("b", "data", 2, 2) + layer("size", "Crop", "b data", params="crop_param { axis: 2 }").replace("data", "a")
NET += layer("relu", "ReLU", "a") + fc("classes", "relu", 3)


def changed(text: str, channels: int) -> Model:
    return change_channels(model_of(text), channels).model


def refusal(text: str, channels: int) -> str:
    with pytest.raises(SurgeryError) as caught:
        changed(text, channels)
    return caught.value.message


def written(model: Model, name: str, directory: Path) -> None:
    write_model(model, str(directory / f"{name}.prototxt"), str(directory / f"{name}.caffemodel"))


@pytest.fixture
def pictures() -> Any:
    return np.random.default_rng(3).normal(size=(1, 5, 6, 6)).astype(np.float32)


def test_more_channels_change_nothing_whatever_they_hold(tmp_path: Path, pictures: Any) -> None:
    made = change_channels(trained(NET, tmp_path), 5)
    assert made.claim is Claim.NEW_FUNCTION
    written(made.model, "new", tmp_path)
    expected = answers(tmp_path, "net", pictures[:, :3])
    assert np.array_equal(answers(tmp_path, "new", pictures), expected)
    assert made.model.params["a"][0] == (4, 5, 3, 3) and made.model.params["b"][0] == (2, 5, 2, 2)
    assert [change.layer for change in made.decision.of_kind("channels")] == ["a", "b"]
    assert [*interpret(made.model.document).net.layer[0].input_param.shape[0].dim] == [1, 5, 6, 6]


def test_a_grey_net_answers_as_the_colour_net_does_on_grey_pictures(tmp_path: Path, pictures: Any) -> None:
    made = change_channels(trained(NET, tmp_path), 1)
    written(made.model, "new", tmp_path)
    expected = answers(tmp_path, "net", np.repeat(pictures[:, :1], 3, axis=1))
    np.testing.assert_allclose(answers(tmp_path, "new", pictures[:, :1]), expected, rtol=1e-5)
    assert any("a grey picture has one mean" in note for note in made.decision.notes)


def test_sums_are_rounded_once(tmp_path: Path) -> None:
    model = trained(COLOUR + conv("a", "data", 64, 5), tmp_path)
    old = array(model, "a").astype(np.float64)
    assert np.array_equal(array(change_channels(model, 1).model, "a"), old.sum(1, keepdims=True).astype(np.float32))


@pytest.mark.parametrize(
    "text",
    [
        'input: "data" input_dim: 1 input_dim: 3 input_dim: 6 input_dim: 6\n',
        'input: "data" input_shape { dim: 1 dim: 3 dim: 6 dim: 6 }\n',
    ],
)
def test_inputs_of_the_net_itself(text: str) -> None:
    net = interpret(changed(text + conv("a", "data", 2), 4).document).net
    assert [*(net.input_dim or net.input_shape[0].dim)] == [1, 4, 6, 6]


def test_data_layers() -> None:
    params = 'image_data_param { source: "x" batch_size: 2 new_height: 6 new_width: 6 } transform_param { %s }'
    text = layer("data", "ImageData", "", "data label", params % "mean_value: 10 mean_value: 20 mean_value: 60")
    made = change_channels(model_of(text + conv("a", "data", 2)), 1)
    new = interpret(made.model.document).net.layer[0]
    assert not new.image_data_param.is_color and [*new.transform_param.mean_value] == [30]
    assert made.model.params["a"][0] == (2, 1, 3, 3)
    assert "layer 'data' (ImageData) has to read pictures of 1 channels" in made.decision.notes
    text = layer("data", "Data", "", "data label", "transform_param { crop_size: 6 force_color: true mean_value: 1 }")
    new = interpret(changed(text + conv("a", "data", 2), 1).document).net.layer[0]
    assert new.transform_param.force_gray and not new.transform_param.force_color
    text = layer(
        "data", "Data", "", "data label", "transform_param { crop_size: 6 mean_value: 1 mean_value: 2 mean_value: 3 }"
    )
    new = interpret(changed(text + conv("a", "data", 2), 4).document).net.layer[0]
    assert [*new.transform_param.mean_value] == [1, 2, 3, 0]


def test_the_same_number_changes_nothing() -> None:
    assert changed(NET, 3).net == model_of(NET).net


@pytest.mark.parametrize(
    ("text", "channels", "told"),
    [
        (COLOUR + conv("a", "data", 2), 2, "expected more than the 3 channels of 'data', or 1 for a net of 3, found 2"),
        (data(shape="1 6 4 4") + conv("a", "data", 2), 1, "expected more than the 6 channels of 'data'"),
        (COLOUR + conv("a", "data", 3, 3, "group: 3"), 4, "found 3 groups"),
        (COLOUR + fc("a", "data", 3), 4, "expected a Convolution without groups"),
        (COLOUR + layer("s", "Scale", "data") + conv("a", "s", 2), 4, "found Scale"),
        (COLOUR + layer("s", "Slice", "data", "x y z") + conv("a", "x", 2), 4, "found Slice"),
        (COLOUR + layer("c", "Concat", "data data") + conv("a", "c", 2), 4, "found Concat"),
        (COLOUR + layer("n", "LRN", "data") + conv("a", "n", 2), 4, "found LRN"),
        (COLOUR + layer("n", "MVN", "data") + conv("a", "n", 2), 1, "found MVN"),
        (COLOUR + layer("j", "Concat", "data data") + conv("a", "data", 2) + fc("b", "j", 2), 4, "found Concat"),
        (COLOUR + layer("f", "Flatten", "data") + fc("a", "f", 2), 4, "found Flatten"),
        (COLOUR + data("more", "1 3 6 6") + conv("a", "data", 2) + conv("b", "more", 2), 4, "found 'data', 'more'"),
        (data(shape="1 3") + fc("a", "data", 2), 4, "a net with one input for pictures, found none"),
        (COLOUR + layer("t", "Silence", "data", ""), 4, "no Convolution reads 'data'"),
        (COLOUR + layer("r", "ReLU", "data") + conv("a", "data", 2), 4, "found one that hands the picture on"),
        (
            "".join(
                each[:-3] + ' param { name: "w" } }\n'
                for each in (conv("a", "data", 3, 1), conv("b", "a", 3, 1))
            ).join([COLOUR, ""]),
            4,
            "as 'a', whose weights it shares",
        ),
        (
            layer("data", "ImageData", "", "data l", "image_data_param { new_height: 6 new_width: 6 }")
            + conv("a", "data", 2),
            4,
            "a layer whose channels the file can change, found ImageData",
        ),
        (
            layer("data", "DummyData", "", "data", "dummy_data_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } }")
            + conv("a", "data", 2),
            4,
            "found DummyData",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, channels: int, told: str) -> None:
    assert told in refusal(text, channels)
