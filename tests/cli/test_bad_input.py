"""Bad input: one clear message, the right exit code, and nothing written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from caffe_fcn import schema
from caffe_fcn.cli import main
from caffe_fcn.files.wire import encode_varint
from tests.cli.conftest import LENET, CommandLine, listing, trained
from tests.files.encodings import bytes_field
from tests.passes.nets import conv, data, fc, layer
from tests.paths import CASES

WEIGHTS = (LENET / "net.caffemodel").read_bytes()
NET = data() + fc("fc", "data", 5)
"""Its weights are 5×160."""


# ---- Not a net ----


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("Dear all,\nhere is the net.\n", ":1:6: ", "expected ':' or '{' after 'Dear'"),
        (NET + "=======\n", ":3:1: ", "a merge conflict marker"),
        ("import numpy as np\n", ":1:8: ", "expected"),
        ('layer { name: "fc type: }\n', ":1:15: ", 'expected a closing "'),
        ('layer {\n  name: "a"\n', ":3:1: ", "expected '}'"),
        ("layer { } }\n", ":1:11: ", "}"),
        ("layer {\n  name:\n}\n", ":3:1: ", "expected a value"),
        (NET + "layer { relu_param { negative_slope: steep } }\n", ":3:38: ", "negative_slope"),
        (NET + 'layer { name: "x" name2: }\n', ":3:26: ", "expected a value"),
        ('net: "train_val.prototxt"\nbase_lr: 0.01\n', ":1:1: ", "found no layers, and 'net' is not a field of a net"),
        (NET + 'layers { name: "a" type: RELU }\n', ":3:1: ", "mixes 'layer' and 'layers'"),
        (NET + "layer { " + "a { " * 5000 + "} " * 5000 + "}\n", ":3:", "nested levels, found more"),
        (fc("fc", "data", -1), ":1:", "num_output must be from 0 to 4294967295, found -1"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_errors_in_the_text_have_a_place(cli: CommandLine, text: str, place: str, expected: str) -> None:
    cli.write(net=text)
    message = cli.refuses("net.prototxt")
    assert message.startswith(f"net.prototxt{place}")
    assert expected in message


def test_a_syntax_error_shows_the_line_and_a_caret(cli: CommandLine) -> None:
    cli.write(net=data() + '\tlayer { name: "a" type }\n')
    result = cli.convert("net.prototxt")
    shown, caret = result.err.splitlines()[1:]
    assert shown == '   layer { name: "a" type }'
    assert shown[len(caret) - 1] == "}"


@pytest.mark.parametrize("text", ["", "\n \n", "\ufeff", "# nothing but this\n", 'name: "net"\n', 'input: "data"\n'])
def test_a_prototxt_without_layers(cli: CommandLine, text: str) -> None:
    cli.write(net=text)
    message = cli.refuses("net.prototxt")
    assert message.startswith("net.prototxt: expected a net, found ")
    assert ("an empty file" in message) == (text.strip("\ufeff \n") == "")


@pytest.mark.thorough
def test_swapped_arguments(lenet: CommandLine) -> None:
    assert lenet.refuses("net.caffemodel", "net.prototxt") == (
        "net.caffemodel: expected a prototxt (text), found a binary file; "
        "the arguments are swapped: give the prototxt first"
    )


def test_two_of_a_kind(lenet: CommandLine) -> None:
    for name in ("net.prototxt", "net.caffemodel"):
        shutil.copy(name, f"2{name}")
    assert "found a binary file; give the prototxt first" in lenet.refuses("net.caffemodel", "2net.caffemodel")
    message = lenet.rejects("net.prototxt", "2net.prototxt")
    assert "2net.prototxt is another net" in message and "--out-dir" in message
    shutil.copy("2net.prototxt", "2net.bin")
    message = lenet.refuses("net.prototxt", "2net.bin")
    assert message.startswith("2net.bin: expected a binary caffemodel, found text")


# ---- Not weights ----


def test_an_empty_caffemodel(lenet: CommandLine) -> None:
    lenet.write(w=b"")
    message = lenet.refuses("net.prototxt", "w.caffemodel")
    assert message == "w.caffemodel: expected a caffemodel, found an empty file; download it again"


@pytest.mark.parametrize("size", [2, 8, 40, 60, 100, 800, 900, 8226, 8300, 20_000, len(WEIGHTS) - 1])
def test_a_truncated_caffemodel(lenet: CommandLine, size: int) -> None:
    lenet.write(w=WEIGHTS[:size])
    alone = [["w.caffemodel"]] if size >= 800 else []  # fewer bytes may be anything
    for arguments in (["net.prototxt", "w.caffemodel"], *alone):
        message = lenet.refuses(*arguments)
        assert message.startswith("w.caffemodel: ")
        assert "the file is damaged or incomplete; download it again" in message
        assert "expected" in message and "found" in message and "offset" in message


HUGE = 2**62


def blob(shape: list[int], count: int) -> bytes:
    """A blob that says SHAPE and holds COUNT values."""
    values = b"\0" * (4 * count)
    dims = b"".join(encode_varint(extent) for extent in shape)
    return bytes_field(7, bytes_field(1, dims)) + bytes_field(5, values)


def model(*blobs: bytes) -> bytes:
    header = schema.LayerParameter(name="fc", type="InnerProduct").SerializeToString()
    return bytes_field(100, header + b"".join(bytes_field(7, each) for each in blobs))


LIES: dict[str, bytes] = {
    "a layer longer than the file": b"\xa2\x06" + encode_varint(HUGE) + WEIGHTS[40:400],
    "a blob longer than its layer": bytes_field(100, b"\x3a" + encode_varint(1000) + b"\0" * 20) + WEIGHTS,
    "values longer than their blob": model(bytes_field(7, b"\x0a\x01\x05") + b"\x2a" + encode_varint(HUGE)),
    "values that are no floats": model(b"\x2a\x07" + b"\0" * 7),
    "a shape of more values than there are": model(blob([5, 160], 799), blob([5], 5)),
    "a shape that overflows": model(blob([2**40, 2**40], 800), blob([5], 5)),
    "a negative extent": model(blob([2**64 - 5, 160], 800), blob([5], 5)),
    "a shape of too many axes": model(blob([1] * 40 + [800], 800), blob([5], 5)),
    "no values": model(blob([5, 160], 0), blob([5], 0)),
    "a length that never ends": b"\xa2\x06" + b"\xff" * 40,
}


@pytest.mark.parametrize("lie", LIES)
def test_a_caffemodel_whose_lengths_lie(cli: CommandLine, lie: str) -> None:
    cli.write(net=NET)
    cli.write(w=LIES[lie])
    message = cli.refuses("net.prototxt", "w.caffemodel")
    assert message.startswith("w.caffemodel: ")
    assert "expected" in message and "found" in message


@pytest.mark.parametrize(
    ("start", "found"),
    [
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!doctype html>\n", "a web page"),
    ],
)
def test_other_files_are_told_by_their_beginning(lenet: CommandLine, start: bytes, found: str) -> None:
    lenet.write(w=start + b"1234567890")
    message = lenet.refuses("net.prototxt", "w.caffemodel")
    assert message.startswith("w.caffemodel: ") and found in message


# ---- Files that cannot be read ----


def test_directories_as_inputs(lenet: CommandLine) -> None:
    (lenet.path / "dir").mkdir()
    for arguments in (["dir"], ["dir", "net.caffemodel"], ["net.prototxt", "dir"], ["."], ["/"]):
        message = lenet.refuses(*arguments)
        assert "directory" in message.lower()
        assert message.startswith((arguments[0], "dir: "))


def test_inputs_that_are_not_there(lenet: CommandLine) -> None:
    assert lenet.refuses("nope.prototxt").startswith("nope.prototxt: ")
    assert lenet.refuses("net.prototxt", "nope.caffemodel").startswith("nope.caffemodel: ")
    for name in ("nope.prototxt", "nope.caffemodel"):
        (lenet.path / name).symlink_to("nowhere")
    assert "No such file" in lenet.refuses("nope.prototxt")
    assert "No such file" in lenet.refuses("net.prototxt", "nope.caffemodel")


@pytest.mark.parametrize("arguments", [[""], ["net.prototxt", ""]], ids=str)
def test_an_empty_name(lenet: CommandLine, arguments: list[str]) -> None:
    before = listing(lenet.path)
    result = lenet.convert(*arguments)
    assert result.code in (1, 2)
    assert "defect" not in result.err
    assert listing(lenet.path) == before


@pytest.mark.parametrize("option", ["-o", "-w"])
def test_an_empty_name_of_an_output_is_not_the_default(lenet: CommandLine, option: str) -> None:
    """As from an unset variable of a shell script."""
    before = listing(lenet.path)
    assert lenet.convert("net.prototxt", "net.caffemodel", option, "").code in (1, 2)
    assert listing(lenet.path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything; the next test refuses in its place")
@pytest.mark.parametrize("name", ["net.prototxt", "net.caffemodel"])
def test_an_unreadable_file(lenet: CommandLine, name: str) -> None:
    (lenet.path / name).chmod(0)
    message = lenet.refuses("net.prototxt", "net.caffemodel")
    assert message.startswith(f"{name}: ") and "Permission denied" in message


def refusing(name: str, function: Callable[..., object]) -> Callable[..., object]:
    """FUNCTION, which opens files, but for the one called NAME."""

    def opened(path: object, *arguments: object, **options: object) -> object:
        if os.fspath(path) == name:  # type: ignore[call-overload]
            raise PermissionError(13, "Permission denied", name)
        return function(path, *arguments, **options)

    return opened


def test_a_prototxt_that_may_not_be_read(lenet: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.open", refusing("net.prototxt", open))
    message = lenet.refuses("net.prototxt", "net.caffemodel")
    assert message.startswith("net.prototxt: ") and "Permission denied" in message


def test_weights_that_may_not_be_read(lenet: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", refusing("net.caffemodel", os.open))
    message = lenet.refuses("net.prototxt", "net.caffemodel")
    assert message.startswith("net.caffemodel: ") and "Permission denied" in message


def test_weights_from_a_named_pipe_are_not_waited_for(lenet: CommandLine) -> None:
    os.mkfifo("pipe")
    assert lenet.refuses("net.prototxt", "pipe", "-w", "w") == (
        "pipe: expected a caffemodel, found a pipe or a device; save it to a file first"
    )


# ---- Files that cannot be written ----


def test_a_directory_as_output(lenet: CommandLine) -> None:
    (lenet.path / "dir").mkdir()
    for option, name in (("-o", "dir"), ("-w", "dir"), ("-o", "dir/"), ("-w", "new/"), ("-o", ".")):
        for force in ([], ["--force"]):
            message = lenet.refuses("net.prototxt", "net.caffemodel", option, name, *force)
            assert message == f"{name}: expected a file name, found a directory; add a file name"


@pytest.mark.parametrize("option", ["-o", "-w"])
def test_an_output_directory_that_does_not_exist(lenet: CommandLine, option: str) -> None:
    message = lenet.refuses("net.prototxt", "net.caffemodel", option, "no/where/it", "--force")
    assert message == "no/where/it: the directory no/where does not exist; create it first"


def test_an_output_below_a_file(lenet: CommandLine) -> None:
    assert "net.caffemodel/x" in lenet.refuses("net.prototxt", "-o", "net.caffemodel/x")


@pytest.mark.parametrize("option", ["-o", "-w"])
def test_an_output_directory_that_may_not_be_written(
    lenet: CommandLine, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lenet.path / "dir").mkdir(0o555)
    if os.geteuid() == 0:  # root may write everywhere
        access = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "dir" and access(path, mode))
    message = lenet.refuses("net.prototxt", "net.caffemodel", option, "dir/it")
    assert message.startswith("dir/it: the directory ") and "not writable; choose another place" in message


@pytest.mark.parametrize(("option", "value"), [("-o", "net.prototxt"), ("-w", "net.caffemodel")])
@pytest.mark.parametrize("force", [[], ["--force"]], ids=["", "force"])
@pytest.mark.parametrize("how", ["same", "path", "symlink", "hardlink", "other"])
def test_an_output_that_is_an_input(lenet: CommandLine, option: str, value: str, force: list[str], how: str) -> None:
    name = {"path": f"../{lenet.path.name}/{value}", "symlink": "link", "hardlink": "link"}.get(how, value)
    if how == "other":  # the prototxt's output over the weights, and the other way round
        option = {"-o": "-w", "-w": "-o"}[option]
        (lenet.path / "link").symlink_to(value)  # its own name is one of another kind
        name = "link"
    elif how == "symlink":
        (lenet.path / "link").symlink_to(value)
    elif how == "hardlink":
        os.link(value, "link")
    message = lenet.refuses("net.prototxt", "net.caffemodel", option, name, *force)
    assert message == f"{name}: the output is the same file as the input {value}; choose another name"


@pytest.mark.parametrize("option", ["-o", "-w"])
def test_the_input_alone_is_not_overwritten_either(lenet: CommandLine, option: str) -> None:
    os.link("net.caffemodel", "link")
    message = lenet.refuses("net.caffemodel", option, "link", "--force")
    assert "the same file as the input" in message


def test_the_default_output_that_links_to_the_input_is_not_overwritten(lenet: CommandLine) -> None:
    (lenet.path / "net_fcn.caffemodel").symlink_to("net.caffemodel")
    assert "same file" in lenet.refuses("net.caffemodel", "--force")
    (lenet.path / "net_fcn.prototxt").symlink_to("net.prototxt")
    assert "same file" in lenet.refuses("net.prototxt", "--force")


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["", "force"])
def test_one_file_for_both_outputs(lenet: CommandLine, force: list[str]) -> None:
    assert "the same file as the output" in lenet.refuses(
        "net.prototxt", "net.caffemodel", "-o", "out", "-w", "./out", *force
    )
    # the default name of the weights, which is known only when the file turns out to be a caffemodel
    (lenet.path / "link").symlink_to("net_fcn.caffemodel")
    message = lenet.refuses("net.caffemodel", "-o", "link", "--force")
    assert "the same file as the output" in message


@pytest.mark.parametrize("taken", ["net_fcn.prototxt", "net_fcn.caffemodel"])
def test_an_output_that_exists(lenet: CommandLine, taken: str) -> None:
    (lenet.path / taken).write_bytes(b"mine")
    for arguments in (["net.prototxt", "net.caffemodel"], ["net.caffemodel"]):
        message = lenet.refuses(*arguments)
        assert message == f"{taken}: already exists; overwrite it with --force or choose another name"


def test_an_output_that_exists_as_a_dangling_link(lenet: CommandLine) -> None:
    (lenet.path / "net_fcn.prototxt").symlink_to("nowhere")
    assert "already exists" in lenet.refuses("net.prototxt")


def test_a_name_that_is_too_long(lenet: CommandLine) -> None:
    assert "too long" in lenet.refuses("net.prototxt", "-o", "x" * 300)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_device_that_is_full(lenet: CommandLine) -> None:
    message = lenet.refuses("net.prototxt", "net.caffemodel", "-w", "/dev/full")
    assert message.startswith("/dev/full: the disk is full: 34,551 bytes are needed")
    assert lenet.refuses("net.prototxt", "-o", "/dev/full").startswith("/dev/full: the disk is full")


# ---- Nets that cannot be converted ----


def test_an_unknown_layer_type_on_the_way_to_an_inner_product(cli: CommandLine) -> None:
    cli.write(net=data() + layer("odd", "Oddity", "data", "x") + layer("r", "ReLU", "x") + fc("fc", "r", 3))
    message = cli.refuses("net.prototxt")
    assert message.startswith("net.prototxt: layer 'fc' needs the shape of its input 'r'")
    assert "layer 'odd'" in message and '"Oddity"' in message and message.endswith("--shape x=N,C,H,W")


def test_an_unknown_layer_type_elsewhere_does_not_matter(cli: CommandLine) -> None:
    cli.write(net=NET + layer("odd", "Oddity", "data"))
    cli.converts("net.prototxt")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (data() + fc("fc", "nowhere", 3), 'layer "fc" needs the blob "nowhere", which no layer makes'),
        (data() + fc("fc", "dta", 3), 'did you mean "data"?'),
        (data() + layer("a", "ReLU", "b") + layer("b", "ReLU", "a"), "out of order or form a cycle"),
        (data() + layer("a", "Eltwise", "data a"), "the layers form a cycle"),
        (data() + layer("a", "ReLU", "data", "x") + layer("b", "ReLU", "data", "x"), "already makes it"),
    ],
    ids=["missing", "misspelt", "cycle", "self", "twice"],
)
def test_nets_that_caffe_could_not_build(cli: CommandLine, text: str, expected: str) -> None:
    cli.write(net=text)
    message = cli.refuses("net.prototxt")
    assert message.startswith("net.prototxt: ") and expected in message


@pytest.mark.parametrize("command", ["convert", "inspect", "check", "upgrade"])
@pytest.mark.parametrize("case", ["newline_name", "newline_type"])
def test_names_with_line_breaks_do_not_begin_a_line(cli: CommandLine, command: str, case: str) -> None:
    shutil.copy(CASES / f"{case}.prototxt", cli.path / "net.prototxt")
    result = cli.run(command, "net.prototxt")
    lines = (result.err + result.out.decode()).splitlines()
    assert lines and not [line for line in lines if line.startswith(("FAKE", "caffe-fcn: ok"))]


def test_an_error_that_quotes_line_breaks_is_one_line(cli: CommandLine) -> None:
    shutil.copy(CASES / "newline_name.prototxt", cli.path / "net.prototxt")
    assert 'layer "x?FAKE: all is well" needs the blob "zz?caffe-fcn: ok"' in cli.refuses("net.prototxt")


def window(kind: str, params: str) -> str:
    field = "pooling_param" if kind == "Pooling" else "convolution_param"
    return data() + layer("odd", kind, "data", params=f"{field} {{ {params} }}") + fc("fc", "odd", 3)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (window("Convolution", "num_output: 3 kernel_size: 0"), "odd"),
        (window("Convolution", "num_output: 3"), "odd"),
        (window("Convolution", "num_output: 0 kernel_size: 1"), "odd"),
        (window("Convolution", "num_output: 3 kernel_size: 3 stride: 0"), "odd"),
        (window("Convolution", "num_output: 3 kernel_size: 99"), "odd"),
        (window("Convolution", "num_output: 3 kernel_size: 3 group: 0"), "odd"),
        (window("Convolution", "num_output: 4294967295 kernel_size: 1 pad: 4294967295"), "odd"),
        (window("Pooling", "kernel_size: 2 stride: 0"), "odd"),
        (window("Pooling", "kernel_size: 0"), "odd"),
        (data(shape="1 2 -8 10") + fc("fc", "data", 3), "data"),
        (data(shape="1 2 0 10") + fc("fc", "data", 3), '"fc"'),
        (data(shape="1 2 9223372036854775807 9") + fc("fc", "data", 3), "data"),
        (data(shape="1 1 2000000000 2000000000") + fc("fc", "data", 3), "data"),
        (data(shape="1 " * 40) + fc("fc", "data", 3), "data"),
        (data() + fc("fc", "data", 0), '"fc"'),
        (data() + fc("fc", "data", 4294967295), '"fc"'),
        (data() + fc("fc", "data", 3, "axis: 9"), '"fc"'),
        (data() + layer("fc", "InnerProduct", "data", "", "inner_product_param { num_output: 3 }"), '"fc"'),
        (data() + layer("fc", "InnerProduct", "data", "a b", "inner_product_param { num_output: 3 }"), '"fc"'),
        (data() + layer("fc", "InnerProduct", "data data", "a", "inner_product_param { num_output: 3 }"), '"fc"'),
        (data() + layer("fc", "InnerProduct", "", "a", "inner_product_param { num_output: 3 }"), '"fc"'),
        (NET + layer("s", "Softmax", "fc", "a b"), '"s"'),
        (NET + layer("s", "Softmax", "fc", ""), '"s"'),
        (NET + layer("s", "Squeeze", "fc", ""), '"s"'),
    ],
    ids=lambda value: repr(value)[-60:] if len(value) > 9 else value,
)
def test_parameters_out_of_range(cli: CommandLine, text: str, named: str) -> None:
    cli.write(net=text)
    message = cli.refuses("net.prototxt")
    assert message.startswith("net.prototxt: layer ") and named in message
    assert "-conv" not in message  # the reader has no such layer in his file


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e39"])
def test_numbers_that_are_none_do_not_matter_to_the_shapes(cli: CommandLine, value: str) -> None:
    power = layer("p", "Power", "data", params=f"power_param {{ scale: {value} }}")
    cli.write(net=data() + power + fc("fc", "p", 3))
    cli.converts("net.prototxt")
    assert value in cli.read("net_fcn.prototxt")


def test_an_inner_product_in_place_on_the_input(cli: CommandLine) -> None:
    """Its top is a new version of the blob, whose shape is not the input's, though the name is."""
    head = layer("fc", "InnerProduct", "data", "data", "inner_product_param { num_output: 3 }")
    cli.write(net=data() + head)
    cli.converts("net.prototxt", "--names", "keep")


# ---- Weights of another net ----


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (trained(("ip", "InnerProduct", [(5, 160), (5,)])), "none of the layers of this file (ip) is in the net"),
        (trained(("fc", "InnerProduct", [(5, 161), (5,)])), "blob 0: expected 800 values (5×160), found 805 (5×161)"),
        (trained(("fc", "InnerProduct", [(6, 160), (6,)])), "blob 0: expected 800 values (5×160), found 960 (6×160)"),
        (trained(("fc", "InnerProduct", [(160, 5), (5,)])), "blob 0: expected 5×160, found 160×5"),
        (trained(("fc", "InnerProduct", [(5, 160)])), "expected 2 blobs (5×160, 5), found 1 (5×160)"),
        (trained(("fc", "InnerProduct", [(5, 160), (7,)])), "blob 1: expected 5 values (5), found 7 (7)"),
        (trained(("fc", "Convolution", [(5, 2, 8, 10), (5,)])), "a converted net"),
        (trained(("fc", "InnerProduct", [])), "found layers without any blobs"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_weights_of_another_net(cli: CommandLine, weights: bytes, expected: str) -> None:
    cli.write(net=NET)
    cli.write(w=weights)
    message = cli.refuses("net.prototxt", "w.caffemodel")
    assert message.startswith("w.caffemodel: ") and expected in message


def test_weights_that_do_not_suit_a_layer_that_stays(cli: CommandLine) -> None:
    cli.write(net=data() + conv("c", "data", 3, 1) + fc("fc", "c", 5))
    cli.write(w=trained(("c", "Convolution", [(3, 4, 1, 1), (3,)]), ("fc", "InnerProduct", [(5, 240), (5,)])))
    message = cli.refuses("net.prototxt", "w.caffemodel")
    assert message.startswith(
        'w.caffemodel: layer "c" (Convolution), blob 0: expected 6 values (3×2×1×1), found 12 (3×4×1×1)'
    )


def test_weights_that_hold_the_new_name_already(cli: CommandLine) -> None:
    """The disk is not to blame, and it can be told before 5 GB are copied."""
    cli.write(net=NET)
    cli.write(w=trained(("fc", "InnerProduct", [(5, 160), (5,)]), ("fc-conv", "Convolution", [(2, 2)])))
    message = cli.refuses("net.prototxt", "w.caffemodel")
    assert message.startswith("w.caffemodel: ") and "'fc-conv'" in message
    assert "--suffix" in message and "disk" not in message


# ---- Usage ----


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "Missing argument 'NET [WEIGHTS] ...'"),
        (["a", "b", "c"], "found 3 files; for several nets give --out-dir"),
        (["-", "-"], "only one of NET and WEIGHTS can come from stdin"),
        (["net.prototxt", "-"], "with -w"),
        (["net.prototxt", "net.caffemodel", "-o", "-", "-w", "-"], "only one of -o and -w can go to stdout"),
        (["net.prototxt", "-w", "new.caffemodel"], "-w needs WEIGHTS"),
        (["net.prototxt", "--json", "--diff"], "choose one"),
        (["net.prototxt", "--json", "-o", "-"], "name a file"),
        (["net.prototxt", "net.caffemodel", "--diff", "-w", "-"], "name a file"),
        (["net.prototxt", "--wrong"], "No such option"),
        (["net.prototxt", "--phase", "both"], "--phase"),
        (["net.prototxt", "--names", "short"], "--names"),
        (["net.prototxt", "--global-pooling", "drop"], "--global-pooling"),
        (["net.prototxt", "--level", "high"], "--level"),
        (["net.prototxt", "--level", "99999999999"], "--level"),
        (["net.prototxt", "--input-size", "0x9"], "expected HxW"),
        (["net.prototxt", "--input-size", "9x"], "expected HxW"),
        (["net.prototxt", "--input-size", "-9x9"], "expected HxW"),
        (["net.prototxt", "--input-size", "9999999x9"], "expected HxW"),
        (["net.prototxt", "--input-shape", "data"], "expected BLOB=N,C,H,W"),
        (["net.prototxt", "--input-shape", "=1,2"], "expected BLOB=N,C,H,W"),
        (["net.prototxt", "--shape", "data=1,0"], "expected BLOB=N,C,H,W"),
        (["net.prototxt", "--shape", "data=1,-1"], "expected BLOB=N,C,H,W"),
        (["net.prototxt", "--shape", "data=1.5"], "expected BLOB=N,C,H,W"),
        (["net.prototxt", "--rename", "fc"], "is not PATTERN=REPLACEMENT"),
        (["net.prototxt", "--rename", "=a"], "is not PATTERN=REPLACEMENT"),
        (["net.prototxt", "--rename", "a="], "is not PATTERN=REPLACEMENT"),
        (["net.prototxt", "--rename", "fc(=a"], "unterminated"),
        (["net.prototxt", "--rename", r"fc(.)=\2"], "invalid group reference"),
        (["net.prototxt", "--rename", r"fc=\g<no>"], "no"),
        (["net.prototxt", "--rename", "fc=\\"], "bad escape"),
        (["net.prototxt", "--suffix", "\udcff"], "--suffix"),
        (["net.prototxt", "--stage", "\udcff"], "--stage"),
        (["net.prototxt", "--rename", "ip1=\udcff"], "--rename"),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_wrong_usage(lenet: CommandLine, arguments: list[str], expected: str) -> None:
    last = lenet.rejects(*arguments)
    assert last.startswith("Error: ") and expected in last


def test_a_caffemodel_alone_from_stdin_needs_a_name(lenet: CommandLine) -> None:
    result = lenet.convert("-", stdin=WEIGHTS)
    assert result.code == 2 and "name the new one with -w" in result.err


def test_no_command_and_an_unknown_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([]) == 2
    assert "convert" in capsys.readouterr().err
    assert main.run(["covert"]) == 2
    assert "No such command 'covert'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--only", "fc9"], "no InnerProduct has the name 'fc9'; the net has: ip1, ip2"),
        (["--skip", "conv1"], "no InnerProduct has the name 'conv1'; the net has: ip1, ip2"),
        (["--only", ""], "no InnerProduct has the name ''"),
        (["--input-shape", "nowhere=1,2"], "'nowhere', but the net has no such blob"),
        (["--shape", "nowhere=1,2"], "'nowhere', but the net has no such blob"),
        (["--input-size", "5x5"], "--input-size 5x5 does not suit"),
        (["--input-size", "40x40x40"], "no input with 3 spatial axes"),
        (["--input-size", "999999x999999"], "--input-size 999999x999999 does not suit"),
        (["--rename", "ip.=same"], "'ip1' and 'ip2' would both become 'same'; correct the rules of --rename"),
        (["--rename", "ip1=conv1"], "'ip1' would become 'conv1'"),
        (["--rename", r"ip1(x)?=\1"], "would have an empty name"),
    ],
    ids=str,
)
def test_options_that_do_not_suit_the_net(lenet: CommandLine, options: list[str], expected: str) -> None:
    message = lenet.refuses("net.prototxt", *options)
    assert message.startswith("net.prototxt: ") and expected in message


# ---- Defects are told apart, and shown when asked for ----


def test_debugging_shows_where_an_error_comes_from(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.write(net="")
    monkeypatch.setenv("CAFFE_FCN_DEBUG", "1")
    result = cli.convert("net.prototxt")
    assert result.code == 1
    assert "Traceback" in result.err and result.err.splitlines()[-1].startswith("caffe-fcn: ")


def test_a_defect_is_called_one(lenet: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("of course")

    monkeypatch.setattr("caffe_fcn.passes.conversion.plan", fail)
    result = lenet.convert("net.prototxt")
    assert result.code == 1
    assert result.err == (
        "caffe-fcn: a defect of caffe-fcn (ZeroDivisionError: of course); "
        "please report it, with what CAFFE_FCN_DEBUG=1 shows\n"
    )
