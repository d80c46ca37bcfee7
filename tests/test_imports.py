"""The rooms of the package import one way, and starting the program stays cheap.

The imports are read from the sources, wherever they stand: at the top of a module, in a function,
or for the type checker only.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Container, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from caffe_fcn.cli.main import app
from tests.paths import ROOT

PACKAGE = ROOT / "caffe_fcn"
RANKS = {
    "schema": 0,
    "files": 1,
    "net": 2,
    "model": 3,
    "passes": 4,
    "compare": 5,
    "onnx": 5,
    "engines": 6,
    "verify": 7,
    "predict": 7,
    "inspection": 7,
    "diagram": 8,
    "page": 9,
    "report": 10,
    "cli": 11,
}
"""A package may import itself and those of a lower rank; verify and predict, or compare and onnx, do not need
each other."""

BESIDE = RANKS["verify"]
"""The rank of a package that is not named here, such as an export to another format."""

FOR_ALL = {"display", "errors", "options", "wording"}
"""Modules beside the rooms that every room may import."""

ENTRY = {"__main__": "cli", "api": "report"}
"""Modules beside the rooms that may import as much as the room given."""

HEAVY = ("numpy", "google.protobuf", "onnx", "jinja2", "PIL")
"""What the help pages must not wait for."""


class Import(NamedTuple):
    """One import: the module NAME that it loads, and WHEN: "start", "call" (in a function) or "typing"."""

    name: str
    when: str
    line: int


def imports_of(source: str, package: str, modules: frozenset[str] = frozenset()) -> list[Import]:
    """All imports in SOURCE, a module of PACKAGE. `from P import M` counts as P.M where MODULES has that."""
    return list(_walk(ast.parse(source), package, modules, "start"))


def _walk(node: ast.AST, package: str, modules: frozenset[str], when: str) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, when, node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = package.split(".")
            base = ".".join([*parents[: len(parents) - node.level + 1], *base.split(".")]).rstrip(".")
        for alias in node.names:
            whole = f"{base}.{alias.name}"
            yield Import(whole if whole in modules else base, when, node.lineno)
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for statement in node.body:
            yield from _walk(statement, package, modules, "typing")
        for statement in node.orelse:
            yield from _walk(statement, package, modules, when)
    else:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            when = "call"
        for child in ast.iter_child_nodes(node):
            yield from _walk(child, package, modules, when)


def module_name(path: Path) -> str:
    """The dotted name of the module in the file at PATH."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The room, or the module beside the rooms, in which MODULE lies; "" for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def may_import(importer: str, imported: str) -> bool:
    """Whether the module IMPORTER may import the module IMPORTED, both of this package."""
    ours, theirs = room_of(importer), room_of(imported)
    if theirs in FOR_ALL or theirs == "" or ours == theirs:
        return True
    if ours == "":  # the package offers its library, and nothing else
        return theirs == "api"
    rank = RANKS.get(ENTRY.get(ours, ours), BESIDE if ours in PACKAGES else -1)
    return theirs in PACKAGES and (RANKS.get(theirs, BESIDE) < rank or theirs == ENTRY.get(ours))


PACKAGES = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {"api"}
SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = frozenset(SOURCES)


@cache
def imports_of_module(module: str) -> list[Import]:
    path = SOURCES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return imports_of(path.read_text(encoding="utf-8"), package, MODULES)


def is_under(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def test_every_module_lies_in_a_room() -> None:
    known = {"", *PACKAGES, *FOR_ALL, *ENTRY}
    assert [module for module in SOURCES if room_of(module) not in known] == []
    assert set(RANKS) <= PACKAGES


@pytest.mark.parametrize("command", app.commands)
def test_a_command_is_found_by_its_name(command: str) -> None:
    assert {f"caffe_fcn.cli.{command}", f"caffe_fcn.report.{command}"} <= MODULES


def found_in(rooms: Container[str], wrong: Callable[[str, Import], bool]) -> dict[str, list[Import]]:
    """The WRONG imports in ROOMS by module, given each module and import."""
    modules = [module for module in SOURCES if room_of(module) in rooms]
    found = {module: [each for each in imports_of_module(module) if wrong(module, each)] for module in modules}
    assert modules
    return {module: imports for module, imports in found.items() if imports}


ROOMS = {room_of(module) for module in SOURCES}


@pytest.mark.thorough
def test_imports_run_one_way() -> None:
    found = found_in(ROOMS, lambda module, each: is_under(each.name, "caffe_fcn") and not may_import(module, each.name))
    assert found == {}


@pytest.mark.parametrize("module", sorted(FOR_ALL))
def test_what_all_may_import_imports_no_room(module: str) -> None:
    assert [found for found in imports_of_module(f"caffe_fcn.{module}") if room_of(found.name) in RANKS] == []


def test_click_stays_in_the_command_line() -> None:
    assert found_in(ROOMS - {"cli", "__main__"}, lambda _, each: is_under(each.name, "click")) == {}


def test_what_a_net_means_needs_no_numpy() -> None:
    assert found_in({"net"}, lambda _, each: is_under(each.name, "numpy")) == {}


def test_numpy_is_loaded_only_when_values_are_touched() -> None:
    rooms = {"files", "model", "passes"}
    assert found_in(rooms, lambda _, each: is_under(each.name, "numpy") and each.when == "start") == {}


LATE = ("numpy", "google", "onnx", "PIL", "jinja2", "markupsafe", "h5py", "onnxruntime", "cv2", "openvino", "caffe")
"""Packages that a function imports, because not every run needs them: they take long, or may not be there."""

REASON = "# here, because "
"""What the line of another import in a function ends with, before its reason."""


@cache
def loaded_for_help() -> frozenset[str]:
    """The modules of the command line that are loaded before it is known whether a command runs."""
    found: set[str] = set()
    new = {"caffe_fcn.cli.main", *(f"caffe_fcn.cli.{command}" for command in app.commands)}
    while new:
        found |= new
        names = {each.name for module in new for each in imports_of_module(module) if each.when == "start"}
        new = {name for name in names if name in MODULES and room_of(name) == "cli"} - found
    return frozenset(found)


def imported_late(module: str) -> list[str]:
    """The lines of imports in functions of MODULE that have no leave, and tell no reason. What carries out a command is
    loaded when it runs, so that its help and errors of usage need not wait."""
    lines = SOURCES[module].read_text(encoding="utf-8").splitlines()
    late = [each for each in imports_of_module(module) if each.when == "call"]
    ours = "caffe_fcn" if module in loaded_for_help() else "numpy"
    others = [each for each in late if not any(is_under(each.name, package) for package in (*LATE, ours))]
    return sorted({lines[each.line - 1] for each in others if REASON not in lines[each.line - 1]})


@pytest.mark.parametrize("module", SOURCES)
def test_imports_stand_at_the_top(module: str) -> None:
    assert imported_late(module) == []


def test_what_help_loads_is_known() -> None:
    known = loaded_for_help()
    assert {"caffe_fcn.cli.options", "caffe_fcn.cli.nets", "caffe_fcn.cli.progress"} <= known
    assert "caffe_fcn.cli.run_pictures" not in known


@pytest.mark.thorough
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], *([command, "--help"] for command in app.commands)],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "caffe_fcn", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    loaded = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert "caffe_fcn.cli.main" in loaded or "caffe_fcn.cli" in loaded
    assert [name for name in loaded if any(is_under(name, heavy) for heavy in HEAVY)] == []


# ---- The reader of imports itself: what it would let pass, nobody would see ----


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import numpy as np", [("numpy", "start")]),
        ("import click.testing, os", [("click.testing", "start"), ("os", "start")]),
        ("from caffe_fcn import errors", [("caffe_fcn.errors", "start")]),
        ("from caffe_fcn.errors import NetError", [("caffe_fcn.errors", "start")]),
        ("from . import sibling", [("caffe_fcn.net", "start")]),
        ("from ..errors import NetError", [("caffe_fcn.errors", "start")]),
        ("from .. import errors", [("caffe_fcn.errors", "start")]),
        ("try:\n    import numpy\nexcept ImportError: pass", [("numpy", "start")]),
        ("class A:\n    import numpy", [("numpy", "start")]),
        ("def f():\n    from numpy import array", [("numpy", "call")]),
        ("if TYPE_CHECKING:\n    import numpy\nelse:\n    import os", [("numpy", "typing"), ("os", "start")]),
    ],
)
def test_imports_are_found(source: str, found: list[tuple[str, str]]) -> None:
    read = imports_of(source, "caffe_fcn.net", frozenset({"caffe_fcn.errors"}))
    assert [(each.name, each.when) for each in read] == found


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("caffe_fcn.net.graph", "caffe_fcn.files.prototxt", True),
        ("caffe_fcn.files.prototxt", "caffe_fcn.net.graph", False),
        ("caffe_fcn.passes.edits", "caffe_fcn.schema", True),
        ("caffe_fcn.schema", "caffe_fcn.errors", True),
        ("caffe_fcn.errors", "caffe_fcn.schema", False),
        ("caffe_fcn.report.verify", "caffe_fcn.verify.records", True),
        ("caffe_fcn.verify.verify", "caffe_fcn.report", False),
        ("caffe_fcn.verify.verify", "caffe_fcn.engines.nets", True),
        ("caffe_fcn.verify.verify", "caffe_fcn.predict.inputs", False),
        ("caffe_fcn.predict.picture_net", "caffe_fcn.verify.records", False),
        ("caffe_fcn.engines.temporary", "caffe_fcn.onnx.serialization", True),
        ("caffe_fcn.onnx.lowering", "caffe_fcn.engines.protocol", False),
        ("caffe_fcn.onnx.lowering", "caffe_fcn.model.filling", True),
        ("caffe_fcn.cli.main", "caffe_fcn.report.tables", True),
        ("caffe_fcn.passes", "caffe_fcn.cli", False),
        ("caffe_fcn.__main__", "caffe_fcn.cli.main", True),
        ("caffe_fcn.cli.main", "caffe_fcn.__main__", False),
        ("caffe_fcn", "caffe_fcn.api", True),
        ("caffe_fcn", "caffe_fcn.net.source", False),
        ("caffe_fcn.api", "caffe_fcn.report.convert", True),
        ("caffe_fcn.api", "caffe_fcn.cli.options", False),
        ("caffe_fcn.passes", "caffe_fcn.api", False),
    ],
)
def test_the_way_is_known(importer: str, imported: str, allowed: bool) -> None:
    assert may_import(importer, imported) is allowed
