"""`caffe-fcn check`: what it tells and how, its exit codes, real nets, and its definition as a pre-commit hook."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from caffe_fcn.cli.main import app, run
from tests.cli.conftest import CommandLine, Result, listing
from tests.passes.nets import data, fc, layer
from tests.paths import ROOT

GOOD = data() + fc("fc", "data", 3)
BAD = GOOD + fc("b", "nowhere", 3)
FORK = GOOD + layer("n", "Normalize", "data")
SOLVER = 'net: "net.prototxt"\nbase_lr: 0.01\n'
NOWHERE = 'layer "b" needs the blob "nowhere", which no layer makes'
NORMALIZE = "BVLC Caffe has no layer type 'Normalize'"


@pytest.fixture
def files(cli: CommandLine) -> CommandLine:
    cli.write(good=GOOD, bad=BAD, fork=FORK, solver=SOLVER)
    return cli


def check(cli: CommandLine, *arguments: str, stdin: bytes = b"") -> Result:
    before = listing(cli.path)
    result = cli.run("check", *arguments, stdin=stdin)
    assert listing(cli.path) == before
    assert "Traceback" not in result.err and "defect" not in result.err
    return result


# ---- What it tells ----


def test_nothing_wrong_is_nothing_told(files: CommandLine) -> None:
    assert check(files, "good.prototxt", "solver.prototxt") == Result(0, b"", "")


def test_an_error_is_a_line_as_compilers_tell_it(files: CommandLine) -> None:
    result = check(files, "good.prototxt", "bad.prototxt")
    assert result == Result(1, b"", f"bad.prototxt:3:1: error: {NOWHERE}\n")


def test_a_note_is_told_and_is_no_failure(files: CommandLine) -> None:
    assert check(files, "fork.prototxt") == Result(0, b"", f"fork.prototxt:3:1: note: {NORMALIZE}\n")


def test_strict_makes_notes_errors(files: CommandLine) -> None:
    result = check(files, "fork.prototxt", "good.prototxt", "--strict")
    assert result == Result(1, b"", f"fork.prototxt:3:1: error: {NORMALIZE}\n")


def test_a_syntax_error_is_one_line(files: CommandLine) -> None:
    files.write(bad='layer {\n  name: "a" type }\n')
    result = check(files, "bad.prototxt")
    assert result == Result(1, b"", "bad.prototxt:2:18: error: expected ':' or '{' after 'type', found '}'\n")


def test_problems_are_in_the_order_of_files_and_of_their_text(files: CommandLine) -> None:
    files.write(bad=FORK + fc("b", "nowhere", 3) + layer("m", "Mystery", "data"))
    places = [line.split(" ")[:2] for line in check(files, "fork.prototxt", "bad.prototxt").err.splitlines()]
    assert places == [
        ["fork.prototxt:3:1:", "note:"],
        ["bad.prototxt:3:1:", "note:"],
        ["bad.prototxt:4:1:", "error:"],
        ["bad.prototxt:5:1:", "note:"],
    ]


def test_files_that_cannot_be_read_do_not_stop_the_others(files: CommandLine) -> None:
    (files.path / "dir").mkdir()
    result = check(files, "nope.prototxt", "dir", "bad.prototxt")
    assert result.code == 1
    assert result.err.splitlines() == [
        "nope.prototxt: error: No such file or directory",
        "dir: error: Is a directory",
        f"bad.prototxt:3:1: error: {NOWHERE}",
    ]


def test_verbose_tells_of_every_file(files: CommandLine) -> None:
    files.write(old="input: 'data' layers { name: 'a' type: RELU bottom: 'data' top: 'a' } input_dim: [1, 1, 1, 1]")
    files.write(other="thing { }", labels="item { }")
    paths = [f"{stem}.prototxt" for stem in ("good", "old", "solver", "bad", "labels", "other")]
    assert check(files, "--verbose", *paths).err.splitlines()[2:] == [
        "good.prototxt: net V2, ok",
        "old.prototxt: net V1, ok",
        "solver.prototxt: solver, ok",
        "bad.prototxt: net V2, not ok",
        "labels.prototxt: labelmap, ok",
        "other.prototxt: neither net nor solver, not ok",
        "6 files checked, 2 not ok",
    ]
    assert check(files, "-v", "good.prototxt").err.endswith("1 file checked, 0 not ok\n")


def test_json_says_the_same(files: CommandLine) -> None:
    result = check(
        files, "--json", "good.prototxt", "solver.prototxt", "bad.prototxt", "fork.prototxt", "nope.prototxt"
    )
    assert (result.code, result.err) == (1, "")
    net = {"kind": "net", "format": "V2"}
    nothing = {"ok": True, "errors": [], "notes": []}
    foreign = {"line": 3, "column": 1, "severity": "bvlc", "message": NORMALIZE}
    nowhere = {"line": 3, "column": 1, "severity": "error", "message": NOWHERE}
    missing = {"line": None, "column": None, "severity": "error", "message": "No such file or directory"}
    none = {"kind": None, "format": None}
    assert result.document == [
        {"file": "good.prototxt", **net, **nothing},
        {"file": "solver.prototxt", "kind": "solver", "format": None, **nothing},
        {"file": "bad.prototxt", **net, "ok": False, "errors": [nowhere], "notes": []},
        {"file": "fork.prototxt", **net, "ok": True, "errors": [], "notes": [foreign]},
        {"file": "nope.prototxt", **none, "ok": False, "errors": [missing], "notes": []},
    ]
    (strict,) = check(files, "--json", "--strict", "fork.prototxt").document
    assert (strict["ok"], strict["errors"], strict["notes"]) == (False, [foreign], [])


def test_stdin_is_a_file(files: CommandLine) -> None:
    assert check(files, "-", stdin=BAD.encode()).err == f"<stdin>:3:1: error: {NOWHERE}\n"
    result = check(files, "good.prototxt", "-", "--json", stdin=SOLVER.encode())
    assert [(each["file"], each["kind"]) for each in result.document] == [
        ("good.prototxt", "net"),
        ("<stdin>", "solver"),
    ]


def test_a_closed_stdin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert run(["check", "-"]) == 1
    told = "stdin: expected an open stream, found it closed; name a file instead"
    assert capsys.readouterr().err == f"<stdin>: error: {told}\n"


def test_names_of_files_cannot_steer_the_terminal(files: CommandLine) -> None:
    (files.path / "a\x1b[2J\nb").write_text(BAD, encoding="utf-8")
    (line,) = check(files, "a\x1b[2J\nb").err.splitlines()
    assert line == f"a?[2J?b:3:1: error: {NOWHERE}"


# ---- Options ----


def test_the_net_can_be_chosen(files: CommandLine) -> None:
    staged = layer("s", "Input", "", "x", 'include { stage: "a" } input_param { shape { dim: 1 } }')
    files.write(net=data() + staged + layer("r", "ReLU", "x"))
    assert check(files, "net.prototxt", "--stage", "a").code == 0
    assert check(files, "net.prototxt", "--stage", "b").code == 1
    images = layer("data", "Data", "", "data", "include { phase: TRAIN } data_param { batch_size: 1 }")
    files.write(net=images + fc("fc", "data", 3))
    assert check(files, "net.prototxt").code == 0
    assert check(files, "net.prototxt", "--phase", "test").code == 1
    assert "but the net has no such blob" in check(files, "net.prototxt", "--shape", "x=1,2").err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "Missing argument 'FILE...'"),
        (["-", "-"], "only one FILE can come from stdin"),
        (["good.prototxt", ""], "a file's name is empty"),
        (["good.prototxt", "--force"], "No such option"),
    ],
    ids=str,
)
def test_wrong_usage(files: CommandLine, arguments: list[str], expected: str) -> None:
    result = check(files, *arguments)
    assert result.code == 2 and expected in result.err


# ---- Real nets ----

BROKEN = {
    **dict.fromkeys(
        (
            "23ca3f8a-inceptionv3_orig.prototxt",
            "3a2cea2e-inceptionv4_resnet.prototxt",
            "7f5817e4-inceptionv3.prototxt",
            "c1ea11f3-inceptionv4.prototxt",
        ),
        "it has 1 bottom, but Caffe takes at least 2",
    ),
    "6051445c-elm_classification_ts.prototxt": '"labels", which no layer makes (in phase TRAIN)',
    "1216f089-vgg-16.prototxt": "mixes 'layer' and 'layers'",
    "d09076e7-fcn-16s.prototxt": "mixes 'layer' and 'layers'",
    "ec8f10d4-deploy_moddrop.prototxt": "kernel_size is given twice",
}
"""The nets of the corpus that no Caffe could build, and why: a loss without labels, for one."""


@pytest.mark.slow
def test_the_corpus_has_no_false_alarms(cli: CommandLine, corpus: Path) -> None:
    manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
    result = check(cli, "--json", *(str(corpus / entry["file"]) for entry in manifest))
    found = {Path(each["file"]).name: each for each in result.document}
    assert len(found) == len(manifest) and sum("measured" in entry for entry in manifest) > 100
    errors = {name: each["errors"][0]["message"] for name, each in found.items() if not each["ok"]}
    assert errors.keys() == BROKEN.keys()
    assert all(reason in errors[name] for name, reason in BROKEN.items())
    for entry in manifest:
        name = Path(entry["file"]).name
        assert name in BROKEN or (found[name]["kind"], found[name]["format"]) == ("net", entry["format"])


def test_the_models_of_this_project_are_right(cli: CommandLine) -> None:
    models = [str(path) for path in (ROOT / "models").rglob("*.prototxt")]
    assert len(models) > 3
    assert check(cli, "--strict", *models) == Result(0, b"", "")


# ---- The hook ----

HOOKS = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
HOOK = dict(re.findall(r"^[- ] (\w+): (.+)$", HOOKS, re.MULTILINE))


def test_the_hook_is_read_whole() -> None:
    """It is written so plainly that this is all there is to it."""
    lines = [line for line in HOOKS.splitlines() if not line.startswith("#")]
    assert len(lines) == len(HOOK) and lines[0].startswith("- ")
    assert HOOK.keys() == {"id", "name", "description", "entry", "language", "files", "types"}
    assert (HOOK["id"], HOOK["language"], HOOK["types"]) == ("caffe-prototxt", "python", "[text]")
    assert not any(value[0] in "&*!|>%@`'\"{" or " #" in value or ": " in value for value in HOOK.values())


def test_the_hook_calls_a_command_that_there_is(files: CommandLine) -> None:
    program, command, *options = HOOK["entry"].split()
    assert program == "caffe-fcn" and command in app.commands and not options
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert f"{program} = caffe_fcn.__main__:main" in setup
    assert files.run(command, "good.prototxt").code == 0
    assert files.run(command, "good.prototxt", "bad.prototxt").code == 1


def test_the_hook_is_for_prototxt_files_only() -> None:
    names = [path.relative_to(ROOT).as_posix() for path in (ROOT / "models").rglob("*.prototxt")]
    pattern = re.compile(HOOK["files"])
    assert names and all(pattern.search(name) for name in [*names, "a/b c.pbtxt"])
    assert not any(pattern.search(name) for name in ("a.caffemodel", "prototxt", "x.prototxt.py", "xprototxt", "a.txt"))


@pytest.mark.thorough
def test_the_hook_runs_as_pre_commit_runs_it(files: CommandLine) -> None:
    command = [sys.executable, "-m", "caffe_fcn", *HOOK["entry"].split()[1:], "good.prototxt", "bad.prototxt"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(command, cwd=files.path, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"bad.prototxt:3:1: error: {NOWHERE}\n"
