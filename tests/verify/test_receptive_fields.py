"""What a cell is said to see, held against what changes it: a pixel outside its window never does.

Nets are run on a picture and on copies of it with one row or one column of pixels replaced. A cell that changes must
see that row or column; and where every value counts, those that change it are its window.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from caffe_fcn import schema
from caffe_fcn.engines.onnxruntime import OnnxRuntime
from caffe_fcn.engines.protocol import Array, ShapedNet
from caffe_fcn.errors import EngineError, ShapeError
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.net.geometry import AxisGeometry, Exactness, Geometry, infer_geometry
from tests.engines.nets import net_of
from tests.passes.nets import conv, data, layer

HIGH, WIDE = 19, 23


class Seen(NamedTuple):
    """The geometry of the output of a net, and which of its cells change with which rows and columns of pixels."""

    geometry: Geometry
    rows: Array
    """Pixels × cells, along the height."""
    columns: Array
    """Pixels × cells, along the width."""


def seen(text: str, directory: Path) -> Seen:
    """What the cells of the last blob of the net TEXT see, and what changes them."""
    net = net_of(text)
    return seen_by(net, lambda pixels: answers(net, net.graph.outputs[-1].name, pixels, directory))


def seen_by(net: ShapedNet, run: Callable[[Array], Array]) -> Seen:
    """The same where RUN makes the last blob of NET, N×C×H×W, of pictures, N×1×H×W."""
    blob = net.graph.outputs[-1]
    geometry, shape = infer_geometry(net.graph, net.shapes)[blob], net.shapes.blobs[blob]
    assert geometry is not None and isinstance(shape, tuple)
    pixels = np.random.default_rng(1).normal(size=(1 + HIGH + WIDE, 1, HIGH, WIDE)).astype(np.float32)
    pixels[1:] = pixels[0]
    for row in range(HIGH):
        pixels[1 + row, :, row] = np.random.default_rng(row).choice([-50, 50], WIDE)
    for column in range(WIDE):
        pixels[1 + HIGH + column, :, :, column] = np.random.default_rng(column).choice([-50, 50], HIGH)
    made = run(pixels)
    assert made.shape[1:] == shape[1:]
    changed = np.abs(made[1:] - made[0]).max(1) > 1e-4 * np.abs(made).max()
    return Seen(geometry, changed[:HIGH].any(2), changed[HIGH:].any(1))


def answers(net: ShapedNet, blob: str, pixels: Array, directory: Path) -> Array:
    """BLOB for each picture in PIXELS, each by itself, with weights of which none is zero."""
    random = np.random.default_rng(3)
    message = schema.NetParameter()
    for node in net.graph.nodes:
        blobs = message.layer.add(name=node.name, type=node.type).blobs
        for shape in net.shapes.params.get(node.index, ()):
            blobs.add(data=random.uniform(0.5, 1.5, int(np.prod(shape))), shape={"dim": shape})
    (directory / "net.caffemodel").write_bytes(message.SerializeToString())
    with open_caffemodel(directory / "net.caffemodel") as weights:
        session = OnnxRuntime(1).load(net, weights, outputs=[blob])
        return np.concatenate([session.run({"data": each[None]})[blob] for each in pixels])


def check(found: Seen, *, tight: bool = False) -> None:
    """Assert that no cell changes with what it does not see, and where TIGHT that cells far from the border change
    with all they see, from the first to the last."""
    for axis, changed in zip(found.geometry.axes, (found.rows, found.columns), strict=True):
        assert axis.size == len(changed)
        for cell in range(changed.shape[1]):
            first, last = reported(axis, cell)
            assert first > last or axis.seen(cell) == (first, last)
            places = np.flatnonzero(changed[:, cell])
            assert not len(places) or first <= places[0] <= places[-1] <= last
            if (
                tight
                and first >= 0
                and last < axis.size
                and abs(2 * cell + 1 - changed.shape[1]) < changed.shape[1] / 3
            ):
                assert (places[0], places[-1]) == (first, last)


def reported(axis: AxisGeometry, cell: int) -> tuple[int, int]:
    """The first and the last pixel that CELL sees by what is reported: the window and the offset of its phase."""
    period, phase = divmod(cell, len(axis.phases))
    window, offset = axis.phases[phase].window, axis.phases[phase].offset + period * axis.step
    if window is None:
        assert axis.window is None
        return 0, axis.size - 1
    assert axis.window is None or window <= axis.window
    return int(offset - Fraction(window - 1, 2)), int(offset + Fraction(window - 1, 2))


PICTURE = data(shape=f"1 1 {HIGH} {WIDE}")
FINER = layer("up", "Deconvolution", "data", params="convolution_param { num_output: 2 kernel_size: 4 stride: 2 }")

LAYERS = {
    "Convolution": "convolution_param { num_output: 2 kernel_size: 3 stride: 2 pad: 2 dilation: 2 }",
    "Deconvolution": "convolution_param { num_output: 2 kernel_size: 5 stride: 3 pad: 2 }",
    "Deconvolution ": "convolution_param { num_output: 2 kernel_size: 2 stride: 3 pad: 1 dilation: 2 }",
    "Im2col": "convolution_param { kernel_size: 3 stride: 2 pad: 1 }",
    "Pooling": "pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 }",
    "Pooling ": "pooling_param { pool: AVE kernel_h: 3 kernel_w: 4 stride_h: 2 stride_w: 3 }",
    "Pooling  ": "pooling_param { pool: AVE global_pooling: true }",
    "LRN": "lrn_param { norm_region: WITHIN_CHANNEL local_size: 5 alpha: 2 }",
    "LRN ": "lrn_param { local_size: 3 }",
    "MVN": "",
    "MVN ": "mvn_param { across_channels: true normalize_variance: false }",
    "Normalize": "norm_param { across_spatial: true }",
    "Normalize ": "norm_param { across_spatial: false }",
    "BatchNorm": "batch_norm_param { use_global_stats: false }",
    "BatchNorm ": "",
    "Softmax": "softmax_param { axis: 2 }",
    "Softmax ": "softmax_param { axis: -1 }",
    "Softmax  ": "",
    "Scale": "scale_param { axis: 2 num_axes: 1 bias_term: true }",
    "Bias": "",
    "PReLU": "",
    "ReLU": "relu_param { negative_slope: 0.1 }",
    "Power": "power_param { scale: 2 shift: 1 }",
    "ArgMax": "argmax_param { axis: 1 out_max_val: true }",
    "Tile": "tile_param { tiles: 2 }",
    "Reshape": "reshape_param { shape { dim: 0 dim: 0 dim: 0 dim: -1 } }",
    "Pad": "pad_param { pad_t: 1 pad_l: 2 pad_b: 3 }",
    "UpsampleDarknet": "upsample_darknet_param { stride: 3 }",
}
"""Type, with blanks behind to tell several of one type apart, to parameters."""


@pytest.mark.thorough
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("finer", [False, True], ids=["pixels", "phases"])
def test_every_layer_sees_what_it_is_said_to_see(kind: str, finer: bool, tmp_path: Path) -> None:
    text = (
        PICTURE + (FINER if finer else conv("up", "data", 2, 1)) + layer("out", kind.strip(), "up", params=LAYERS[kind])
    )
    found = seen(text, tmp_path)
    check(found)
    whole = found.geometry.exactness is Exactness.NOWHERE and kind.strip() != "Scale"
    assert whole == any(axis.window is None or axis.window >= axis.size for axis in found.geometry.axes)


@pytest.mark.parametrize(
    ("text", "bottoms"),
    [
        ("Eltwise", "small large"),
        ("Concat", "large small"),
        ("Scale scale_param { axis: 0 }", "small large"),
        ("Axpy", "gate small large"),
        ("Scale scale_param { axis: 0 }", "large gate"),
        ("Crop crop_param { axis: 2 offset: 3 offset: 1 }", "up small"),
        ("Crop crop_param { axis: 3 offset: 2 }", "wide small"),
    ],
)
def test_joins_see_what_any_bottom_sees(text: str, bottoms: str, tmp_path: Path) -> None:
    kind, _, params = text.partition(" ")
    net = PICTURE + FINER + conv("small", "data", 2, 1) + conv("large", "data", 2, 5, "pad: 2")
    net += (
        layer("wide", "Pooling", "small", params="pooling_param { kernel_size: 1 pad: 0 }") if "wide" in bottoms else ""
    )
    if "gate" in bottoms:
        net += layer("all", "Pooling", "data", params="pooling_param { pool: AVE global_pooling: true }")
        net += layer("gate", "InnerProduct", "all", params="inner_product_param { num_output: 2 }")
    if "wide" in bottoms:
        net = net.replace('"wide"', '"wide0"') + layer("wide", "Pad", "wide0", params="pad_param { pad_r: 4 }")
    check(seen(net + layer("out", kind, bottoms, params=params), tmp_path))


LOOKING_FAR = ("Softmax softmax_param { axis: 2 }", "Softmax softmax_param { axis: 3 }", "MVN")
"""Layers of which each value depends on all others along an axis, or in the map."""


@st.composite
def encoders_and_decoders(draw: st.DrawFn, *, plain: bool = False, whole: bool = False) -> str:
    """A net of a few layers that make its map coarser and finer. A PLAIN one has convolutions, averages and such
    deconvolutions only whose windows leave no gaps. One that is WHOLE also has layers that look along a whole axis, or
    at the whole map."""
    kinds = ["conv", "conv", "pool", "finer", "finer"] + ["crop", "skip", "sum", "around", "pad"] * (not plain)
    kinds += ["along"] * 5 * whole
    text, bottom = PICTURE, "data"
    for number in range(draw(st.integers(2, 6))):
        name, kind = f"l{number}", draw(st.sampled_from(kinds))
        kernel, stride = draw(st.integers(1, 5)), draw(st.integers(1, 3))
        pad = draw(st.integers(0, kernel - 1))
        if kind == "conv":
            dilation = 1 if plain else draw(st.integers(1, 2))
            text += conv(name, bottom, 1, kernel, f"stride: {stride} pad: {pad} dilation: {dilation}")
        elif kind == "pool":
            method = "AVE" if plain else draw(st.sampled_from(["AVE", "MAX"]))
            text += pool(name, bottom, f"pool: {method} kernel_size: {max(kernel, stride)} stride: {stride} pad: {pad}")
        elif kind == "finer":
            dilation = 1 if plain else draw(st.integers(1, 2))
            if plain:  # and no more cells are cut away than the windows reach over the border
                kernel = max(kernel, stride)
                pad = min(pad, (kernel - stride) // 2)
            text += finer(name, bottom, f"kernel_size: {kernel} stride: {stride} pad: {pad} dilation: {dilation}")
        elif kind == "crop":  # by the size of a smaller map
            offsets = draw(st.integers(0, kernel - 1)), draw(st.integers(0, kernel - 1))
            text += conv(f"{name}a", bottom, 1, kernel)
            text += crop(name, f"{bottom} {name}a", offsets)
        elif kind == "skip":  # up again, cut to the size that there was
            text += conv(f"{name}a", bottom, 1, 3, f"pad: {pad + 1} stride: {stride}")
            text += finer(f"{name}b", f"{name}a", f"kernel_size: {2 * stride + kernel} stride: {stride}")
            text += crop(f"{name}c", f"{name}b {bottom}", (pad, pad))
            text += layer(name, draw(st.sampled_from(["Concat", "Eltwise"])), f"{name}c {bottom}")
        elif kind == "sum":
            text += conv(f"{name}a", bottom, 1, 3, "pad: 1") + conv(f"{name}b", bottom, 1, 1)
            text += layer(name, "Eltwise", f"{name}a {name}b")
        elif kind == "along":
            far, _, params = draw(st.sampled_from(LOOKING_FAR)).partition(" ")
            text += layer(name, far, bottom, params=params)
        elif kind == "around":
            text += layer(name, "LRN", bottom, params="lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }")
        else:
            text += layer(name, "Pad", bottom, params=f"pad_param {{ pad_t: {kernel} pad_r: {pad} }}")
        bottom = name
    return text + conv("out", bottom, 1, 1)


def pool(name: str, bottom: str, params: str) -> str:
    return layer(name, "Pooling", bottom, params=f"pooling_param {{ {params} }}")


def finer(name: str, bottom: str, params: str) -> str:
    return layer(name, "Deconvolution", bottom, params=f"convolution_param {{ num_output: 1 {params} }}")


def crop(name: str, bottoms: str, offsets: tuple[int, int]) -> str:
    high, wide = offsets
    return layer(name, "Crop", bottoms, params=f"crop_param {{ axis: 2 offset: {high} offset: {wide} }}")


def examine(text: str, directory: Path, *, tight: bool) -> None:
    try:
        shapes = net_of(text).shapes.blobs
    except ShapeError:
        assume(False)
    assume(all(isinstance(shape, tuple) and np.prod(shape) <= 20_000 for shape in shapes.values()))
    try:
        found = seen(text, directory)
    except (
        EngineError,
        ShapeError,
    ):  # nothing is left of the map, or a window larger than its map, of which Caffe makes a cell and onnxruntime none
        assume(False)
    check(found, tight=tight)


RELAXED = [HealthCheck.too_slow, HealthCheck.filter_too_much]


@pytest.mark.thorough
@settings(max_examples=100, suppress_health_check=RELAXED)
@given(encoders_and_decoders())
def test_no_pixel_outside_its_window_changes_a_cell(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    examine(text, tmp_path_factory.mktemp("net"), tight=False)


@pytest.mark.thorough
@settings(max_examples=60, suppress_health_check=RELAXED)
@given(encoders_and_decoders(plain=True))
def test_all_pixels_in_its_window_change_a_cell(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    examine(text, tmp_path_factory.mktemp("net"), tight=True)


@pytest.mark.thorough
@settings(max_examples=50, suppress_health_check=RELAXED)
@given(encoders_and_decoders(whole=True))
def test_a_cell_behind_a_layer_that_looks_along_an_axis_sees_all_of_it(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    examine(text, tmp_path_factory.mktemp("net"), tight=False)


# ---- Layers that no engine runs ----


def test_values_that_a_mask_moves_stay_in_the_window_of_its_pooling() -> None:
    text = PICTURE + layer("max", "Pooling", "data", "max mask", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }")
    text += layer("out", "Upsample", "max mask", params="upsample_param { upsample_h: 21 upsample_w: 25 }")

    def unpooled(pixels: Array) -> Array:
        padded = np.pad(pixels, ((0, 0), (0, 0), (1, 3), (1, 3)), constant_values=-np.inf)
        made = np.zeros((len(pixels), 1, 21, 25), np.float32)
        for item, row, column in np.ndindex(len(pixels), 10, 12):
            window = padded[item, 0, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            place = np.unravel_index(window.argmax(), (3, 3))
            made[item, 0, 2 * row - 1 + place[0], 2 * column - 1 + place[1]] = window.max()
        return made

    found = seen_by(net_of(text), unpooled)
    check(found)
    assert all(window is not None and window < 9 for window in found.geometry.window)


def test_repeated_cells() -> None:
    text = PICTURE + layer("out", "Upsample", "data", params="upsample_param { scale: 3 }")
    check(seen_by(net_of(text), lambda pixels: pixels.repeat(3, 2).repeat(3, 3)), tight=True)


def test_squares_that_become_channels() -> None:
    def squares(pixels: Array) -> Array:
        parts = [pixels[:, 0, row::2, column::2] for row in range(2) for column in range(2)]
        return np.stack(parts, 1)

    even = PICTURE + layer("even", "Pad", "data", params="pad_param { pad_b: 1 pad_r: 1 }")
    net = net_of(even + layer("out", "Reorg", "even", params="reorg_param { stride: 2 }"))
    check(seen_by(net, lambda pixels: squares(np.pad(pixels, ((0, 0), (0, 0), (0, 1), (0, 1))))), tight=True)
