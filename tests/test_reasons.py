"""No code reads words: what an error, a reason or a finding says is for people, and decisions are made on data."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGE = ROOT / "caffe_fcn"
READERS = {
    "startswith",
    "endswith",
    "removeprefix",
    "removesuffix",
    "partition",
    "rpartition",
    "split",
    "find",
    "index",
}
"""Methods of a string that look into it."""
PATTERNS = {"match", "search", "fullmatch", "finditer", "findall", "sub", "split"}
"""Functions of re, and methods of a pattern."""
SAID = {"told", "reason", "why", "hint", "excerpt", "message"}
"""Attributes and variables that hold words; that of a protobuf message has its name in `message`, which is compared."""

ALLOWED = {
    # An annotation of Python, as a message shows it.
    "api/arguments.py: annotation.replace('str | os.PathLike[str]', 'a path').removesuffix(' | None')",
    # The message of HDF5 on a full disk is all that it tells; it quotes the system's number.
    r"files/hdf5_writing.py: re.search('errno = (\\d+)', str(error))",
}


def readings(source: str) -> Iterator[ast.AST]:
    """The expressions of SOURCE that look into words."""
    tree = ast.parse(source)
    errors = {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name}

    def is_words(node: ast.AST) -> bool:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("str", "explain"):
            return any(isinstance(each, ast.Name) and each.id in errors for each in node.args)
        if isinstance(node, ast.Tuple):
            return any(map(is_words, node.elts))
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        return name in SAID

    def is_sentence(node: ast.AST) -> bool:
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        return any(each.isalpha() for text in texts for each in text.split()) and any(" " in text for text in texts)

    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            looks = node.func.attr in READERS and is_words(node.func.value) and node.args
            finds = node.func.attr in READERS - {"split", "index"} and any(map(is_sentence, node.args))
            matches = node.func.attr in PATTERNS and any(map(is_words, node.args))
            if looks or finds or matches:
                yield node
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if isinstance(node.ops[0], ast.In | ast.NotIn):
                if is_words(sides[1]) or (is_sentence(sides[0]) and not isinstance(sides[1], ast.Tuple | ast.Set)):
                    yield node
            elif isinstance(node.ops[0], ast.Eq | ast.NotEq) and any(map(is_words, sides)):
                of_protobuf = any(getattr(each, "attr", getattr(each, "id", "")) == "message" for each in sides)
                if not of_protobuf and any(isinstance(each, ast.Constant | ast.JoinedStr) for each in sides):
                    yield node


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_code_reads_words(path: Path) -> None:
    name = path.relative_to(PACKAGE)
    found = [f"{name}: {ast.unparse(node)}" for node in readings(path.read_text(encoding="utf-8"))]
    assert [each for each in found if each not in ALLOWED] == []


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("try: pass\nexcept E as error:\n    x = str(error).removeprefix(name)", True),
        ("try: pass\nexcept E as error:\n    x = 'fc6' in str(error)", True),
        ("try: pass\nexcept E as error:\n    x = ' '.join(str(error).split())", False),
        ("reason.endswith(' pads')", True),
        ("layer.reason == 'pads'", True),
        ("message.partition('\\n')", True),
        ("text.endswith('cannot be said')", True),
        ("'and no more' in text", True),
        ("re.search('errno', error.told)", True),
        ("reason is Cause.PADS", False),
        ("name.endswith('.npy')", False),
    ],
)
def test_what_reads_words_is_found(source: str, read: bool) -> None:
    assert bool([*readings(source)]) is read
