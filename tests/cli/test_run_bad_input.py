"""`caffe-fcn run` on bad input: one clear message, the right exit code, and nothing written."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from PIL import Image

from caffe_fcn import schema
from caffe_fcn.engines import onnxruntime
from caffe_fcn.errors import ExtraError
from caffe_fcn.predict.images import picture as images
from tests.cli.conftest import CommandLine
from tests.cli.running import FCN, NET, SCALE, refuses, rejects, runs
from tests.engines.nets import net_of, weights_of
from tests.passes.nets import data, layer
from tests.paths import GOLDEN


def test_extras_that_are_not_installed(digits: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise ExtraError("needs more packages: pip install 'caffe-fcn[run]'")

    with monkeypatch.context() as patch:
        patch.setattr(images, "pillow", missing)
        assert "pip install 'caffe-fcn[run]'" in refuses(digits, *NET, "window.png")
    monkeypatch.setattr(onnxruntime, "onnxruntime", missing)
    assert "pip install 'caffe-fcn[run]'" in refuses(digits, *NET, "window.png")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "found an empty file"),
        (b"just text", "expected a picture"),
        (b"\x93NUMPY\x01\x00", "damaged"),
    ],
    ids=["empty", "text", "npy"],
)
def test_pictures_that_are_none(digits: CommandLine, data: bytes, told: str) -> None:
    (digits.path / "x.png").write_bytes(data)
    message = refuses(digits, *FCN, "x.png", "-o", "m.npy", "--label-map", "l.png")
    assert message.startswith("x.png: ") and told in message


def test_too_many_pixels(digits: CommandLine) -> None:
    told = refuses(digits, *FCN, "scattered.png", "--max-pixels", "1000")
    assert told.startswith(
        "scattered.png: expected at most 1,000 pixels, found 192×256; accept it with --max-pixels 49152"
    )
    told = refuses(digits, *FCN, "scattered.png", "--scales", "100", "--max-pixels", "100000")
    assert "expected at most 100,000 pixels" in told


def test_labels_of_another_net(digits: CommandLine) -> None:
    (digits.path / "ten.txt").write_text("\n".join("0123456789"))
    told = refuses(digits, *FCN, "scattered.png", "--labels", "ten.txt")
    assert told.startswith("ten.txt: expected 11 labels, one line for each class of the net, found 10")


def test_weights_with_nan(digits: CommandLine) -> None:
    net = schema.NetParameter.FromString((digits.path / FCN[1]).read_bytes())
    next(each for each in net.layer if each.name == "conv2").blobs[0].data[7] = float("nan")
    (digits.path / FCN[1]).write_bytes(net.SerializeToString())
    told = refuses(digits, *FCN, "scattered.png", "-o", "m.npy")
    assert told.startswith('fcn.caffemodel: layer "conv2", blob 0: expected numbers, found NaN or infinity')


def test_weights_of_another_net(digits: CommandLine) -> None:
    assert "holds no weights for layers 'ip1-conv'" in refuses(digits, FCN[0], NET[1], "scattered.png")
    other = GOLDEN / "conversions" / "rnet" / "net.caffemodel"
    assert "net.caffemodel: " in refuses(digits, FCN[0], other, "scattered.png")


def test_a_gpu_that_is_not_there(digits: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    package = onnxruntime.onnxruntime()
    monkeypatch.setattr(package, "get_available_providers", lambda: ["CPUExecutionProvider"])
    told = refuses(digits, *FCN, "scattered.png", "--gpu")
    assert told.startswith("--gpu: the installed onnxruntime has no GPU support (CPUExecutionProvider); pip ")
    assert "runs only on the CPU" in refuses(digits, *FCN, "scattered.png", "--gpu", "--engine", "opencv")
    monkeypatch.setattr(package, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    assert "cannot use CUDAExecutionProvider here" in refuses(digits, *FCN, "scattered.png", "--gpu")


@pytest.mark.thorough
def test_low_memory(digits: CommandLine) -> None:
    for name, options in (("a.npy", []), ("b.npy", ["--low-memory"])):
        runs(digits, *FCN, "scattered.png", "--scale", SCALE, "-o", name, *options)
    np.testing.assert_allclose(np.load(digits.path / "b.npy"), np.load(digits.path / "a.npy"), rtol=1e-5)
    told = refuses(digits, *FCN, "scattered.png", "--low-memory", "--engine", "opencv")
    assert "the engine opencv has no setting for less memory; use --engine onnxruntime" in told


def test_blobs(digits: CommandLine) -> None:
    runs(digits, *FCN, "scattered.png", "--blob", "conv2", "-o", "m.npy")
    assert np.load(digits.path / "m.npy").shape[0] == 32
    assert (
        refuses(digits, *FCN, "scattered.png", "--blob", "con2")
        .partition("; ")[2]
        .startswith("expected one of 'conv2', 'conv1', ")
    )


@pytest.mark.parametrize(
    "arguments",
    [
        [*NET],
        [*NET, ""],
        [*NET, "-"],
        ["-", "-", "window.png"],
        [*FCN, "window.png", "-o", "m.txt"],
        [*FCN, "window.png", "--heatmap", "m.jpg"],
        [*FCN, "window.png", "--threshold", "0.4"],
        [*FCN, "window.png", "--nms", "0.4"],
        [*FCN, "window.png", "--peaks", "--nms", "nan"],
        [*FCN, "window.png", "--peaks", "--threshold", "inf"],
        [*FCN, "window.png", "--csv", "p.txt"],
        [*FCN, "window.png", "--boxes", "p.csv"],
        [*FCN, "window.png", "scattered.png", "-o", "m.npy"],
        [*FCN, "window.png", "scattered.png", "-o", "-"],
        [*FCN, "window.png", "--out-dir", "out"],
        [*FCN, "window.png", "--out-dir", "out", "-o", "a/b.npy"],
        [*FCN, "window.png", "--out-dir", "out", "-o", "-"],
        [*FCN, "window.png", "--scales", "1,1"],
        [*FCN, "window.png", "--scales", "-1"],
        [*FCN, "window.png", "--scales", "nan"],
        [*FCN, "window.png", "--scale", "0"],
        [*FCN, "window.png", "--resize", "1x2x3"],
        [*FCN, "window.png", "--top", "0"],
        [*FCN, "window.png", "--tile", "0"],
        [*FCN, "window.png", "--engine", "tea"],
    ],
    ids=lambda arguments: " ".join(arguments[2:]),
)
def test_wrong_usage(digits: CommandLine, arguments: list[str]) -> None:
    assert rejects(digits, *arguments).startswith("Error: ")


@pytest.mark.thorough
def test_a_picture_that_a_decoder_does_not_take_names_sizes_that_fit(cli: CommandLine) -> None:
    """One of which it is brought to; at other scales too."""
    half = layer("p", "Pooling", "data", "p", "pooling_param { pool: MAX kernel_size: 4 stride: 4 }")
    up = layer("up", "Deconvolution", "p", "up", "convolution_param { num_output: 3 kernel_size: 4 stride: 4 }")
    text = data(shape="1 3 16 16") + half + up + layer("join", "Eltwise", "up data")
    cli.write(net=text)
    with weights_of(net_of(text), cli.path / "net.caffemodel"):
        pass
    Image.fromarray(np.zeros((18, 22, 3), np.uint8)).save(cli.path / "p.png")
    told = refuses(cli, *NET, "p.png")
    assert "a picture of 18×22 pixels does not suit the net" in told
    assert "multiples of 4, such as 16x20 and 20x24; pad the picture with --pad-to 4, or resize it with" in told
    assert "multiples of 4, such as 36x44" in refuses(cli, *NET, "p.png", "--resize", "37x44")
    assert "multiples of 4, such as 8x8" in refuses(cli, *NET, "p.png", "--resize", "20x20", "--scales", "1,0.5")
    runs(cli, *NET, "p.png", "--resize", "20x24")


@pytest.mark.thorough
def test_large_weights_are_prepared_for_much_work_only(digits: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes longer than a few small pictures do."""
    asked: list[bool] = []

    def load(self: onnxruntime.OnnxRuntime, *arguments: Any, **options: Any) -> Any:
        asked.append(self.low_memory)
        return loaded(self, *arguments, **options)

    loaded = onnxruntime.OnnxRuntime.load
    monkeypatch.setattr(onnxruntime.OnnxRuntime, "load", load)
    many = [f"{number}.png" for number in range(4)]
    for name in many:
        shutil.copy(digits.path / "scattered.png", digits.path / name)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (1300, 1300, 3), "u1")).save(digits.path / "large.png")
    for pictures in ([many[0]], many, ["large.png"]):
        runs(digits, *FCN, *pictures, "--scale", SCALE)
    assert asked == [True, False, False]
    assert digits.run("verify", *NET, *FCN).code == 0
    assert all(asked[3:]) and len(asked) > 4
