"""Makes a unified diff of a document and its edits.

The edits already give the lines that change, so no search is needed. The result is exact, and the time is linear in the
size of the file. A general diff is neither, because the lines of a net repeat.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from caffe_fcn.files.prototxt import Document, TextEdit

_CONTEXT = 3
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass
class _Hunk:
    """Lines [first, last) of the old text are replaced by the lines `new`."""

    first: int
    last: int
    new: list[str]


def unified_diff(document: Document, edits: Sequence[TextEdit], old_name: str, new_name: str) -> str:
    """Return the change in the format of `diff -u`, with three lines of context; empty if nothing changes."""
    lines = _lines(document.text)
    out: list[str] = []
    grown = 0
    for group in _grouped(_hunks(document, lines, edits)):
        start, end = max(0, group[0].first - _CONTEXT), min(len(lines), group[-1].last + _CONTEXT)
        body: list[str] = []
        at = start
        for hunk in group:
            body += [" " + line for line in lines[at : hunk.first]]
            body += ["-" + line for line in lines[hunk.first : hunk.last]]
            body += ["+" + line for line in hunk.new]
            at = hunk.last
        body += [" " + line for line in lines[at:end]]
        growth = sum(len(hunk.new) - (hunk.last - hunk.first) for hunk in group)
        old_range, new_range = _range(start, end - start), _range(start + grown, end - start + growth)
        out.append(f"@@ -{old_range} +{new_range} @@\n")
        out += [line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in body]
        grown += growth
    return "".join([f"--- {_quoted(old_name)}\n", f"+++ {_quoted(new_name)}\n", *out]) if out else ""


def _quoted(name: str) -> str:
    """Return NAME. If it would not stay on one line, it is in quotes and with escapes, as in diff and patch."""
    if not _CONTROL.search(name):
        return name
    text = re.sub(r'["\\]', r"\\\g<0>", name)
    return f'"{_CONTROL.sub(lambda match: f"{chr(92)}{ord(match[0]):03o}", text)}"'


def _lines(text: str) -> list[str]:
    """Split TEXT into lines and keep the newlines; a carriage return is part of its line."""
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _hunks(document: Document, lines: Sequence[str], edits: Sequence[TextEdit]) -> list[_Hunk]:
    """Return the lines that the edits touch, neighbouring ones as one hunk, without the lines that stay the same."""
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    groups: list[tuple[int, int, list[TextEdit]]] = []
    before, done = "", 0  # the text up to the end of the last edit, and the offset of that end
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        first = min(document.position(edit.start)[0] - 1, len(lines))
        last = min(document.position(max(edit.start, edit.end - 1))[0], len(lines))
        before = edit.text or (before if edit.start == done else document.text[edit.start - 1 : edit.start])
        done = edit.end
        if document.text[edit.start : edit.end].endswith("\n") and not before.endswith("\n"):
            last = min(last + 1, len(lines))  # the next line joins this one
        if groups and first <= groups[-1][1]:
            groups[-1] = (groups[-1][0], max(groups[-1][1], last), groups[-1][2])
            groups[-1][2].append(edit)
        else:
            groups.append((first, last, [edit]))
    hunks = []
    for first, last, inside in groups:
        pieces: list[str] = []
        done = starts[first]
        for edit in inside:
            pieces += document.text[done : edit.start], edit.text
            done = edit.end
        new = _lines("".join((*pieces, document.text[done : max(done, starts[last])])))
        hunks += _refined(lines, _Hunk(first, max(last, first), new))
    return hunks


def _refined(lines: Sequence[str], hunk: _Hunk) -> list[_Hunk]:
    """Remove the lines that stay the same from a hunk: there can be some between neighbouring edits."""
    matcher = SequenceMatcher(None, lines[hunk.first : hunk.last], hunk.new, autojunk=False)
    return [
        _Hunk(hunk.first + first, hunk.first + last, hunk.new[begin:end])
        for tag, first, last, begin, end in matcher.get_opcodes()
        if tag != "equal"
    ]


def _grouped(hunks: Sequence[_Hunk]) -> list[list[_Hunk]]:
    """Group hunks whose contexts would overlap."""
    groups: list[list[_Hunk]] = []
    for hunk in hunks:
        if groups and hunk.first - groups[-1][-1].last <= 2 * _CONTEXT:
            groups[-1].append(hunk)
        else:
            groups.append([hunk])
    return groups


def _range(start: int, size: int) -> str:
    """Return the line range of a hunk, counted from 1; an empty range names the line before it."""
    first = start + 1 if size else start
    return str(first) if size == 1 else f"{first},{size}"
