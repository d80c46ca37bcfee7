"""Pooling against Caffe's rule written out in numpy: every kernel, stride, padding and size of a grid, each net of
which is lowered once and takes all sizes."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest

from caffe_fcn.engines.onnxruntime import OnnxRuntimeSession
from caffe_fcn.engines.protocol import Array
from caffe_fcn.errors import LoweringError
from caffe_fcn.onnx.serialization import lay_out
from tests.engines.nets import load, net_of, weights_of
from tests.net.nets import data, layer

LOWEST = np.float32(-3.4028234663852886e38)
WINDOWS = [
    (kernel, stride, pad) for kernel, stride in product(range(1, 6), range(1, 6)) for pad in range(kernel) if pad < 4
]
SIZES = 13


def count(size: int, kernel: int, stride: int, pad: int, pads: bool, down: bool) -> int:
    """How many windows there are along an axis; PADS: whether any axis is padded."""
    room = size + 2 * pad - kernel
    windows = (room // stride if down else -(-room // stride)) + 1
    return windows - 1 if pads and (windows - 1) * stride >= size + pad else windows


def pooled(values: Array, method: str, windows: tuple[tuple[int, int, int], ...], down: bool = False) -> Array:
    """VALUES, N×C×H×W, pooled as Caffe does it by WINDOWS, a kernel, stride and padding for each axis."""
    sizes = values.shape[2:]
    pads = any(pad for _, _, pad in windows)
    counts = [count(size, *window, pads, down) for size, window in zip(sizes, windows, strict=True)]
    made = np.zeros((*values.shape[:2], *counts), np.float32)
    for place in product(*map(range, counts)):
        bounds, area = [], 1
        for at, size, (kernel, stride, pad) in zip(place, sizes, windows, strict=True):
            start = at * stride - pad
            end = min(start + kernel, size + pad)
            area *= end - start
            bounds.append(slice(max(start, 0), min(end, size)))
        high, wide = bounds
        window = values[:, :, high, wide].reshape(*values.shape[:2], -1)
        value = window.max(axis=2, initial=LOWEST) if method == "MAX" else window.sum(axis=2) / area
        made[:, :, place[0], place[1]] = value
    return made


def check_file(session: OnnxRuntimeSession, shape: tuple[int, ...]) -> None:
    """The checker, which counts windows without Caffe's rules, agrees that the output has this SHAPE."""
    model = onnx.ModelProto.FromString(b"".join(lay_out(session.lowered.graph, {}).model))  # type: ignore[arg-type]
    onnx.checker.check_model(model, full_check=True)
    (out,) = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.output
    assert tuple(axis.dim_value for axis in out.type.tensor_type.shape.dim) == shape


def pooling(parameters: str, tmp_path: Path, *shape: int, top: str = "out", fixed: bool = False) -> OnnxRuntimeSession:
    net = net_of(data(*shape) + layer("Pooling", f"pooling_param {{ {parameters} }}", top=top))
    with weights_of(net, tmp_path / "net.caffemodel") as weights:
        return load(net, weights, fixed=fixed)


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("down", [False, True], ids=["ceil", "floor"])
@pytest.mark.parametrize("kernel", range(1, 6))
def test_every_window_at_every_size(method: str, down: bool, kernel: int, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for _, stride, pad in (window for window in WINDOWS if window[0] == kernel):
        averages_nothing = method == "AVE" and stride > kernel and not pad and not down
        if averages_nothing:
            continue
        rounding = "round_mode: FLOOR" if down else ""
        parameters = f"pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} {rounding}"
        session = pooling(parameters, tmp_path, 1, 2, SIZES, SIZES)
        for high in range(kernel, SIZES):
            values = random.standard_normal((1, 2, high, high + 1)).astype(np.float32)
            expected = pooled(values, method, ((kernel, stride, pad),) * 2, down)
            made = session.run({"data": values})["out"]
            assert made.shape == expected.shape, (stride, pad, high)
            np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("kernel", range(1, 6))
def test_every_window_at_a_size_that_is_known(method: str, kernel: int, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for _, stride, pad in (window for window in WINDOWS if window[0] == kernel and window[1] <= kernel):
        for size in range(kernel, kernel + stride):
            parameters = f"pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad}"
            session = pooling(parameters, tmp_path, 1, 1, size, size, fixed=True)
            values = random.standard_normal((1, 1, size, size)).astype(np.float32)
            expected = pooled(values, method, ((kernel, stride, pad),) * 2)
            np.testing.assert_allclose(session.run({"data": values})["out"], expected, rtol=1e-5, atol=1e-6)
            check_file(session, expected.shape)


UNEQUAL = [
    ((3, 2, 0), (2, 1, 1)),
    ((3, 2, 1), (3, 2, 0)),
    ((2, 2, 1), (5, 3, 0)),
    ((1, 1, 0), (3, 4, 2)),
    ((3, 4, 1), (2, 3, 1)),
    ((5, 3, 2), (4, 3, 1)),
    ((5, 2, 1), (3, 3, 2)),
    ((2, 3, 0), (4, 2, 1)),
]


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize(("high", "wide"), UNEQUAL)
def test_axes_have_windows_of_their_own(
    method: str, high: tuple[int, int, int], wide: tuple[int, int, int], tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    fields = zip(("kernel", "stride", "pad"), high, wide, strict=True)
    parameters = f"pool: {method} " + " ".join(f"{name}_h: {one} {name}_w: {other}" for name, one, other in fields)
    free = pooling(parameters, tmp_path, 1, 2, SIZES, SIZES)
    if method == "MAX":
        assert not free.lowered.fixed
    for size in product(range(5, 11), range(5, 11)):
        values = random.standard_normal((1, 2, *size)).astype(np.float32)
        expected = pooled(values, method, (high, wide))
        sessions = [pooling(parameters, tmp_path, 1, 2, *size, fixed=True), *([] if free.lowered.fixed else [free])]
        for session in sessions:
            np.testing.assert_allclose(session.run({"data": values})["out"], expected, rtol=1e-5, atol=1e-6)


def test_paddings_that_differ_hold_still_only_what_they_must(tmp_path: Path) -> None:
    parameters = "pool: AVE kernel_h: 3 kernel_w: 3 stride_h: 2 stride_w: 3 pad_h: 0 pad_w: 2"
    session = pooling(parameters, tmp_path, 1, 2, 8, 8)
    assert session.inputs["data"] == (None, 2, None, 8)
    assert session.lowered.fixed == (
        'width is fixed: layer "layer" (Pooling): at some sizes its last window begins outside the map and is dropped',
    )


def test_an_average_of_nothing_is_refused_by_name(tmp_path: Path) -> None:
    """With kernel 2 and stride 3, the last window over 9 places begins behind them."""
    with pytest.raises(LoweringError, match=r'"layer" \(Pooling\): its last window is completely outside'):
        pooling("pool: AVE kernel_size: 2 stride: 3", tmp_path, 1, 1, 10, 9)


def test_an_average_that_could_be_of_nothing_holds_the_size_still(tmp_path: Path) -> None:
    session = pooling("pool: AVE kernel_size: 2 stride: 3", tmp_path, 1, 1, 10, 11)
    assert session.inputs["data"] == (None, 1, 10, 11)
    assert all("a window averages no values" in reason for reason in session.lowered.fixed)
    values = np.random.default_rng(0).standard_normal((1, 1, 10, 11)).astype(np.float32)
    np.testing.assert_allclose(session.run({"data": values})["out"], pooled(values, "AVE", ((2, 3, 0),) * 2), rtol=1e-5)


def test_the_mask_counts_within_a_map(tmp_path: Path) -> None:
    session = pooling("pool: MAX kernel_size: 3 stride: 2 pad: 1", tmp_path, 1, 2, 8, 8, top="out mask")
    values = np.random.default_rng(0).standard_normal((2, 2, 7, 9)).astype(np.float32)
    made = session.run({"data": values})
    flat = values.reshape(2, 2, -1)
    found = np.take_along_axis(flat, made["mask"].reshape(2, 2, -1).astype(int), axis=2)
    assert np.array_equal(found.reshape(made["out"].shape), made["out"])
    assert np.array_equal(made["out"], pooled(values, "MAX", ((3, 2, 1),) * 2))


def test_rounding_up_is_asked_for_only_where_it_matters(tmp_path: Path) -> None:
    def rounds_up(parameters: str, fixed: bool) -> bool:
        session = pooling(f"pool: AVE {parameters}", tmp_path, 1, 1, 8, 8, fixed=fixed)
        return any("ceil_mode" in node.attributes for node in session.lowered.graph.nodes)

    assert not rounds_up("kernel_size: 3 stride: 1 pad: 1", fixed=False)
    assert not rounds_up("kernel_size: 2 stride: 2", fixed=True)
    assert rounds_up("kernel_size: 2 stride: 2", fixed=False), "at another size it does"
    assert rounds_up("kernel_size: 3 stride: 2", fixed=True)


def test_stochastic_pooling_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(LoweringError, match=r'"layer" \(Pooling\): stochastic pooling'):
        pooling("pool: STOCHASTIC kernel_size: 2", tmp_path, 1, 1, 4, 4)
