"""What is to be known of a net with its weights is told by every command and by the library, in the same words; and
all of them refuse weights that do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

import caffe_fcn
from tests.cli.conftest import CommandLine, the_message, trained
from tests.paths import CASES, ROOT

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 2 dim: 2 } } debug: true }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 2 } }
"""
NOTE = "debug is unknown to BVLC Caffe, and has no effect on shapes and answers"
PAIR = ("net.prototxt", "net.caffemodel")
RUNS = {
    "inspect": PAIR,
    "convert": (*PAIR, "-o", "fcn.prototxt", "-w", "fcn.caffemodel", "--force"),
    "export": (*PAIR, "-o", "net.onnx", "--force"),
    "run": (*PAIR, "picture.png"),
    "verify": (*PAIR, "fcn.prototxt", "fcn.caffemodel"),
}


@pytest.fixture
def pair(cli: CommandLine) -> CommandLine:
    """The command line beside a net with a note, its twin and a picture."""
    cli.write(net=NET, fcn=NET)
    for name in ("net", "fcn"):
        (cli.path / f"{name}.caffemodel").write_bytes(trained(("fc", "InnerProduct", [(2, 12), (2,)])))
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(cli.path / "picture.png")
    return cli


@pytest.mark.parametrize("command", RUNS)
def test_every_command_tells_the_notes_once(pair: CommandLine, command: str) -> None:
    told = pair.run(command, *RUNS[command])
    assert f"{told.out.decode()}{told.err}".count(f"note: {NOTE}") == 1
    document = pair.run(command, *RUNS[command], "--json").document
    assert document["notes"].count(NOTE) == 1
    schema = json.loads((ROOT / "docs" / "schema" / f"{command}.json").read_bytes())
    jsonschema.Draft202012Validator(schema).validate(document)


def test_the_library_tells_the_notes(pair: CommandLine, tmp_path: Path) -> None:
    picture = np.zeros((6, 6), np.uint8)
    with caffe_fcn.open("net.prototxt", "net.caffemodel") as net:
        told_by: list[Any] = [net, net.convolutionalize(), net.export(tmp_path / "net.onnx"), net.verify(net)]
        for told in (*told_by, net.run(picture, resize="net")):
            assert told.notes.count(NOTE) == 1, told


@pytest.mark.parametrize("command", RUNS)
def test_every_command_refuses_weights_that_do_not_fit(pair: CommandLine, command: str) -> None:
    shapes: list[list[tuple[int, ...]]] = [[(12, 2), (2,)], [(2, 12)], [(2, 11), (2,)]]
    for wrong in shapes:
        (pair.path / "net.caffemodel").write_bytes(trained(("fc", "InnerProduct", wrong)))
        told = pair.run(command, *RUNS[command])
        assert told.code == 1 and 'net.caffemodel: layer "fc" (InnerProduct)' in the_message(told.err)


def test_the_library_refuses_weights_that_do_not_fit(pair: CommandLine, tmp_path: Path) -> None:
    (pair.path / "net.caffemodel").write_bytes(trained(("fc", "InnerProduct", [(12, 2), (2,)])))
    wrong = ("net.prototxt", "net.caffemodel")
    with caffe_fcn.open("fcn.prototxt", "fcn.caffemodel") as right:
        for call in (lambda: caffe_fcn.open(*wrong), lambda: caffe_fcn.convert(*wrong), lambda: right.verify(*wrong)):
            with pytest.raises(caffe_fcn.WeightsError, match="expected 2×12, found 12×2"):
                call()


def test_every_command_tells_what_the_net_fills(cli: CommandLine) -> None:
    names = [f"filler_only.{ending}" for ending in ("prototxt", "caffemodel")]
    for name in names:
        (cli.path / name).write_bytes((CASES / name).read_bytes())
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(cli.path / "picture.png")
    told = "filler_only.caffemodel holds no weights for sub_mean (constant), up (bilinear); the values are those"
    runs = {"inspect": (), "export": ("-o", "net.onnx"), "run": ("picture.png",), "verify": tuple(names)}
    for command, more in {"convert": ("-o", "fcn.prototxt", "-w", "fcn.caffemodel"), **runs}.items():
        result = cli.run(command, *names, *more)
        assert (result.out.decode() + result.err).count(f"note: {told}") == 1, command
    assert list(cli.blobs("fcn.caffemodel")) == ["c1"]


def test_every_command_tells_what_has_no_values(pair: CommandLine) -> None:
    more = 'layer { name: "top" type: "InnerProduct" bottom: "fc" top: "top" inner_product_param { num_output: 2 '
    pair.write(net=NET + more + "weight_filler { type: 'xavier' } } }")
    told = "holds no weights for layer 'top', filled by the net with random values (xavier)"
    for command in RUNS:
        result = pair.run(command, *RUNS[command])
        assert told in result.out.decode() + result.err, command
        assert result.code == (command not in ("inspect", "convert"))
