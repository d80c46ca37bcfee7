"""What a net is fed: Caffe's steps in Caffe's order, a mean from anywhere, and what the net itself says."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from caffe_fcn import schema
from caffe_fcn.errors import PictureError
from caffe_fcn.files import prototxt
from caffe_fcn.net.graph import Graph, build_graph
from caffe_fcn.net.source import interpret
from caffe_fcn.predict.images.picture import Box
from caffe_fcn.predict.means import Frame, Mean, read_mean, whole
from caffe_fcn.predict.preprocessing import Preprocessing, Transform, transform_of, with_defaults
from tests.paths import CASES, GOLDEN

RGB: NDArray[Any] = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
WHOLE, FRAME = Box(0, 0, 5, 6), whole((5, 6))


def mean_of(*values: float) -> Mean:
    return Mean("given", np.array(values if len(values) > 1 else values[0], np.float32))


# ---- The steps ----


def test_blue_comes_first_then_the_mean_is_subtracted_then_it_is_scaled() -> None:
    made = Preprocessing(mean_of(104, 117, 123), 0.5).blob(RGB, WHOLE, FRAME)
    assert made.shape == (3, 5, 6) and made.dtype == np.float32 and made.flags.c_contiguous
    for channel, (band, mean) in enumerate(((2, 104), (1, 117), (0, 123))):
        np.testing.assert_array_equal(made[channel], (RGB[:, :, band].astype(np.float32) - mean) / 2)


def test_red_first_where_the_net_has_it_so_and_the_mean_as_the_net() -> None:
    made = Preprocessing(mean_of(1, 2, 3), rgb=True).blob(RGB, WHOLE, FRAME)
    np.testing.assert_array_equal(made, np.moveaxis(RGB.astype(np.float32) - (1, 2, 3), 2, 0))


def test_without_a_step_values_stay() -> None:
    np.testing.assert_array_equal(Preprocessing().blob(RGB, WHOLE, FRAME), np.moveaxis(RGB[:, :, ::-1], 2, 0))
    grey = RGB[:, :, :1]
    np.testing.assert_array_equal(Preprocessing().blob(grey, WHOLE, FRAME)[0], grey[:, :, 0])
    other = np.random.default_rng(0).normal(size=(5, 6, 4)).astype(np.float32)
    np.testing.assert_array_equal(Preprocessing().blob(other, WHOLE, FRAME), np.moveaxis(other, 2, 0))


def test_one_mean_is_for_all_channels() -> None:
    made = Preprocessing(mean_of(9)).blob(RGB, WHOLE, FRAME)
    np.testing.assert_array_equal(made, np.moveaxis(RGB[:, :, ::-1].astype(np.float32), 2, 0) - 9)


def test_a_mean_image_is_subtracted_pixel_by_pixel_from_any_box() -> None:
    image = np.random.default_rng(1).normal(size=(3, 5, 6)).astype(np.float32)
    steps = Preprocessing(Mean("given", image))
    box = Box(1, 2, 4, 6)
    made = steps.blob(RGB, WHOLE, FRAME)
    np.testing.assert_array_equal(made, np.moveaxis(RGB[:, :, ::-1].astype(np.float32), 2, 0) - image)
    np.testing.assert_array_equal(steps.blob(RGB[1:4, 2:6], box, FRAME), made[:, 1:4, 2:6])
    assert steps.note(FRAME) is None and Preprocessing().note(FRAME) is None


def fed(mean: NDArray[Any], frame: Frame = FRAME) -> NDArray[Any]:
    """What a picture without a colour anywhere becomes with MEAN."""
    high, wide = frame.shape
    black = np.zeros((high, wide, mean.shape[0]), np.uint8)
    return Preprocessing(Mean("m.npy", mean), rgb=True).blob(black, Box(0, 0, high, wide), frame)


def test_the_centre_of_a_larger_mean_image_is_subtracted() -> None:
    image = np.random.default_rng(1).normal(size=(3, 8, 9)).astype(np.float32)
    np.testing.assert_array_equal(fed(image), -image[:, 1:6, 1:7])
    told = "mean m.npy: the mean is 8×9 pixels and the input is 5×6; used its centre"
    assert Mean("m.npy", image).note(FRAME) == told and mean_of(1, 2, 3).note(FRAME) is None
    tile = Preprocessing(Mean("m.npy", image), rgb=True).blob(np.zeros((2, 3, 3), np.uint8), Box(1, 2, 3, 5), FRAME)
    np.testing.assert_array_equal(tile, -image[:, 2:4, 3:6])


def test_of_a_smaller_mean_image_the_means_of_its_channels_are() -> None:
    for size in ((4, 9), (8, 5)):
        image = np.random.default_rng(1).normal(size=(3, *size)).astype(np.float32)
        expected = np.broadcast_to(-image.mean((1, 2))[:, None, None], (3, 5, 6))
        np.testing.assert_allclose(fed(image), expected, rtol=1e-5)
        assert str(Mean("m", image).note(FRAME)).endswith("the input is 5×6; used the means of its channels")
        Mean("m", image).check(3)
        with pytest.raises(PictureError, match="expected at least 5×6 pixels, the size of the net's input, found"):
            Mean("m", image).check(3, (5, 6))


def test_of_a_crop_the_mean_at_its_place_is_subtracted_and_mirrored_with_it() -> None:
    """As Caffe's data layers do it; a mean of the size of the crop is subtracted as it is, as pycaffe does."""
    image = np.random.default_rng(1).normal(size=(3, 8, 9)).astype(np.float32)
    for mirrored in (False, True):
        frame = Frame((8, 9), Box(2, 3, 7, 9), mirrored)
        np.testing.assert_array_equal(fed(image, frame), -image[:, 2:7, 3:9][:, :, :: -1 if mirrored else 1])
        np.testing.assert_array_equal(fed(image[:, :5, :6], frame), -image[:, :5, :6])


def test_a_mean_of_other_channels() -> None:
    for channels in (1, 3):
        Preprocessing(mean_of(*range(channels))).check(3)
    with pytest.raises(PictureError, match="mean given: expected 3 channels for this net, found 2"):
        Preprocessing(mean_of(1, 2)).check(3)


# ---- A mean that is given ----


def test_an_image_of_a_grey_mean_is_for_no_net_of_colours() -> None:
    grey = read_mean(str(CASES / "mean_grey.binaryproto"))
    assert grey.values.shape == (1, 32, 32)
    Preprocessing(grey).check(1)
    with pytest.raises(PictureError, match=r"expected 3×H×W, or 3 values, .* found 1×1×32×32, of 1 channel; give"):
        Preprocessing(grey).check(3)


@pytest.mark.parametrize(
    ("shape", "channels", "told"),
    [
        ((8, 9, 3), 3, "found 8×9×3, which is H×W×C; transpose it: mean.transpose(2, 0, 1)"),
        ((8, 9, 1), 1, "found 8×9×1, which is H×W×C; transpose it: mean.transpose(2, 0, 1)"),
        ((1, 8, 9, 3), 3, "found 1×8×9×3, which is 1×H×W×C; transpose it: mean[0].transpose(2, 0, 1)"),
        ((8, 9), 1, "found 8×9, which is H×W; add the axis of the channels: mean[None]"),
        ((8, 9), 3, "found 8×9, of 1 channel; give the mean"),
        ((3, 9), 3, "found 3×9, of 1 channel; give the mean"),
        ((1,), 3, "found 1, of 1 channel; give the mean"),
        ((4,), 3, "found 4, of 4 channels; give the mean"),
        ((1, 8, 9), 3, "found 1×8×9, of 1 channel; give the mean"),
    ],
)
def test_arrays_in_another_order_are_refused_with_the_way_out(
    tmp_path: Path, shape: tuple[int, ...], channels: int, told: str
) -> None:
    array = np.random.default_rng(0).normal(size=shape)
    np.save(tmp_path / "mean.npy", array)
    with pytest.raises(PictureError) as error:
        read_mean(str(tmp_path / "mean.npy")).check(channels)
    assert told in str(error.value)
    if "mean" in (code := told.rpartition(": ")[2])[:4]:
        np.save(tmp_path / "mean.npy", eval(code, {"mean": array}))
        found = read_mean(str(tmp_path / "mean.npy"))
        found.check(channels)
        np.testing.assert_array_equal(found.values[-1], array.reshape(8, 9, channels)[:, :, -1].astype(np.float32))


@pytest.mark.parametrize("shape", [(3,), (3, 1, 1), (1, 3, 1, 1)])
def test_a_value_for_each_channel_may_have_axes_of_one(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "mean.npy", np.array([1.0, 2, 3]).reshape(shape))
    found = read_mean(str(tmp_path / "mean.npy"))
    found.check(3, (8, 9))
    assert found.values.tolist() == [1, 2, 3] and not found.is_image


@pytest.mark.parametrize("text", ["104,117,123", "104, 117 ,123", "104.0,+117.,1.23e2"])
def test_a_mean_in_numbers(text: str) -> None:
    assert read_mean(text).values.tolist() == [104, 117, 123]


@pytest.mark.parametrize("shape", [(3,), (3, 4, 5), (1, 3, 4, 5)])
@pytest.mark.parametrize("kind", ["f4", "f8", "u1", ">i2"])
def test_a_mean_in_a_npy(tmp_path: Path, shape: tuple[int, ...], kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 100, shape).astype(kind)
    np.save(tmp_path / "mean.npy", values)
    found = read_mean(str(tmp_path / "mean.npy")).values
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values[0] if len(shape) == 4 else values)


def test_a_mean_in_a_binaryproto(tmp_path: Path) -> None:
    values = np.arange(60, dtype=np.float32)
    for blob in (
        {"num": 1, "channels": 3, "height": 4, "width": 5, "data": values},
        {"shape": {"dim": [1, 3, 4, 5]}, "data": values},
        {"shape": {"dim": [3, 4, 5]}, "double_data": values},
    ):
        (tmp_path / "mean").write_bytes(schema.message_class("BlobProto")(**blob).SerializeToString())
        np.testing.assert_array_equal(read_mean(str(tmp_path / "mean")).values, values.reshape(3, 4, 5))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("104,117,", "expected numbers such as 104,117,123, or a .npy or .binaryproto, found no such file"),
        ("blue", "found no such file"),
        ("1e999", "found NaN or infinity"),
        ("1,1e60", "found NaN or infinity"),
        ("nan", "found no such file"),
    ],
)
def test_what_is_no_mean(text: str, words: str) -> None:
    with pytest.raises(PictureError, match=words):
        read_mean(text)


@pytest.mark.thorough
def test_a_file_that_is_no_mean(tmp_path: Path) -> None:
    path = tmp_path / "mean.npy"

    def refused(words: str) -> None:
        with pytest.raises(PictureError, match=words) as found:
            read_mean(str(path))
        assert str(found.value).startswith(f"mean {path}: ") and "\n" not in str(found.value)

    with pytest.raises(FileNotFoundError):
        read_mean(str(path))
    np.save(path, np.zeros((2, 3, 4, 5)))
    refused("expected one image, found 2")
    np.save(path, np.zeros((1, 1, 3, 4, 5)))
    refused("expected numbers, C or C×H×W, found float64, 1×1×3×4×5")
    np.save(path, np.array(["a"]))
    refused("expected numbers")
    np.save(path, np.array([object()]), allow_pickle=True)
    refused("expected numbers, found Python objects")
    np.save(path, np.array([1, np.nan]))
    refused("found NaN or infinity")
    np.save(path, np.zeros((3, 40, 40)))
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    refused("expected 38,400 bytes of values, found 38,392; the file is incomplete")
    path.write_bytes(b"no protobuf at all")
    refused("expected a .npy or a binaryproto, found neither")
    path.write_bytes(b"")
    refused("as many values as its shape says, found 0 for 0×0×0×0")
    blob = schema.message_class("BlobProto")(shape={"dim": [3, 1 << 40]}, data=[1, 2])
    path.write_bytes(blob.SerializeToString())
    refused("found 2 for 3×1099511627776")
    draw = random.Random(0)
    for _ in range(200):
        changed = bytearray(whole[:200])
        changed[draw.randrange(128)] = draw.randrange(256)
        path.write_bytes(changed)
        try:
            read_mean(str(path))
        except PictureError as error:
            assert "\n" not in str(error)


# ---- What the net says ----


def graph_of(text: str, phase: str = "TEST") -> Graph:
    return build_graph(interpret(prototxt.parse(text, "net.prototxt")).net, phase=phase, source="net.prototxt")


def data_layer(param: str, name: str = "data", more: str = "") -> str:
    return f'layer {{ name: "{name}" type: "Data" top: "{name}" {more} transform_param {{ {param} }} }}\n'


def test_a_net_says_what_it_subtracts_and_scales_in_its_phase() -> None:
    text = data_layer("mean_value: 1 scale: 2", more="include { phase: TRAIN }")
    text += data_layer("mean_value: 104 mean_value: 117 mean_value: 123 mirror: true", more="include { phase: TEST }")
    assert transform_of(graph_of(text)) == Transform("data", (104, 117, 123))
    assert transform_of(graph_of(text, "TRAIN")) == Transform("data", (1,), scale=2)
    assert transform_of(graph_of(data_layer("crop_size: 227 mirror: true"))) is None


def test_the_layer_that_makes_the_input_is_the_one_to_ask() -> None:
    text = data_layer("mean_value: 1", "first") + data_layer("mean_value: 2", "second") + data_layer("", "third")
    assert transform_of(graph_of(text)) == Transform("first", (1,))
    assert transform_of(graph_of(text), "second") == Transform("second", (2,))
    assert transform_of(graph_of(text), "third") is None


@pytest.mark.parametrize("side", ["in", "out"])
def test_nets_in_old_formats(side: str) -> None:
    def found(name: str) -> Transform | None:
        return transform_of(graph_of((GOLDEN / "upgrades" / f"{name}.{side}.prototxt").read_text(), "TRAIN"))

    assert found("v0_net") == Transform("data", mean_file="mean.binaryproto", scale=0.5)
    assert found("v1_train_val") is not None
    assert found("data_transform") is None  # a current net whose layers say it where Caffe does not look any more


def test_a_net_with_a_scale_that_is_no_number() -> None:
    with pytest.raises(PictureError, match=r'net.prototxt: layer "data": expected a mean and a scale, found NaN'):
        transform_of(graph_of(data_layer("scale: nan")))


def test_what_is_given_comes_before_what_the_net_says() -> None:
    transform = Transform("data", (104.0, 117.0, 123.5), scale=0.00390625)
    steps, notes = with_defaults(transform, None, None, rgb=True)
    assert steps.mean is not None and steps.mean.values.tolist() == [104, 117, 123.5]
    assert steps.scale == 0.00390625 and steps.rgb
    assert [note.partition(";")[0] for note in notes] == [
        "the mean 104,117,123.5 comes from layer 'data'",
        "the scale 0.00390625 comes from layer 'data'",
    ]
    given = mean_of(1)
    assert with_defaults(transform, given, 1.0) == (Preprocessing(given), ())
    assert with_defaults(None, None, None) == (Preprocessing(), ())


def test_a_file_that_the_net_names_is_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "mean.npy", np.ones(3))
    steps, notes = with_defaults(Transform("data", mean_file=str(tmp_path / "mean.npy")), None, None)
    assert steps == Preprocessing() and "which is not opened; give it with `mean`" in notes[0]
    assert with_defaults(Transform("data", mean_file="\x1b[2J"), mean_of(1), None)[1] == ()
    assert "\x1b" not in with_defaults(Transform("data", mean_file="\x1b[2J"), None, None)[1][0]
