"""Every command in the README is run here, and must print what the page shows."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import click
import pytest
from make_weights import write_weights

from caffe_fcn.cli.convert import convert
from caffe_fcn.cli.main import run
from tests.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^    \$ (caffe-fcn .*)\n((?:    (?!\$).*\n)*)", README, re.MULTILINE)


@pytest.mark.parametrize(("command", "shown"), EXAMPLES, ids=[command[10:60] for command, _ in EXAMPLES])
def test_example(
    command: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "models", tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    if "net.caffemodel" in command:
        shutil.copy("models/alexnet.prototxt", "deploy.prototxt")
        write_weights(Path("deploy.prototxt"), Path("net.caffemodel"))
    assert run(shlex.split(command)[1:]) == 0
    out = capsys.readouterr()
    assert out.out + out.err == "".join(line[4:] + "\n" for line in shown.splitlines())
    for path in tmp_path.glob("*.caffemodel"):  # a quarter of a gigabyte each
        path.unlink()


def test_the_diff_shown_is_the_diff_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert run(["convert", "models/alexnet.prototxt", "--dry-run", "--diff", "--quiet"]) == 0
    shown = re.search(r"```diff\n(.*?)```", README, re.DOTALL)
    assert shown is not None and shown.group(1) in capsys.readouterr().out


def test_every_option_is_in_the_readme() -> None:
    options = [parameter for parameter in convert.params if isinstance(parameter, click.Option)]
    missing = [option.opts for option in options if not any(f"`{name}" in README for name in option.opts)]
    assert len(options) > 15 and not missing
