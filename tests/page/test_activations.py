"""Activations on a page: they are what the net computes, in each version of a blob, and are drawn as they are."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import caffe_fcn
from caffe_fcn.engines.nets import one_net
from caffe_fcn.engines.onnxruntime import OnnxRuntime, OnnxRuntimeSession
from caffe_fcn.errors import EngineError, LoweringError, ShapeError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.inspection.inspect import open_inspected
from caffe_fcn.net.graph import Blob
from caffe_fcn.net.shapes import inference
from caffe_fcn.onnx.scope import ALL
from caffe_fcn.page import observing
from caffe_fcn.page.activation_tiles import reduced, tiles_of_values
from caffe_fcn.page.activations import ActivationsPanel, activations_of
from caffe_fcn.page.build import build_page
from caffe_fcn.page.observing import apart, observed
from caffe_fcn.page.options import ReportOptions
from caffe_fcn.page.patterns import pattern, waves
from caffe_fcn.page.records import Section
from caffe_fcn.page.render import render
from caffe_fcn.page.tiles import BROKEN, GAP, ZERO
from caffe_fcn.predict.options import PreparationOptions
from tests.engines.nets import case
from tests.page.pages import parsed
from tests.page.tensors import Array, codes_of, input_layer, layer, looked_at, opened, written
from tests.paths import GOLDEN, ROOT

DIGITS = ROOT / "models" / "digits"
NET = (DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel")
PICTURE = DIGITS / "scattered.png"
RANDOM = np.random.default_rng(15)
FULL = 31


def values_of(net: Path, weights: Path, **arguments: Any) -> dict[Blob, Array]:
    """The values of all blobs."""
    with looked_at(net, weights, **arguments) as source:
        return {blob: array for blob, _, array in observed(source).values()}


def panels_of(net: Path, weights: Path, **arguments: Any) -> dict[str, ActivationsPanel]:
    """The activations by the names of layers."""
    with looked_at(net, weights, **arguments) as source:
        assert source.graph is not None
        found = activations_of(source).panels
        return {source.graph.nodes[position].name: panel for position, panel in found.items()}


def remarks(panels: Mapping[str, ActivationsPanel]) -> dict[str, list[str]]:
    told = {name: [remark for blob in panel.blobs for remark in blob.remarks] for name, panel in panels.items()}
    return {name: each for name, each in told.items() if each}


# ---- Values ----


@pytest.mark.thorough
def test_they_are_those_of_run_with_blob() -> None:
    found = values_of(*NET, picture=PICTURE)
    with caffe_fcn.open(*NET) as net:
        for blob in ("conv1", "pool2", "ip1", "prob"):
            (last,) = [
                array
                for each, array in found.items()
                if each.name == blob and Blob(blob, each.version + 1) not in found
            ]
            expected = net.run(PICTURE, resize="net", blobs=(blob,)).blobs[blob]
            np.testing.assert_allclose(last.reshape(expected.shape), expected, rtol=1e-5, atol=1e-4)


def test_a_layer_in_place_and_the_one_before_it_differ() -> None:
    found = values_of(*NET, picture=PICTURE)
    before, after = found[Blob("pool1", 0)], found[Blob("pool1", 1)]
    assert (before < 0).any()
    np.testing.assert_array_equal(after, np.maximum(before, 0))
    titles = {name: [blob.facts[1].value for blob in panel.blobs] for name, panel in panels_of(*NET).items()}
    assert titles["relu1"] == ["0"] and titles["pool1"] != ["0"]


CASES = (
    "in_place_chain",
    "softmax_loss",
    "dropout",
    "slice_even",
    "split",
    "eltwise_sum",
    "batchnorm_global",
    "pool_max_mask",
)
"""Golden cases with layers in place, losses, several tops, and layers that change nothing."""


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_names_for_versions_do_not_change_values(name: str) -> None:
    with case(GOLDEN / "layers" / name) as (net, weights):
        plain = OnnxRuntime(1).load(net, weights, outputs=[ALL])
        named, names = apart(net)
        session = OnnxRuntime(1).load(named, weights, outputs=[ALL])
        assert session.inputs == plain.inputs
        shapes = {each: net.shapes.blobs[Blob(each, 0)] for each in plain.inputs}
        fed = {each: waves(shape) for each, shape in shapes.items() if isinstance(shape, tuple)}
        found = {names.get(Blob(each, 0), Blob(each, 0)): array for each, array in session.run(fed).items()}
        for each, expected in plain.run(fed).items():
            last = max(blob for blob in found if blob.name == each)
            np.testing.assert_allclose(found[last], expected, rtol=1e-5, atol=1e-6)


def test_too_large_a_net_is_refused_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "MOST", 1000)
    with (
        looked_at(*NET) as source,
        pytest.raises(EngineError, match="the activations need"),
    ):
        activations_of(source)


def test_a_batch_shows_one_item(tmp_path: Path) -> None:
    param = "convolution_param { num_output: 2 kernel_size: 3 bias_term: false }"
    blobs = {"conv": [RANDOM.normal(size=(2, 3, 3, 3)).astype("f4")]}
    ten = written(tmp_path, input_layer(10, 3, 8, 8) + layer("conv", "Convolution", param), **blobs)
    found = values_of(*ten)
    assert {array.shape[0] for array in found.values()} == {1}
    text = input_layer(4, 3, 8, 8) + layer("flat", "Reshape", "reshape_param { shape { dim: 4 dim: -1 } }")
    text += layer("fc", "InnerProduct", "inner_product_param { num_output: 2 bias_term: false }", "flat")
    four = written(tmp_path, text, fc=[RANDOM.normal(size=(2, 192))])  # it takes four items only
    assert [array.shape for array in values_of(*four).values()] == [(1, 3, 8, 8), (1, 192), (1, 2)]


def test_layers_behind_an_unknown_one_are_left_out(tmp_path: Path) -> None:
    text = input_layer(1, 1, 8, 8) + layer("one", "ReLU") + layer("odd", "Unheard", bottom="one")
    text += layer("two", "TanH", bottom="one") + layer("three", "ReLU", bottom="odd")
    assert set(panels_of(*written(tmp_path, text))) == {"data", "one", "two"}
    text = input_layer(1, 1, 8, 8) + layer("odd", "Unheard")
    with (
        looked_at(*written(tmp_path, text)) as source,
        pytest.raises(LoweringError, match="not supported by the ONNX exporter"),
    ):
        activations_of(source)


def test_a_layer_that_is_refused_is_left_out_with_those_behind_it(tmp_path: Path) -> None:
    text = input_layer(2, 2, 8, 8) + layer("one", "ReLU")
    text += layer("drop", "Dropout", "dropout_param { scale_train: false }", "one")
    text += layer("bn", "BN", "bn_param { bn_mode: LEARN }", "drop") + layer("last", "ReLU", bottom="bn")
    files = written(tmp_path, text, bn=[np.ones((1, 2, 1, 1), "f4")] * 2)
    assert {"one", "drop"} <= set(panels_of(*files))


def test_a_training_net_has_the_activations_of_what_it_is_for(tmp_path: Path) -> None:
    text = 'layer { name: "data" type: "Data" top: "data" top: "label" transform_param { crop_size: 8 } }\n'
    text += layer("fc", "InnerProduct", "inner_product_param { num_output: 5 bias_term: false }")
    text += 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }'
    files = written(tmp_path, text, fc=[RANDOM.normal(size=(5, 192)) / 1000])
    found = panels_of(*files)
    assert set(found) == {"data", "fc", "loss"}
    assert [blob.title for blob in found["data"].blobs] == ["data"]
    assert found["loss"].blobs[0].shape == "1×5" and "prob" in found["loss"].blobs[0].title


def test_the_memory_of_the_net_is_free_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[weakref.ref[OnnxRuntimeSession]] = []
    made = OnnxRuntimeSession.__init__

    def noted(self: OnnxRuntimeSession, *arguments: Any) -> None:
        held.append(weakref.ref(self))
        made(self, *arguments)

    monkeypatch.setattr(OnnxRuntimeSession, "__init__", noted)
    gc.disable()  # the next section loads the net too, before garbage is collected
    try:
        panels_of(*NET, picture=PICTURE)
        assert [each() for each in held] == [None]
    finally:
        gc.enable()


# ---- Inputs ----


def test_the_panel_says_what_the_net_ran_on() -> None:
    assert panels_of(*NET)["conv1"].about == "On a test pattern of 20×20 pixels."
    assert panels_of(*NET, picture=PICTURE)["conv1"].about == "On scattered.png, resized to 20×20 pixels."
    turned = PreparationOptions(column_major=True)
    assert "pixels, transposed for the net." in panels_of(*NET, picture=PICTURE, preparation=turned)["conv1"].about
    array = np.zeros((20, 20), np.uint8)
    assert panels_of(*NET, picture=array)["conv1"].about == "On the picture, 20×20 pixels."


@pytest.mark.thorough
def test_a_net_for_any_size_gets_the_picture_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with caffe_fcn.open(*NET) as net:
        net.convolutionalize().save(tmp_path / "fcn.prototxt", tmp_path / "fcn.caffemodel")
    files = (tmp_path / "fcn.prototxt", tmp_path / "fcn.caffemodel")
    size = Image.open(PICTURE).size[::-1]
    assert panels_of(*files, picture=PICTURE)["conv1"].about == f"On scattered.png, {size[0]}×{size[1]} pixels."
    monkeypatch.setattr(observing, "ENOUGH", 1 << 20)
    smaller = panels_of(*files, picture=PICTURE)["conv1"]
    assert "made smaller" in smaller.about
    for picture in (None, PICTURE):
        sized = panels_of(*files, picture=picture, options=ReportOptions(input_size=(30, 40)))
        assert sized["data"].blobs[0].shape == "1×1×30×40"


def test_blobs_that_caffe_cannot_have_make_the_picture_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    param = "convolution_param { num_output: 2 kernel_size: 3 bias_term: false }"
    blobs = {"conv": [RANDOM.normal(size=(2, 1, 3, 3)).astype("f4")]}
    files = written(tmp_path, input_layer(1, 1, 8, 8) + layer("conv", "Convolution", param), **blobs)
    monkeypatch.setattr(inference, "MAX_COUNT", 5000)
    found = panels_of(*files, picture=np.zeros((200, 100), np.uint8))
    assert found["conv"].about == "On the picture, made smaller, 50×25 pixels."
    monkeypatch.setattr(observing, "ENOUGH", 4 * 900)
    assert "made smaller, 26×13" in panels_of(*files, picture=np.zeros((200, 100), np.uint8))["conv"].about
    with looked_at(*files, picture=np.zeros((200, 100), np.uint8)) as source, pytest.raises(ShapeError):
        monkeypatch.setattr(inference, "MAX_COUNT", 10)  # not even the smallest: an error that tells the reason
        activations_of(source)


def test_the_test_pattern_is_fixed_and_has_all_values() -> None:
    one = pattern((48, 64), 3)
    assert one.shape == (48, 64, 3) and one.dtype == np.uint8
    assert (one == pattern((48, 64), 3)).all()
    assert one.min() < 10 and one.max() > 245 and len(np.unique(one)) > 100
    assert pattern((1, 1), 4).shape == (1, 1, 4)


def test_preprocessing_is_that_of_run(tmp_path: Path) -> None:
    plain = values_of(*NET, picture=PICTURE)[Blob("data", 0)]
    prepared = PreparationOptions(mean="100", scale=0.5)
    changed = values_of(*NET, picture=PICTURE, preparation=prepared)[Blob("data", 0)]
    np.testing.assert_allclose(changed, (plain - 100) / 2)


def test_nets_without_pictures_get_waves(tmp_path: Path) -> None:
    text = input_layer(1, 6) + input_layer(1, 6).replace('"data"', '"other"')
    text += 'layer { name: "sum" type: "Eltwise" bottom: "data" bottom: "other" top: "sum" }'
    files = written(tmp_path, text)
    found = panels_of(*files)
    assert found["sum"].about == "On test values for data 1×6, other 1×6."
    assert values_of(*files)[Blob("sum", 0)][0] == pytest.approx(2 * waves((6,)))
    with (
        looked_at(*files, picture=PICTURE) as source,
        pytest.raises(EngineError, match="expected a net with one input"),
    ):
        activations_of(source)


def test_volumes_show_the_slice_in_the_middle(tmp_path: Path) -> None:
    files = written(tmp_path, input_layer(1, 2, 5, 6, 7) + layer("relu", "ReLU"))
    picture = panels_of(*files)["relu"].blobs[0].picture
    values = np.maximum(waves((1, 2, 5, 6, 7)), 0)[0, :, 2]
    codes = codes_of(picture)
    assert codes.shape == (6, 15) and picture is not None and "slice 3 of 5" in picture.caption
    assert ((codes[:, :7] > ZERO) == (values[0] > values.max() / 62)).all()


# ---- Findings ----


def test_dead_and_constant_channels_are_told_where_they_arise(tmp_path: Path) -> None:
    kernels, bias = RANDOM.normal(size=(6, 1, 3, 3)).astype("f4"), np.zeros(6, "f4")
    bias[2], bias[4], kernels[5], bias[5] = -1e6, -1e6, 0, 7
    text = input_layer(1, 1, 12, 12) + layer(
        "conv", "Convolution", "convolution_param { num_output: 6 kernel_size: 3 }"
    )
    text += 'layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }\n'
    text += layer("pool", "Pooling", "pooling_param { kernel_size: 2 stride: 2 }", "conv")
    text += 'layer { name: "both" type: "Concat" bottom: "pool" bottom: "pool" top: "both" }\n'
    found = remarks(panels_of(*written(tmp_path, text, conv=[kernels, bias])))
    assert found == {
        "conv": ["1 of 6 channels is constant here, the same value everywhere: number 5"],
        "relu": ["2 of 6 channels are dead here, 0 everywhere: number 2, 4"],
    }


@pytest.mark.parametrize(
    ("kind", "bias", "told"),
    [
        (
            "Sigmoid",
            (0, 20, -20),
            "2 of 3 channels are saturated here, {} 0 or 1: number 1, 2",
        ),
        (
            "TanH",
            (0, 20, -20),
            "2 of 3 channels are saturated here, {} −1 or 1: number 1, 2",
        ),
        (
            "ReLU6",
            (0, 20, -20),
            "1 of 3 channels is saturated here, {} 6: number 1",
        ),
        ("ReLU", (0, 20, -20), None),
    ],
)
def test_saturated_channels_are_told(tmp_path: Path, kind: str, bias: tuple[float, ...], told: str | None) -> None:
    kernels = np.full((3, 1, 1, 1), 1 / 128, "f4")
    text = input_layer(1, 1, 12, 12) + layer(
        "conv", "Convolution", "convolution_param { num_output: 3 kernel_size: 1 }"
    )
    text += layer("act", kind, bottom="conv") + layer("last", "AbsVal", bottom="act")
    found = remarks(panels_of(*written(tmp_path, text, conv=[kernels, np.array(bias, "f4")])))
    expected = [] if told is None else [told.format("at least 95% of the values are at the limit")]
    assert [each for each in found.get("act", []) if "saturated" in each] == expected


def test_an_output_with_classes_tells_the_best(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(f"<b>{number}</b>" for number in range(11)), encoding="utf-8")
    options = ReportOptions(labels=tmp_path / "labels.txt")
    found = panels_of(*NET, picture=np.full((20, 20), 0, np.uint8), options=options)["prob"].classes
    expected = values_of(*NET, picture=np.full((20, 20), 0, np.uint8))[Blob("prob", 0)][0]
    assert found[0].title == f"<b>{expected.argmax()}</b>"
    assert found[0].score == f"{expected.max():.4g}"
    assert panels_of(*NET)["prob"].classes == ()  # a test pattern has no class


# ---- Tiles ----


def test_maps_are_drawn_cell_by_cell_on_one_scale() -> None:
    values = np.zeros((1, 2, 2, 3), "f4")
    values[0, 0, 0, 1], values[0, 1, 1, 2] = 8, -4
    picture = tiles_of_values("x", values, 8)
    codes = codes_of(picture)
    z = ZERO
    assert codes.tolist() == [
        [z, z + FULL, z, GAP, z, z, z],
        [z, z, z, GAP, z, z, z - 16],
    ]
    assert picture is not None and picture.signed and picture.scale == ("−8", "8")
    assert picture.alt == "activations x, 2 channels, 2×3"
    above = tiles_of_values("x", np.abs(values), 8)
    assert above is not None and not above.signed and above.scale == ("0", "8")
    ends = [getattr(tiles_of_values("x", sign * values, 5), "scale", None) for sign in (1, -1)]
    assert ends == [("−5", "≥ 5"), ("≤ −5", "5")]


def test_what_is_no_number_is_marked() -> None:
    values = np.array([[1, np.nan, np.inf, 0]], "f4")
    codes = codes_of(tiles_of_values("x", values, 1))
    assert codes[0].tolist() == [ZERO + FULL, BROKEN, BROKEN, ZERO]


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (1, 1, 1, 1)])
def test_single_values_have_no_picture(shape: tuple[int, ...]) -> None:
    assert tiles_of_values("x", np.ones(shape, "f4"), 1) is None


@pytest.mark.parametrize(
    "shape", [(5,), (1, 7), (9, 1), (3, 4), (2, 3, 4), (1, 1, 9, 1), (4, 2, 2, 2), (1, 500, 30, 1), (1, 2, 2, 2, 2, 2)]
)
def test_values_of_any_shape_have_one(shape: tuple[int, ...]) -> None:
    assert opened(tiles_of_values("x", RANDOM.normal(size=shape), 1)).size > (0, 0)


def test_large_maps_are_reduced_to_means_of_areas() -> None:
    maps = RANDOM.normal(size=(2, 200, 130))
    found = reduced(maps, 96)
    assert found.shape == (2, 67, 44)
    assert found[1, 0, 0] == pytest.approx(maps[1, :3, :3].mean())
    assert found[0, -1, -1] == pytest.approx(maps[0, 198:, 129:].mean())
    assert reduced(maps, 200) is maps


def test_a_single_map_is_larger_than_one_of_many() -> None:
    maps = RANDOM.normal(size=(1, 2, 200, 200))
    one, two = (tiles_of_values("x", each, 1) for each in (maps[:, :1], maps))
    assert opened(one).width == 200 and opened(two).width == 2 * 67 + 1


def test_a_single_map_keeps_its_pixels() -> None:
    for many, shape in ((1, (256, 192)), (2, (86, 129))):
        picture = tiles_of_values("x", RANDOM.normal(size=(1, many, 256, 192)), 1)
        assert picture is not None and ("means of areas" in picture.caption) is (many > 1)
        assert codes_of(picture).shape == shape


def test_the_input_is_shown_in_colour(tmp_path: Path) -> None:
    files = written(tmp_path, input_layer(1, 3, 2, 2) + layer("relu", "ReLU"))
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 0] = 255, 0, 0
    panel = panels_of(*files, picture=pixels)["data"].blobs[0]
    image = opened(panel.picture)
    assert image.getpixel((0, 0)) == (255, 0, 0, 255) and image.getpixel((1, 1)) == (0, 0, 0, 255)


def test_the_same_net_and_picture_make_the_same_bytes() -> None:
    assert panels_of(*NET, picture=PICTURE) == panels_of(*NET, picture=PICTURE)


# ---- The page ----


def test_nan_in_the_weights_leaves_the_activations_out(tmp_path: Path) -> None:
    text = input_layer(1, 1, 8, 8) + layer("conv", "Convolution", "convolution_param { num_output: 1 kernel_size: 3 }")
    files = written(tmp_path, text, conv=[np.full((1, 1, 3, 3), np.nan, "f4"), np.zeros(1, "f4")])
    opened_files = open_inspected(str(files[0]), str(files[1]))
    assert isinstance(opened_files.weights, WeightFile)
    with opened_files.weights:
        page = build_page(opened_files)
    (left,) = [each for each in page.left_out if each.section is Section.ACTIVATIONS]
    assert "expected numbers, found NaN or infinity" in left.reason
    assert page.layers[1].weights is not None and page.layers[1].activations is None
    assert "NaN" in render(page)


def test_hostile_names_are_text_in_both_panels(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>\x07"
    param = "convolution_param { num_output: 40 kernel_size: 3 }"
    text = input_layer(1, 3, 8, 8) + layer(name.replace("\x07", "\\007"), "Convolution", param)
    blobs = {name: [np.zeros((40, 3, 3, 3), "f4"), np.ones(40, "f4")]}
    files = written(tmp_path, text, **blobs)
    opened_files = open_inspected(str(files[0]), str(files[1]))
    assert isinstance(opened_files.weights, WeightFile)
    with opened_files.weights:
        html = render(build_page(opened_files))
    page = parsed(html)
    assert "<script>alert" not in html and "\x07" not in html
    pictures = [each for each in page.all("img") if each.attributes.get("class") is None]
    assert len(pictures) >= 4
    for each in pictures:
        assert each.attributes["alt"] and (each.attributes["src"] or "").startswith("data:image/png;base64,")
    assert [each for each in page.all("title") if "Histogram" in each.text]
    assert any("40 of 40 filters are dead" in each.text for each in page.with_class("finding"))


def test_one_net_has_the_blobs_of_the_page() -> None:
    with looked_at(*NET) as source:
        assert source.source is not None and source.weights is not None and source.graph is not None
        found = one_net(source.source, source.weights, source.selection)
        assert set(found.net.graph.producer) == set(source.graph.producer)
