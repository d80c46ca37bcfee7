"""Names of files that are not UTF-8, and accented ones in a locale without accents."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import LENET, CommandLine
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
    assert result.code == 1 and "caf?.onnx: ONNX names the second file in UTF-8" in result.err


@pytest.mark.parametrize("command", [COMMANDS[6], COMMANDS[7], COMMANDS[8]], ids=lambda command: command.split()[0])
def test_accented_names_in_a_locale_without_accents(tmp_path: Path, command: str) -> None:
    prepare(tmp_path, "naïve")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "caffe_fcn", *command.format("naïve").split()]
    environment = {**os.environ, **plain}
    done = subprocess.run(list(map(os.fsencode, words)), cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "naïve." in json.dumps(json.loads(done.stdout.decode("utf-8")), ensure_ascii=False)
