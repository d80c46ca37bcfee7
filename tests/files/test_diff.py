"""The unified diff: what it says is what applying it gives, and it is written as `diff -u` writes it."""

from __future__ import annotations

import difflib
import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fcn.files.diff import unified_diff
from caffe_fcn.files.prototxt import TextEdit, parse
from tests.files.texts import randoms, splice, text_edits

HEADER = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@\n")
NO_NEWLINE = "\\ No newline at end of file\n"


def lines_of(text: str) -> list[str]:
    """The lines of TEXT with their newlines; a carriage return is no line's end."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def apply(patch: str, text: str) -> str:
    """TEXT after a unified diff; every header, context line and removed line is checked on the way."""
    old, new = lines_of(text), []
    lines = lines_of(patch)
    done = 0
    at = 2
    while at < len(lines):
        header = HEADER.fullmatch(lines[at])
        assert header is not None, lines[at]
        first, size, new_first, new_size = (1 if number is None else int(number) for number in header.groups())
        start = first - 1 if size else first
        assert start >= done
        new += old[done:start]
        done = start
        assert len(new) == (new_first - 1 if new_size else new_first)
        added = 0
        at += 1
        while at < len(lines) and lines[at][0] in " -+":
            sign, line = lines[at][0], lines[at][1:]
            at += 1
            if at < len(lines) and lines[at] == NO_NEWLINE:
                line = line.removesuffix("\n")
                at += 1
            if sign in " -":
                assert old[done] == line
                done += 1
            if sign in " +":
                new.append(line)
                added += 1
        assert done - start == size
        assert added == new_size
    new += old[done:]
    assert all(line.endswith("\n") for line in new[:-1])
    return "".join(new)


LINES = st.lists(st.sampled_from(["a: 1", "b {", "}", "", "# c", "\t\r", "c: 'x' \r", "# \u2028\x85"]), max_size=30)


@pytest.mark.thorough
@given(LINES, st.sampled_from(["", "\n", "# no newline here"]), randoms())
@settings(max_examples=500)
def test_applying_the_diff_gives_the_edited_text(lines: list[str], end: str, random: Random) -> None:
    document = parse("# " + "\n# ".join(lines) + end)
    edits = text_edits(random, document.text)
    expected = splice(document.text, edits)
    random.shuffle(edits)
    patch = unified_diff(document, edits, "old", "new")
    assert (patch == "") == (document.text == expected)
    if patch:
        assert lines_of(patch)[:2] == ["--- old\n", "+++ new\n"]
        assert apply(patch, document.text) == expected


@pytest.mark.thorough
@given(randoms())
@settings(max_examples=100)
def test_it_is_the_diff_that_any_other_tool_makes(random: Random) -> None:
    """On lines that all differ there is one best diff."""
    lines = [f"a: {number}\n" for number in range(random.randrange(40))]
    edits: list[TextEdit] = []
    for number, line in enumerate(lines):
        start = sum(map(len, lines[:number]))
        if random.random() < 0.15:
            new = random.choice(["", f"b: {number}\n", f"c: {number}\nd: {number}\n"])
            edits.append(TextEdit(start, start + random.choice([0, len(line)]), new))
    document = parse("".join(lines))
    expected = difflib.unified_diff(lines, lines_of(splice(document.text, edits)), "old", "new")
    assert unified_diff(document, edits, "old", "new") == "".join(expected)


NUMBERED = "".join(f"a: {number}\n" for number in range(1, 21))


def edit(old: str, new: str, text: str = NUMBERED) -> TextEdit:
    """Replace the only OLD in TEXT."""
    assert text.count(old) == 1
    return TextEdit(text.index(old), text.index(old) + len(old), new)


def test_three_lines_of_context() -> None:
    assert unified_diff(parse(NUMBERED), [edit("a: 10\n", "b: 1\nb: 2\n")], "old", "new") == (
        "--- old\n+++ new\n@@ -7,7 +7,8 @@\n a: 7\n a: 8\n a: 9\n-a: 10\n+b: 1\n+b: 2\n a: 11\n a: 12\n a: 13\n"
    )


@pytest.mark.parametrize(("second", "headers"), [(12, ["-2,14 +2,14"]), (13, ["-2,7 +2,7", "-10,7 +10,7"])])
def test_changes_six_lines_apart_share_a_hunk(second: int, headers: list[str]) -> None:
    edits = [edit("a: 5\n", "b\n"), edit(f"a: {second}\n", "c\n")]
    patch = unified_diff(parse(NUMBERED), edits, "old", "new")
    assert re.findall(r"@@ (.*) @@", patch) == headers


def test_later_headers_count_the_lines_added_and_removed_before() -> None:
    edits = [edit("a: 1\n", "b\nc\nd\n"), edit("a: 10\n", ""), edit("a: 20\n", "e\n")]
    patch = unified_diff(parse(NUMBERED), edits, "old", "new")
    assert re.findall(r"@@ (.*) @@", patch) == ["-1,4 +1,6", "-7,7 +9,6", "-17,4 +18,4"]


@pytest.mark.parametrize(
    ("text", "edits", "body"),
    [
        ("", [TextEdit(0, 0, "a: 1\n")], "@@ -0,0 +1 @@\n+a: 1\n"),
        ("a: 1\n", [TextEdit(0, 5, "")], "@@ -1 +0,0 @@\n-a: 1\n"),
        ("a: 1\n", [TextEdit(0, 0, "b: 2\n")], "@@ -1 +1,2 @@\n+b: 2\n a: 1\n"),
        ("a: 1\n", [TextEdit(5, 5, "b: 2\n")], "@@ -1 +1,2 @@\n a: 1\n+b: 2\n"),
        (
            "a: 1\nb: 2\nc: 3\n",
            [TextEdit(0, 5, "d: 4 "), TextEdit(5, 10, "")],
            "@@ -1,3 +1 @@\n-a: 1\n-b: 2\n-c: 3\n+d: 4 c: 3\n",
        ),
        ("a: 1", [TextEdit(3, 4, "2")], f"@@ -1 +1 @@\n-a: 1\n{NO_NEWLINE}+a: 2\n{NO_NEWLINE}"),
        ("a: 1", [TextEdit(4, 4, "\n")], f"@@ -1 +1 @@\n-a: 1\n{NO_NEWLINE}+a: 1\n"),
        ("a: 1\n", [TextEdit(4, 5, "")], f"@@ -1 +1 @@\n-a: 1\n+a: 1\n{NO_NEWLINE}"),
        ("a: 1\nb: 2", [TextEdit(0, 1, "c")], f"@@ -1,2 +1,2 @@\n-a: 1\n+c: 1\n b: 2\n{NO_NEWLINE}"),
        ("a: 1\r\nb: 2\r\n", [TextEdit(3, 4, "3")], "@@ -1,2 +1,2 @@\n-a: 1\r\n+a: 3\r\n b: 2\r\n"),
        ("a: 1\nb: 2\nc: 3\n", [TextEdit(4, 5, " ")], "@@ -1,3 +1,2 @@\n-a: 1\n-b: 2\n+a: 1 b: 2\n c: 3\n"),
        ("a: 1\nb: 2\nc: 3\n", [TextEdit(0, 5, "d: 4 ")], "@@ -1,3 +1,2 @@\n-a: 1\n-b: 2\n+d: 4 b: 2\n c: 3\n"),
    ],
)
def test_edges(text: str, edits: list[TextEdit], body: str) -> None:
    assert unified_diff(parse(text), edits, "old", "new") == f"--- old\n+++ new\n{body}"


@pytest.mark.parametrize(
    "edits", [[], [TextEdit(3, 4, "1")], [TextEdit(0, 0, "")], [TextEdit(0, 5, "a: 1\n"), TextEdit(5, 5, "")]]
)
def test_nothing_when_nothing_changes(edits: list[TextEdit]) -> None:
    assert unified_diff(parse("a: 1\n"), edits, "old", "new") == ""


def test_many_edits_of_neighbouring_lines() -> None:
    text = "layers {}\n" * 3000
    edits = [TextEdit(start, start + 6, "layer") for start in range(0, len(text), 10)]
    patch = unified_diff(parse(text), edits, "old", "new")
    assert apply(patch, text) == "layer {}\n" * 3000


def test_one_line_changes_among_many_alike() -> None:
    text = "layer {\n}\n" * 5000
    at = len(text) // 2
    patch = unified_diff(parse(text), [TextEdit(at, at + 5, "other")], "old", "new")
    assert patch.count("\n") == 2 + 1 + 8


def test_names_that_would_break_the_line_are_quoted() -> None:
    document = parse("a: 1\n")
    assert unified_diff(document, [TextEdit(3, 4, "2")], 'a\n"\\', "b").startswith('--- "a\\012\\"\\\\"\n+++ b\n@@')
