"""Layers that the weights hold nothing for: what the net fills them with counts, or is refused as what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe_fcn
from caffe_fcn import schema
from caffe_fcn.engines.caffe_files import ReaderDialect, write_files
from caffe_fcn.engines.nets import one_net
from caffe_fcn.files.blobs import BlobRecord, read_stored, repeated
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.model.filling import fill
from caffe_fcn.net.source import read_net
from caffe_fcn.onnx.scope import choose_scope
from tests.engines.nets import add_layer, blobs_of, difference
from tests.net.nets import data, graph_of, layer
from tests.paths import CASES, GOLDEN

Array = Any
MAP = data(1, 3, 6, 6)
BEFORE = MAP + layer("PReLU", top="p", name="p")
BOTH = "weight_filler { type: 'constant' value: 0.25 } bias_filler { value: -2 }"
FILLED: dict[str, tuple[str, list[tuple[int, ...]]]] = {
    "Convolution": (f"convolution_param {{ num_output: 4 kernel_size: 3 {BOTH} }}", [(4, 3, 3, 3), (4,)]),
    "Deconvolution": (f"convolution_param {{ num_output: 4 kernel_size: 3 {BOTH} }}", [(3, 4, 3, 3), (4,)]),
    "ConvolutionDepthwise": (f"convolution_param {{ num_output: 3 kernel_size: 3 {BOTH} }}", [(3, 1, 3, 3), (3,)]),
    "InnerProduct": (f"inner_product_param {{ num_output: 4 {BOTH} }}", [(4, 108), (4,)]),
    "Scale": ("scale_param { filler { value: 0.25 } bias_term: true bias_filler { value: -2 } }", [(3,), (3,)]),
    "Bias": ("bias_param { filler { value: 0.25 } }", [(3,)]),
    "PReLU": ("prelu_param { filler { value: 0.25 } }", [(3,)]),
    "Normalize": ("norm_param { channel_shared: false scale_filler { value: 0.25 } }", [(3,)]),
}
"""Layers with constant fillers of 0.25 and, for a bias, of -2; and the shapes of their blobs."""


def files(path: Path, text: str, **layers: list[Array]) -> tuple[Path, Path]:
    """The net TEXT, and a caffemodel of LAYERS and of one that is not in it."""
    net = schema.NetParameter()
    for name, blobs in layers.items():
        add_layer(net, name, blobs, type="Any")
    add_layer(net, "other", [np.ones(1)], type="Any")
    path.mkdir(exist_ok=True)
    (path / "net.prototxt").write_text(text)
    (path / "net.caffemodel").write_bytes(net.SerializeToString())
    return path / "net.prototxt", path / "net.caffemodel"


def outputs(pair: tuple[Path, Path], x: Array) -> dict[str, Array]:
    with caffe_fcn.open(*pair) as net:
        return net.load().run({"data": x})


def refused(pair: tuple[Path, Path]) -> str:
    with pytest.raises(caffe_fcn.WeightsError) as caught, caffe_fcn.open(*pair) as net:
        net.load()
    return str(caught.value)


def notes(pair: tuple[Path, Path]) -> tuple[str, ...]:
    with caffe_fcn.open(*pair) as net:
        return net.notes


# ---- The values ----


@pytest.mark.parametrize("kind", FILLED)
def test_constant_fillers_are_values(kind: str, tmp_path: Path) -> None:
    fields, shapes = FILLED[kind]
    text = MAP + layer(kind, fields)
    x = np.random.default_rng(0).standard_normal((1, 3, 6, 6)).astype(np.float32)
    held = [np.full(shape, value) for shape, value in zip(shapes, (0.25, -2), strict=False)]
    filled, stored = files(tmp_path / "filled", text), files(tmp_path / "stored", text, layer=held)
    assert np.array_equal(outputs(filled, x)["out"], outputs(stored, x)["out"])
    (note,) = (note for note in notes(filled) if "filler" in note)
    assert note.endswith("holds no weights for layer (constant); the values are those of the fillers in the net")
    assert not any("filler" in note for note in notes(stored))


def test_a_bias_without_a_filler_is_zero_beside_weights_with_one(tmp_path: Path) -> None:
    """As it is in Caffe; a filler that is not written for the weights is none."""
    x = np.ones((1, 3, 6, 6), np.float32)
    text = MAP + layer("InnerProduct", "inner_product_param { num_output: 2 weight_filler { value: 1 } }")
    assert outputs(files(tmp_path, text), x)["out"].tolist() == [[108, 108]]
    for alone in (
        layer("InnerProduct", "inner_product_param { num_output: 2 bias_filler { value: 1 } }", "p"),
        layer("Scale", "scale_param { axis: 0 bias_term: true }", "p p"),
    ):
        told = refused(files(tmp_path, BEFORE + alone, p=[np.ones(3)]))
        assert "layer 'layer', without a filler in the net" in told


def kernel(size: int) -> Array:
    """What Caffe fills one channel of a bilinear Deconvolution of this kernel SIZE with."""
    fields = f"convolution_param {{ num_output: 1 kernel_size: {size} weight_filler {{ type: 'bilinear' }} }}"
    node = graph_of(MAP + layer("Deconvolution", fields)).nodes[-1]
    blob = fill(node.layer, [(3, 1, size, size), (1,)], 0).values
    assert isinstance(blob, BlobRecord)
    with open_caffemodel(GOLDEN / "conversions" / "lenet" / "net.caffemodel") as any_weights:
        values = any_weights.read_values(blob, 0, blob.count).reshape(3, size, size)
    assert np.array_equal(values[0], values[1]) and np.array_equal(values[0], values[2])
    return values[0]


def test_bilinear_fillers_interpolate() -> None:
    lines: dict[int, list[float]] = {
        1: [1],
        2: [0.5, 0.5],
        3: [0.5, 1, 0.5],
        4: [0.25, 0.75, 0.75, 0.25],
        5: [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3],
        6: [1 / 6, 3 / 6, 5 / 6, 5 / 6, 3 / 6, 1 / 6],
    }
    for size, line in lines.items():
        assert np.allclose(kernel(size), np.multiply.outer(line, line), atol=1e-7)


def test_a_bilinear_kernel_is_the_one_that_caffe_wrote() -> None:
    (measured,) = blobs_of(GOLDEN / "layers" / "deconv_bilinear_group" / "net.caffemodel")["layer"]
    assert measured.shape == (3, 1, 4, 4)
    assert np.array_equal(measured[0, 0], kernel(4)) and np.array_equal(measured[2, 0], kernel(4))


def test_kernels_that_caffe_once_filled_otherwise_are_told(tmp_path: Path) -> None:
    for size, told in ((4, False), (5, False), (6, True), (3, True)):
        fields = f"num_output: 3 kernel_size: {size} bias_term: false weight_filler {{ type: 'bilinear' }}"
        pair = files(tmp_path, MAP + layer("Deconvolution", f"convolution_param {{ {fields} }}"))
        assert any("before October 2017" in note for note in notes(pair)) is told


def test_values_of_a_pattern_are_read_from_anywhere() -> None:
    blob = repeated((4, 5), (1.0, 2.5, -3.0))
    with open_caffemodel(GOLDEN / "conversions" / "lenet" / "net.caffemodel") as weights:
        expected = np.resize([1, 2.5, -3], 20)
        for start, stop in ((0, 20), (0, 1), (7, 7), (4, 9), (19, 20)):
            assert read_stored(weights.source, blob.values, start, stop).tolist() == expected[start:stop].tolist()


# ---- What is refused ----


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("weight_filler { type: 'gaussian' std: 0.01 }", "filled by the net with random values (gaussian)"),
        ("weight_filler { type: 'xavier' }", "filled by the net with random values (xavier)"),
        ("weight_filler { type: 'msra' }", "filled by the net with random values (msra)"),
        ("weight_filler { value: 1 } bias_filler { type: 'uniform' }", "with random values (uniform)"),
        ("weight_filler { type: 'identity' }", "with an unknown filler (identity)"),
        ("", "without a filler in the net"),
    ],
)
def test_random_and_unwritten_fillers_are_refused_as_what_they_are(tmp_path: Path, fields: str, words: str) -> None:
    text = BEFORE + layer("InnerProduct", f"inner_product_param {{ num_output: 2 {fields} }}", "p")
    told = refused(files(tmp_path, text, p=[np.ones(3)]))
    assert "net.caffemodel: holds no weights for layer 'layer', " in told and words in told
    assert "another net" not in told


def test_a_bilinear_kernel_that_is_not_square_is_refused(tmp_path: Path) -> None:
    fields = "num_output: 3 kernel_h: 2 kernel_w: 4 weight_filler { type: 'bilinear' }"
    text = BEFORE + layer("Deconvolution", f"convolution_param {{ {fields} }}", "p")
    pair = files(tmp_path, text, p=[np.ones(3)])
    assert "layer 'layer', with a filler that needs a square kernel over two axes (bilinear)" in refused(pair)


def test_layers_that_are_not_needed_may_be_without_values(tmp_path: Path) -> None:
    head = "inner_product_param { num_output: 2 weight_filler { type: 'xavier' } }"
    text = BEFORE + layer("InnerProduct", head, "p", "fc", "fc")
    net, weights = files(tmp_path, text, p=[np.full(3, 0.5)])
    with caffe_fcn.open(net, weights) as opened:
        session = opened.load(blobs="p")
    assert session.run({"data": np.full((1, 3, 6, 6), -2)})["p"].max() == -1


def test_weights_of_another_net_are_none_that_fillers_help(tmp_path: Path) -> None:
    text = MAP + layer("Bias", "bias_param { filler { value: 1 } }", top="b", name="b") + layer("PReLU", "", "b")
    assert "none of the layers of this file (other) is in the net" in refused(files(tmp_path, text))


# ---- Sharers ----


SHARED = "param { name: 'w' } param { name: 'b' } inner_product_param { num_output: 3 %s }"


def twins(one: str = "", two: str = "") -> str:
    first = data(1, 3) + layer("InnerProduct", SHARED % one, top="a", name="one")
    return first + layer("InnerProduct", SHARED % two, "a", "out", "two")


@pytest.mark.parametrize("holder", ["one", "two"])
def test_what_a_layer_shares_is_no_lack(tmp_path: Path, holder: str) -> None:
    weight, shift = np.arange(9.0).reshape(3, 3), np.array([1.0, 0, -1])
    pair = files(tmp_path, twins(), **{holder: [weight, shift]})
    made = outputs(pair, np.ones((1, 3), np.float32))["out"]
    assert np.allclose(made, weight @ (weight @ np.ones(3) + shift) + shift)
    assert not any("holds no weights" in note for note in notes(pair))


def test_the_first_of_those_that_share_is_filled(tmp_path: Path) -> None:
    pair = files(tmp_path, twins("weight_filler { value: 1 }", "weight_filler { value: 5 }"))
    assert outputs(pair, np.ones((1, 3), np.float32))["out"].tolist() == [[9, 9, 9]]


# ---- The case ----


def test_the_case() -> None:
    """sub_mean is x/256 - 0.5, up interpolates between the cells of c1."""
    x = np.random.default_rng(0).uniform(0, 255, (1, 3, 20, 20)).astype(np.float32)
    with caffe_fcn.open(CASES / "filler_only.prototxt", CASES / "filler_only.caffemodel") as net:
        made = net.load(blobs=["pre", "c1", "up"]).run({"data": x})
        found = net.verify(net)
    assert difference(made["pre"], x / 256 - np.float32(0.5)) < 1e-6
    line = [0.25, 0.75, 0.75, 0.25]
    wanted = np.zeros((4, 20, 20))
    for row, column in np.ndindex(9, 9):
        cell = np.multiply.outer(made["c1"][0, :, row, column], np.multiply.outer(line, line))
        wanted[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += cell
    assert difference(made["up"], wanted[None, :, 1:-1, 1:-1].astype(np.float32)) < 1e-6
    assert found.weights_proof is not None and found.weights_proof.untrained == ()


def test_programs_that_know_no_fillers_get_the_values(tmp_path: Path) -> None:
    pair = (CASES / "filler_only.prototxt", CASES / "filler_only.caffemodel")
    with caffe_fcn.open_weights(pair[1]) as weights:
        (graph, shapes), completed, _ = one_net(read_net(pair[0]), weights)
        written = write_files(
            choose_scope(graph, shapes), completed, str(tmp_path), ReaderDialect(("float32",), ("ceil_mode", False))
        )
    held = blobs_of(Path(written.weights))
    assert [blob.tolist() for blob in held["pre"]] == [[0.00390625] * 3, [-0.5] * 3]
    assert np.array_equal(held["up"][0][3, 0], kernel(4)) and held["up"][0].shape == (4, 1, 4, 4)
