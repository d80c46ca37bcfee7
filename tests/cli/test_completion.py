"""Completion in bash, zsh and fish: the scripts for the shells, what they ask for, and a shell that does it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from caffe_fcn.cli.main import app, run
from caffe_fcn.cli.options import directory_name, file_name
from tests.paths import ROOT

pytestmark = pytest.mark.thorough

VARIABLE = "_CAFFE_FCN_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "CAFFE_FCN_DEBUG": "", **more}


def ask(instruction: str, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
    """What `python -m caffe_fcn` tells a shell that gives this INSTRUCTION."""
    command = [sys.executable, *options, "-m", "caffe_fcn"]
    more[VARIABLE] = instruction
    return subprocess.run(command, env=environment(**more), capture_output=True, text=True, timeout=60)


def completed(shell: str, line: str) -> list[str]:
    """What SHELL is told of the last word of LINE, a list of values that may be followed by what they mean."""
    *words, last = line.split(" ")
    cursor = last if shell == "fish" else str(len(words))
    done = ask(f"{shell}_complete", COMP_WORDS=line, COMP_CWORD=cursor)
    assert (done.returncode, done.stderr) == (0, "")
    if shell != "zsh":
        return done.stdout.splitlines()
    lines = done.stdout.splitlines()
    assert len(lines) % 3 == 0
    return [f"{kind},{value}" for kind, value in zip(lines[::3], lines[1::3], strict=True)]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A directory with a `caffe-fcn` in it and, below, some files."""
    path = tmp_path / "bin" / "caffe-fcn"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m caffe_fcn "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    (tmp_path / "here" / "nets").mkdir(parents=True)
    (tmp_path / "here" / "net.prototxt").touch()
    return path.parent


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_whole_and_asks_by_our_variable(shell: str) -> None:
    done = ask(f"{shell}_source")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{VARIABLE}={shell}_complete" in done.stdout
    assert "caffe-fcn" in done.stdout.split(f"{VARIABLE}={shell}_complete")[1]
    last = {"bash": "_setup;", "zsh": "fi", "fish": '"(_caffe_fcn_completion)";'}
    assert done.stdout.rstrip().endswith(last[shell])


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_options_and_choices(shell: str) -> None:
    commands = [each.split("\t")[0] for each in completed(shell, "caffe-fcn c")]
    assert commands == ["plain,check", "plain,convert"]
    options = [each.split("\t")[0] for each in completed(shell, "caffe-fcn convert --out")]
    assert options == ["plain,--output", "plain,--output-weights", "plain,--out-dir"]
    assert completed(shell, "caffe-fcn convert net.prototxt --phase t") == ["plain,train", "plain,test"]


@pytest.mark.parametrize("shell", SHELLS)
def test_files_and_directories_are_left_to_the_shell(shell: str) -> None:
    assert completed(shell, "caffe-fcn convert a.prototxt n") == ["file,n"]
    assert completed(shell, "caffe-fcn convert -o n") == ["file,n"]
    assert completed(shell, "caffe-fcn convert --output-weights n") == ["file,n"]
    assert completed(shell, "caffe-fcn convert --out-dir n") == ["dir,n"]
    assert completed(shell, "caffe-fcn check --strict a.prototxt n") == ["file,n"]


@pytest.mark.parametrize("command", ["check", "convert"])
def test_whatever_takes_a_file_completes_files(command: str) -> None:
    for parameter in app.commands[command].params:
        metavar = str(parameter.metavar)
        if isinstance(parameter, click.Argument) or metavar == "FILE":
            assert parameter.type is file_name
        assert (parameter.type is directory_name) == (metavar == "DIR")


def test_half_of_a_value_is_no_error() -> None:
    for line in ("caffe-fcn convert --input-size 9x", "caffe-fcn convert --names wrong ", "caffe-fcn nonsense "):
        completed("bash", line)


def test_the_program_ends_as_always(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(VARIABLE, "bash_source")
    assert run(["convert", "nonsense"]) == 0
    assert capfd.readouterr().out.startswith("_caffe_fcn_completion() {")


def test_other_shells_are_refused_quietly() -> None:
    done = ask("tcsh_source")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


@pytest.mark.parametrize("instruction", ["bash_source", "bash_complete"])
def test_nothing_heavy_is_loaded(instruction: str) -> None:
    done = ask(instruction, "-X", "importtime", COMP_WORDS="caffe-fcn convert n", COMP_CWORD="2")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click.shell_completion" in loaded
    assert loaded.isdisjoint({"numpy", "google.protobuf"})


# ---- Real shells ----

DRIVEN = """
eval "$(_CAFFE_FCN_COMPLETE=bash_source caffe-fcn)"
compopt() { printf 'compopt %s %s\\n' "$@"; }  # bash's own works only while it completes
complete -p caffe-fcn
complete_line() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _caffe_fcn_completion caffe-fcn "${COMP_WORDS[COMP_CWORD]}" ""
    echo "${COMPREPLY[*]}"
}
complete_line caffe-fcn co
complete_line caffe-fcn convert net.prototxt --names ""
complete_line caffe-fcn convert ne
complete_line caffe-fcn convert --out-dir ne
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_does_it(program: Path) -> None:
    path = os.pathsep.join([str(program), os.environ["PATH"]])
    command = ["bash", "--norc", "-c", DRIVEN]
    done = subprocess.run(command, env=environment(PATH=path), capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    registered, *told = done.stdout.splitlines()
    assert "-F _caffe_fcn_completion" in registered and registered.endswith("caffe-fcn")
    assert told == ["convert", "suffix keep", "compopt -o default", "", "compopt -o dirnames", ""]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_takes_the_script(program: Path) -> None:
    script = program / "script.zsh"
    script.write_text(ask("zsh_source").stdout, encoding="utf-8")
    done = subprocess.run(["zsh", "-n", str(script)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_does_it(program: Path) -> None:
    path = os.pathsep.join([str(program), os.environ["PATH"]])
    asked = ["caffe-fcn co", "caffe-fcn convert --names k", "caffe-fcn convert net.", "caffe-fcn convert --out-dir ne"]
    lines = "\n".join(f"complete -C '{line}'" for line in asked)
    command = ["fish", "--no-config", "-c", f"{VARIABLE}=fish_source caffe-fcn | source\n{lines}"]
    done = subprocess.run(
        command, cwd=program.parent / "here", env=environment(PATH=path), capture_output=True, text=True, timeout=60
    )
    told = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert told == ["convert", "keep", "net.prototxt", "nets/"]
