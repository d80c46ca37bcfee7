"""`caffe-fcn --version`: what a bug report needs."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys

import pytest

from caffe_fcn import __version__
from caffe_fcn.cli.main import run
from tests.paths import ROOT


def test_the_first_line_is_the_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == f"caffe-fcn {__version__}" and told.err == ""


def test_versions_are_those_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    import click
    import google.protobuf
    import numpy

    assert run(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert platform.python_version() in lines[1] and platform.python_implementation() in lines[1]
    assert platform.machine() in lines[1] and platform.system() in lines[1]
    found = dict(line.split(maxsplit=1) for line in lines[2:])
    assert list(found) == ["click", "numpy", "protobuf", "h5py", "onnx", "onnxruntime", "pillow"]
    assert found["numpy"] == numpy.__version__
    assert found["protobuf"] == google.protobuf.__version__
    assert found["click"] == importlib.metadata.version(click.__name__)


def test_a_package_that_is_not_there_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "h5py":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert run(["--version"]) == 0
    assert "h5py not installed" in capsys.readouterr().out.splitlines()


def test_it_comes_before_everything_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version", "convert", "--nonsense"]) == 0
    assert capsys.readouterr().out.startswith("caffe-fcn ")


@pytest.mark.thorough
def test_nothing_of_it_is_loaded_before_it_is_asked_for() -> None:
    code = "import sys; before = set(sys.modules); import caffe_fcn.cli.main; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "caffe_fcn.cli.version" in done.stdout.split(), done.stderr
    assert "importlib.metadata" not in done.stdout.split()
