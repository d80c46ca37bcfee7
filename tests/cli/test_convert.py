"""`caffe-fcn convert`, what works: inputs, outputs, and each option."""

from __future__ import annotations

import math
import os
import shutil
import stat
import sys
from pathlib import Path
from threading import Thread

import pytest

import caffe_fcn
from caffe_fcn import __version__, schema
from caffe_fcn.cli import progress
from caffe_fcn.cli.main import run
from caffe_fcn.files import prototxt
from caffe_fcn.model.opening import open_model
from caffe_fcn.net.source import interpret
from caffe_fcn.schema import Message
from tests.cli.conftest import LENET, CommandLine, trained
from tests.files.test_diff import apply
from tests.passes.nets import conv, data, fc, layer, model_of

REPORT = """\
net.prototxt: 2 InnerProducts become Convolutions, called NAME-conv
  ip1  12×4×4 → 32  Convolution 4×4  6,176 parameters
  ip2  32×1×1 → 10  Convolution 1×1  330 parameters
wrote net_fcn.prototxt, net_fcn.caffemodel
"""
CONVERTED = {"conv1", "conv2", "ip1-conv", "ip2-conv"}


def layers(text: str | bytes) -> dict[str, Message]:
    """The layers of a prototxt by name."""
    return {each.name: each for each in interpret(prototxt.parse(text, "it")).net.layer}


def written(cli: CommandLine, name: str = "net_fcn.prototxt") -> dict[str, Message]:
    return layers((cli.path / name).read_bytes())


# ---- Files: default names, names given, a caffemodel alone, pipes ----


def test_default_names_lie_beside_the_inputs(lenet: CommandLine) -> None:
    result = lenet.converts("net.prototxt", "net.caffemodel")
    assert (result.out, result.err) == (b"", REPORT)
    assert lenet.names == {"net.prototxt", "net.caffemodel", "net_fcn.prototxt", "net_fcn.caffemodel"}
    assert written(lenet)["ip1-conv"].convolution_param.kernel_size == [4]
    assert set(lenet.blobs("net_fcn.caffemodel")) == CONVERTED
    assert lenet.blobs("net_fcn.caffemodel")["ip1-conv"] == [(32, 12, 4, 4), (32,)]


def test_the_inputs_stay_as_they_are(lenet: CommandLine) -> None:
    lenet.converts("net.prototxt", "net.caffemodel")
    for name in ("net.prototxt", "net.caffemodel"):
        assert (lenet.path / name).read_bytes() == (LENET / name).read_bytes()


def test_default_names_follow_each_input_to_its_directory(lenet: CommandLine) -> None:
    (lenet.path / "deep").mkdir()
    shutil.move("net.caffemodel", "deep/weights.v2.bin")
    lenet.converts("./net.prototxt", "deep/weights.v2.bin")
    assert (lenet.path / "net_fcn.prototxt").exists()
    assert (lenet.path / "deep" / "weights.v2_fcn.caffemodel").exists()


def test_names_given_relative_and_absolute(lenet: CommandLine) -> None:
    target = lenet.path / "a b é.caffemodel"
    lenet.converts("net.prototxt", "net.caffemodel", "-o", "x y.prototxt", "-w", target)
    assert lenet.names == {"net.prototxt", "net.caffemodel", "x y.prototxt", target.name}


def test_only_the_text_is_written_without_weights(lenet: CommandLine) -> None:
    lenet.converts("net.prototxt")
    assert lenet.names == {"net.prototxt", "net.caffemodel", "net_fcn.prototxt"}


def test_a_name_that_begins_with_a_dash(lenet: CommandLine) -> None:
    shutil.copy("net.prototxt", "-n.prototxt")
    lenet.converts("--", "-n.prototxt")
    assert "-n_fcn.prototxt" in lenet.names


def test_output_is_deterministic(lenet: CommandLine) -> None:
    first = lenet.converts("net.prototxt", "net.caffemodel", "--json").document
    lenet.converts("net.prototxt", "net.caffemodel", "-o", "again.prototxt", "-w", "again.caffemodel")
    for suffix in ("prototxt", "caffemodel"):
        names = (f"net_fcn.{suffix}", f"again.{suffix}")
        assert len({(lenet.path / name).read_bytes() for name in names}) == 1
    assert lenet.converts("net.prototxt", "net.caffemodel", "--json", "--force").document == first


def test_the_net_inside_a_caffemodel_is_used(lenet: CommandLine) -> None:
    result = lenet.converts("net.caffemodel")
    assert result.err == REPORT.replace("net.prototxt:", "net.caffemodel:")
    assert lenet.names == {"net.prototxt", "net.caffemodel", "net_fcn.prototxt", "net_fcn.caffemodel"}
    beside = written(lenet)
    lenet.converts("net.prototxt", "-o", "text.prototxt")
    assert list(beside) == list(written(lenet, "text.prototxt"))
    assert set(lenet.blobs("net_fcn.caffemodel")) == CONVERTED


def test_the_net_inside_a_v1_caffemodel_is_used(lenet: CommandLine) -> None:
    inputs = schema.NetParameter(input=["data"], input_dim=[1, 1, 28, 28]).SerializeToString()
    lenet.write(old=inputs + (LENET / "variants" / "v1.caffemodel").read_bytes())
    result = lenet.converts("old.caffemodel")
    assert "note: the file was in Caffe's old format V1; the new one is in the current format" in result.err
    assert set(lenet.blobs("old_fcn.caffemodel")) == CONVERTED
    assert written(lenet, "old_fcn.prototxt")["ip1-conv"].type == "Convolution"


def test_v1_weights_with_a_prototxt(lenet: CommandLine) -> None:
    lenet.converts("net.prototxt", LENET / "variants" / "v1.caffemodel", "-w", "new.caffemodel")
    assert set(lenet.blobs("new.caffemodel")) == CONVERTED
    assert lenet.blobs("new.caffemodel")["ip2-conv"][0] == (10, 32, 1, 1)


def test_a_net_with_nothing_to_convert_is_copied(cli: CommandLine) -> None:
    text = "# a net\r\n" + data() + conv("c", "data", 3)
    weights = trained(("c", "Convolution", [(3, 2, 3, 3), (3,)]))
    cli.write(net=text)
    cli.write(net=weights)
    result = cli.converts("net.prototxt", "net.caffemodel")
    assert "nothing to convert; the net is unchanged" in result.err
    assert (cli.path / "net_fcn.prototxt").read_bytes() == text.encode()
    assert (cli.path / "net_fcn.caffemodel").read_bytes() == weights


def test_the_net_from_stdin_goes_to_stdout(lenet: CommandLine) -> None:
    lenet.converts("net.prototxt")
    result = lenet.converts("-", stdin=(lenet.path / "net.prototxt").read_bytes())
    assert result.out == (lenet.path / "net_fcn.prototxt").read_bytes()
    assert lenet.names == {"net.prototxt", "net.caffemodel", "net_fcn.prototxt"}


def test_stdin_is_called_by_a_name_that_stays_the_same(lenet: CommandLine) -> None:
    text = (lenet.path / "net.prototxt").read_bytes()
    results = [lenet.converts("-", "-o", "-", "--dry-run", "--json", stdin=text) for _ in range(2)]
    assert results[0].out == results[1].out
    assert "tmp" not in results[0].document["net"]


def test_errors_in_stdin_say_stdin(cli: CommandLine) -> None:
    message = cli.refuses("-", "-o", "out.prototxt", stdin=b"layer {{\n")
    assert "stdin" in message.split(":")[0] or message.startswith("-:")
    assert "tmp" not in message
    assert ":1:8: " in message


def test_weights_from_stdin(lenet: CommandLine) -> None:
    weights = (lenet.path / "net.caffemodel").read_bytes()
    lenet.converts("net.prototxt", "-", "-w", "piped.caffemodel", stdin=weights)
    lenet.converts("net.prototxt", "net.caffemodel", "--force")
    assert (lenet.path / "piped.caffemodel").read_bytes() == (lenet.path / "net_fcn.caffemodel").read_bytes()


def test_a_caffemodel_alone_from_stdin(lenet: CommandLine) -> None:
    weights = (lenet.path / "net.caffemodel").read_bytes()
    lenet.converts("-", "-o", "x.prototxt", "-w", "x.caffemodel", stdin=weights)
    assert set(lenet.blobs("x.caffemodel")) == CONVERTED
    assert "ip2-conv" in written(lenet, "x.prototxt")


def test_weights_to_stdout(lenet: CommandLine) -> None:
    result = lenet.converts("net.prototxt", "net.caffemodel", "-w", "-")
    lenet.converts("net.prototxt", "net.caffemodel", "--force")
    assert result.out == (lenet.path / "net_fcn.caffemodel").read_bytes()


def test_a_named_pipe_gets_the_bytes_and_stays(lenet: CommandLine) -> None:
    os.mkfifo("pipe")
    got: list[bytes] = []
    reader = Thread(target=lambda: got.append(Path("pipe").read_bytes()))
    reader.start()
    lenet.converts("net.prototxt", "net.caffemodel", "-w", "pipe")
    reader.join()
    lenet.converts("net.prototxt", "net.caffemodel", "--force")
    assert got == [(lenet.path / "net_fcn.caffemodel").read_bytes()]
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)


def test_the_null_device_takes_both_and_stays(lenet: CommandLine) -> None:
    lenet.converts("net.prototxt", "net.caffemodel", "-o", os.devnull, "-w", os.devnull)
    assert lenet.names == {"net.prototxt", "net.caffemodel"}
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_net_from_a_named_pipe(lenet: CommandLine) -> None:
    os.mkfifo("pipe")
    writer = Thread(target=lambda: Path("pipe").write_bytes((lenet.path / "net.prototxt").read_bytes()))
    writer.start()
    lenet.converts("pipe", "-o", "out.prototxt")
    writer.join()
    assert "ip1-conv" in written(lenet, "out.prototxt")


# ---- --force ----


def test_force_overwrites_and_keeps_the_mode(lenet: CommandLine) -> None:
    for name, mode in (("o.prototxt", 0o600), ("o.caffemodel", 0o640)):
        (lenet.path / name).write_bytes(b"old")
        (lenet.path / name).chmod(mode)
    lenet.converts("net.prototxt", "net.caffemodel", "-o", "o.prototxt", "-w", "o.caffemodel", "--force")
    assert "ip1-conv" in written(lenet, "o.prototxt")
    assert set(lenet.blobs("o.caffemodel")) == CONVERTED
    assert [stat.S_IMODE(os.stat(name).st_mode) for name in ("o.prototxt", "o.caffemodel")] == [0o600, 0o640]
    assert lenet.names == {"net.prototxt", "net.caffemodel", "o.prototxt", "o.caffemodel"}


def test_force_writes_through_a_link(lenet: CommandLine) -> None:
    (lenet.path / "real").write_bytes(b"old")
    (lenet.path / "link").symlink_to("real")
    lenet.converts("net.prototxt", "-o", "link", "--force")
    assert (lenet.path / "link").is_symlink()
    assert "ip1-conv" in written(lenet, "real")


# ---- What is told ----


def test_quiet_tells_nothing(lenet: CommandLine) -> None:
    result = lenet.converts("net.prototxt", "net.caffemodel", "-q")
    assert (result.out, result.err) == (b"", "")
    assert "net_fcn.caffemodel" in lenet.names


def test_dry_run_tells_and_writes_nothing(lenet: CommandLine) -> None:
    result = lenet.converts("net.prototxt", "net.caffemodel", "--dry-run")
    assert result.err == REPORT.replace("wrote", "would write")
    assert lenet.names == {"net.prototxt", "net.caffemodel"}


def test_dry_run_does_not_mind_what_is_there(lenet: CommandLine) -> None:
    (lenet.path / "net_fcn.prototxt").write_bytes(b"mine")
    lenet.converts("net.prototxt", "--dry-run")
    lenet.converts("net.prototxt", "--dry-run", "-o", "missing/there.prototxt")
    assert (lenet.path / "net_fcn.prototxt").read_bytes() == b"mine"


def test_dry_run_fails_where_the_run_would(cli: CommandLine) -> None:
    cli.write(net=data() + fc("fc", "nowhere", 3))
    assert "nowhere" in cli.refuses("net.prototxt", "--dry-run")


def test_diff_applied_to_the_old_text_is_the_new_text(lenet: CommandLine) -> None:
    result = lenet.converts("net.prototxt", "--diff", "--input-size", "40x50")
    patch = result.out.decode()
    assert patch.startswith("--- net.prototxt\n+++ net_fcn.prototxt\n@@ ")
    assert apply(patch, lenet.read("net.prototxt")) == lenet.read("net_fcn.prototxt")
    assert "2 InnerProducts become Convolutions" in result.err


def test_diff_alone_with_dry_run(lenet: CommandLine) -> None:
    result = lenet.converts("net.prototxt", "--diff", "--dry-run", "--quiet", "-o", "-")
    assert result.err == "" and b'+  name: "ip1-conv"\n' in result.out
    assert lenet.names == {"net.prototxt", "net.caffemodel"}


def test_diff_of_no_change_is_empty(lenet: CommandLine) -> None:
    assert lenet.converts("net.prototxt", "--skip", "*", "--diff", "--dry-run").out == b""


def test_json_says_what_was_done(lenet: CommandLine) -> None:
    result = lenet.converts("net.prototxt", "net.caffemodel", "--json", "--input-size", "40x50")
    assert result.err == ""
    assert result.document == {
        "caffe_fcn": __version__,
        "net": "net.prototxt",
        "format": "V2",
        "weights": "net.caffemodel",
        "outputs": {"net": "net_fcn.prototxt", "weights": "net_fcn.caffemodel"},
        "dry_run": False,
        "converted": [
            {
                "layer": "ip1",
                "name": "ip1-conv",
                "input": [12, 4, 4],
                "num_output": 32,
                "kernel": [4, 4],
                "parameters": 6176,
                "transposed": False,
                "reordered": False,
            },
            {
                "layer": "ip2",
                "name": "ip2-conv",
                "input": [32, 1, 1],
                "num_output": 10,
                "kernel": [1, 1],
                "parameters": 330,
                "transposed": False,
                "reordered": False,
            },
        ],
        "cut": [],
        "pooling": [],
        "atrous": [],
        "dropped": [],
        "left_alone": [],
        "input_size": [40, 50],
        "input_channels": None,
        "output_shapes": {"prob": [1, 10, 4, 7]},
        "missing_weights": [],
        "copied_layers": [],
        "notes": [],
        "verification": None,
    }
    assert {"net_fcn.prototxt", "net_fcn.caffemodel"} <= lenet.names


def test_json_of_a_dry_run(lenet: CommandLine) -> None:
    found = lenet.converts("net.prototxt", "--json", "--dry-run").document
    assert found["dry_run"] is True and found["weights"] is None
    assert found["outputs"] == {"net": "net_fcn.prototxt", "weights": None}


def test_json_is_json_whatever_the_files_are_called(lenet: CommandLine) -> None:
    name = os.fsdecode(b'n\xff\xc3\xa9"\n.prototxt')
    shutil.copy("net.prototxt", name)
    result = lenet.converts(name, "--json", "--dry-run")
    result.out.decode("utf-8")
    assert len(result.document["converted"]) == 2


def test_what_a_model_calls_its_layers_cannot_steer_the_terminal(cli: CommandLine) -> None:
    """A name with a line break or an escape sequence shows, and does not act."""
    cli.write(net=data() + fc(r"f\n\033[2Jc", "data", 3) + fc(r"\033]0;x\007", "data", 3, "axis: -1"))
    result = cli.converts("net.prototxt")
    assert "\x1b" not in result.err and "\x07" not in result.err
    assert len(result.err.splitlines()) == 7
    cli.write(bad=data() + layer(r"\033[2J\n", "Mystery", "data", "m") + fc(r"f\033[2J\nc", "m", 3))
    assert "\x1b" not in cli.refuses("bad.prototxt")


def test_a_long_copy_shows_its_progress(lenet: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        """stderr as if someone looked at it."""

        def __init__(self) -> None:
            self.stream = sys.stderr
            self.text = ""

        def write(self, text: str) -> int:
            self.text += text
            return len(text)

        def isatty(self) -> bool:
            return True

        def __getattr__(self, name: str) -> object:
            return getattr(self.stream, name)

    terminal = Terminal()
    monkeypatch.setattr(progress, "_FROM", 0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    assert run(["convert", "net.prototxt", "net.caffemodel"]) == 0
    assert "copying weights" in terminal.text
    assert run(["convert", "net.prototxt", "net.caffemodel", "--force", "-q"]) == 0
    assert terminal.text.count("wrote") == 1
    assert set(lenet.blobs("net_fcn.caffemodel")) == CONVERTED


@pytest.mark.parametrize("arguments", [["convert", "-h"], ["convert", "--help"], ["-h"]], ids=" ".join)
def test_help_has_an_example(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    assert "caffe-fcn convert deploy.prototxt net.caffemodel" in capsys.readouterr().out


# ---- Names ----


def named(cli: CommandLine, *options: str) -> list[str]:
    """What the InnerProducts of a LeNet are called in the new text and, the same, in the new weights."""
    cli.converts("net.prototxt", "net.caffemodel", "--force", *options)
    text = [name for name, each in written(cli).items() if name not in ("data", "conv1", "conv2")]
    weights = set(cli.blobs("net_fcn.caffemodel")) - {"conv1", "conv2"}
    dense = [name for name in text if name not in ("pool1", "pool2", "relu1", "prob")]
    assert weights == set(dense)
    return dense


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ["ip1-conv", "ip2-conv"]),
        (["--names", "suffix"], ["ip1-conv", "ip2-conv"]),
        (["--names", "keep"], ["ip1", "ip2"]),
        (["--suffix", "/full"], ["ip1/full", "ip2/full"]),
        (["--suffix", ""], ["ip1", "ip2"]),
        (["--suffix", "\"'\\"], ["ip1\"'\\", "ip2\"'\\"]),
        (["--suffix", "\n"], ["ip1\n", "ip2\n"]),
        (["--suffix", " é😀"], ["ip1 é😀", "ip2 é😀"]),
        (["--rename", r"ip(\d)=conv_\1"], ["conv_1", "conv_2"]),
        (["--rename", "ip2=score"], ["ip1-conv", "score"]),
        (["--rename", "p=score"], ["ip1-conv", "ip2-conv"]),
        (["--rename", "ip1=a", "--rename", r"ip(?P<n>.)=b\g<n>"], ["a", "b2"]),
        (["--names", "keep", "--rename", "ip1=a"], ["a", "ip2"]),
        (["--rename", "ip1=ip2"], ["ip2", "ip2-conv"]),
        (["--rename", "(?i)IP=x", "--rename", "(?i)IP1=x"], ["x", "ip2-conv"]),
        (["--rename", r"ip(?=1)1=x"], ["x", "ip2-conv"]),
    ],
    ids=str,
)
def test_new_names_are_the_same_in_both_files(lenet: CommandLine, options: list[str], names: list[str]) -> None:
    assert named(lenet, *options) == names


def test_readers_follow_new_names(lenet: CommandLine) -> None:
    lenet.converts("net.prototxt", "--rename", "ip2=score")
    assert written(lenet)["prob"].bottom == ["score"]
    assert (written(lenet)["relu1"].bottom, written(lenet)["relu1"].top) == (["ip1-conv"], ["ip1-conv"])


def test_kept_names_change_types_only(lenet: CommandLine) -> None:
    lenet.converts("net.prototxt", "--names", "keep")
    before, after = layers(lenet.read("net.prototxt")), written(lenet)
    assert list(before) == list(after)
    assert [name for name in before if before[name] != after[name]] == ["ip1", "ip2"]


# ---- Which layers ----


@pytest.mark.parametrize(
    ("options", "converted"),
    [
        (["--only", "*"], ["ip1", "ip2"]),
        (["--only", "ip1"], ["ip1"]),
        (["--only", "ip1", "--only", "ip2"], ["ip1", "ip2"]),
        (["--skip", "ip2"], ["ip1"]),
        (["--skip", "?p?"], []),
        (["--only", "*", "--skip", "*2"], ["ip1"]),
    ],
    ids=str,
)
def test_only_and_skip(lenet: CommandLine, options: list[str], converted: list[str]) -> None:
    found = lenet.converts("net.prototxt", "net.caffemodel", "--json", *options).document
    assert [each["layer"] for each in found["converted"]] == converted
    left = {"ip1", "ip2"} - set(converted)
    assert {each["layer"]: each["reason"] for each in found["left_alone"]} == dict.fromkeys(
        left, "left unchanged as asked"
    )
    kept = {name: shapes for name, shapes in lenet.blobs("net_fcn.caffemodel").items() if name in left}
    assert all(len(shapes[0]) == 2 for shapes in kept.values()) and set(kept) == left


def test_strict_fails_on_what_is_left_but_not_on_what_was_asked(cli: CommandLine) -> None:
    cli.write(net=data() + fc("a", "data", 3) + fc("b", "data", 3, "axis: 2"))
    assert "left unchanged:\n  b  works along axis 2" in cli.converts("net.prototxt").err
    message = cli.refuses("net.prototxt", "--strict", "--force")
    assert "--strict" in message and "b: works along axis 2" in message
    cli.converts("net.prototxt", "--strict", "--skip", "b", "--force")


def test_global_pooling(cli: CommandLine) -> None:
    pooling = layer("pool", "Pooling", "data", params="pooling_param { pool: AVE global_pooling: true }")
    cli.write(net=data(shape="1 2 7 7") + pooling + fc("fc", "pool", 3))
    cli.converts("net.prototxt")
    window = written(cli)["pool"].pooling_param
    assert (window.kernel_size, window.global_pooling, window.stride) == (7, False, 1)
    cli.converts("net.prototxt", "--global-pooling", "keep", "--force")
    assert written(cli)["pool"].pooling_param.global_pooling is True
    assert written(cli)["fc-conv"].type == "Convolution"


# ---- Sizes, shapes, phases ----


def test_input_size_is_written(lenet: CommandLine) -> None:
    lenet.converts("net.prototxt", "--input-size", "40x50")
    assert written(lenet)["data"].input_param.shape[0].dim == [1, 1, 40, 50]
    lenet.converts("net.prototxt", "--input-size", "64", "--force")
    assert written(lenet)["data"].input_param.shape[0].dim == [1, 1, 64, 64]


IMAGES = layer("data", "Data", "", "data label", "data_param { batch_size: 4 }")


def test_input_shape_tells_what_the_files_leave_out(cli: CommandLine) -> None:
    cli.write(net=IMAGES + fc("fc", "data", 3))
    assert "give it with --input-shape data=N,C,H,W" in cli.refuses("net.prototxt")
    cli.converts("net.prototxt", "--input-shape", "data=4,3,9,11")
    converted = written(cli)["fc-conv"].convolution_param
    assert (converted.kernel_h, converted.kernel_w) == (9, 11)


def test_the_weights_tell_what_the_prototxt_leaves_out(cli: CommandLine) -> None:
    crop = layer("data", "Data", "", "data label", "transform_param { crop_size: 6 }")
    cli.write(net=crop + fc("fc", "data", 3))
    cli.write(net=trained(("fc", "InnerProduct", [(3, 72), (3,)])))
    found = cli.converts("net.prototxt", "net.caffemodel", "--json").document
    assert found["converted"][0]["input"] == [2, 6, 6]


def test_an_input_shape_that_contradicts_the_file_does_not_make_a_net_that_cannot_be_built(cli: CommandLine) -> None:
    """The file says 8×10; a kernel for a 9×12 input would not fit into it."""
    cli.write(net=data(shape="1 2 8 10") + fc("fc", "data", 3))
    assert "data" in cli.refuses("net.prototxt", "--input-shape", "data=1,2,9,12")


def test_shape_tells_what_an_unknown_layer_makes(cli: CommandLine) -> None:
    cli.write(net=data() + layer("odd", "Oddity", "data") + fc("fc", "odd", 3))
    cli.converts("net.prototxt", "--shape", "odd=1,4,5,6")
    converted = written(cli)["fc-conv"].convolution_param
    assert (converted.kernel_h, converted.kernel_w) == (5, 6)


def crop(phase: str, size: int) -> str:
    rules = f"include {{ phase: {phase} }} transform_param {{ crop_size: {size} mean_value: [1, 2, 3] }}"
    return layer("data", "Data", "", "data label", rules)


HEAD = (
    fc("fc", "data", 5)
    + layer("loss", "SoftmaxWithLoss", "fc label", params="include { phase: TRAIN }")
    + layer("accuracy", "Accuracy", "fc label", params="include { phase: TEST }")
)


def test_a_train_val_net_converts_as_one_file(cli: CommandLine) -> None:
    cli.write(net=crop("TRAIN", 6) + crop("TEST", 6) + HEAD)
    cli.write(net=trained(("data", "Data", []), ("fc", "InnerProduct", [(5, 108), (5,)]), ("loss", "Loss", [])))
    result = cli.converts("net.prototxt", "net.caffemodel")
    assert "net.prototxt: 1 InnerProduct becomes a Convolution, called NAME-conv\n" in result.err
    after = written(cli)
    assert after["loss"].bottom[0] == after["accuracy"].bottom[0] == "fc-conv"
    assert cli.blobs("net_fcn.caffemodel") == {"fc-conv": [(5, 3, 6, 6), (5,)]}


@pytest.mark.parametrize("phase", ["train", "TEST"])
def test_phase_decides_where_the_phases_disagree(cli: CommandLine, phase: str) -> None:
    cli.write(net=crop("TRAIN", 6) + crop("TEST", 7) + HEAD)
    message = cli.refuses("net.prototxt")
    assert "'fc'" in message and "--phase" in message
    cli.converts("net.prototxt", "--phase", phase)
    assert written(cli)["fc-conv"].convolution_param.kernel_size == [6 if phase == "train" else 7]


def test_stages_and_levels_choose_layers(cli: CommandLine) -> None:
    cli.write(
        net=data()
        + fc("always", "data", 2)
        + fc("staged", "data", 2, params='include { stage: "a" stage: "b" }')
        + fc("high", "data", 2, params="include { min_level: 2 }")
        + fc("low", "data", 2, params="include { max_level: -1 }")
    )

    def converted(*options: str) -> list[str]:
        found = cli.converts("net.prototxt", "--dry-run", "--json", *options).document
        return [each["layer"] for each in found["converted"]]

    assert converted() == ["always"]
    assert converted("--stage", "a", "--stage", "b") == ["always", "staged"]
    assert converted("--stage", "a") == ["always"]
    assert converted("--level", "2") == ["always", "high"]
    assert converted("--level", "-1") == ["always", "low"]


# ---- Size ----


@pytest.mark.slow
def test_a_net_of_ten_thousand_layers(cli: CommandLine) -> None:
    relus = [layer(f"r{i}", "ReLU", f"r{i - 1}" if i else "data") for i in range(10_000)]
    cli.write(net=data() + "".join(relus) + fc("fc", "r9999", 3))
    cli.converts("net.prototxt")
    assert cli.read("net_fcn.prototxt").count("ReLU") == 10_000


def test_an_input_size_that_a_decoder_does_not_take_names_sizes_that_fit(cli: CommandLine) -> None:
    """In convert and inspect; whole nets are tried, and one of the sizes named is converted to."""
    half = layer("p", "Pooling", "data", "p", "pooling_param { pool: MAX kernel_size: 4 stride: 4 }")
    up = layer("up", "Deconvolution", "p", "up", "convolution_param { num_output: 3 kernel_size: 4 stride: 4 }")
    cli.write(net=data(shape="1 3 16 16") + half + up + layer("join", "Eltwise", "up data"))
    told = "the net takes heights and widths that are multiples of 4, such as 16x20 and 20x24"
    assert told in cli.refuses("net.prototxt", "--input-size", "18x22")
    assert told in cli.run("inspect", "net.prototxt", "--input-size", "18x22").err
    cli.converts("net.prototxt", "--input-size", "20x24")


@pytest.mark.thorough
def test_a_finer_map_is_written_and_proven(lenet: CommandLine) -> None:
    pytest.importorskip("onnxruntime")
    document = lenet.converts("net.prototxt", "net.caffemodel", "--stride", "2", "--json", "--verify").document
    assert [each["layer"] for each in document["atrous"]] == ["pool2", "ip1-conv"]
    assert document["atrous"][1]["dilation"] == [2, 2] and document["verification"]["holds"]
    assert written(lenet)["ip1-conv"].convolution_param.dilation == [2]
    made = schema.NetParameter.FromString((lenet.path / "net_fcn.caffemodel").read_bytes())
    (header,) = (each for each in made.layer if each.name == "ip1-conv")
    assert header.convolution_param.dilation == [2] and header.convolution_param.kernel_size == [4]


def test_input_channels_in_text_caffemodel_and_hdf5(cli: CommandLine) -> None:
    net = model_of(data(shape="1 3 6 6") + conv("a", "data", 2)).net
    net.layer[1].blobs.add(data=range(54), shape={"dim": [2, 3, 3, 3]})
    net.layer[1].blobs.add(data=[1, 2], shape={"dim": [2]})
    cli.write(net=data(shape="1 3 6 6") + conv("a", "data", 2))
    cli.write(net=net.SerializeToString())
    result = cli.converts("net.prototxt", "net.caffemodel", "--input-channels", "1", "-o", "a", "-w", "a.caffemodel")
    assert "  data  input of 1 channel\n  a     2×3×3×3 → 2×1×3×3, planes summed\n" in result.err
    cli.converts("net.caffemodel", "--input-channels", "1", "-o", "b", "-w", "b.caffemodel.h5")
    for text, weights in (("a", "a.caffemodel"), ("b", "b.caffemodel.h5")):
        filters, bias = open_model(text, weights).tensors["a"]
        assert filters.read(0, 18).tolist() == [*range(27, 54, 3), *range(108, 135, 3)]
        assert bias.read(0, 2).tolist() == [1, 2]
    assert "dim: 1 dim: 1 dim: 6 dim: 6" in cli.read("a")


def test_input_channels_that_are_refused(cli: CommandLine) -> None:
    cli.write(net=data(shape="1 3 6 6") + conv("a", "data", 2))
    assert "expected more than the 3 channels of 'data'" in cli.refuses("net.prototxt", "--input-channels", "2")
    assert "0 is not in the range" in cli.rejects("net.prototxt", "--input-channels", "0")
    with pytest.raises(ValueError, match="input_channels: expected at least 1, found 0"):
        caffe_fcn.open("net.prototxt").convolutionalize(input_channels=0)


@pytest.mark.thorough
@pytest.mark.parametrize("channels", ["1", "5"])
def test_other_channels_are_proven_as_a_new_function(cli: CommandLine, channels: str) -> None:
    pytest.importorskip("onnxruntime")
    text = data(shape="1 3 6 6") + conv("a", "data", 2) + fc("b", "a", 2)
    net = model_of(text).net
    for each, shapes in zip(net.layer[1:], ([(2, 3, 3, 3), (2,)], [(2, 32), (2,)]), strict=True):
        for shape in shapes:
            each.blobs.add(data=[0.1 * place % 1 for place in range(math.prod(shape))], shape={"dim": shape})
    cli.write(net=text)
    cli.write(net=net.SerializeToString())
    options = ("--input-channels", channels, "--json", "--verify")
    found = cli.converts("net.prototxt", "net.caffemodel", *options).document["verification"]
    assert found["claim"] == "new_function" and found["holds"]
    made = schema.NetParameter.FromString((cli.path / "net_fcn.caffemodel").read_bytes())
    made.layer[1].blobs[0].data[1] += 0.25
    cli.write(wrong=made.SerializeToString())
    pair = ("net.prototxt", "net.caffemodel", "net_fcn.prototxt")
    assert cli.run("verify", *pair, "net_fcn.caffemodel", "--claim", "new-function").code == 0
    assert cli.run("verify", *pair, "wrong.caffemodel", "--claim", "new-function").code == 1
    caffe_fcn.convert(*pair[:2], "again.prototxt", "again.caffemodel", input_channels=int(channels), verify=True)
