"""Names of files that are not UTF-8, accented ones in a locale without accents, and outputs named for another kind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import caffe_fcn
from caffe_fcn.files.names import ENDINGS, Kind
from tests.cli.conftest import LENET, CommandLine, listing
from tests.paths import ROOT

LATIN = os.fsdecode(b"caf\xe9")
"""A name as an old archive has it, which is no UTF-8."""

COMMANDS = [
    "inspect {0}.prototxt {0}.caffemodel --json",
    "inspect {0}.prototxt",
    "check {0}.prototxt --json",
    "convert {0}.prototxt {0}.caffemodel --json --verify",
    "convert {0}.prototxt --diff -o {0}.new.prototxt",
    "upgrade {0}.caffemodel {0}.h5 --json",
    "export {0}.prototxt {0}.caffemodel --json --labels {0}.labels",
    "verify {0}.prototxt {0}.caffemodel {0}.prototxt {0}.caffemodel --json",
    "run {0}.prototxt {0}.caffemodel {0}.png --json -o {0}.npy",
    "run {0}.prototxt {0}.caffemodel {0}.png --engine opencv",
    "run {0}.prototxt {0}.caffemodel {0}.png --out-dir {0} -o .npz",
]


def prepare(directory: Path, name: str) -> None:
    """Put files that are called NAME into DIRECTORY."""
    from PIL import Image

    for ending in ("prototxt", "caffemodel"):
        shutil.copy(LENET / f"net.{ending}", directory / f"{name}.{ending}")
    Image.fromarray(np.zeros((28, 28), "u1")).save(directory / "plain.png")
    (directory / "plain.png").rename(directory / f"{name}.png")
    (directory / f"{name}.labels").write_text("\n".join(f"label {index}" for index in range(10)), encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_names_that_are_no_utf8(cli: CommandLine, command: str) -> None:
    if "opencv" in command:
        pytest.importorskip("cv2")
    prepare(cli.path, LATIN)
    result = cli.run(*command.format(LATIN).split())
    assert result.code == 0, result.err
    if "--json" in command:
        assert f"{LATIN}." in json.dumps(result.document, ensure_ascii=False)
    elif "--diff" not in command:
        assert "caf?." in result.err + result.out.decode()


def test_a_second_file_that_onnx_could_not_name(cli: CommandLine) -> None:
    prepare(cli.path, LATIN)
    result = cli.run("export", f"{LATIN}.prototxt", f"{LATIN}.caffemodel", "--external-data")
    assert result.code == 1 and "caf?.onnx: the name of the second file must be UTF-8 in ONNX" in result.err


@pytest.mark.thorough
@pytest.mark.parametrize("command", [COMMANDS[6], COMMANDS[7], COMMANDS[8]], ids=lambda command: command.split()[0])
def test_accented_names_in_a_locale_without_accents(tmp_path: Path, command: str) -> None:
    prepare(tmp_path, "naïve")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "caffe_fcn", *command.format("naïve").split()]
    environment = {**os.environ, **plain}
    done = subprocess.run(list(map(os.fsencode, words)), cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "naïve." in json.dumps(json.loads(done.stdout.decode("utf-8")), ensure_ascii=False)


PAIR = ["net.prototxt", "net.caffemodel"]
OUTPUTS: list[tuple[list[str], tuple[Kind, ...]]] = [
    (["convert", *PAIR, "-o", "{}"], (Kind.TEXT,)),
    (["convert", *PAIR, "-w", "{}"], (Kind.WEIGHTS,)),
    (["upgrade", "net.prototxt", "{}"], (Kind.TEXT,)),
    (["upgrade", "net.caffemodel", "{}"], (Kind.TEXT, Kind.WEIGHTS)),
    (["upgrade", *PAIR, "-o", "{}", "-w", "free.weights"], (Kind.TEXT,)),
    (["upgrade", *PAIR, "-o", "free.text", "-w", "{}"], (Kind.WEIGHTS,)),
    (["export", *PAIR, "-o", "{}"], (Kind.ONNX,)),
    (["run", *PAIR, "net.png", "-o", "{}"], (Kind.ARRAY,)),
    (["run", *PAIR, "net.png", "--heatmap", "{}"], (Kind.PICTURE,)),
    (["run", *PAIR, "net.png", "--label-map", "{}"], (Kind.PICTURE,)),
]
"""What is said to a command, with a place for the name of an output, and the kinds of file that this may be."""


@pytest.mark.parametrize(("words", "kinds"), OUTPUTS, ids=lambda value: " ".join(map(str, value)))
def test_an_output_named_for_another_kind_of_file(
    lenet: CommandLine, words: list[str], kinds: tuple[Kind, ...]
) -> None:
    before = listing(lenet.path)
    for kind in set(Kind) - set(kinds):
        for ending in ENDINGS[kind]:
            name = f"new{ending.upper() if kind is Kind.PICTURE else ending}"
            result = lenet.run(*(word.format(name) for word in words))
            assert result.code == 2, (name, result.err)
            assert f"{name}: expected a name " in result.err
            assert listing(lenet.path) == before


@pytest.mark.parametrize("words", [words for words, _ in OUTPUTS[:7]], ids=" ".join)
def test_an_output_whose_name_tells_no_kind(lenet: CommandLine, words: list[str]) -> None:
    assert lenet.run(*(word.format("new.txt") for word in words)).code == 0
    assert "new.txt" in lenet.names


def test_the_library_refuses_names_for_another_kind(lenet: CommandLine) -> None:
    before = listing(lenet.path)
    with caffe_fcn.open("net.prototxt", "net.caffemodel") as net:
        fcn = net.convolutionalize()
        for write in (
            lambda: fcn.save("new.caffemodel", "new.prototxt"),
            lambda: fcn.save(output_weights="new.onnx"),
            lambda: caffe_fcn.convert("net.prototxt", "net.caffemodel", Path("new.png")),
            lambda: net.export("new.prototxt"),
        ):
            with pytest.raises(ValueError, match=r"^new\.\w+: expected a name for"):
                write()
    assert listing(lenet.path) == before
