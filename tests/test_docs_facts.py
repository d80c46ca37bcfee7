"""docs/caffe-facts.md: every fact names tests that hold it, there are such tests, and numbers of forks are theirs.

A fact is a point of a list, a row of a table whose last column is "held by", or a paragraph behind the introduction.
A table without that column belongs to what stands before it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache

import pytest

from caffe_fcn.schema.layouts import layout
from tests.net.nets import top_of
from tests.net.reference import pooled_size
from tests.paths import GOLDEN, ROOT

PAGE = ROOT / "docs" / "caffe-facts.md"
TEST = r"tests/[\w/]+\.py::test_\w+"
REFERENCE = re.compile(rf"\[({TEST}(?:,\s+{TEST})*)\]$")
FORKS = {
    "C3D": "C3D-1.0",
    "DeepLab": "deeplab-2",
    "FlowNet2": "flownet2",
    "Intel": "intel",
    "LISA": "lisa",
    "NVCaffe": "NVIDIA",
    "PSPNet": "PSPNet",
    "SphereFace": "sphereface",
    "happynear": "happynear",
}
"""A fork's name on the page, and in the table of forks."""


def blocks(text: str) -> Iterator[list[str]]:
    """Headings, points, paragraphs and tables of a page, as lines without their indent; code belongs to none."""
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        words = line.strip()
        if block and (not words or _is_apart(block[0], words)):
            yield block
            block = []
        if words:
            block.append(words)


def _is_apart(first: str, line: str) -> bool:
    """Whether LINE begins a block of its own behind the block that begins with FIRST."""
    return first.startswith("#") or line.startswith(("#", "- ")) or line.startswith("|") != first.startswith("|")


def facts(text: str) -> Iterator[str]:
    """What TEXT states, each fact as one line."""
    before_the_first = True
    for block in blocks(text):
        if block[0].startswith("#"):
            before_the_first = before_the_first and not block[0].startswith("##")
        elif block[0].startswith("|"):
            if re.search(r"\|\s*held by\s*\|$", block[0]):
                yield from (row.removesuffix("|").rstrip() for row in block[2:])
        elif not before_the_first and not block[-1].endswith(":"):
            yield " ".join(block)


def named_in(fact: str) -> list[str]:
    """The tests that FACT names at its end."""
    reference = REFERENCE.search(fact)
    return re.findall(TEST, reference[1]) if reference else []


@cache
def defined(path: str) -> frozenset[str]:
    """The tests in the file at PATH."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


FACTS = list(facts(PAGE.read_text(encoding="utf-8")))


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: re.sub(r"\W+", " ", fact)[:40].strip())
def test_a_fact_is_held_by_tests_that_exist(fact: str) -> None:
    named = named_in(fact)
    assert named, "it does not end with [tests/...py::test_..., ...]"
    for test in named:
        path, _, name = test.partition("::")
        assert name in defined(path), f"{path} has no {name}"


def test_there_are_facts_of_every_kind() -> None:
    assert len(FACTS) > 80
    assert any(fact.startswith("|") for fact in FACTS)
    assert any(not fact.startswith(("-", "|")) for fact in FACTS)


HELD = "[tests/a.py::test_a]"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"# Page\n\nWords.\n\n## Part\n\n- One\n  fact.\n  {HELD}\n- Two.", [f"- One fact. {HELD}", "- Two."]),
        (f"## Part\n\nWords. {HELD}\n\n| a | b |\n|---|---|\n| 1 | 2 |\n", [f"Words. {HELD}"]),
        ("## Part\n\nWords:\n\n| a | held by |\n|---|---|\n| 1 | x |\n| 2 | |\n", ["| 1 | x", "| 2 |"]),
        ("## Part\n- One:\n", []),
        ("## Part\n- One:\n  | a |\n  |---|\n  | 1 |\n- Two", ["- Two"]),
        ("## Part\nLoose words.\n- One\n", ["Loose words.", "- One"]),
    ],
)
def test_facts_are_found(text: str, found: list[str]) -> None:
    assert list(facts(text)) == found


@pytest.mark.parametrize(
    ("fact", "tests"),
    [
        (f"- One. {HELD}", ["tests/a.py::test_a"]),
        ("- One. [tests/a.py::test_a, tests/b/c.py::test_d]", ["tests/a.py::test_a", "tests/b/c.py::test_d"]),
        (f"- One. {HELD} And more.", []),
        ("- One.", []),
        ("- One. [tests/a.py]", []),
    ],
)
def test_references_are_read(fact: str, tests: list[str]) -> None:
    assert named_in(fact) == tests


# ---- Examples ----


def test_the_worked_examples_of_pooling() -> None:
    found = re.findall(
        r"^ *\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| .+ \|$", PAGE.read_text(), re.MULTILINE
    )
    assert len(found) == 6
    for row in found:
        size, kernel, stride, pad, rounded, made = map(int, row)
        assert pooled_size(size, kernel, stride, pad, any_pad=False) == rounded, row
        assert pooled_size(size, kernel, stride, pad, any_pad=bool(pad)) == made, row
        window = f"kernel_size: {kernel} stride: {stride} pad: {pad}"
        assert top_of(f"Pooling pooling_param {{ {window} }}", (1, 1, size, size)) == (1, 1, made, made), row


# ---- Numbers of forks ----


def rows() -> list[tuple[str, int, str, dict[str, str]]]:
    """The rows of the table of forks: message, number, BVLC's field or "", and the field in each fork."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        row = re.fullmatch(r"\| `([\w.]+)` (\d+) \| (?:`(\w+)` )?\| (.+) \|", line)
        if row is not None:
            used = re.findall(r"((?:\w+, )*\w+) `(\w+)`", row[4])
            fields = {fork: field for forks, field in used for fork in forks.split(", ")}
            found.append((row[1], int(row[2]), row[3] or "", fields))
    return found


def bvlc() -> dict[tuple[str, int], str]:
    """BVLC's names by message, or enum, and number."""
    messages = json.loads((GOLDEN / "caffe_schema.json").read_text(encoding="utf-8"))["messages"]
    names = {(message, field["number"]): field["name"] for message in messages for field in messages[message]["fields"]}
    for message, facts_of_it in messages.items():
        for enum, values in facts_of_it.get("enums", {}).items():
            names |= {(f"{message}.{enum}", number): name for name, number in values.items()}
    return names


def test_numbers_that_forks_reuse() -> None:
    table, names = rows(), bvlc()
    assert len(table) >= 20
    for message, number, name, _ in table:
        assert names.get((message, number), "") == name, (message, number)
    for message, number, name, fields in table:
        assert len({name, *fields.values()} - {""}) > 1, "no two fields under one number"
        for fork, field in fields.items():
            known = layout(FORKS[fork])
            found = known.enums[message][number] if "." in message else known.messages[message][number].name
            assert found == field, (fork, field)
