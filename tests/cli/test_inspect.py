"""`caffe-fcn inspect`: what it prints where, its options, pipes, terminals, and every net of the corpus."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from caffe_fcn.cli import streams
from caffe_fcn.cli.main import run
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.source import Source
from tests.cli.conftest import Result, trained
from tests.net.nets import data, layer
from tests.paths import CASES, CORPUS, GOLDEN, ROOT

LENET = GOLDEN / "conversions" / "lenet"
FC = "inner_product_param { num_output: 5 }"
PAGE = """\
lenet  net.prototxt, current format, phase TEST
inputs   data 1×1×28×28

layer  type          bottoms  output     parameters     MACs    memory
──────────────────────────────────────────────────────────────────────
data   Input                  1×1×28×28           -        -   3.1 KiB
conv1  Convolution   data     1×6×24×24         156   86.4 k  13.5 KiB
pool1  Pooling       conv1    1×6×12×12           -        -   3.4 KiB
conv2  Convolution   pool1    1×12×8×8        1,812  115.2 k   3.0 KiB
pool2  Pooling       conv2    1×12×4×4            -        -     768 B
ip1    InnerProduct  pool2    1×32            6,176    6.1 k     128 B
relu1  ReLU          ip1      1×32                -        -  in place
ip2    InnerProduct  ip1      1×10              330      320      40 B
prob   Softmax       ip2      1×10                -        -      40 B
──────────────────────────────────────────────────────────────────────
total  9 layers                               8,474  208.1 k  23.9 KiB

8,474 parameters (33.1 KiB in single precision), 208,064 multiply-accumulates for a batch of 1
"""
CORPUS_NETS = sorted(path for path in CORPUS.glob("*/*") if path.suffix in (".prototxt", ".pt", ".pbtxt", ".txt"))


class Inspect:
    """`caffe-fcn inspect` in a directory."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[bytes]) -> None:
        self.path = path
        self._monkeypatch = monkeypatch
        self._capture = capture

    def run(self, *arguments: str | Path, stdin: bytes = b"") -> Result:
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self._capture.readouterr()
        code = run(["inspect", *map(str, arguments)])
        told = self._capture.readouterr()
        return Result(code, told.out, told.err.decode("utf-8"))

    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> str:
        """What a run prints that must succeed."""
        result = self.run(*arguments, stdin=stdin)
        assert result.code == 0, result.err
        return result.out.decode("utf-8")

    def fails(self, *arguments: str | Path, code: int = 1) -> str:
        """What a run tells that must fail."""
        result = self.run(*arguments)
        assert (result.code, result.out) == (code, b""), result.err
        assert "Traceback" not in result.err and "defect" not in result.err
        return result.err.splitlines()[-1]

    def write(self, name: str, text: str | bytes) -> None:
        (self.path / name).write_bytes(text.encode() if isinstance(text, str) else text)


@pytest.fixture
def inspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Inspect:
    """The command in a directory with net.prototxt and net.caffemodel, a LeNet."""
    monkeypatch.chdir(tmp_path)
    for name in ("COLUMNS", "CAFFE_FCN_DEBUG", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("net.prototxt", "net.caffemodel"):
        shutil.copy(LENET / name, tmp_path / name)
    return Inspect(tmp_path, monkeypatch, capfdbinary)


# ---- What is printed, and where ----


def test_a_page_on_stdout_and_nothing_on_stderr(inspect: Inspect) -> None:
    result = inspect.run("net.prototxt")
    assert (result.code, result.out.decode(), result.err) == (0, PAGE, "")


def test_weights_are_a_line_more(inspect: Inspect) -> None:
    first, inputs, *rest = PAGE.splitlines()
    weights = "weights  net.caffemodel, current format, float32, 33.7 KiB: for all 4 layers with parameters"
    assert inspect("net.prototxt", "net.caffemodel").splitlines() == [first, inputs, weights, *rest]


def test_a_caffemodel_alone(inspect: Inspect) -> None:
    lines = inspect("net.caffemodel").splitlines()
    assert lines[0] == "lenet  net.caffemodel, current format"
    assert lines[3:] == PAGE.splitlines()[2:]


def test_notes_go_to_stderr(inspect: Inspect) -> None:
    inspect.write("net.prototxt", layer("HDF5Data", "", "", "data\\033[31m", "h5"))
    result = inspect.run("net.prototxt")
    assert result.code == 0
    assert result.err == (
        "note: layer 'h5' does not define the shape of 'data\\x1b[31m': its shape is in an HDF5 file, not in the net; "
        "give it with --input-shape 'data?[31m=N,C,H,W'\n"
    )
    assert b"\x1b" not in result.out
    assert inspect.run("net.prototxt", "--json").err == ""


def test_notes_steer_no_terminal(inspect: Inspect) -> None:
    text = layer("Data", "transform_param { crop_size: 5 }", "", "da\\233[31mta", "db")
    inspect.write("net.prototxt", text.replace("\\233", "\\302\\233"))
    assert inspect.run("net.prototxt").err.startswith('note: blob "da?[31mta": the net does not define the channels')


def test_values(inspect: Inspect) -> None:
    lines = inspect("net.prototxt", "net.caffemodel", "--weights", "--layers", "ip2").splitlines()
    assert lines[4:] == [
        "layer  blob  shape    type     values       min      max       mean  deviation  zeros  NaN  Inf",
        "───────────────────────────────────────────────────────────────────────────────────────────────",
        "ip2       0  10×32    float32     320   -0.1784    0.143  -0.001059    0.04766      -    -    -",
        "ip2       1  10       float32      10  -0.08067  0.09609   0.007043    0.06338      -    -    -",
        "───────────────────────────────────────────────────────────────────────────────────────────────",
        "total        2 blobs              330",
    ]
    assert inspect("net.caffemodel", "--weights", "--layers", "ip2").splitlines()[4:] == lines[4:]


def test_geometry(inspect: Inspect) -> None:
    text = inspect("net.prototxt", "--geometry")
    assert (
        "\npool2  Pooling       conv2    1×12×4×4            -        -     768 B      16       4     7.5  yes\n"
        in text
    )


def test_input_size_and_shapes(inspect: Inspect) -> None:
    net = layer("Input", "", "", "data", "in") + layer(
        "Convolution", "convolution_param { num_output: 1 kernel_size: 3 }"
    )
    inspect.write("net.prototxt", net)
    shape = ("--input-shape", "data=2,3,8,8")
    assert "2×1×6×6" in inspect("net.prototxt", *shape)
    text = inspect("net.prototxt", *shape, "--input-size", "10x12")
    assert "2×1×8×10" in text
    assert "inputs   data 2×3×10×12 (--input-size 10x12)" in text


def test_phases(inspect: Inspect) -> None:
    inspect.write("net.prototxt", data(1, 3) + layer("Dropout", "include { phase: TRAIN }"))
    assert "phase TEST" in inspect("net.prototxt")
    assert "Dropout" not in inspect("net.prototxt")
    assert "Dropout" in inspect("net.prototxt", "--phase", "train")


def test_json(inspect: Inspect) -> None:
    found = json.loads(inspect("net.prototxt", "net.caffemodel", "--json", "--weights"))
    assert found["totals"]["parameters"] == sum(blob["values"] for blob in found["blobs"]) == 8474
    assert found["blobs"][0]["statistics"]["nan"] == 0
    assert found["weights"]["file"] == "net.caffemodel"


def test_csv(inspect: Inspect) -> None:
    lines = inspect("net.prototxt", "--csv").splitlines()
    assert len(lines) == 10
    assert lines[2] == "conv1,Convolution,data,conv1,1x6x24x24,no,156,0,86400,13824,6x1x5x5;6,"
    assert inspect("net.caffemodel", "--csv", "--weights").startswith(
        "layer,index,shape,dtype,values,bytes,min,max,mean,"
    )


# ---- Pipes and terminals ----


def test_stdin_is_the_net_or_the_weights(inspect: Inspect) -> None:
    net, weights = (LENET / "net.prototxt").read_bytes(), (LENET / "net.caffemodel").read_bytes()
    assert inspect("-", stdin=net) == PAGE.replace("net.prototxt", "<stdin>")
    assert "weights  <stdin>, " in inspect("net.prototxt", "-", stdin=weights)
    assert inspect("-", stdin=weights).startswith("lenet  <stdin>, current format\n")


def test_a_pipe_is_as_wide_as_columns_says(inspect: Inspect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "62")
    text = inspect("net.prototxt")
    assert "  bottoms " not in text and "left out because the output is too narrow: bottoms" in " ".join(text.split())
    for name, value in (("TERM", "dumb"), ("NO_COLOR", "1")):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            assert "\x1b" not in inspect("net.prototxt")
    assert max(map(len, text.splitlines())) <= 62
    monkeypatch.setenv("COLUMNS", "wide")
    assert inspect("net.prototxt") == PAGE


def test_a_terminal_has_colours_and_its_own_width(inspect: Inspect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_is_terminal", lambda: True)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *_, **__: os.terminal_size((62, 24)))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = inspect("net.prototxt")
    assert "\x1b[1mlenet  net.prototxt, current format, phase TEST\x1b[0m\n" in text
    assert "  bottoms " not in text and "left out because the output is too narrow: bottoms" in " ".join(text.split())
    for name, value in (("TERM", "dumb"), ("NO_COLOR", "1")):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            assert "\x1b" not in inspect("net.prototxt")


@pytest.mark.thorough
def test_a_reader_that_leaves_is_no_error(inspect: Inspect) -> None:
    net = ROOT / "models" / "googlenet.prototxt"
    script = f"'{sys.executable}' -m caffe_fcn inspect '{net}' --json | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith("{\n")


@pytest.mark.thorough
def test_only_headers_are_read_unless_values_are_asked_for(inspect: Inspect, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = Source.read

    def counted(source: Source, start: int, end: int) -> bytes:
        read.append(end - start)
        return original(source, start, end)

    inspect.write("net.prototxt", data(1, 3000) + layer("InnerProduct", "inner_product_param { num_output: 2000 }"))
    inspect.write("net.caffemodel", trained(("layer", "InnerProduct", [(2000, 3000), (2000,)])))
    monkeypatch.setattr(WeightFile, "read_values", pytest.fail)
    monkeypatch.setattr(Source, "read", counted)
    assert "6,002,000" in inspect("net.prototxt", "net.caffemodel")
    assert 0 < sum(read) < 20_000
    assert (inspect.path / "net.caffemodel").stat().st_size > 24_000_000


# ---- Errors ----


def test_wrong_usage(inspect: Inspect) -> None:
    assert "choose one" in inspect.fails("net.prototxt", "--json", "--csv", code=2)
    assert "choose one" in inspect.fails("net.prototxt", "net.caffemodel", "--geometry", "--weights", code=2)
    assert "--weights needs WEIGHTS" in inspect.fails("net.prototxt", "--weights", code=2)
    assert "only one of NET and WEIGHTS" in inspect.fails("-", "-", code=2)
    assert "empty" in inspect.fails("", code=2)
    assert "empty" in inspect.fails("net.prototxt", "", code=2)
    assert "expected HxW" in inspect.fails("net.prototxt", "--input-size", "big", code=2)
    assert "Missing argument" in inspect.fails(code=2)


def test_files_that_are_something_else(inspect: Inspect) -> None:
    assert inspect.fails("gone.prototxt") == "caffe-fcn: gone.prototxt: No such file or directory"
    assert "the arguments are swapped" in inspect.fails("net.caffemodel", "net.prototxt")
    inspect.write("bad.prototxt", "layer { name: }")
    result = inspect.run("bad.prototxt")
    assert (result.code, result.out) == (1, b"")
    assert result.err.startswith("caffe-fcn: bad.prototxt:1:15: ")
    inspect.write("bad.caffemodel", (LENET / "net.caffemodel").read_bytes()[:-100])
    assert inspect.fails("net.prototxt", "bad.caffemodel").startswith("caffe-fcn: bad.caffemodel: offset ")


def test_a_layer_that_there_is_not(inspect: Inspect) -> None:
    assert inspect.fails("net.prototxt", "--layers", "fc*") == (
        "caffe-fcn: net.prototxt: no layer has the name 'fc*'; "
        "expected one of: data, conv1, pool1, conv2, pool2, ip1, relu1, ip2, prob"
    )


def test_a_size_that_the_net_does_not_take(inspect: Inspect) -> None:
    assert inspect.fails("net.prototxt", "--input-size", "36") == (
        "caffe-fcn: net.prototxt: --input-size 36x36 does not suit the net: layer 'ip1' (InnerProduct) would need "
        "parameters of 32×432, but has 32×192; convert it first with `caffe-fcn convert`"
    )


def test_weights_of_another_net(inspect: Inspect) -> None:
    inspect.write("net.prototxt", data(1, 3) + layer("InnerProduct", FC, name="ip1"))
    assert 'layer "ip1" (InnerProduct), blob 0: expected 15 values' in inspect.fails("net.prototxt", "net.caffemodel")


# ---- Every net there is ----


@pytest.mark.slow
@pytest.mark.skipif(not CORPUS_NETS, reason=f"the corpus of real nets is not at {CORPUS}")
def test_every_net_of_the_corpus_is_shown_or_refused_in_one_line(
    inspect: Inspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    refused = []
    for net in CORPUS_NETS:
        result = inspect.run(net, "--geometry")
        assert b"\x1b" not in result.out and "defect" not in result.err
        if result.code:
            refused.append(net.name)
            assert result.out == b""
            assert result.err.startswith(f"caffe-fcn: {net}")
        else:
            assert result.out.count(b"\n") > 5
            assert all(line.startswith("note: ") for line in result.err.splitlines())
    assert len(CORPUS_NETS) > 250
    assert len(refused) <= 3, refused


@pytest.mark.parametrize("case", sorted(GOLDEN.glob("conversions/*/net.caffemodel")), ids=lambda path: path.parent.name)
def test_every_golden_net_beside_and_inside_its_weights(inspect: Inspect, case: Path) -> None:
    beside = json.loads(inspect(case.with_name("net.prototxt"), case, "--json", "--weights"))
    alone = json.loads(inspect(case, "--json", "--weights"))
    assert beside["blobs"] == alone["blobs"]
    assert beside["weights"]["missing"] == beside["weights"]["foreign"] == []
    stored = sum(blob["values"] for blob in beside["blobs"])
    assert beside["totals"]["parameters"] + beside["totals"]["statistics"] == stored


def test_an_input_of_one_pixel_has_a_height_and_a_width(inspect: Inspect) -> None:
    found = json.loads(inspect(CASES / "runtime_input.prototxt", "--input-size", "368x656", "--json"))
    assert found["inputs"] == {"image": [1, 3, 368, 656]}
    shapes = {layer["name"]: layer["tops"][0]["shape"] for layer in found["layers"]}
    assert shapes["l1"] == [1, 5, 92, 164]
