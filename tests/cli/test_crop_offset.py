"""Crop layers that give no offset, from the command line: told, refused until somebody decides, and decided."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.net.source import read_net
from tests.cli.conftest import CommandLine, the_message
from tests.engines.nets import net_of, weights_of
from tests.passes.nets import conv, data, fc, layer
from tests.paths import CASES, GOLDEN

BOTH = "BVLC Caffe uses 0; forks before 2016 compute it from the geometry of the net: "
NUMBERS = '"crop" ("side1") 10, "crop" ("side2") 11'
PAIR = ("net.prototxt", "net.caffemodel")
RUNS = {
    "export": ("export", *PAIR, "-o", "net.onnx", "--force"),
    "run": ("run", *PAIR, "picture.npy", "-o", "map.npy", "--force"),
}


@pytest.fixture
def net(cli: CommandLine) -> CommandLine:
    """The command line beside the case, weights for it, and a picture."""
    shutil.copy(CASES / "hed_crop.prototxt", cli.path / "net.prototxt")
    with weights_of(net_of((CASES / "hed_crop.prototxt").read_text()), cli.path / "net.caffemodel"):
        pass
    np.save(cli.path / "picture.npy", np.random.default_rng(0).uniform(0, 255, (40, 48, 3)).astype(np.float32))
    return cli


@pytest.mark.parametrize("command", ["inspect", "convert", "upgrade"])
def test_both_readings_are_told(net: CommandLine, command: str) -> None:
    out = {"convert": ("-o", "new.prototxt"), "upgrade": ("new.prototxt",)}.get(command, ())
    result = net.run(command, "net.prototxt", *out)
    assert (
        result.code == 0
        and f"note: 2 Crop layers have no offset: {BOTH}{NUMBERS}; choose one with --crop-offset" in result.err
    )
    if out:
        assert not any(layer.HasField("crop_param") for layer in read_net(net.path / "new.prototxt").net.layer)


def test_check_tells_them_where_they_are(net: CommandLine) -> None:
    result = net.run("check", "--strict", "net.prototxt")
    assert result.code == 0
    lines = result.err.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["net.prototxt:10:1", "net.prototxt:13:1"]
    assert [
        f'note: layer "crop" (Crop): it has no offset: {BOTH}{number}; write it in crop_param' in line
        for line, number in zip(lines, (10, 11), strict=True)
    ]


@pytest.mark.parametrize("command", RUNS)
def test_nothing_is_computed_until_somebody_decides(net: CommandLine, command: str) -> None:
    result = net.run(*RUNS[command])
    assert (
        result.code == 1
        and f"{BOTH}{NUMBERS}; choose one with --crop-offset auto or --crop-offset zero" in the_message(result.err)
    )
    for choice in ("auto", "zero"):
        result = net.run(*RUNS[command], "--crop-offset", choice)
        assert result.code == 0, result.err


def with_classifier(net: CommandLine, bottom: str) -> None:
    """Put a layer that is converted behind BOTTOM of the case, with weights for all, and convert the net."""
    net.write(net=net.read("net.prototxt") + fc("classes", bottom, 3))
    with weights_of(net_of(net.read("net.prototxt")), net.path / "net.caffemodel"):
        pass
    result = net.run("convert", *PAIR, "-o", "fcn.prototxt", "--output-weights", "fcn.caffemodel")
    assert result.code == 0, result.err


def test_a_pair_is_its_own_twin_undecided(net: CommandLine) -> None:
    result = net.run("verify", *PAIR, *PAIR)
    assert result.code == 0 and "(nothing was run)" in result.out.decode() and BOTH in result.err
    result = net.run("convert", *PAIR, "-o", "new.prototxt", "--output-weights", "new.caffemodel", "--verify")
    assert result.code == 0, result.err


def test_one_that_both_nets_share_is_not_run(net: CommandLine) -> None:
    with_classifier(net, "side1")
    result = net.run("verify", *PAIR, "fcn.prototxt", "fcn.caffemodel", "--proof", "same-size")
    assert result.code == 0 and "compared from 'side1' on" in result.err, result.out


def test_one_that_would_be_run_is_asked_about(net: CommandLine) -> None:
    """The nets differ before it, so that it is part of what has to be compared."""
    net.write(other=net.read("net.prototxt").replace("pool: MAX", "pool: AVE"))
    result = net.run("verify", *PAIR, "other.prototxt", PAIR[1], "--proof", "same-size")
    assert result.code == 1 and b"same size  not shown" in result.out
    assert "choose one with --crop-offset auto or --crop-offset zero" in result.out.decode()
    assert "nothing was run" in result.out.decode()


def test_one_that_only_one_net_leaves_open_is_asked_about(net: CommandLine) -> None:
    net.write(given=net.read("net.prototxt").replace('top: "side2"', 'top: "side2" crop_param { offset: 0 }'))
    for first, second in (("net.prototxt", "given.prototxt"), ("given.prototxt", "net.prototxt")):
        result = net.run("verify", first, PAIR[1], second, PAIR[1])
        assert result.code == 1 and "choose one with --crop-offset auto or --crop-offset zero" in the_message(
            result.err
        )
        assert net.run("verify", first, PAIR[1], second, PAIR[1], "--crop-offset", "zero").code == 0


@pytest.mark.thorough
def test_both_choices_are_computed_as_what_they_are(net: CommandLine) -> None:
    written = {"auto": (10, 11), "zero": (0, 0)}
    for choice, (first, second) in written.items():
        text = net.read("net.prototxt").replace('top: "side1"', f'top: "side1" crop_param {{ offset: {first} }}')
        net.write(given=text.replace('top: "side2"', f'top: "side2" crop_param {{ offset: {second} }}'))
        assert net.run("run", "given.prototxt", PAIR[1], "picture.npy", "-o", "given.npy", "--force").code == 0
        assert net.run(*RUNS["run"], "--crop-offset", choice).code == 0
        np.testing.assert_array_equal(np.load(net.path / "map.npy"), np.load(net.path / "given.npy"))
    assert not (np.load(net.path / "map.npy") == 0.5).all()


@pytest.mark.parametrize("command", ["convert", "upgrade"])
def test_auto_writes_the_offsets(net: CommandLine, command: str) -> None:
    out = ("-o", "new.prototxt") if command == "convert" else ("new.prototxt",)
    result = net.run(command, "net.prototxt", *out, "--crop-offset", "auto")
    assert (
        result.code == 0 and f"offsets of Crop layers, computed from the geometry of the net: {NUMBERS}" in result.err
    )
    crops = [each for each in read_net(net.path / "new.prototxt").net.layer if each.type == "Crop"]
    assert [list(each.crop_param.offset) for each in crops] == [[10], [11]]
    assert "# hed#20" in net.read("new.prototxt")
    assert net.run("export", "new.prototxt", PAIR[1], "-o", "new.onnx").code == 0


@pytest.mark.parametrize("command", ["convert", "upgrade"])
@pytest.mark.parametrize("case", ["hed_crop", "hed_crop of V1", "half"])
def test_zero_is_written_and_not_asked_again(cli: CommandLine, case: str, command: str) -> None:
    path = GOLDEN / "crops" / "half.in.prototxt" if case == "half" else CASES / "hed_crop.prototxt"
    text = path.read_text()
    if case.endswith("V1"):
        text = text.replace("layer {", "layers {")
        for each in ("Convolution", "Pooling", "Deconvolution", "Crop", "Concat", "Sigmoid"):
            text = text.replace(f'type: "{each}"', f"type: {each.upper()}")
    cli.write(net=text)
    assert read_net(cli.path / "net.prototxt").format == ("V1" if case.endswith("V1") else "V2")
    out = ("-o", "new.prototxt") if command == "convert" else ("new.prototxt",)
    result = cli.run(command, "net.prototxt", *out, "--crop-offset", "zero")
    assert result.code == 0 and "offset 0 in Crop layers, from --crop-offset zero: " in result.err, result.err
    crops = [each for each in read_net(cli.path / "new.prototxt").net.layer if each.type == "Crop"]
    assert crops and all(list(each.crop_param.offset) == [0] for each in crops)
    assert "gives no offset" not in cli.run("check", "new.prototxt").err
    assert cli.run("inspect", "new.prototxt", "--crop-offset", "auto").code == 0


def test_where_the_geometry_gives_none_auto_is_refused(cli: CommandLine) -> None:
    shutil.copy(CASES.parent / "golden" / "crops" / "half.in.prototxt", cli.path / "net.prototxt")
    for command in (
        ("inspect", "net.prototxt"),
        ("convert", "net.prototxt", "-o", "x"),
        ("upgrade", "net.prototxt", "x"),
    ):
        result = cli.run(*command, "--crop-offset", "auto")
        assert result.code == 1 and '"crop" 19/2, which is not a whole number' in the_message(result.err)
    assert ": error: " in cli.run("check", "net.prototxt", "--crop-offset", "auto").err
    found = cli.run("check", "net.prototxt")
    assert found.code == 0 and "with --crop-offset zero" in found.err
    with weights_of(net_of(cli.read("net.prototxt")), cli.path / "net.caffemodel"):
        pass
    for asked in (("inspect", "net.prototxt"), ("export", *PAIR, "-o", "net.onnx")):
        told = cli.run(*asked).err
        assert "; use 0 with --crop-offset zero, or write the offset in crop_param" in told and "auto" not in told


def test_the_net_inside_weights_gets_its_offsets(net: CommandLine) -> None:
    net.write(whole=read_net(net.path / "net.prototxt").net.SerializeToString())
    result = net.run("upgrade", "whole.caffemodel", "new.caffemodel", "--crop-offset", "auto", "--json")
    assert result.code == 0, result.err
    assert (
        f"offsets of Crop layers, computed from the geometry of the net: {NUMBERS}" in json.loads(result.out)["changes"]
    )
    made = schema.NetParameter.FromString((net.path / "new.caffemodel").read_bytes())
    assert [list(each.crop_param.offset) for each in made.layer if each.type == "Crop"] == [[10], [11]]
    assert net.run("upgrade", "whole.caffemodel", "zero.caffemodel", "--crop-offset", "zero").code == 0
    made = schema.NetParameter.FromString((net.path / "zero.caffemodel").read_bytes())
    assert [list(each.crop_param.offset) for each in made.layer if each.type == "Crop"] == [[0], [0]]


def test_upgrade_decides_on_the_net_that_was_chosen(cli: CommandLine) -> None:
    """Where only one stage makes the net whole, its geometry decides."""
    cli.write(
        net=data(shape="1 3 9 9")
        + layer("made", "Power", "data", params='include { stage: "deploy" }')
        + conv("c", "made", 2)
        + layer("crop", "Crop", "data c")
    )
    refused = cli.run("upgrade", "net.prototxt", "new.prototxt", "--crop-offset", "auto")
    assert refused.code == 1 and "the file has the stage 'deploy'; choose with --stage" in the_message(refused.err)
    done = cli.run("upgrade", "net.prototxt", "new.prototxt", "--crop-offset", "auto", "--stage", "deploy")
    assert done.code == 0, done.err
    (crop,) = [each for each in read_net(cli.path / "new.prototxt").net.layer if each.type == "Crop"]
    assert list(crop.crop_param.offset) == [1]
