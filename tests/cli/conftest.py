"""The command line run in this process, in a directory of its own, with all that it tells and writes."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import caffe_fcn
from caffe_fcn import schema
from caffe_fcn.cli.failures import explain
from caffe_fcn.cli.main import app, run
from caffe_fcn.errors import CaffeFcnError, ExtraError, WeightsError
from caffe_fcn.schema import Message
from tests.paths import GOLDEN, ROOT

LENET = GOLDEN / "conversions" / "lenet"
DIGITS = ROOT / "models" / "digits"


@dataclass(frozen=True)
class Result:
    """What a run told, and its exit code."""

    code: int
    out: bytes
    err: str

    @property
    def document(self) -> Any:
        """The JSON on stdout."""
        return json.loads(self.out)


def explained(error: Exception) -> str:
    """What is told of ERROR, which must hold as data what it says: where it is, and what was expected and found."""
    if isinstance(error, CaffeFcnError) and not isinstance(error, ExtraError):
        of_both = isinstance(error, WeightsError) and "the weights of the two nets are swapped" in error.message
        of_options = error.hint is not None and error.hint.advised
        assert error.source or error.place or error.layer or of_both or of_options, error
        if error.told is not None and re.match("expected .*found ", error.told):
            assert error.expected and error.found, error
    return explain(error)


class CommandLine:
    """`caffe-fcn` in a directory, `convert` above all."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[bytes]) -> None:
        self.path = path
        self._monkeypatch = monkeypatch
        self._capture = capture

    def run(self, *arguments: str | Path, stdin: bytes = b"") -> Result:
        """Run `caffe-fcn ARGUMENTS`, with STDIN to read."""
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self._monkeypatch.setattr("caffe_fcn.cli.main.explain", explained)
        self._capture.readouterr()
        code = run([*map(str, arguments)])
        told = self._capture.readouterr()
        result = Result(code, told.out, told.err.decode("utf-8"))
        assert not options_out_of_place([*map(str, arguments)], result.err), result.err
        return result

    def convert(self, *arguments: str | Path, stdin: bytes = b"") -> Result:
        """Run `caffe-fcn convert ARGUMENTS`, with STDIN to read."""
        return self.run("convert", *arguments, stdin=stdin)

    def converts(self, *arguments: str | Path, stdin: bytes = b"") -> Result:
        """A run that must succeed."""
        result = self.convert(*arguments, stdin=stdin)
        assert result.code == 0, result.err
        return result

    def refuses(self, *arguments: str | Path, stdin: bytes = b"") -> str:
        """What a run tells that must fail with exit code 1, one message, and nothing written."""
        before = listing(self.path)
        result = self.convert(*arguments, stdin=stdin)
        assert (result.code, result.out) == (1, b""), result.err
        assert listing(self.path) == before
        return the_message(result.err)

    def rejects(self, *arguments: str | Path) -> str:
        """What a run tells that must fail as wrong usage: exit code 2, and nothing written."""
        before = listing(self.path)
        result = self.convert(*arguments)
        assert (result.code, result.out) == (2, b""), result.err
        assert listing(self.path) == before
        assert "Traceback" not in result.err
        return result.err.splitlines()[-1]

    def write(self, **files: str | bytes) -> None:
        """Files by stem: text becomes STEM.prototxt, bytes STEM.caffemodel."""
        for stem, data in files.items():
            if isinstance(data, str):
                (self.path / f"{stem}.prototxt").write_bytes(data.encode())
            else:
                (self.path / f"{stem}.caffemodel").write_bytes(data)

    def read(self, name: str) -> str:
        return (self.path / name).read_text(encoding="utf-8")

    def blobs(self, name: str) -> dict[str, list[tuple[int, ...]]]:
        """The shapes of the blobs in a caffemodel by layer, read by protobuf alone."""
        net = schema.NetParameter.FromString((self.path / name).read_bytes())
        return {layer.name: [tuple(blob.shape.dim) for blob in layer.blobs] for layer in net.layer if layer.blobs}

    @property
    def names(self) -> set[str]:
        """The files there are, hidden ones too."""
        return set(os.listdir(self.path))


def options_out_of_place(arguments: list[str], err: str) -> list[str]:
    """The options that messages in ERR name and that the command in ARGUMENTS does not have. What stands in `quotes`
    is a command of its own."""
    commands = {name: command for name, command in app.commands.items() if name in arguments[:1]}
    if not commands:
        return []
    known = {option for command in commands.values() for each in command.params for option in each.opts}
    told = [line for line in err.splitlines() if line.startswith(("caffe-fcn: ", "note: "))]
    named = [name for line in told for name in re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub("`.*?`", "", line))]
    return [name for name in named if name not in known and name not in arguments]


def listing(path: Path) -> Mapping[str, tuple[int, bytes]]:
    """Every file under PATH with its mode and contents; of directories, links and pipes that they are there."""
    found = {}
    for place, directories, files in os.walk(path):
        for name in [*directories, *files]:
            each = Path(place, name)
            plain = each.is_file() and not each.is_symlink()
            data = each.read_bytes() if plain and os.access(each, os.R_OK) else b""
            found[str(each.relative_to(path))] = each.lstat().st_mode, data
    return found


def the_message(err: str) -> str:
    """The one message in ERR, without what it begins with; a place shown below it is checked, and left out."""
    first, *below = err.strip("\n").splitlines()
    assert first.startswith("caffe-fcn: ")
    assert "defect of caffe-fcn" not in err
    if below:
        shown, caret = below
        assert shown.startswith("  ")
        assert caret.strip() == "^"
        assert len(caret) <= max(len(shown), 2) + 1
    return first.removeprefix("caffe-fcn: ")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> CommandLine:
    """The command line in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CAFFE_FCN_DEBUG", raising=False)
    return CommandLine(tmp_path, monkeypatch, capfdbinary)


@pytest.fixture
def lenet(cli: CommandLine) -> CommandLine:
    """The command line in a directory with net.prototxt and net.caffemodel, a LeNet."""
    for name in ("net.prototxt", "net.caffemodel"):
        shutil.copy(LENET / name, cli.path / name)
        (cli.path / name).chmod(0o644)
    return cli


@pytest.fixture(scope="session")
def digits_and_twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the digits net, its twin, and pictures, for tests to copy."""
    path = tmp_path_factory.mktemp("digits")
    for suffix in ("prototxt", "caffemodel"):
        shutil.copy(DIGITS / f"digits.{suffix}", path / f"net.{suffix}")
    for name in ("scattered.png", "labels.txt"):
        shutil.copy(DIGITS / name, path / name)
    files = ("net.prototxt", "net.caffemodel", "fcn.prototxt", "fcn.caffemodel")
    caffe_fcn.convert(*(path / name for name in files))
    Image.open(path / "scattered.png").crop((128, 168, 148, 188)).save(path / "window.png")
    return path


@pytest.fixture
def digits(cli: CommandLine, digits_and_twin: Path) -> CommandLine:
    """The command line in a directory with the digits net, its twin, and pictures."""
    shutil.copytree(digits_and_twin, cli.path, dirs_exist_ok=True)
    return cli


def trained(*layers: tuple[str, str, list[tuple[int, ...]]], **fields: object) -> bytes:
    """A caffemodel of layers (name, type, shapes of the blobs), all values 0.5."""
    net: Message = schema.NetParameter(**fields)
    for name, kind, shapes in layers:
        layer = net.layer.add(name=name, type=kind)
        for shape in shapes:
            blob = layer.blobs.add(shape={"dim": shape})
            count = 1
            for extent in shape:
                count *= extent
            blob.data.extend([0.5] * count)
    data: bytes = net.SerializeToString()
    return data
