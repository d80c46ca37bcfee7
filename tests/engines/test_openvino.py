"""OpenVINO as an engine: what it makes of the default engine's model is Caffe's, at any size, in single precision."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from caffe_fcn.engines import openvino as engine_module
from caffe_fcn.engines import registry as engines
from caffe_fcn.engines.openvino import OpenVino, openvino
from caffe_fcn.engines.options import EngineOptions
from caffe_fcn.engines.protocol import Session
from caffe_fcn.errors import EngineError, ExtraError, LoweringError, ShapeError
from caffe_fcn.verify.settings import VerifySettings
from tests.engines.nets import case, difference, net_of, weights_of
from tests.net.nets import data, layer
from tests.onnx.test_pooling import WINDOWS, pooled
from tests.paths import GOLDEN, ROOT
from tests.verify import twins

try:
    openvino()
except ExtraError as error:
    pytest.skip(str(error), allow_module_level=True)

LENET = GOLDEN / "conversions" / "lenet"
CONVERSIONS = sorted(path.name for path in (GOLDEN / "conversions").iterdir() if path.is_dir())
LAYERS = sorted(path.name for path in (GOLDEN / "layers").iterdir())
NOT_LOWERED = {"accuracy", "euclidean_loss", "lstm"}
TOLERANCE = 5e-6


@pytest.mark.thorough
@pytest.mark.parametrize("name", CONVERSIONS)
def test_twins_are_caffes_at_both_sizes(name: str, tmp_path: Path) -> None:
    pair = twins.case(GOLDEN / "conversions" / name, tmp_path)
    pair.fcn.rename(tmp_path / "net.prototxt")
    pair.fcn_weights.rename(tmp_path / "net.caffemodel")
    with np.load(GOLDEN / "conversions" / name / "golden.npz") as file:
        measured = dict(file)
    with case(tmp_path) as (net, weights):
        session = OpenVino(1).load(net, weights)
    (image,) = session.inputs
    for size in ("large", "same", "large"):
        made = session.run({image: measured[f"in:{size}"]})
        assert made
        for blob, values in made.items():
            expected = measured[f"{size}:{blob.removesuffix('-conv')}"]
            assert difference(values.reshape(expected.shape), expected) < TOLERANCE


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["flatten", "lenet", "resnet"])
def test_originals_and_twins_are_verified(name: str, tmp_path: Path) -> None:
    found = twins.case(GOLDEN / "conversions" / name, tmp_path).verify(VerifySettings(engine=OpenVino(1)))
    assert found.holds and found.engine == "openvino"


@pytest.mark.thorough
@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_caffes_or_refused(name: str) -> None:
    with np.load(GOLDEN / "layers" / name / "io.npz") as file:
        measured = dict(file)
    with case(GOLDEN / "layers" / name) as (net, weights):
        if name in NOT_LOWERED:
            with pytest.raises(LoweringError):
                OpenVino(1).load(net, weights)
            return
        session = OpenVino(1).load(net, weights)
    made = session.run({blob: measured[f"in:{blob}"] for blob in session.inputs})
    assert made
    for blob, values in made.items():
        if f"out:{blob}" in measured:
            assert difference(values, measured[f"out:{blob}"]) < TOLERANCE


def loaded(text: str, tmp_path: Path, *outputs: str) -> Session:
    """The net TEXT with random weights."""
    net = net_of(text)
    with weights_of(net, tmp_path / "net.caffemodel") as weights:
        return OpenVino(1).load(net, weights, outputs=outputs)


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_windows_are_counted_and_averaged_as_by_caffe(method: str, kernel: int, tmp_path: Path) -> None:
    """OpenVINO reads poolings that round up otherwise than ONNX says."""
    random = np.random.default_rng(0)
    for _, stride, pad in (window for window in WINDOWS if window[0] == kernel):
        if method == "AVE" and stride > kernel and not pad:
            continue
        window = f"pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad}"
        session = loaded(data(1, 2, 9, 9) + layer("Pooling", f"pooling_param {{ {window} }}"), tmp_path)
        for size in range(max(kernel, 5), max(kernel, 5) + min(stride, 3)):
            values = random.standard_normal((1, 2, size, size + 1)).astype(np.float32)
            expected = pooled(values, method, ((kernel, stride, pad),) * 2)
            made = session.run({"data": values})["out"]
            assert made.shape == expected.shape, (stride, pad, size)
            np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)


CONVOLUTION = data(1, 2, 8, 8) + layer("Convolution", "convolution_param { num_output: 3 kernel_size: 5 }")


def test_one_session_runs_at_any_size(tmp_path: Path) -> None:
    session = loaded(CONVOLUTION, tmp_path)
    assert session.inputs == {"data": (None, 2, None, None)} and session.outputs == ("out",)
    assert repr(session) == "<Session of OpenVINO: 'data' → 'out'>"
    image = np.random.default_rng(0).integers(0, 255, (2, 2, 9, 12))
    whole = session.run({"data": image})["out"]
    assert whole.shape == (2, 3, 5, 8) and whole.dtype == np.float32
    for row, column in ((0, 0), (4, 7), (2, 3)):
        window = session.run({"data": image[:, :, row : row + 5, column : column + 5]})["out"]
        assert difference(window, whole[:, :, row : row + 1, column : column + 1]) < 1e-5
    assert difference(whole, session.run({"data": image})["out"]) == 0.0, "what came out is not overwritten"


def test_what_is_not_taken(tmp_path: Path) -> None:
    session = loaded(CONVOLUTION, tmp_path)
    with pytest.raises(EngineError, match="expected the inputs 'data', found 'image'"):
        session.run({"image": np.zeros((1, 2, 8, 8))})
    with pytest.raises(EngineError, match="input 'data': expected any×2×any×any, found 1×3×8×8"):
        session.run({"data": np.zeros((1, 3, 8, 8))})
    with pytest.raises(ShapeError, match=r'layer "layer" \(Convolution\): the kernel covers 5×5'):
        session.run({"data": np.zeros((1, 2, 8, 4))})
    with case(LENET) as (net, weights):
        classifier = OpenVino(1).load(net, weights)
    assert classifier.run({"data": np.zeros((3, 1, 28, 28))})["prob"].shape == (3, 10)
    with pytest.raises(EngineError, match="expected any×1×28×28, found 1×1×29×28; resize it"):
        classifier.run({"data": np.zeros((1, 1, 29, 28))})


def test_what_only_opencv_has_is_told_as_by_the_default_engine(tmp_path: Path) -> None:
    text = data(1, 4, 6, 6) + layer("Reorg", "reorg_param { stride: 2 }")
    with pytest.raises(LoweringError, match="engine='opencv', which supports Reorg"):
        loaded(text, tmp_path)


def test_several_outputs_and_blobs_that_are_asked_for(tmp_path: Path) -> None:
    more = layer("Pooling", "pooling_param { kernel_size: 2 }", "out", top="pooled", name="pool")
    both = loaded(CONVOLUTION + more, tmp_path, "pooled", "out")
    made = both.run({"data": np.random.default_rng(0).standard_normal((1, 2, 8, 8))})
    assert {name: values.shape for name, values in made.items()} == {"pooled": (1, 3, 3, 3), "out": (1, 3, 4, 4)}
    assert (made["pooled"][0, :, 0, 0] == made["out"][0, :, :2, :2].max(axis=(1, 2))).all()


def test_a_batch_that_the_net_fixes(tmp_path: Path) -> None:
    text = data(2, 3, 4, 4) + layer("Reshape", "reshape_param { shape { dim: 2 dim: 48 } }")
    session = loaded(text, tmp_path)
    assert session.inputs == {"data": (2, 3, 4, 4)}
    assert session.run({"data": np.zeros((2, 3, 4, 4))})["out"].shape == (2, 48)
    with pytest.raises(EngineError, match="expected 2×3×4×4, found 1×3×4×4"):
        session.run({"data": np.zeros((1, 3, 4, 4))})


def test_it_computes_in_single_precision_on_so_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}
    real = openvino().Core

    class Core(real):  # type: ignore[misc, valid-type]
        def compile_model(self, model: object, device: str, settings: dict[str, object]) -> object:
            made = super().compile_model(model, device, settings)
            names = ("INFERENCE_PRECISION_HINT", "INFERENCE_NUM_THREADS")
            asked.update({name: made.get_property(name) for name in names} | {"device": device})
            return made

    monkeypatch.setattr(openvino(), "Core", Core)
    with case(LENET) as (net, weights):
        OpenVino(1).load(net, weights)
    assert asked["INFERENCE_PRECISION_HINT"] == openvino().Type.f32
    assert asked["INFERENCE_NUM_THREADS"] == 1 and asked["device"] == "CPU"


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with case(LENET) as (net, weights):
        session = OpenVino(1).load(net, weights)
        assert not list(tmp_path.iterdir())
        session.run({"data": np.zeros((1, 1, 28, 28))})


@pytest.mark.thorough
def test_its_import_reports_nothing(tmp_path: Path) -> None:
    """The package for that is not loaded, so that it also keeps no identifier in the home directory."""
    script = (
        "import sys\nfrom caffe_fcn.engines.options import EngineOptions\n"
        "from caffe_fcn.engines.registry import engine\n"
        "engine(EngineOptions('openvino'))\n"
        "assert not any(name.startswith('openvino_telemetry') for name in sys.modules)\n"
        "from openvino import convert_model"
    )
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, check=True, timeout=120)
    assert not list(tmp_path.iterdir())


def test_what_openvino_raises_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("Check failed:\n  node 'conv1'")

    with case(LENET) as (net, weights):
        session = OpenVino(1).load(net, weights)
        monkeypatch.setattr(engine_module, "mend_poolings", broken)
        with pytest.raises(
            EngineError, match=r"OpenVINO cannot load .*lenet/net\.prototxt: Check failed: node 'conv1';"
        ):
            OpenVino(1).load(net, weights)
    monkeypatch.setattr(session._request, "infer", broken, raising=False)
    with pytest.raises(
        EngineError, match=r"OpenVINO cannot run .*net\.prototxt: Check failed: node 'conv1'; use engine='onnx"
    ):
        session.run({"data": np.zeros((1, 1, 28, 28))})


def test_a_release_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(openvino(), "opset14")
    with pytest.raises(ExtraError, match=r"is too old; expected 2025\.0 or newer: pip install 'caffe-fcn\[openvino\]'"):
        openvino()


def test_it_has_no_gpu() -> None:
    assert engines.engine(EngineOptions("openvino", 1)).name == "openvino"
    with pytest.raises(EngineError, match="the engine openvino runs only on the CPU"):
        engines.engine(EngineOptions("openvino", gpu=True))
