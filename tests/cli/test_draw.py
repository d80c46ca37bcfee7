"""`caffe-fcn draw`: the format by the name, streams, options of the net, and what it tells."""

from __future__ import annotations

import os
import re
import shutil
from xml.etree import ElementTree

import pytest

import caffe_fcn
from tests.cli.conftest import LENET, CommandLine


@pytest.fixture
def lenet(cli: CommandLine) -> CommandLine:
    for name in ("net.prototxt", "net.caffemodel"):
        shutil.copy(LENET / name, cli.path)
    return cli


def test_the_drawing_lies_beside_the_net(lenet: CommandLine) -> None:
    result = lenet.run("draw", "net.prototxt")
    assert result.code == 0 and result.out == b""
    assert "net.prototxt: 9 layers of phase TEST in 8 boxes" in result.err and "wrote net.svg" in result.err
    ElementTree.parse(lenet.path / "net.svg")
    again = lenet.run("draw", "net.prototxt")
    assert again.code == 1 and (
        "net.svg: already exists; overwrite it with --force or choose another name with --output" in again.err
    )
    named = lenet.run("draw", "net.prototxt", "-o", "net.svg")
    assert named.code == 1 and named.err.endswith("or choose another name\n")
    assert lenet.run("draw", "net.prototxt", "--force", "-q").err == ""


@pytest.mark.parametrize("command", ["draw", "report"])
def test_where_nobody_can_write_the_option_is_told(
    lenet: CommandLine, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK | os.X_OK)
    result = lenet.run(command, "net.prototxt")
    assert result.code == 1 and "is not writable; choose another place with --output\n" in result.err


@pytest.mark.parametrize(
    ("name", "start"), [("net.svg", b"<?xml"), ("net.PNG", b"\x89PNG"), ("net.dot", b"digraph"), ("net.gv", b"digraph")]
)
def test_the_name_shows_the_format(lenet: CommandLine, name: str, start: bytes) -> None:
    assert lenet.run("draw", "net.prototxt", "-o", name).code == 0
    assert (lenet.path / name).read_bytes().startswith(start)


def test_a_format_can_be_chosen(lenet: CommandLine) -> None:
    assert lenet.run("draw", "net.prototxt", "--format", "dot").code == 0
    assert (lenet.path / "net.dot").read_bytes().startswith(b"digraph")
    result = lenet.run("draw", "net.prototxt", "-o", "-", "--format", "dot")
    assert result.out == (lenet.path / "net.dot").read_bytes() and "wrote" not in result.err
    assert lenet.run("draw", "-", stdin=(lenet.path / "net.prototxt").read_bytes()).out.startswith(b"<?xml")


@pytest.mark.parametrize("name", ["net.pdf", "net", "net.jpg", "other.prototxt", ""])
def test_other_names_are_wrong_usage(lenet: CommandLine, name: str) -> None:
    result = lenet.run("draw", "net.prototxt", "-o", name)
    assert result.code == 2 and ("expected a name for a drawing" in result.err or "name is empty" in result.err)


def test_sizes_are_those_of_the_images(lenet: CommandLine) -> None:
    lenet.run("convert", "net.prototxt", "net.caffemodel", "-q")
    result = lenet.run("draw", "net_fcn.prototxt", "-o", "-", "--input-size", "60x90")
    assert result.code == 0 and "1×1×60×90" in result.out.decode()
    refused = lenet.run("draw", "net.prototxt", "-o", "-", "--input-size", "60x90")
    assert refused.code == 1 and "--input-size 60x90 does not suit the net" in refused.err


def test_a_caffemodel_alone_is_drawn(lenet: CommandLine) -> None:
    result = lenet.run("draw", "net.caffemodel", "-o", "-")
    assert result.code == 0 and b"conv1 (Convolution)" in result.out


def test_unknown_types_are_drawn_and_told(cli: CommandLine) -> None:
    text = 'input: "data" input_shape { dim: 1 dim: 3 }\nlayer { name: "x" type: "Mystery" bottom: "data" top: "x" }\n'
    (cli.path / "net.prototxt").write_text(text)
    result = cli.run("draw", "net.prototxt", "-o", "-")
    assert result.code == 0 and "Mystery (unknown type)" in result.out.decode() and "note: " in result.err


def test_the_library_draws_the_same(lenet: CommandLine) -> None:
    assert lenet.run("draw", "net.prototxt", "-o", "command.svg", "-q").code == 0
    with caffe_fcn.open("net.prototxt") as net:
        made = net.draw("library.svg")
        assert repr(made) == "<DrawnNet of net.prototxt: library.svg>" and made.notes == ()
        net.draw("library.txt", format="dot")
        with pytest.raises(ValueError, match="expected a name for a drawing"):
            net.draw("library.pdf")
    assert (lenet.path / "library.svg").read_bytes() == (lenet.path / "command.svg").read_bytes()
    assert (lenet.path / "library.txt").read_bytes().startswith(b"digraph")


def test_two_nets_are_compared(lenet: CommandLine) -> None:
    lenet.run("convert", "net.prototxt", "net.caffemodel", "-q")
    result = lenet.run("draw", "net.prototxt", "--compare", "net_fcn.prototxt", "-o", "both.svg")
    assert result.code == 0 and "of both nets" in result.err and "marked: 2 replaced" in result.err
    with caffe_fcn.open("net.prototxt") as net, caffe_fcn.open("net_fcn.prototxt") as other:
        net.draw("library.svg", compare="net_fcn.prototxt")
        net.draw("open.svg", compare=other)
    back = lenet.run("draw", "net_fcn.prototxt", "--compare", "net.prototxt", "-o", "-", "--format", "dot")
    assert "marked: 2 replaced" in back.err
    (lenet.path / "less.prototxt").write_text(
        re.sub(r'layer \{\s*name: "relu1".*?\n\}', "", (lenet.path / "net.prototxt").read_text(), flags=re.DOTALL)
    )
    for nets, told in ((("net", "less"), "marked: 1 gone"), (("less", "net"), "marked: 1 new")):
        counted = lenet.run("draw", f"{nets[0]}.prototxt", "--compare", f"{nets[1]}.prototxt", "-o", "-")
        assert told in counted.err
    drawings = {(lenet.path / name).read_bytes() for name in ("both.svg", "library.svg", "open.svg")}
    assert len(drawings) == 1
    assert lenet.run("draw", "-", "--compare", "-").code == 2
    same = lenet.run("draw", "net.prototxt", "--compare", "net_fcn.prototxt", "-o", "net_fcn.prototxt", "--force")
    assert same.code == 2


def test_nets_without_a_difference_and_weights_are_told(lenet: CommandLine) -> None:
    """Also the default name of a comparison is not that of the drawing of one net."""
    (lenet.path / "other").mkdir()
    for name in ("net.prototxt", "net.caffemodel"):
        shutil.copy(lenet.path / name, lenet.path / "other" / name)
    found = lenet.run("draw", "net.caffemodel", "--compare", "other/net.caffemodel")
    assert found.code == 0 and "  no layer differs\n" in found.err
    assert "note: weights are not compared; `caffe-fcn diff` compares them\n" in found.err
    assert "wrote net_compared.svg" in found.err and "net.svg" not in lenet.names
    texts = lenet.run("draw", "net.prototxt", "--compare", "other/net.prototxt", "-o", "-")
    assert "no layer differs" in texts.err and "weights are not compared" not in texts.err
    assert b">other/net.prototxt, phase TEST<" in texts.out and b">net.prototxt, phase TEST<" in texts.out
    one = lenet.run("draw", "net.prototxt", "-o", "-")
    assert "differs" not in one.err


def test_layers_of_the_other_phase_are_told(cli: CommandLine) -> None:
    net = 'input: "data" input_shape { dim: 1 dim: 3 }\n'
    for phase in ("TRAIN", "TRAIN", "TEST"):
        net += f'layer {{ name: "{phase}" type: "ReLU" bottom: "data" top: "x" include {{ phase: {phase} }} }}\n'
    (cli.path / "net.prototxt").write_text(net.replace('"TRAIN" type', '"a" type', 1))
    told = "note: 2 layers of the file are only in phase TRAIN; draw it with --phase TRAIN\n"
    assert told in cli.run("draw", "net.prototxt", "-o", "-").err
    for phase in ("train", "test"):
        assert "only in phase" not in cli.run("draw", "net.prototxt", "-o", "-", "--phase", phase).err


def test_the_phase_by_default_is_told_per_command(cli: CommandLine) -> None:
    for command in ("draw", "inspect", "report", "run", "export", "deploy"):
        told = " ".join(cli.run(command, "--help").out.decode().split())
        assert "TRAIN or TEST. [default: TEST]" in told and "every phase" not in told, command
    for command in ("convert", "diff", "verify", "check", "fold"):
        told = " ".join(cli.run(command, "--help").out.decode().split())
        assert "TRAIN or TEST. [default: every phase in the file]" in told, command
