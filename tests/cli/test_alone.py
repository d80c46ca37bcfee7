"""A caffemodel without its prototxt, in every command: the contents of the files tell which is which."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from PIL import Image

import caffe_fcn
from caffe_fcn import schema
from caffe_fcn.net.source import read_net
from tests.cli.conftest import CommandLine, Result, the_message
from tests.paths import CASES, ROOT

DIGITS = ROOT / "models" / "digits"
NET, WEIGHTS = "permute.prototxt", "permute.caffemodel"
TRAIN = """
name: "train"
layer { name: "d" type: "Data" top: "data" top: "label" phase: TRAIN include { phase: TRAIN }
        data_param { source: "db" batch_size: 4 } transform_param { crop_size: 4 } }
layer { name: "data_d_0_split" type: "Split" bottom: "data" phase: TRAIN
        top: "data_d_0_split_0" top: "data_d_0_split_1" }
layer { name: "r" type: "ReLU" bottom: "data_d_0_split_0" top: "r" phase: TRAIN }
layer { name: "sum" type: "Eltwise" bottom: "data_d_0_split_1" bottom: "r" top: "sum" phase: TRAIN }
layer { name: "fc" type: "InnerProduct" bottom: "sum" top: "fc" phase: TRAIN inner_product_param { num_output: 3 }
        blobs { shape { dim: 3 dim: 48 } } blobs { shape { dim: 3 } data: 1 data: 2 data: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" phase: TRAIN }
"""


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    for name in (NET, WEIGHTS):
        shutil.copy(CASES / name, cli.path)
    net = text_format.Parse(TRAIN, schema.NetParameter())
    net.layer[4].blobs[0].data.extend(index * index % 7 - 3 for index in range(144))
    cli.write(train=net.SerializeToString())
    return cli


def done(cli: CommandLine, *arguments: str | Path, stdin: bytes = b"") -> Result:
    """A run that must succeed."""
    result = cli.run(*arguments, stdin=stdin)
    assert result.code == 0, result.err
    return result


@pytest.mark.thorough
def test_it_is_converted_as_the_pair_is(cli: CommandLine) -> None:
    """64 of the 72 weights were in another place when the order of the Permute was lost."""
    done(cli, "convert", WEIGHTS, "-o", "a.prototxt", "-w", "a.caffemodel", "--verify")
    done(cli, "convert", NET, WEIGHTS, "-o", "b.prototxt", "-w", "b.caffemodel")
    assert (cli.path / "a.caffemodel").read_bytes() == (cli.path / "b.caffemodel").read_bytes()
    assert read_net(cli.path / "a.prototxt").net == read_net(cli.path / "b.prototxt").net
    assert read_net(cli.path / "a.caffemodel").net == read_net(cli.path / "b.prototxt").net


@pytest.mark.thorough
@pytest.mark.parametrize(
    "files",
    [
        [WEIGHTS, "a.caffemodel"],
        [WEIGHTS, "a.prototxt", "a.caffemodel"],
        [NET, WEIGHTS, "a.caffemodel"],
        [NET, WEIGHTS, "a.prototxt", "a.caffemodel"],
    ],
)
def test_it_is_verified_alone_or_against_a_pair(cli: CommandLine, files: list[str]) -> None:
    done(cli, "convert", NET, WEIGHTS, "-o", "a.prototxt", "-w", "a.caffemodel")
    assert "is equivalent to" in done(cli, "verify", *files).out.decode()


@pytest.mark.parametrize(
    "files",
    [
        [WEIGHTS, NET],
        [WEIGHTS, NET, WEIGHTS, NET],
        [NET, WEIGHTS, "train.caffemodel", NET],
        [WEIGHTS, NET, NET, WEIGHTS],
        [NET, NET],
        [NET, WEIGHTS, NET],
        [NET, WEIGHTS],
        [WEIGHTS, WEIGHTS, WEIGHTS],
    ],
)
def test_two_nets_are_needed(cli: CommandLine, files: list[str]) -> None:
    result = cli.run("verify", *files)
    found = ", ".join(f"{file} ({'prototxt' if file == NET else 'weights'})" for file in files)
    expected = "expected two nets, each a prototxt before its weights or a caffemodel alone"
    assert result.code == 2 and result.err.endswith(f"Error: {expected}; found {found}\n")


def test_one_file_is_no_two_nets(cli: CommandLine) -> None:
    result = cli.run("verify", WEIGHTS)
    assert result.code == 2 and "expected two nets, each with its weights, found 1 file" in result.err


def test_it_is_shown_checked_and_exported(cli: CommandLine) -> None:
    assert b"Permute" in done(cli, "inspect", WEIGHTS).out
    assert done(cli, "check", WEIGHTS).err == (
        f"{WEIGHTS}: note: in layer 'perm': BVLC Caffe has no layer type 'Permute'\n"
    )
    assert done(cli, "check", "--json", WEIGHTS).document[0]["notes"][0]["line"] is None
    done(cli, "export", WEIGHTS, "-o", "alone.onnx", "-q")
    done(cli, "export", NET, WEIGHTS, "-o", "pair.onnx", "-q")
    alone, pair = (onnx.load(cli.path / name).graph for name in ("alone.onnx", "pair.onnx"))
    assert (list(alone.node), list(alone.initializer)) == (list(pair.node), list(pair.initializer))


def test_damage_is_told_and_the_others_are_checked(cli: CommandLine) -> None:
    (cli.path / "broken.caffemodel").write_bytes((cli.path / WEIGHTS).read_bytes()[:-1])
    result = cli.run("check", "broken.caffemodel", WEIGHTS)
    assert result.code == 1 and result.err.startswith("broken.caffemodel: error: offset 77: expected 358 bytes")


def test_the_net_inside_is_written_as_text(cli: CommandLine) -> None:
    result = done(cli, "upgrade", WEIGHTS, "inside.prototxt")
    assert "the net inside the caffemodel becomes a prototxt" in result.err
    assert read_net(cli.path / "inside.prototxt").net == read_net(cli.path / NET).net
    assert "  permute_param { order: 0 order: 2 order: 3 order: 1 }\n" in cli.read("inside.prototxt")


@pytest.mark.thorough
def test_pictures_are_told_from_weights(cli: CommandLine) -> None:
    net, picture = DIGITS / "digits", DIGITS / "scattered.png"
    options = "--resize", "net", "--scale", "0.00392157", "--json"
    pair = done(cli, "run", f"{net}.prototxt", f"{net}.caffemodel", picture, *options).document
    for words, stdin in (([f"{net}.caffemodel"], b""), (["-"], Path(f"{net}.caffemodel").read_bytes())):
        alone = done(cli, "run", *words, picture, *options, stdin=stdin).document
        assert alone["pictures"][0]["top"] == pair["pictures"][0]["top"]
    shutil.copy(picture, cli.path)
    assert len(done(cli, "run", f"{net}.caffemodel", ".", picture, *options).document["pictures"]) == 2


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ([WEIGHTS, NET, "x.png"], 1, "the arguments are swapped: give the prototxt first"),
        ([WEIGHTS, WEIGHTS, "x.png"], 1, "found a binary file; give the prototxt first"),
        ([NET, "x.png", "y.png"], 1, "x.png: expected a binary caffemodel, found a picture"),
        ([WEIGHTS], 2, "expected an IMAGE after NET, found nothing"),
        (["x.png", WEIGHTS], 2, "x.png is neither a prototxt nor weights; the order is NET [WEIGHTS] IMAGE..."),
        ([NET], 2, "expected WEIGHTS and an IMAGE after NET, found nothing"),
        ([NET, WEIGHTS], 2, f"expected WEIGHTS and an IMAGE after NET, found only {WEIGHTS}"),
        ([WEIGHTS, "-", "x.png"], 1, "the arguments are swapped"),
    ],
)
def test_what_is_not_given_to_run(cli: CommandLine, words: list[str], code: int, expected: str) -> None:
    shutil.copy(DIGITS / "scattered.png", cli.path / "x.png")
    result = cli.run("run", *words, stdin=(cli.path / NET).read_bytes())
    assert result.code == code and expected in result.err, result.err


@pytest.mark.thorough
def test_a_net_as_it_was_trained_is_of_use(cli: CommandLine) -> None:
    """Its data become an input, its loss the Softmax in it, the copies that Caffe made go, and so does the phase."""
    done(cli, "convert", "train.caffemodel", "--verify")
    assert "Split" not in cli.read("train_fcn.prototxt") and "TRAIN" not in cli.read("train_fcn.prototxt")
    picture = DIGITS / "scattered.png"
    done(cli, "export", "train.caffemodel", "-q")
    result = done(cli, "run", "train_fcn.caffemodel", picture, "--json").document
    assert result["net"] == "train_fcn.caffemodel"
    assert done(cli, "run", "train.caffemodel", picture, "--resize", "net").out.decode().count("\n") == 4


# ---- Fields whose numbers do not tell what they are ----

POOL = "pool.caffemodel"
UNTOLD = "field 13 of pooling_param means round_mode: CEIL in BVLC and MobileNet-YOLO; avg_include_pad: false in intel"
USES = {
    "export": ("export", POOL, "-o", "p.onnx"),
    "verify": ("verify", POOL, POOL),
    "run": ("run", POOL, "p.png"),
    "convert": ("convert", POOL),
    "upgrade": ("upgrade", POOL, "p.prototxt"),
}


@pytest.fixture
def pool(cli: CommandLine) -> CommandLine:
    """The command line beside a caffemodel with a field that two forks read differently, and a picture for it."""
    text = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } } }
    layer { name: "p" type: "Pooling" bottom: "x" top: "p"
            pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 round_mode: CEIL } }"""
    cli.write(pool=text_format.Parse(text, schema.NetParameter()).SerializeToString())
    Image.fromarray(np.full((8, 8), 36, np.uint8)).save(cli.path / "p.png")
    return cli


@pytest.mark.parametrize("use", USES)
def test_the_layer_is_refused_until_the_fork_is_named(pool: CommandLine, use: str) -> None:
    before = pool.names
    result = pool.run(*USES[use])
    message = the_message(result.err)
    assert result.code == 1 and UNTOLD in message and "name the Caffe that wrote the file with --fork" in message
    assert pool.names == before
    done(pool, *USES[use], "--fork", "Intel")


@pytest.mark.parametrize(("fork", "corner"), [("bvlc", 16), ("intel", 36)])
def test_the_named_fork_decides_on_the_answers(pool: CommandLine, fork: str, corner: int) -> None:
    """Four values of nine: the padding counts in BVLC Caffe, and not in Intel's."""
    done(pool, "run", POOL, "p.png", "--output", "p.npy", "--fork", fork)
    assert np.load(pool.path / "p.npy").ravel()[0] == corner


def test_what_writes_no_net_shows_the_layers(pool: CommandLine) -> None:
    for command in ("inspect", "check"):
        result = done(pool, command, POOL)
        assert UNTOLD in result.err and (command == "check" or "1×1×5×5" in result.out.decode())
        assert UNTOLD not in done(pool, command, POOL, "--fork", "BVLC").err


@pytest.mark.parametrize(
    "files",
    [
        ("inspect", NET),
        ("check", NET),
        ("convert", NET, WEIGHTS),
        ("convert", NET, "--out-dir", "o"),
        ("verify", NET, WEIGHTS, NET, WEIGHTS),
        ("upgrade", NET, "o.prototxt"),
        ("upgrade", WEIGHTS, "o.caffemodel"),
        ("upgrade", NET, WEIGHTS, "-o", "o.prototxt", "-w", "o.caffemodel"),
    ],
)
def test_a_prototxt_needs_no_fork(cli: CommandLine, files: tuple[str, ...]) -> None:
    result = cli.run(*files, "--fork", "intel")
    assert result.code in (1, 2) and "--fork" in result.err


def test_a_field_of_a_loss_that_nobody_knows_is_only_noted(cli: CommandLine) -> None:
    """As MTCNN's published nets have one; but no net is written that lacks it."""
    net = text_format.Parse(TRAIN, schema.NetParameter())
    net.layer[4].blobs[0].data.extend(range(144))
    net.layer[5].MergeFromString(b"\xaa\x06\x02\x20\x07")
    cli.write(train=net.SerializeToString())
    done(cli, "export", "train.caffemodel", "-o", "a.onnx")
    assert (
        "field 4 of loss_param cannot be read with certainty"
        in done(cli, "verify", "train.caffemodel", "train.caffemodel").err
    )
    for command in (("convert", "train.caffemodel"), ("upgrade", "train.caffemodel", "t.prototxt")):
        result = cli.run(*command)
        assert result.code == 1 and "layer 'loss' (SoftmaxWithLoss): field 4 of loss_param cannot be" in result.err


def test_the_library_takes_the_fork_as_well(pool: CommandLine) -> None:
    net = caffe_fcn.open(pool.path / POOL, fork="intel")
    assert net.model.net.layer[1].pooling_param.HasField("avg_include_pad")
    caffe_fcn.convert(pool.path / POOL, output=pool.path / "q.prototxt", fork="intel")
    assert "avg_include_pad: false" in (pool.path / "q.prototxt").read_text()
    with pytest.raises(caffe_fcn.CaffeFcnError, match="field 13 of pooling_param means"):
        caffe_fcn.open(pool.path / POOL).convolutionalize()


@pytest.mark.parametrize("command", ["inspect", "convert", "export", "upgrade", "verify"])
def test_a_picture_in_the_place_of_a_net(pool: CommandLine, command: str) -> None:
    more = {"upgrade": ["x"], "verify": ["p.png"]}.get(command, [])
    result = pool.run(command, "p.png", *more)
    assert result.code == 1
    assert the_message(result.err) == "p.png: expected a prototxt or weights, found a picture"
