"""Weights on a page: their statistics are numpy's, tiles show the right weights, and what is dead or twice is found."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from caffe_fcn.files.statistics import BLOCK
from caffe_fcn.model.opening import open_model
from caffe_fcn.page import weights as page_weights
from caffe_fcn.page.tiles import BROKEN, GAP, ZERO, sample
from caffe_fcn.page.weights import weights_panel
from caffe_fcn.passes.convolutionalize import convolutionalize
from caffe_fcn.predict.options import PreparationOptions
from tests.files import datasets, encodings
from tests.files.encodings import ENCODINGS, matrix
from tests.page.pages import page_of
from tests.page.tensors import codes_of, input_layer, layer, looked_at, opened, weights_of, written
from tests.paths import GOLDEN, ROOT

DIGITS = (ROOT / "models" / "digits" / "digits.prototxt", ROOT / "models" / "digits" / "digits.caffemodel")
LENET = GOLDEN / "conversions" / "lenet"
RANDOM = np.random.default_rng(14)
FULL = 31
"""The code of the strongest colour, from zero on."""


def conv(outputs: int, kernel: int, more: str = "", name: str = "conv", kind: str = "Convolution") -> str:
    return layer(
        name, kind, f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} bias_term: false {more} }}"
    )


def product(outputs: int, more: str = "", bottom: str = "data", name: str = "fc") -> str:
    param = f"inner_product_param {{ num_output: {outputs} bias_term: false {more} }}"
    return layer(name, "InnerProduct", param, bottom)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype("f4")


# ---- Names ----


def test_blobs_are_called_by_what_they_hold(tmp_path: Path) -> None:
    biased = "scale_param { bias_term: true }"
    text = input_layer(1, 2, 4, 4) + layer("bn", "BatchNorm") + layer("scale", "Scale", biased)
    text += layer("prelu", "PReLU") + layer("bias", "Bias")
    text += layer("conv", "Convolution", "convolution_param { num_output: 2 kernel_size: 1 }")
    text += layer("shift", "Scale", f'bottom: "bn" {biased[:-1]} axis: 0 }}')
    two, one = np.ones(2), np.ones(1)
    kinds: dict[str, list[np.ndarray]] = {
        "bn": [two, two, one],
        "scale": [two, two],
        "prelu": [two],
        "bias": [two],
        "shift": [np.ones((1, 2, 4, 4))],
    }
    files = written(tmp_path, text, **kinds, conv=[np.ones((2, 2, 1, 1)), two])
    told = {name: [blob.title for blob in weights_of(*files, name).blobs] for name in (*kinds, "conv")}
    assert told == {
        "bn": [f"{each}, measured in training" for each in ("means", "variances", "divisor of both")],
        "scale": ["factors", "bias"],
        "prelu": ["slopes"],
        "bias": ["bias"],
        "shift": ["bias"],
        "conv": ["weights", "bias"],
    }
    for name in told:
        for blob in weights_of(*files, name).blobs:
            assert blob.picture is None or blob.picture.alt.startswith(
                (f"{blob.title} of {name}, ", "weights of conv, ")
            )
    layers = {each.name: [fact.term for fact in each.blobs] for each in page_of(files[0]).layers}
    assert {name: layers[name] for name in told} == told


# ---- Numbers ----


@pytest.mark.parametrize(
    "file", ["net.caffemodel", "variants/net.caffemodel.h5", "variants/double.caffemodel", "variants/v1.caffemodel"]
)
def test_numbers_are_those_of_numpy_in_every_kind_of_file(file: str) -> None:
    found = weights_of(LENET / "net.prototxt", LENET / file, "ip1")
    model = open_model(str(LENET / "net.prototxt"), str(LENET / "net.caffemodel"))
    assert len(found.blobs) == len(model.tensors["ip1"]) == 2
    for panel, tensor in zip(found.blobs, model.tensors["ip1"], strict=True):
        values = tensor.read(0, tensor.count).astype("f8")
        facts = {fact.term: fact for fact in panel.facts}
        assert facts["values"].value == f"{values.size:,}"
        expected = {"min": values.min(), "max": values.max(), "mean": values.mean(), "deviation": values.std()}
        for term, value in expected.items():
            assert float(facts[term].exact) == pytest.approx(value, rel=1e-9, abs=1e-12)
        assert panel.histogram is not None and f"Histogram of {values.size:,} values" in panel.histogram.title


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_of_a_caffemodel_is_shown_alike(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "net.prototxt").write_text(input_layer(1, 13) + product(9), encoding="utf-8")
    panels = []
    for name in ("packed", encoding):
        file = encodings.model(tmp_path / "net.caffemodel", encodings.layer("fc", [ENCODINGS[name](matrix(9, 13))]))
        panels.append(weights_of(tmp_path / "net.prototxt", file, "fc").blobs[0])
    assert panels[1].facts == panels[0].facts
    assert panels[1].picture == panels[0].picture and panels[1].histogram == panels[0].histogram
    assert panels[0].shape.startswith("9×13") and [fact.value for fact in panels[0].facts[:4]] == [
        "117",
        "0",
        "116",
        "58",
    ]


def test_weights_that_the_net_fills_are_shown(tmp_path: Path) -> None:
    param = 'num_output: 2 kernel_size: 4 stride: 2 group: 2 bias_term: false weight_filler { type: "bilinear" }'
    text = input_layer(1, 2, 5, 5) + layer("up", "Deconvolution", f"convolution_param {{ {param} }}")
    panel = weights_of(*written(tmp_path, text), "up").blobs[0]
    assert codes_of(panel.picture).shape == (4, 9)
    assert [fact.value for fact in panel.facts[:3]] == ["32", "0.0625", "0.5625"]


def test_a_scalar_and_equal_values(tmp_path: Path) -> None:
    text = input_layer(1, 2, 4, 4) + layer("bn", "BatchNorm")
    datasets.weights(tmp_path / "net.h5", bn=[np.full(2, 0.5, "f4"), np.array([1, 3], "f4"), np.ones(1, "f4")])
    (tmp_path / "net.prototxt").write_text(text, encoding="utf-8")
    mean, variance, factor = weights_of(tmp_path / "net.prototxt", tmp_path / "net.h5", "bn").blobs
    assert [fact[:2] for fact in mean.facts] == [("values", "2"), ("all", "0.5")]
    assert mean.histogram is None and mean.picture is not None
    assert variance.histogram is not None
    assert factor.picture is None and factor.histogram is None


def test_what_is_no_number_is_counted_and_marked(tmp_path: Path) -> None:
    kernels = normal(4, 1, 3, 3)
    kernels[1, 0, 0, 0], kernels[2, 0, 1, 2] = np.nan, np.inf
    files = written(tmp_path, input_layer(1, 1, 8, 8) + conv(4, 3), conv=[kernels])
    found = weights_of(*files, "conv").blobs[0]
    assert [fact[:2] for fact in found.facts][-2:] == [("NaN", "1"), ("infinite", "1")]
    codes = codes_of(found.picture)
    assert np.argwhere(codes == BROKEN).tolist() == [[0, 4], [1, 10]]


def test_layers_without_weights_have_none(tmp_path: Path) -> None:
    files = written(tmp_path, input_layer(1, 1, 8, 8) + layer("relu", "ReLU"), other=[normal(3)])
    with looked_at(*files) as source:
        assert [weights_panel(source, place) for place in range(2)] == [None, None]


@pytest.mark.parametrize("shape", [(0,), (3, 0), (), (1,), (1, 1, 1, 5), (7, 1, 1, 1), (2, 2, 2, 2, 2, 2), (5000,)])
def test_blobs_of_any_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    files = written(tmp_path, input_layer(1, 1, 8, 8) + layer("odd", "Unheard"), odd=[normal(*shape)])
    found = weights_of(*files, "odd").blobs[0]
    assert (found.picture is None) == (np.prod(shape) < 2)


# ---- Tiles ----


def test_samples_are_even_and_begin_with_the_first() -> None:
    assert sample(10, 20) == tuple(range(10))
    assert sample(1000, 4) == (0, 250, 500, 750)
    assert sample(7, 3) == (0, 2, 4)
    assert sample(1, 5) == (0,) and sample(0, 5) == ()


def test_tiles_have_the_weights_in_their_order(tmp_path: Path) -> None:
    kernels = np.zeros((3, 1, 2, 2), "f4")
    kernels[0, 0] = [[1, -1], [0.5, 0]]
    kernels[2, 0] = [[0, 0], [0, 4]]
    files = written(tmp_path, input_layer(1, 1, 8, 8) + conv(3, 2), conv=[kernels])
    codes = codes_of(weights_of(*files, "conv").blobs[0].picture)
    z, g = ZERO, GAP
    half = ZERO + round(FULL / 2)
    assert codes.tolist() == [
        [z + FULL, z - FULL, g, z, z, g, z, z],
        [half, z, g, z, z, g, z, z + FULL],
    ]


def test_a_table_has_a_column_for_each_filter_and_a_row_for_each_channel(tmp_path: Path) -> None:
    kernels = np.zeros((2, 5, 3, 3), "f4")
    kernels[1, 4, 2, 0] = 1
    files = written(tmp_path, input_layer(1, 5, 8, 8) + conv(2, 3), conv=[kernels])
    picture = weights_of(*files, "conv").blobs[0].picture
    codes = codes_of(picture)
    assert codes.shape == (5 * 4 - 1, 2 * 4 - 1)
    assert np.argwhere(codes > ZERO).tolist() == [[4 * 4 + 2, 4]]
    assert picture is not None
    assert (
        picture.caption
        == "Columns: 2 filters; rows: 5 input channels; each tile is 3×3; each filter has its own scale."
    )
    assert picture.alt == "kernels of conv, columns: 2 filters; rows: 5 input channels; each tile is 3×3"


def test_a_large_layer_shows_an_even_sample_of_filters_and_channels(tmp_path: Path) -> None:
    kernels = np.zeros((48, 32, 2, 2), "f4")
    kernels[2, 2], kernels[46, 30] = 1, 1
    kernels[1], kernels[:, 1] = 1, 1
    files = written(tmp_path, input_layer(1, 32, 8, 8) + conv(48, 2), conv=[kernels])
    picture = weights_of(*files, "conv").blobs[0].picture
    marked = np.argwhere(codes_of(picture) > ZERO)
    assert {(row // 3, column // 3) for row, column in marked.tolist()} == {(1, 1), (15, 23)}
    assert picture is not None and "a sample of 24 of 48 filters; rows: a sample of 16 of 32" in picture.caption


def test_the_first_convolution_is_in_colour(tmp_path: Path) -> None:
    kernels = np.zeros((2, 3, 2, 2), "f4")
    kernels[0, 0, 0, 0], kernels[0, 2, 0, 1], kernels[0, 1, 1, 1] = 1, 1, -1  # blue, red, no green
    files = written(tmp_path, input_layer(1, 3, 8, 8) + conv(2, 2), conv=[kernels])
    picture = weights_of(*files, "conv").blobs[0].picture
    image = opened(picture)
    assert image.mode == "RGBA" and image.size == (5, 2)
    assert image.getpixel((0, 0)) == (128, 128, 255, 255)
    assert image.getpixel((1, 0)) == (255, 128, 128, 255)
    assert image.getpixel((1, 1)) == (128, 0, 128, 255)
    assert image.getpixel((2, 0)) == (0, 0, 0, 0)
    assert picture is not None and "blue, green, red, as Caffe reads pictures" in picture.caption
    swapped = weights_of(*files, "conv", preparation=PreparationOptions(swap_channels=True)).blobs[0].picture
    assert opened(swapped).getpixel((0, 0)) == (255, 128, 128, 255)


def test_three_channels_that_are_no_colours_are_not_in_colour(tmp_path: Path) -> None:
    text = input_layer(1, 1, 8, 8) + conv(3, 1, name="first")
    text += layer("conv", "Convolution", "convolution_param { num_output: 2 kernel_size: 2 bias_term: false }", "first")
    files = written(tmp_path, text, first=[normal(3, 1, 1, 1)], conv=[normal(2, 3, 2, 2)])
    assert opened(weights_of(*files, "conv").blobs[0].picture).mode == "P"


@pytest.mark.parametrize("how", ["plain", "flattened", "transposed"])
def test_an_inner_product_is_shown_as_the_kernels_that_it_becomes(tmp_path: Path, how: str) -> None:
    matrix = normal(6, 4 * 3 * 5)
    text, bottom = input_layer(1, 4, 3, 5), "data"
    if how == "flattened":
        text, bottom = text + layer("flat", "Flatten"), "flat"
    text += product(6, "transpose: true" if how == "transposed" else "", bottom)
    files = written(tmp_path, text, fc=[matrix.T.copy() if how == "transposed" else matrix])
    kernels = convolutionalize(open_model(str(files[0]), str(files[1]))).model.tensors["fc-conv"][0]
    assert kernels.shape == (6, 4, 3, 5)
    (tmp_path / "conv").mkdir()
    param = "convolution_param { num_output: 6 kernel_h: 3 kernel_w: 5 bias_term: false }"
    other = input_layer(1, 4, 3, 5) + layer("fc", "Convolution", param)
    expected = written(tmp_path / "conv", other, fc=[kernels.read(0, kernels.count).reshape(kernels.shape)])
    one, two = (weights_of(*each, "fc").blobs[0].picture for each in (files, expected))
    assert one is not None and two is not None and one.png == two.png
    assert "windows on the map" in one.caption.lower() and "windows" not in two.caption.lower()


def test_kernels_of_one_cell_are_a_matrix(tmp_path: Path) -> None:
    matrix = np.zeros((2, 300), "f4")
    matrix[1, 0] = -2
    files = written(tmp_path, input_layer(1, 300) + product(2), fc=[matrix])
    picture = weights_of(*files, "fc").blobs[0].picture
    codes = codes_of(picture)
    rows = codes.shape[0] // 2  # a low picture has higher rows
    assert codes.shape[1] == 256 and (codes[rows:, 0] == ZERO - FULL).all() and (codes[:rows] == ZERO).all()
    assert picture is not None and picture.caption == "Rows: 2 filters; columns: a sample of 256 of 300 inputs."


def test_volumes_show_the_slice_in_the_middle(tmp_path: Path) -> None:
    kernels = np.zeros((2, 1, 3, 2, 2), "f4")
    kernels[0, 0, 1], kernels[1, 0, 0] = 1, 1
    text = input_layer(1, 1, 3, 8, 8) + conv(2, 3, "kernel_size: 2 kernel_size: 2")
    files = written(tmp_path, text, conv=[kernels])
    picture = weights_of(*files, "conv").blobs[0].picture
    assert (codes_of(picture)[:, :2] > ZERO).all() and (codes_of(picture)[:, 3:] == ZERO).all()
    assert picture is not None and "3×2×2, slice 2 in the middle" in picture.caption


def test_a_deconvolution_has_its_filters_along_the_second_axis(tmp_path: Path) -> None:
    kernels = np.zeros((5, 2, 3, 3), "f4")  # five channels of the bottom, two filters
    kernels[4, 1, 2, 0] = 1
    kernels[:, 0] = RANDOM.normal(size=(5, 3, 3))
    files = written(tmp_path, input_layer(1, 5, 8, 8) + conv(2, 3, kind="Deconvolution"), conv=[kernels])
    picture = weights_of(*files, "conv").blobs[0].picture
    assert picture is not None and picture.caption.startswith("Columns: 2 filters; rows: 5 input channels;")
    assert np.argwhere(codes_of(picture)[:, 4:] > ZERO).tolist() == [[4 * 4 + 2, 0]]


def test_kernels_that_are_too_large_are_not_drawn(tmp_path: Path) -> None:
    files = written(tmp_path, input_layer(1, 1, 500, 400) + product(1), fc=[np.ones((1, 200_000), "f4")])
    found = weights_of(*files, "fc").blobs[0]
    assert found.picture is None and found.facts[0].value == "200,000"


def test_the_same_weights_make_the_same_bytes() -> None:
    assert weights_of(*DIGITS, "conv2") == weights_of(*DIGITS, "conv2")


# ---- Filters ----


def test_dead_and_duplicate_filters_are_found(tmp_path: Path) -> None:
    kernels = normal(40, 6, 3, 3)
    kernels[3], kernels[17] = 0, kernels[17] * 1e-9
    kernels[[9, 30]] = kernels[5]
    kernels[39] = kernels[12] * (1 + 1e-7)
    kernels[22] = kernels[21] * 1.001
    files = written(tmp_path, input_layer(1, 6, 8, 8) + conv(40, 3), conv=[kernels])
    assert weights_of(*files, "conv").remarks == (
        "2 of 40 filters are dead, their weights are zero, or smaller than those of the strongest filter by a factor "
        "of 1,000,000: number 3, 17",
        "3 filters have the same weights as another one: 5 = 9 = 30; 12 = 39",
    )


def test_filters_of_other_groups_are_no_duplicates(tmp_path: Path) -> None:
    one = normal(1, 2, 3, 3)
    files = written(tmp_path, input_layer(1, 4, 8, 8) + conv(4, 3, "group: 2"), conv=[one.repeat(4, 0)])
    assert weights_of(*files, "conv").remarks == ("2 filters have the same weights as another one: 0 = 1; 2 = 3",)
    depthwise = written(tmp_path, input_layer(1, 4, 8, 8) + conv(4, 3, "group: 4"), conv=[one[:, :1].repeat(4, 0)])
    assert weights_of(*depthwise, "conv").remarks == ()


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kind", ["Deconvolution", "transposed"])
def test_filters_along_the_second_axis_are_judged_too(tmp_path: Path, kind: str, groups: int) -> None:
    if kind == "transposed":
        weights = normal(8, 6)
        text, name = input_layer(1, 8) + product(6, "transpose: true"), "fc"
        weights[:, 2], weights[:, 4] = 0, weights[:, 3]
    else:
        weights = normal(8, 6 // groups, 2, 2)
        half = 8 // groups
        text, name = input_layer(1, 8, 5, 5) + conv(6, 2, f"group: {groups}", kind=kind), "conv"
        for filters, source in ((2, None), (4, 3)):
            rows = slice(filters * groups // 6 * half, (filters * groups // 6 + 1) * half)
            weights[rows, filters % (6 // groups)] = 0 if source is None else weights[rows, source % (6 // groups)]
    dead, same = weights_of(*written(tmp_path, text, **{name: [weights]}), name).remarks
    assert dead.endswith("number 2") and dead.startswith("1 of 6 filters is dead")
    assert same == "1 filter has the same weights as another one: 3 = 4"


def test_all_filters_zero_are_dead_and_not_duplicates(tmp_path: Path) -> None:
    files = written(tmp_path, input_layer(1, 6, 8, 8) + conv(30, 3), conv=[np.zeros((30, 6, 3, 3), "f4")])
    (told,) = weights_of(*files, "conv").remarks
    assert told.startswith("30 of 30 filters are dead") and told.endswith("9, 10, 11 and 18 more")


@pytest.mark.parametrize("name", ["conv1", "conv2", "ip1", "ip2"])
def test_the_trained_net_has_neither(name: str) -> None:
    assert weights_of(*DIGITS, name).remarks == ()


def test_the_largest_numbers_are_no_duplicates(tmp_path: Path) -> None:
    kernels = np.sign(normal(8, 2, 3, 3)) * np.float32(3e38)
    files = written(tmp_path, input_layer(1, 2, 8, 8) + conv(8, 3), conv=[kernels])
    assert weights_of(*files, "conv").remarks == ()


@pytest.mark.parametrize("block", [1, 7, 100])
def test_blocks_of_any_size_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    kernels = normal(10, 3, 2, 2)
    kernels[4], kernels[7] = kernels[2], 0
    files = written(tmp_path, input_layer(1, 3, 8, 8) + conv(10, 2), conv=[kernels])
    whole = weights_of(*files, "conv").remarks
    monkeypatch.setattr(page_weights, "BLOCK", block)
    assert weights_of(*files, "conv").remarks == whole
    assert len(whole) == 2


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_weights(tmp_path: Path) -> None:
    count = 8 * BLOCK
    files = written(tmp_path, input_layer(1, count // 64) + product(64), fc=[np.ones((64, count // 64), "f4")])
    with looked_at(*files) as source:
        weights_panel(source, 0)
        tracemalloc.start()
        try:
            weights_panel(source, 1)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 4 * 4 * BLOCK + (4 << 20)
