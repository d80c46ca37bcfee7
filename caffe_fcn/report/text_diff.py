"""Compares two files line by line, as `diff -u` does: what `diff --git` shows of texts that are no nets, and of changes
that do not change a net, such as comments.

The files may be anything, so their size is bounded, and so is the number of pairs of equal lines, with which the time
of the comparison grows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import unified_diff
from filecmp import cmp

from caffe_fcn.files.prototxt import is_binary
from caffe_fcn.files.reading import reading
from caffe_fcn.report.diff import StyledLine

_LONGEST_TEXT = 8 << 20
_MOST_PAIRS = 2_000_000
"""A net of 37,000 lines has 245,000."""
_FREQUENT, _FEW_LINES = 100, 200
"""difflib does not count lines that are more than one in 100 of a text with 200 lines."""
_NO_LINE_END = "\n\\ No newline at end of file"
_STYLES = {"-": "old", "+": "new", "@": "head", "\\": "dim"}


def text_differences(old: str, new: str, names: tuple[str, str]) -> Iterator[StyledLine]:
    """The lines that differ between the files at OLD and NEW, which are called NAMES, with three lines around them; one
    line instead for files that are binary or too long; nothing for equal files. Raises OSError if one cannot be
    read."""
    if cmp(old, new, shallow=False):
        return
    contents = [_beginning(old), _beginning(new)]
    if any(map(is_binary, contents)):
        yield StyledLine("", f"Binary files {names[0]} and {names[1]} differ")
        return
    ours, theirs = map(_lines, contents)
    if max(map(len, contents)) > _LONGEST_TEXT or _pairs(ours, theirs) > _MOST_PAIRS:
        yield StyledLine("", f"Texts {names[0]} and {names[1]} differ; they are too long to show where")
        return
    for place, lines in enumerate(unified_diff(ours, theirs, *names, lineterm="")):
        for line in lines.split("\n"):
            yield StyledLine("head" if place < 2 else _STYLES.get(line[:1], ""), line)


def _beginning(path: str) -> bytes:
    with reading(path) as file:
        return file.read(_LONGEST_TEXT + 1)


def _lines(content: bytes) -> list[str]:
    """The lines of a text; the last one tells if it does not end."""
    text = content.decode("utf-8", "surrogateescape").expandtabs().replace("\r", "^M")
    lines = text.split("\n")
    if last := lines.pop():
        lines.append(last + _NO_LINE_END)
    return lines


def _pairs(old: Sequence[str], new: Sequence[str]) -> int:
    """How many pairs of equal lines difflib looks at in one pass."""
    ours, theirs = Counter(old), Counter(new)
    most = len(new) // _FREQUENT + 1 if len(new) >= _FEW_LINES else len(new)
    return sum(count * theirs[line] for line, count in ours.items() if theirs[line] <= most)
