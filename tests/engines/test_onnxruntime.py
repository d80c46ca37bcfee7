"""The default engine: what it takes, what it refuses before it runs, and what memory a model costs it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from caffe_fcn.engines import onnxruntime as engine_module
from caffe_fcn.engines import temporary
from caffe_fcn.engines.onnxruntime import LOADING, OnnxRuntime, OnnxRuntimeSession
from caffe_fcn.engines.protocol import Engine, Session
from caffe_fcn.errors import EngineError, OutputError, ShapeError
from caffe_fcn.onnx.graph import OnnxGraph
from caffe_fcn.onnx.registry import LOWERINGS
from tests.engines.nets import case, difference, hollow_weights, load, net_of, weights_of
from tests.net.nets import data, layer
from tests.paths import GOLDEN, ROOT

LENET = GOLDEN / "conversions" / "lenet"


@pytest.fixture
def convolution(tmp_path: Path) -> OnnxRuntimeSession:
    """A net of one convolution that takes every size, on images of two channels."""
    net = net_of(data(1, 2, 8, 8) + layer("Convolution", "convolution_param { num_output: 3 kernel_size: 5 }"))
    with weights_of(net, tmp_path / "net.caffemodel") as weights:
        return load(net, weights)


def test_it_is_an_engine(convolution: OnnxRuntimeSession) -> None:
    engine: Engine = OnnxRuntime()
    session: Session = convolution
    assert engine.name == "onnxruntime"
    assert session.inputs == {"data": (None, 2, None, None)} and session.outputs == ("out",)


def test_one_session_runs_at_any_size(convolution: OnnxRuntimeSession) -> None:
    image = np.random.default_rng(0).standard_normal((1, 2, 9, 12)).astype(np.float32)
    whole = convolution.run({"data": image})["out"]
    assert whole.shape == (1, 3, 5, 8) and whole.dtype == np.float32
    for row, column in ((0, 0), (4, 7), (2, 3)):
        window = convolution.run({"data": image[:, :, row : row + 5, column : column + 5]})["out"]
        assert difference(window, whole[:, :, row : row + 1, column : column + 1]) < 1e-5


def test_arrays_of_any_kind_are_taken(convolution: OnnxRuntimeSession) -> None:
    image = np.random.default_rng(0).integers(0, 255, (1, 2, 10, 8))
    expected = convolution.run({"data": image.astype(np.float32)})["out"]
    turned = np.asfortranarray(image.astype(np.float64))
    for each in (image, image.astype(np.uint8), turned, image.tolist()):
        assert np.array_equal(convolution.run({"data": each})["out"], expected)


@pytest.mark.parametrize(
    ("feed", "words"),
    [
        ({}, "expected the inputs 'data', found none"),
        ({"image": (1, 2, 8, 8)}, "expected the inputs 'data', found 'image'"),
        ({"data": (1, 2, 8, 8), "more": (1,)}, "found 'data', 'more'"),
        ({"data": (2, 8, 8)}, "input 'data': expected any×2×any×any, found 2×8×8"),
        ({"data": (1, 3, 8, 8)}, "input 'data': expected any×2×any×any, found 1×3×8×8"),
        ({"data": ()}, "found a scalar"),
    ],
)
def test_what_is_not_taken(feed: dict[str, tuple[int, ...]], words: str, convolution: OnnxRuntimeSession) -> None:
    with pytest.raises(EngineError, match=words):
        convolution.run({name: np.zeros(shape) for name, shape in feed.items()})


def test_what_is_no_array(convolution: OnnxRuntimeSession) -> None:
    for each in ([[1, 2], [3]], "picture", object()):
        with pytest.raises(EngineError, match="input 'data': expected an array of numbers"):
            convolution.run({"data": each})  # type: ignore[dict-item]


def test_an_image_smaller_than_the_window(convolution: OnnxRuntimeSession) -> None:
    with pytest.raises(ShapeError, match=r'layer "layer" \(Convolution\): the kernel covers 5×5'):
        convolution.run({"data": np.zeros((1, 2, 8, 4))})
    assert convolution.run({"data": np.zeros((1, 2, 8, 8))})["out"].shape == (1, 3, 4, 4), "it still runs"


def test_an_image_that_leaves_no_map(tmp_path: Path) -> None:
    net = net_of(data(1, 1, 8, 8) + layer("Pooling", "pooling_param { kernel_size: 5 }"))
    with weights_of(net, tmp_path / "net.caffemodel") as weights:
        session = load(net, weights)
    with pytest.raises(ShapeError, match="'out' has the shape 1×1×4×0 and no values; give another input size"):
        session.run({"data": np.zeros((1, 1, 8, 4))})


def test_a_classifier_takes_its_size_alone() -> None:
    with case(LENET) as (net, weights):
        session = load(net, weights)
    assert session.run({"data": np.zeros((3, 1, 28, 28))})["prob"].shape == (3, 10)
    with pytest.raises(EngineError, match="expected any×1×28×28, found 1×1×29×28; resize it"):
        session.run({"data": np.zeros((1, 1, 29, 28))})


def test_the_weights_are_not_needed_any_more(tmp_path: Path) -> None:
    net = net_of(data(1, 50) + layer("InnerProduct", "inner_product_param { num_output: 50 }"))
    with weights_of(net, tmp_path / "net.caffemodel") as weights:
        session = load(net, weights)
    expected = session.run({"data": np.ones((1, 50))})["out"]
    (tmp_path / "net.caffemodel").unlink()
    assert np.array_equal(session.run({"data": np.ones((1, 50))})["out"], expected)


def test_nothing_temporary_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with case(LENET) as (net, weights):
        session = load(net, weights)
        assert not list(tmp_path.iterdir())
        session.run({"data": np.zeros((1, 1, 28, 28))})


def test_no_room_for_the_temporary_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(temporary, "write_parts", full)
    with case(LENET) as (net, weights), pytest.raises(OutputError, match=r"temporary copy of .*the disk is full"):
        load(net, weights)


@pytest.mark.parametrize(
    ("low_memory", "times", "in_place"),
    [(False, None, False), (False, LOADING, False), (False, LOADING - 0.01, True), (True, None, True)],
)
def test_large_kernels_are_used_where_they_lie_if_memory_is_short(
    low_memory: bool, times: float | None, in_place: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If less is free than so many times what the weights take. The numbers do not depend on it, nor does what is
    fed."""
    monkeypatch.setattr(engine_module, "LEFT_IN_PLACE", 1000)
    changed: list[OnnxGraph] = []
    change = engine_module._with_weights_in_place

    def spied(graph: OnnxGraph) -> OnnxGraph:
        changed.append(change(graph))
        return changed[-1]

    monkeypatch.setattr(engine_module, "_with_weights_in_place", spied)
    with case(LENET) as (net, weights):
        expected = OnnxRuntime(1, free=lambda: None).load(net, weights)
        size = sum(constant.size for constant in expected.lowered.graph.constants)
        free = None if times is None else int(times * size)
        session = OnnxRuntime(1, low_memory=low_memory, free=lambda: free).load(net, weights)
    assert [len(graph.inputs) for graph in changed] == [4] * in_place
    image = np.random.default_rng(0).standard_normal((1, 1, 28, 28))
    assert session.inputs == expected.inputs
    assert difference(session.run({"data": image})["prob"], expected.run({"data": image})["prob"]) < 1e-6


MEASURE = """
import sys
from pathlib import Path
import numpy, onnx, onnxruntime
from caffe_fcn.engines.onnxruntime import OnnxRuntime
from tests.engines.nets import case

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10

before = peak()
with case(Path(sys.argv[1])) as (net, weights):
    session = OnnxRuntime(1, low_memory=sys.argv[2] == "low").load(net, weights)
session.run({"data": numpy.ones([extent or 3 for extent in session.inputs["data"]])})
print(peak() - before)
"""


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize(
    ("kind", "memory", "most"),
    [("InnerProduct", "any", 2), ("Convolution", "any", LOADING), ("Convolution", "low", 2)],
)
def test_memory_beside_the_model(kind: str, memory: str, most: int, tmp_path: Path) -> None:
    """Half of the model is one layer, as in AlexNet and VGG."""
    wide, small = "num_output: 4096", "num_output: 2048"
    kernels = ("", "") if kind == "InnerProduct" else ("kernel_size: 3", "kernel_size: 1")
    field = "inner_product_param" if kind == "InnerProduct" else "convolution_param"
    text = data(1, 1024, 3, 3) + layer(kind, f"{field} {{ {wide} {kernels[0]} }}", top="a", name="a")
    text += layer(kind, f"{field} {{ {wide} {kernels[1]} }}", bottom="a", top="b", name="b")
    text += layer(kind, f"{field} {{ {small} {kernels[1]} }}", bottom="b", top="c", name="c")
    (tmp_path / "net.prototxt").write_text(text)
    with hollow_weights(net_of(text), tmp_path / "net.caffemodel"):
        size = (tmp_path / "net.caffemodel").stat().st_size
    assert size > 200 << 20
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path), memory], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < most * size


@pytest.mark.thorough
def test_nothing_is_reported_to_its_makers(tmp_path: Path) -> None:
    """From 1.29 on it keeps an identifier, of what it is about to report, in two places."""
    script = (
        "from caffe_fcn.engines.options import EngineOptions; from caffe_fcn.engines.registry import engine; "
        "engine(EngineOptions())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    places = {name: str(tmp_path / name) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    for place in places.values():
        os.mkdir(place)
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env={**environment, **places}, check=True, timeout=120)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_onnxruntime_raises_is_told_in_a_line(
    convolution: OnnxRuntimeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def run(self, names: list[str], feed: dict[str, np.ndarray]) -> None:
            from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException  # type: ignore[import-untyped]

            raise RuntimeException("Failed to\nallocate memory")

    monkeypatch.setattr(convolution, "_session", Broken())
    with pytest.raises(EngineError, match=r"cannot run net\.prototxt: Failed to allocate memory"):
        convolution.run({"data": np.zeros((1, 2, 8, 8))})


def test_a_blob_of_another_shape_than_caffes_is_not_handed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOWERINGS, "Flatten", lambda site: site.inputs[0])
    net = net_of(data(1, 2, 3, 4) + layer("Flatten"))
    with weights_of(net, tmp_path / "net.caffemodel") as weights:
        session = load(net, weights)
    with pytest.raises(
        EngineError, match="computes 'out' with the shape 1×2×3×4, but in Caffe it is 1×24; this is a defect"
    ):
        session.run({"data": np.zeros((1, 2, 3, 4))})
