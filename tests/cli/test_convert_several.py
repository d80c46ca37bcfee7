"""`caffe-fcn convert --out-dir`: which files belong together, where they go, and what a failure does to the rest."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from caffe_fcn.cli.convert_several import pair
from tests.cli.conftest import LENET, CommandLine, listing, trained
from tests.files.test_diff import apply
from tests.passes.nets import data, fc

HEAD = data() + fc("fc", "data", 3)
"""A net whose weights are WEIGHTS."""

WEIGHTS = trained(("data", "Input", []), ("fc", "InnerProduct", [(3, 160), (3,)]))
BAD = data() + fc("fc", "nowhere", 3)


@pytest.fixture
def three(cli: CommandLine) -> CommandLine:
    """The command line beside three nets, a, b and c, of which a and c have weights."""
    cli.write(a=HEAD, b="# only text\n" + HEAD, c=HEAD.replace('"fc"', '"last"'))
    cli.write(a=WEIGHTS, c=trained(("last", "InnerProduct", [(3, 160), (3,)])))
    return cli


ALL = ["a.prototxt", "b.prototxt", "c.prototxt", "a.caffemodel", "c.caffemodel"]
MADE = {"a.prototxt", "a.caffemodel", "b.prototxt", "c.prototxt", "c.caffemodel"}


def made(cli: CommandLine, directory: str = "out") -> set[str]:
    """The files in DIRECTORY, hidden ones too."""
    return set(os.listdir(cli.path / directory))


# ---- What it does ----


def test_every_net_is_converted_as_if_alone(three: CommandLine) -> None:
    before = listing(three.path)
    result = three.converts(*ALL, "--out-dir", "out")
    assert made(three) == MADE and result.out == b""
    assert {name: found for name, found in listing(three.path).items() if not name.startswith("out")} == before
    for stem in ("a", "c"):
        three.converts(f"{stem}.prototxt", f"{stem}.caffemodel", "-o", "x", "-w", "y", "--force")
        assert (three.path / "x").read_bytes() == (three.path / "out" / f"{stem}.prototxt").read_bytes()
        assert (three.path / "y").read_bytes() == (three.path / "out" / f"{stem}.caffemodel").read_bytes()
    assert three.read("out/b.prototxt").startswith("# only text\n")
    assert three.blobs("out/c.caffemodel") == {"last-conv": [(3, 2, 8, 10), (3,)]}


def test_the_report_is_that_of_each_in_turn(three: CommandLine) -> None:
    told = three.converts(*ALL, "--out-dir", "out").err.splitlines()
    heads = [line for line in told if not line.startswith(" ")]
    assert heads == [
        "a.prototxt: 1 InnerProduct becomes a Convolution, called NAME-conv",
        "note: outputs of the net have other names: fc is now fc-conv",
        "wrote out/a.prototxt, out/a.caffemodel",
        "b.prototxt: 1 InnerProduct becomes a Convolution, called NAME-conv",
        "note: outputs of the net have other names: fc is now fc-conv",
        "wrote out/b.prototxt",
        "c.prototxt: 1 InnerProduct becomes a Convolution, called NAME-conv",
        "note: outputs of the net have other names: last is now last-conv",
        "wrote out/c.prototxt, out/c.caffemodel",
    ]


def test_options_hold_for_all(three: CommandLine) -> None:
    three.converts(*ALL, "--out-dir", "out", "--input-size", "40x50", "--names", "keep", "-q")
    for stem in "abc":
        assert "dim: 40 dim: 50" in three.read(f"out/{stem}.prototxt")
        assert "-conv" not in three.read(f"out/{stem}.prototxt")


def test_one_net_may_go_to_a_directory_too(three: CommandLine) -> None:
    three.converts("a.prototxt", "--out-dir", "out")
    assert made(three) == {"a.prototxt"}


def test_a_caffemodel_alone_brings_its_net(cli: CommandLine) -> None:
    whole = (LENET / "net.caffemodel").read_bytes()
    cli.write(one=whole, two=whole)
    cli.converts("one.caffemodel", "two.caffemodel", "--out-dir", "out")
    assert made(cli) == {"one.prototxt", "one.caffemodel", "two.prototxt", "two.caffemodel"}
    assert '"Convolution"' in cli.read("out/two.prototxt")


@pytest.mark.parametrize("name", ["net.caffemodel.h5", "net.h5", "net.hdf5"])
def test_hdf5_stays_hdf5(lenet: CommandLine, name: str) -> None:
    pytest.importorskip("h5py")
    assert lenet.run("upgrade", "net.caffemodel", name).code == 0
    lenet.converts("net.prototxt", name, "--out-dir", "out")
    assert made(lenet) == {"net.prototxt", name}
    lenet.converts("net.prototxt", name)
    beside = name.replace("net.", "net_fcn.")
    assert (
        (lenet.path / beside).read_bytes()[:8] == (lenet.path / "out" / name).read_bytes()[:8] == b"\x89HDF\r\n\x1a\n"
    )


# ---- Which files belong together ----


def paired(cli: CommandLine, files: str) -> list[tuple[str, str | None]]:
    """The nets and weights found in FILES, which are made: those called n are nets, those called w weights inside."""
    paths = files.split()
    for path in paths:
        (cli.path / path).parent.mkdir(parents=True, exist_ok=True)
        is_text = path.endswith(("prototxt", ".txt"))
        (cli.path / path).write_bytes(HEAD.encode() if is_text else WEIGHTS)
    return [(each.net, each.weights) for each in pair(paths, "out")]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("a.prototxt a.caffemodel", [("a.prototxt", "a.caffemodel")]),
        ("a.caffemodel a.prototxt", [("a.prototxt", "a.caffemodel")]),
        ("a.prototxt b.prototxt b.caffemodel", [("a.prototxt", None), ("b.prototxt", "b.caffemodel")]),
        ("b.prototxt x.caffemodel a.prototxt", [("b.prototxt", "x.caffemodel"), ("a.prototxt", None)]),
        ("b.caffemodel a.prototxt", [("b.caffemodel", None), ("a.prototxt", None)]),
        ("a.prototxt x.bin y.bin", [("a.prototxt", "x.bin"), ("y.bin", None)]),
        (
            "a.prototxt b.prototxt a.caffemodel b.caffemodel",
            [("a.prototxt", "a.caffemodel"), ("b.prototxt", "b.caffemodel")],
        ),
        ("a.prototxt x.bin a.caffemodel", [("a.prototxt", "a.caffemodel"), ("x.bin", None)]),
        ("a.prototxt b.prototxt a.caffemodel.h5", [("a.prototxt", "a.caffemodel.h5"), ("b.prototxt", None)]),
        ("a.prototxt b.prototxt a.Caffemodel.hdf5", [("a.prototxt", "a.Caffemodel.hdf5"), ("b.prototxt", None)]),
        ("z.prototxt a.prototxt b.prototxt z.h5", [("z.prototxt", "z.h5"), ("a.prototxt", None), ("b.prototxt", None)]),
        ("z.txt a.prototxt z.HDF5", [("z.txt", None), ("a.prototxt", "z.HDF5")]),
        ("d/a.prototxt e/a.caffemodel", [("d/a.prototxt", "e/a.caffemodel")]),
        ("d/a.prototxt b.prototxt e/a.caffemodel", [("d/a.prototxt", None), ("b.prototxt", "e/a.caffemodel")]),
        ("./a.prototxt b.prototxt d/../a.caffemodel", [("./a.prototxt", "d/../a.caffemodel"), ("b.prototxt", None)]),
        (
            "net.v2.prototxt o.prototxt net.v2.caffemodel",
            [("net.v2.prototxt", "net.v2.caffemodel"), ("o.prototxt", None)],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_weights_go_with_the_net_of_their_name_or_the_one_before(
    cli: CommandLine, files: str, expected: list[tuple[str, str | None]]
) -> None:
    assert paired(cli, files) == expected


def test_contents_decide_what_a_file_is(cli: CommandLine) -> None:
    """Whatever it is called."""
    (cli.path / "weights.prototxt").write_bytes(WEIGHTS)
    (cli.path / "net.model").write_text(HEAD, encoding="utf-8")
    assert [each[:2] for each in pair(["net.model", "weights.prototxt"], "out")] == [("net.model", "weights.prototxt")]


def test_damaged_weights_are_not_taken_for_a_net(cli: CommandLine) -> None:
    """Weights that were not fetched are text: a web page, or nothing."""
    cli.write(a=HEAD, b=HEAD)
    cli.write(a=b"<!doctype html>\n", b=b"")
    result = cli.convert("a.prototxt", "b.prototxt", "a.caffemodel", "b.caffemodel", "--out-dir", "out")
    told = result.err.splitlines()
    assert result.code == 1
    assert told[0].startswith("caffe-fcn: a.caffemodel: ") and "a web page" in told[0]
    assert told[1] == "caffe-fcn: b.caffemodel: expected a caffemodel, found an empty file; download it again"


# ---- Failures ----


def test_a_failure_does_not_stop_the_others(three: CommandLine) -> None:
    three.write(b=BAD)
    three.write(c=WEIGHTS)
    result = three.convert(*ALL, "missing.prototxt", "--out-dir", "out")
    failures = [line for line in result.err.splitlines() if line.startswith("caffe-fcn: ")]
    assert result.code == 1 and result.out == b""
    assert failures[0].startswith('caffe-fcn: b.prototxt: layer "fc" needs the blob "nowhere"')
    assert failures[1].startswith("caffe-fcn: c.caffemodel: none of the layers of this file")
    assert failures[2:] == [
        "caffe-fcn: missing.prototxt: No such file or directory",
        "caffe-fcn: 3 of 4 nets failed",
    ]
    assert result.err.splitlines()[-1] == failures[-1]
    assert made(three) == {"a.prototxt", "a.caffemodel"}


@pytest.mark.parametrize("there", [False, True], ids=["new", "there"])
def test_no_directory_is_left_behind_without_need(cli: CommandLine, there: bool) -> None:
    cli.write(a=BAD, b=BAD)
    if there:
        (cli.path / "deep").mkdir()
    before = listing(cli.path)
    result = cli.convert("a.prototxt", "b.prototxt", "--out-dir", "deep/er/out")
    assert result.code == 1 and result.err.endswith("caffe-fcn: 2 of 2 nets failed\n")
    assert listing(cli.path) == before


def test_an_empty_directory_that_was_there_stays(cli: CommandLine) -> None:
    cli.write(a=BAD)
    (cli.path / "out").mkdir()
    assert cli.convert("a.prototxt", "--out-dir", "out").code == 1
    assert made(cli) == set()


def test_a_directory_is_made_with_those_above_it(three: CommandLine) -> None:
    three.converts("a.prototxt", "--out-dir", "x/./y/z/")
    assert made(three, "x/y/z") == {"a.prototxt"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("b.prototxt", "expected a directory to write into, found a file; choose another name"),
        ("dangling", "expected a directory to write into, found a file; choose another name"),
        ("b.prototxt/below", "cannot be written: Not a directory; choose another place"),
    ],
)
def test_a_directory_that_cannot_be_made(three: CommandLine, name: str, expected: str) -> None:
    (three.path / "dangling").symlink_to("nowhere")
    assert three.refuses("a.prototxt", "--out-dir", name) == f"{name}: {expected}"


def test_ctrl_c_stops_all(three: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    strike(monkeypatch, 2, KeyboardInterrupt())
    result = three.convert(*ALL, "--out-dir", "out")
    assert result.code == 130
    assert result.err.splitlines()[-1] == "caffe-fcn: interrupted; no file is half written"
    assert made(three) == {"a.prototxt", "a.caffemodel"}


def test_ctrl_c_leaves_no_empty_directory(three: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    before = listing(three.path)
    strike(monkeypatch, 1, KeyboardInterrupt())
    assert three.convert(*ALL, "--out-dir", "out").code == 130
    assert listing(three.path) == before


def test_a_reader_that_leaves_stops_all(three: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    strike(monkeypatch, 2, BrokenPipeError())
    result = three.convert(*ALL, "--out-dir", "out")
    assert result.code == 141 and "caffe-fcn" not in result.err
    assert made(three) == {"a.prototxt", "a.caffemodel"}


@pytest.mark.parametrize("error", [ZeroDivisionError("of course"), MemoryError()], ids=repr)
def test_what_nobody_expected_of_one_net_does_not_stop_the_others_either(
    three: CommandLine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    strike(monkeypatch, 2, error)
    result = three.convert(*ALL, "--out-dir", "out")
    assert result.code == 1
    assert re.search(r"^caffe-fcn: b.prototxt: (a defect of caffe-fcn|out of memory)", result.err, re.MULTILINE)
    assert made(three) == MADE - {"b.prototxt"}


def strike(monkeypatch: pytest.MonkeyPatch, count: int, error: BaseException) -> None:
    """Let the COUNT-th net fail with ERROR."""
    from caffe_fcn.passes import conversion

    real, calls = conversion.plan, iter(range(1, 100))

    def plan(*arguments: Any) -> Any:
        if next(calls) == count:
            raise error
        return real(*arguments)

    monkeypatch.setattr(conversion, "plan", plan)


# ---- Files that are there ----


def test_what_is_there_is_overwritten_with_force_only(three: CommandLine) -> None:
    (three.path / "out").mkdir()
    (three.path / "out" / "b.prototxt").write_bytes(b"mine")
    result = three.convert(*ALL, "--out-dir", "out")
    assert result.code == 1
    assert "caffe-fcn: out/b.prototxt: already exists; overwrite it with --force" in result.err
    assert made(three) == MADE and three.read("out/b.prototxt") == "mine"
    three.converts(*ALL, "--out-dir", "out", "--force")
    assert "fc-conv" in three.read("out/b.prototxt")


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["", "force"])
def test_inputs_are_never_overwritten(three: CommandLine, force: list[str]) -> None:
    before = listing(three.path)
    result = three.convert("a.prototxt", "b.prototxt", "--out-dir", ".", *force)
    assert result.code == 1
    assert "./a.prototxt: the output is the same file as the input a.prototxt; choose another name" in result.err
    assert listing(three.path) == before


def test_nor_are_those_of_another_net(three: CommandLine) -> None:
    (three.path / "out").mkdir()
    (three.path / "out" / "a.prototxt").symlink_to("../b.prototxt")
    result = three.convert("a.prototxt", "b.prototxt", "--out-dir", "out", "--force")
    assert result.code == 1
    assert "out/a.prototxt: the output is the same file as the input b.prototxt" in result.err
    assert three.read("b.prototxt") == "# only text\n" + HEAD
    assert "fc-conv" in three.read("out/b.prototxt")


# ---- What is told ----


def test_dry_run_writes_nothing_and_makes_no_directory(three: CommandLine) -> None:
    before = listing(three.path)
    result = three.converts(*ALL, "--out-dir", "out", "--dry-run")
    assert result.err.count("would write out/") == 3
    assert listing(three.path) == before
    three.converts("a.prototxt", "--out-dir", "b.prototxt/nowhere", "--dry-run")
    three.converts("a.prototxt", "--out-dir", "out")
    assert "out/a.prototxt (exists; needs --force)" in three.converts(*ALL, "--out-dir", "out", "--dry-run").err


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["", "dry"])
def test_diffs_are_a_series_of_patches(three: CommandLine, dry: list[str]) -> None:
    result = three.converts(*ALL, "--out-dir", "out", "--diff", *dry)
    patches = re.split(r"(?m)^(?=--- )", result.out.decode())[1:]
    assert [patch.splitlines()[:2] for patch in patches] == [
        [f"--- {stem}.prototxt", f"+++ out/{stem}.prototxt"] for stem in "abc"
    ]
    three.converts(*ALL, "--out-dir", "out", "--force")
    for stem, patch in zip("abc", patches, strict=True):
        assert apply(patch, three.read(f"{stem}.prototxt")) == three.read(f"out/{stem}.prototxt")


def test_json_is_an_array_with_the_failures_in_it(three: CommandLine) -> None:
    three.write(b='layer { name: "a" type }\n')
    result = three.convert(*ALL, "--out-dir", "out", "--json", "-q")
    assert result.code == 1
    first, second, third = result.document
    assert (first["net"], first["weights"]) == ("a.prototxt", "a.caffemodel")
    assert third["outputs"] == {"net": "out/c.prototxt", "weights": "out/c.caffemodel"}
    assert second == {"net": "b.prototxt", "error": second["error"]}
    assert second["error"].startswith("b.prototxt:1:24: expected ':' or '{' after 'type'")
    assert "\n" not in second["error"]
    assert result.err.splitlines()[0] == f"caffe-fcn: {second['error']}"
    assert result.err.splitlines()[-1] == "caffe-fcn: 1 of 3 nets failed"


def test_json_of_one_net_is_an_array_too(three: CommandLine) -> None:
    alone = three.converts("a.prototxt", "--json", "--dry-run", "-o", "out/a.prototxt").document
    assert three.converts("a.prototxt", "--json", "--dry-run", "--out-dir", "out").document == [alone]


def test_quiet_tells_of_failures_only(three: CommandLine) -> None:
    assert three.converts(*ALL, "--out-dir", "out", "-q").err == ""
    three.write(b=BAD)
    told = three.convert(*ALL, "--out-dir", "out", "-q", "--force").err.splitlines()
    assert len(told) == 2 and told[1] == "caffe-fcn: 1 of 3 nets failed"


# ---- Usage ----


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a.prototxt", "-o", "x"], "leave out -o and -w"),
        (["a.prototxt", "a.caffemodel", "-w", "x"], "leave out -o and -w"),
        (["-"], "found '-'"),
        (["a.prototxt", "-"], "found '-'"),
        (["a.prototxt", ""], "a file's name is empty"),
        (["a.prototxt", "a.prototxt"], "a.prototxt and a.prototxt would both be written to out/a.prototxt"),
        (["a.prototxt", "d/a.prototxt"], "a.prototxt and d/a.prototxt would both be written to out/a.prototxt"),
        (["a.prototxt", "d/a.caffemodel", "b.prototxt", "a.caffemodel"], "would both be written to out/a"),
        (["d/a.caffemodel", "b.prototxt", "a.prototxt"], "would both be written to out/a.prototxt"),
        (["weights.prototxt"], "weights.prototxt and weights.prototxt would both be written to out/weights.prototxt"),
        (["a.prototxt", "--json", "--diff"], "choose one"),
        ([], "Missing argument"),
    ],
    ids=str,
)
def test_wrong_usage(three: CommandLine, arguments: list[str], expected: str) -> None:
    (three.path / "d").mkdir()
    for name in ("a.prototxt", "a.caffemodel"):
        shutil.copy(name, f"d/{name}")
    shutil.copy("a.caffemodel", "weights.prototxt")
    assert expected in three.rejects(*arguments, "--out-dir", "out")


@pytest.mark.parametrize("name", ["", "-"])
def test_a_directory_without_a_name(three: CommandLine, name: str) -> None:
    three.rejects("a.prototxt", "--out-dir", name)


@pytest.mark.parametrize("files", [["a.prototxt", "b.prototxt"], ALL, ["a.prototxt", "a.caffemodel", "c.caffemodel"]])
def test_several_files_without_a_directory_are_told_of_it(three: CommandLine, files: list[str]) -> None:
    assert "--out-dir" in three.rejects(*files)


def test_the_golden_lenet_in_a_directory_is_that_beside_the_input(lenet: CommandLine) -> None:
    lenet.converts("net.prototxt", "net.caffemodel")
    lenet.converts(LENET / "net.prototxt", LENET / "net.caffemodel", "--out-dir", "out")
    for kind in ("prototxt", "caffemodel"):
        assert Path("out", f"net.{kind}").read_bytes() == Path(f"net_fcn.{kind}").read_bytes()
