"""Fields whose effect is unknown are refused by name where it matters, until the user has them ignored."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import caffe_fcn
from tests.cli.conftest import CommandLine, the_message
from tests.paths import CASES

FIELDS = {
    "c": "convolution_param.my_secret_gain",
    "r": "relu_param.threshold",
    "e": "eltwise_param.coeff_abs",
    "fc": "inner_product_param.quantize",
}
"""The fields of the case that no fork has, by layer."""
IGNORED = [word for field in FIELDS.values() for word in ("--ignore-field", field)]
PAIR = ("net.prototxt", "net.caffemodel")
RUNS = {
    "convert": ("convert", *PAIR, "--force"),
    "export": ("export", *PAIR, "-o", "net.onnx", "--force"),
    "run": ("run", *PAIR, "picture.png"),
    "run by OpenCV": ("run", *PAIR, "picture.png", "--engine", "opencv"),
}


@pytest.fixture
def net(cli: CommandLine) -> CommandLine:
    """The command line beside the case and a picture."""
    for suffix in ("prototxt", "caffemodel"):
        shutil.copy(CASES / f"unknown_field.{suffix}", cli.path / f"net.{suffix}")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(cli.path / "picture.png")
    return cli


@pytest.mark.parametrize("command", RUNS)
def test_they_are_refused_by_name(net: CommandLine, command: str) -> None:
    result = net.run(*RUNS[command])
    message = the_message(result.err)
    assert result.code == 1 and message.startswith("net.prototxt: ")
    for layer, field in FIELDS.items():
        assert f'layer "{layer}": {field} is not in any known fork' in message
        assert f"--ignore-field {field}" in message
    assert "relu_param.fuse" not in message, "Intel's, and without effect"
    assert net.names == {*PAIR, "picture.png"}


@pytest.mark.parametrize("command", RUNS)
def test_they_are_ignored_if_the_user_wants_it(net: CommandLine, command: str) -> None:
    if command == "run by OpenCV":
        pytest.importorskip("cv2")
    result = net.run(*RUNS[command], *IGNORED)
    assert result.code == 0, result.err
    assert f"{', '.join(FIELDS.values())} are unknown to BVLC Caffe, and are ignored, as requested" in (
        f"{result.out.decode()}{result.err}"
    )


def test_one_that_is_left_is_refused(net: CommandLine) -> None:
    message = the_message(net.run(*RUNS["export"], *IGNORED[:-2]).err)
    assert "quantize" in message and "coeff_abs" not in message


@pytest.mark.thorough
def test_a_pair_is_not_proven_before(net: CommandLine) -> None:
    assert net.run(*RUNS["convert"], *IGNORED, "-o", "fcn.prototxt", "-w", "fcn.caffemodel").code == 0
    files = ("verify", *PAIR, "fcn.prototxt", "fcn.caffemodel")
    result = net.run(*files)
    assert result.code == 1 and all(field in f"{result.out.decode()}{result.err}" for field in FIELDS.values())
    result = net.run(*files, *IGNORED, "--ignore-field", "convolution_param.quantize", "--image", "picture.png")
    assert result.code == 0, result.err
    result = net.run(*files, *IGNORED, "--ignore-field", "convolution_param.quantise")
    assert "has no field convolution_param.quantise" in the_message(result.err)


def test_a_pair_with_one_is_proven_only_without_it(net: CommandLine) -> None:
    (net.path / "fcn.prototxt").write_text(net.read("net.prototxt").replace("threshold: 2.0", "threshold: 3.0"))
    result = net.run("verify", *PAIR, "fcn.prototxt", "net.caffemodel")
    assert result.code == 1 and "relu_param.threshold" in result.err
    assert net.run("verify", *PAIR, "fcn.prototxt", "net.caffemodel", *IGNORED).code == 0, (
        "what is ignored is not compared"
    )
    message = the_message(net.run("verify", *PAIR, *PAIR).err)
    assert "relu_param.threshold is not in any known fork" in message
    assert net.run("verify", *PAIR, *PAIR, *IGNORED).code == 0, "the same field in both is the same, whatever it does"


@pytest.mark.parametrize("command", ["check", "inspect"])
def test_they_are_noted_where_nothing_is_computed(net: CommandLine, command: str) -> None:
    result = net.run(command, "net.prototxt")
    assert result.code == 0
    for field in FIELDS.values():
        assert f"{field} is" in result.err
    result = net.run(command, "net.prototxt", *IGNORED)
    assert result.code == 0 and "ignored, as requested" in result.err


def test_what_does_not_bear_on_a_kernel_is_no_obstacle_to_converting(net: CommandLine) -> None:
    tail = 'layer { name: "s" type: "Softmax" bottom: "fc" top: "s" softmax_param { odd: 1 } }\n'
    text = "".join(line for line in net.read("net.prototxt").splitlines(keepends=True) if '"fc"' not in line)
    text = text.replace(" my_secret_gain: 3.5", "").replace("threshold: 2.0", "").replace(" coeff_abs: true", "")
    values = 'layer { name: "q" type: "ReLU" bottom: "e" top: "q" quantization_param { bw_params: 8 } }\n'
    fc = 'layer { name: "fc" type: "InnerProduct" bottom: "q" top: "fc" inner_product_param { num_output: 3 } }\n'
    (net.path / "net.prototxt").write_text(text + values + fc + tail)
    result = net.run(*RUNS["convert"])
    assert result.code == 0, result.err
    assert 'layer "q": quantization_param changes answers in the fork intel' in result.err
    assert 'layer "s": softmax_param.odd is not in any known fork' in result.err
    assert "quantization_param { bw_params: 8 }" in net.read("net_fcn.prototxt")


def test_a_blob_before_them_can_be_asked_for(net: CommandLine) -> None:
    text = net.read("net.prototxt").replace(" my_secret_gain: 3.5", "")
    (net.path / "net.prototxt").write_text(text.replace('bottom: "c" top: "c"', 'bottom: "c" top: "r"'))
    assert net.run(*RUNS["export"], "--blob", "c").code == 0
    assert "relu_param.threshold" in the_message(net.run(*RUNS["export"], "--blob", "r").err)


def test_the_library_ignores_them_too() -> None:
    files = CASES / "unknown_field.prototxt", CASES / "unknown_field.caffemodel"
    with caffe_fcn.open(*files) as net, caffe_fcn.open(*files, ignore_fields=[*FIELDS.values()]) as ignoring:
        with pytest.raises(caffe_fcn.LoweringError, match=r"convolution_param\.my_secret_gain"):
            net.load()
        session = ignoring.load()
        assert session.run({"data": np.zeros((1, 3, 8, 8))}).keys() == {"fc"}
        with pytest.raises(caffe_fcn.SurgeryError, match=r"relu_param\.threshold"):
            net.convolutionalize()
        assert ignoring.convolutionalize()


def test_a_converted_layer_keeps_what_is_ignored(net: CommandLine, tmp_path: Path) -> None:
    assert net.run(*RUNS["convert"], *IGNORED).code == 0
    assert "convolution_param { num_output: 3 kernel_size: 6 quantize: true }" in net.read("net_fcn.prototxt")
