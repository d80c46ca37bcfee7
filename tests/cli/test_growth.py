"""Time and memory grow with the size of a file, not with its square, and not by a hundred bytes for each.

Each case runs in a process of its own, which tells the most memory that it had. Its time is limited to many times what
it takes, and to a part of what it would take if that grew by the square.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.conftest import trained
from tests.passes.nets import data, fc, layer
from tests.paths import ROOT

pytestmark = pytest.mark.thorough

SECONDS = 20
PROGRAM = f"""
import resource, sys
sys.path.insert(0, {str(ROOT)!r})
resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))
from caffe_fcn.cli.main import run
code = run(sys.argv[1:])
with open("/proc/self/status") as status:
    [peak] = (line.split()[1] for line in status if line.startswith("VmHWM:"))
print(code, int(peak) // 1024, file=sys.stderr)
"""

INPUT = data(shape="1 3 8 8")
NET = INPUT + fc("fc", "data", 2)
WEIGHTS = trained(("fc", "InnerProduct", [(2, 192), (2,)]))


class Case(NamedTuple):
    """A command for net.prototxt and net.caffemodel, which hold what MAKE makes of SIZE, and its MEGABYTES."""

    arguments: str
    make: Callable[[int], tuple[str, bytes]]
    size: int
    megabytes: int


def shared(count: int) -> tuple[str, bytes]:
    """COUNT layers with one parameter."""
    layers = (fc(f"l{i}", "data", 2, "bias_term: false", 'param { name: "w" }') for i in range(count))
    return INPUT + "".join(layers), trained(("l0", "InnerProduct", [(2, 192)]))


def string(count: int) -> tuple[str, bytes]:
    """A string of COUNT characters, some of them escaped."""
    return f'name: "{"x" * count}\\n"\n' + NET, WEIGHTS


def escapes(count: int) -> tuple[str, bytes]:
    """The names of a net and of a layer of COUNT characters, each of them escaped."""
    short, newlines = r"\x1" * count, r"\n" * count
    return f'name: "{short}"\n' + data(shape="1 3 8 8").replace('"data"', f'"{newlines}"', 1) + fc(
        "fc", "data", 2
    ), WEIGHTS


def controls(count: int) -> tuple[str, bytes]:
    """A layer whose name has COUNT characters that JSON shows as escapes."""
    return INPUT + fc("\x7f" * count, "data", 2), WEIGHTS


def kind(count: int) -> tuple[str, bytes]:
    """A layer whose type has COUNT characters."""
    return NET + layer("l", "x" * count, "data"), WEIGHTS


def names(count: int) -> tuple[str, bytes]:
    """A layer and a blob whose names have COUNT characters."""
    long = "x" * count
    return INPUT + fc(long, "data", 2).replace(f'top: "{long}"', f'top: "{"y" * count}"'), WEIGHTS


def number(count: int) -> tuple[str, bytes]:
    """A number of COUNT digits, in a field that nothing knows."""
    return f"{NET}layer {{ name: 'x' type: 'Silence' bottom: 'fc' unknown: {'1' * count} }}", WEIGHTS


def tops(count: int) -> tuple[str, bytes]:
    """A layer with COUNT tops, all but one of which are outputs of the net."""
    names = " ".join(f'top: "s{i}"' for i in range(count))
    return INPUT + f'layer {{ name: "s" type: "Split" bottom: "data" {names} }}' + fc("fc", "s0", 2), WEIGHTS


CASES = {
    "shared parameter": Case("inspect net.prototxt net.caffemodel --json", shared, 4000, 200),
    "string": Case("check net.prototxt", string, 16 << 20, 300),
    "string, convert": Case("convert net.prototxt net.caffemodel", string, 4 << 20, 150),
    "escapes": Case("check net.prototxt", escapes, 1 << 19, 60),
    "controls": Case("inspect net.prototxt --json", controls, 1 << 19, 70),
    "type": Case("check net.prototxt", kind, 4 << 20, 80),
    "type, inspect": Case("inspect net.prototxt --json", kind, 4 << 20, 85),
    "type, convert": Case("convert net.prototxt --dry-run", kind, 4 << 20, 80),
    "names": Case("convert net.prototxt --dry-run", names, 2 << 20, 100),
    "names, inspect": Case("inspect net.prototxt", names, 2 << 20, 100),
    "number": Case("check net.prototxt", number, 4 << 20, 150),
    "tops": Case("export net.prototxt net.caffemodel", tops, 4000, 250),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux, which tells the most memory")
@pytest.mark.parametrize("name", CASES)
def test_what_it_takes(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    text, weights = case.make(case.size)
    (tmp_path / "net.prototxt").write_text(text, encoding="utf-8")
    (tmp_path / "net.caffemodel").write_bytes(weights)
    command = [sys.executable, "-c", PROGRAM, *case.arguments.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    code, megabytes = map(int, done.stderr.decode().splitlines()[-1].split())
    assert code == 0, done.stderr
    assert megabytes < case.megabytes
    assert len(done.stderr) < 1 << 20  # what is shown of a long name is short
