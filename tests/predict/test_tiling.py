"""A map put together from tiles is the map of the whole picture, to the bit: properties over random nets.

Weights and pixels are small whole numbers, so that sums are exact in whatever order an engine adds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from caffe_fcn import schema
from caffe_fcn.engines.onnxruntime import OnnxRuntime
from caffe_fcn.engines.protocol import Array
from caffe_fcn.errors import EngineError, ShapeError
from caffe_fcn.files import prototxt
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.net.source import interpret
from caffe_fcn.predict.dense import Tiles, dense, tiles_of
from caffe_fcn.predict.images.picture import open_picture
from caffe_fcn.predict.loading import load_picture_net
from caffe_fcn.predict.maps import Map
from caffe_fcn.predict.picture_net import PictureNet
from caffe_fcn.predict.preprocessing import Preprocessing
from tests.engines.nets import net_of
from tests.passes.nets import conv, data, layer

pytestmark = pytest.mark.thorough

KINDS = ("conv", "pool", "branch", "coarse", "finer", "skip", "crop", "cut", "shift", "relu")


@contextmanager
def model_of(text: str, directory: Path) -> Iterator[PictureNet]:
    """The net TEXT with weights of -1, 0 and 1."""
    random = np.random.default_rng(1)
    net = net_of(text)
    message = schema.NetParameter()
    for node in net.graph.nodes:
        blobs = message.layer.add(name=node.name, type=node.type).blobs
        for shape in net.shapes.params.get(node.index, ()):
            blobs.add(data=random.integers(-1, 2, int(np.prod(shape))), shape={"dim": shape})
    (directory / "net.caffemodel").write_bytes(message.SerializeToString())
    with open_caffemodel(directory / "net.caffemodel") as weights:
        yield load_picture_net(interpret(prototxt.parse(text, "net.prototxt")), weights, OnnxRuntime(1))


def picture(directory: Path, size: tuple[int, int], channels: int = 1) -> Any:
    """A random picture of SIZE."""
    pixels = np.random.default_rng(2).integers(0, 8, (*size, channels)).astype(np.uint8)
    np.save(directory / "picture.npy", pixels)
    return open_picture(directory / "picture.npy", channels)


def whole_and_tiled(model: PictureNet, directory: Path, size: tuple[int, int], side: int) -> tuple[Array, Array, Tiles]:
    """The map of a picture of SIZE in one piece, and put together from tiles of SIDE."""
    found = picture(directory, size)
    (output,) = model.outputs
    cells = model.cells(output, found.size)
    cut = tiles_of(model, [cells], side)
    maps = []
    for tiles in (tiles_of(model, [cells], automatic=False), cut):
        with Map((output.channels, *cells.shape)) as into:
            dense(model, found, Preprocessing(), tiles.batches, {output.name: into}, lambda: None)
            maps.append(np.array(into.values()))
    return maps[0], maps[1], cut


def deconv(name: str, bottom: str, kernel: int, stride: int, pad: int = 0) -> str:
    params = f"convolution_param {{ num_output: 2 kernel_size: {kernel} stride: {stride} pad: {pad} }}"
    return layer(name, "Deconvolution", bottom, params=params)


SIZES = st.builds(lambda eights, more: 8 * eights + more, st.integers(4, 11), st.sampled_from([0, 0, 0, 1, 4, 7]))


@st.composite
def nets(draw: st.DrawFn) -> str:
    """A fully convolutional net of a few layers, of which some pad."""
    bottom, text, scale = "data", data(shape="1 1 48 48"), 0
    for number in range(draw(st.integers(1, 5))):
        name, kind = f"l{number}", draw(st.sampled_from(KINDS))
        kernel = draw(st.integers(1, 4))
        pad = draw(st.integers(0, max(0, kernel - 1)))
        stride = draw(st.integers(1, 2)) if scale < 3 else 1
        if kind == "conv":
            dilation = draw(st.integers(1, 2))
            text += conv(name, bottom, 2, kernel, f"pad: {pad} stride: {stride} dilation: {dilation}")
        elif kind in ("pool", "coarse"):
            stride = stride if kind == "pool" else 2
            ceil = draw(st.sampled_from(["", " round_mode: FLOOR"]))
            method = draw(st.sampled_from(["MAX", "AVE"]))
            kernel = {1: 2, 3: 2}.get(kernel, kernel)  # so that averages are exact, and no window is outside
            pad = min(pad, kernel - 1) if method == "MAX" else 0
            params = f"pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad}{ceil}"
            text += layer(name, "Pooling", bottom, params=f"pooling_param {{ {params} }}")
        elif kind == "branch":
            text += conv(f"{name}a", bottom, 2, 3, "pad: 1") + conv(f"{name}b", bottom, 2, 1)
            text += layer(name, "Eltwise", f"{name}a {name}b")
            stride = 1
        elif kind == "finer":
            kernel = draw(st.integers(1, 9))
            text += deconv(name, bottom, kernel, draw(st.integers(2, 4)), draw(st.integers(0, kernel - 1)))
            stride = 1
        elif kind == "cut":  # more on one side than on the other, and by a padding maybe put back
            text += conv(f"{name}a", bottom, 2, 2 * kernel) + conv(f"{name}c", bottom, 2, 3, "pad: 1")
            offset = draw(st.integers(0, 2 * kernel - 1))
            text += layer(f"{name}b", "Crop", f"{name}c {name}a", params=f"crop_param {{ axis: 2 offset: {offset} }}")
            text += conv(name, f"{name}b", 2, 3, f"pad: {pad}")
            stride = 1
        elif kind == "skip":  # its paths join only where the size is even
            text += layer(f"{name}a", "Pooling", bottom, params="pooling_param { kernel_size: 2 stride: 2 }")
            text += deconv(f"{name}b", f"{name}a", 2, 2) + conv(f"{name}c", bottom, 2, 1)
            text += layer(name, "Eltwise", f"{name}b {name}c")
            stride = 1
        elif kind == "crop":
            text += conv(f"{name}a", bottom, 2, 3, "pad: 3 stride: 2") + deconv(f"{name}b", f"{name}a", 6, 2)
            text += layer(name, "Crop", f"{name}b {bottom}", params="crop_param { axis: 2 offset: 3 }")
            stride = 1
        elif kind == "shift":
            text += layer(name, "Power", bottom, params="power_param { shift: 1 }")
            stride = 1
        else:
            text += layer(name, "ReLU", bottom)
            stride = 1
        scale += stride == 2
        bottom = name
    return text + conv("score", bottom, 2, 1)


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(nets(), SIZES, SIZES, st.integers(0, 50))
def test_tiles_make_the_map_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, text: str, high: int, wide: int, more: int
) -> None:
    directory = tmp_path_factory.mktemp("net")
    try:
        net_of(text)
    except ShapeError:
        assume(False)
    with model_of(text, directory) as model:
        size = max(high, model.smallest[0]), max(wide, model.smallest[1])
        assume(model.fixed is None and model.takes(size))  # or its paths do not join
        try:
            whole, tiled, _ = whole_and_tiled(model, directory, size, 24 + more)
        except EngineError as error:  # the tiles are too small for one cell: the message says what is needed
            needed = int(str(error).partition("at least ")[2].split()[0])
            whole, tiled, _ = whole_and_tiled(model, directory, size, needed)
    np.testing.assert_array_equal(tiled, whole)
