"""One name of a class means one thing in the whole package."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGE = ROOT / "caffe_fcn"

ALLOWED = {"Tensor"}
"""Names of several classes. A protocol in `files/`, which cannot import `model/`, says what writers ask of a tensor."""


def classes_in(package: Path) -> dict[str, list[str]]:
    """The classes defined in the modules of PACKAGE, at any depth, and where."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(f"{path.relative_to(package)}:{node.lineno}")
    return found


@pytest.mark.thorough
def test_no_class_has_the_name_of_another() -> None:
    several = {name: places for name, places in classes_in(PACKAGE).items() if len(places) > 1}
    assert {name: places for name, places in several.items() if name not in ALLOWED} == {}
    assert set(several) == ALLOWED, "what has a name of its own now needs no leave"


def test_classes_are_found_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("class Model: pass\n")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.py").write_text("def f():\n    class Model: pass\n")
    assert classes_in(tmp_path) == {"Model": ["a.py:1", "b/c.py:2"]}
