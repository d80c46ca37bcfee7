"""Every command that writes several files writes all of them or none, over old ones too."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffe_fcn import api
from caffe_fcn.errors import OutputError
from tests.cli.conftest import CommandLine, listing, the_message
from tests.paths import ROOT

NET = ["net.prototxt", "net.caffemodel"]
TWIN = ["t.prototxt", "t.caffemodel"]
COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    "convert": (["convert", *NET], ["net_fcn.prototxt", "net_fcn.caffemodel"]),
    "hdf5": (["convert", *NET, "-w", "new.h5"], ["net_fcn.prototxt", "new.h5"]),
    "out-dir": (["convert", *NET, "--out-dir", "new"], ["new/net.prototxt", "new/net.caffemodel"]),
    "verify": (["convert", *NET, "--verify"], ["net_fcn.prototxt", "net_fcn.caffemodel"]),
    "upgrade": (["upgrade", *NET, "-o", "a.prototxt", "-w", "b.caffemodel"], ["a.prototxt", "b.caffemodel"]),
    "export": (["export", *NET, "--external-data"], ["net.onnx", "net.onnx.data"]),
    "run": (
        ["run", *TWIN, "a.png", "--class", "3", *"-o map.npy --heatmap h.png --label-map l.png".split()],
        ["map.npy", "h.png", "l.png"],
    ),
    "archive": (["run", *TWIN, "a.png", *"-o map.npz --label-map l.png".split()], ["map.npz", "l.png"]),
}


@pytest.fixture
def ready(lenet: CommandLine, request: pytest.FixtureRequest) -> CommandLine:
    """A directory in which the command NAME finds its inputs, and old files where its outputs go."""
    prepare(lenet, request.node.callspec.params["name"])
    return lenet


def prepare(cli: CommandLine, name: str) -> None:
    """Put what the command NAME reads beside the net in the current directory, and old files where its outputs go."""
    arguments, outputs = COMMANDS[name]
    if arguments[0] == "run":
        Image.fromarray(np.arange(40 * 50, dtype="u1").reshape(40, 50)).save("a.png")
        cli.converts("net.prototxt", "net.caffemodel", "-o", "t.prototxt", "-w", "t.caffemodel")
    for output in outputs:
        os.makedirs(os.path.dirname(output) or ".", exist_ok=True)
        Path(output).write_bytes(b"the old " + output.encode())


def failing_at(monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    """Let the rename fail that gives OUTPUT its name."""
    replace = os.replace

    def failing(old: str, new: str) -> None:
        if old.endswith(".tmp") and os.path.relpath(new) == output:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        replace(old, new)

    monkeypatch.setattr(os, "replace", failing)


@pytest.mark.thorough
@pytest.mark.parametrize("name", COMMANDS)
def test_a_failing_rename_puts_the_others_back(ready: CommandLine, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    arguments, outputs = COMMANDS[name]
    before = listing(ready.path)
    for output in outputs:
        with monkeypatch.context() as patched:
            failing_at(patched, output)
            result = ready.run(*arguments, "--force")
        assert result.code == 1
        assert f"{output}: cannot be written: Input/output error" in result.err
        assert listing(ready.path) == before
    assert ready.run(*arguments, "--force").code == 0
    after = listing(ready.path)
    assert set(after) == set(before)
    assert all(after[output] != before[output] for output in outputs)


INTERRUPTED = """
import contextlib, io, json, os, signal, sys
from caffe_fcn.cli.main import run
signal.signal(signal.SIGINT, signal.default_int_handler)
replace, sent = os.replace, []
def interrupted(old, new):
    replace(old, new)
    if os.path.relpath(new) in outputs and not sent:
        sent.append(new)
        signal.raise_signal(signal.SIGINT)
os.replace = interrupted
for directory, arguments, outputs in json.load(sys.stdin):
    os.chdir(directory)
    sent.clear()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as err:
        code = run([*arguments, "--force"])
    print(json.dumps([len(sent), code, err.getvalue()]))
"""
"""Runs each command in its directory, with a SIGINT after the first of its renames, when one file is new and the other
old."""


@pytest.mark.thorough
def test_a_signal_between_two_renames_waits(lenet: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one process of their own for all commands: an interrupt may end one that runs tests."""
    before, commands = {}, []
    for name, (arguments, outputs) in COMMANDS.items():
        directory = lenet.path / name
        directory.mkdir()
        for file in NET:
            shutil.copy(file, directory / file)
        with monkeypatch.context() as moved:
            moved.chdir(directory)
            prepare(lenet, name)
        before[name] = listing(directory)
        commands.append((str(directory), arguments, outputs))
    made = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        input=json.dumps(commands),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    told = made.stdout.splitlines()
    assert len(told) == len(COMMANDS), made.stderr
    for line, (name, (_, outputs)) in zip(told, COMMANDS.items(), strict=True):
        sent, code, err = json.loads(line)
        assert (sent, code) == (1, 130), (name, err)
        assert the_message(err) == "interrupted; no file is half written"
        after = listing(lenet.path / name)
        assert set(after) == set(before[name])
        assert all(after[output] != before[name][output] for output in outputs)


@pytest.mark.parametrize("name", ["convert"])
def test_the_library_puts_files_back_too(ready: CommandLine, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    _, outputs = COMMANDS[name]
    before = listing(ready.path)
    for output in outputs:
        with monkeypatch.context() as patched, pytest.raises(OutputError, match=output):
            failing_at(patched, output)
            api.convert("net.prototxt", "net.caffemodel", force=True)
        assert listing(ready.path) == before


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["run"])
def test_a_map_that_stdout_cannot_take_leaves_no_picture(
    ready: CommandLine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(*_: object) -> None:
        raise OutputError("full", source="stdout")

    before = listing(ready.path)
    monkeypatch.setattr("caffe_fcn.cli.run_pictures.to_stdout", refuse)
    result = ready.run("run", *TWIN, "a.png", "-o", "-", "--label-map", "new.png")
    assert result.code == 1
    assert listing(ready.path) == before
