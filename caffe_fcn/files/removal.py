"""Removes fields from a prototxt, with their separators.

If a field has its lines for itself, the lines are removed too. Comments inside the field or after it always stay, and
the text after a comment never becomes part of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from caffe_fcn.files.prototxt import Document, Field, TextEdit, comments

REST_OF_LINE = re.compile(r"[ \t]*[;,]?[ \t]*(?:#[^\n]*)?(?=\r?\n|\Z)")
"""The text that may follow a field that is the last on its line."""

_SEPARATOR = re.compile(r"(?:\s|#[^\n]*\n)*[;,]")
_BLANKS = re.compile(r"[ \t]*")
_NEWLINE = re.compile(r"\r?\n")


def without_fields(document: Document, fields: Sequence[Field]) -> Iterator[TextEdit]:
    """Return the edits that remove FIELDS, in any order; some may be inside others."""
    spans: list[tuple[int, int]] = []
    for field in sorted(fields, key=lambda field: field.start):
        if spans and field.start < spans[-1][1]:
            continue
        separator = _SEPARATOR.match(document.text, field.end)
        end = separator.end() if separator else field.end
        if spans and not document.text[spans[-1][1] : field.start].strip(" \t"):
            spans[-1] = spans[-1][0], end  # neighbours on one line are removed together
        else:
            spans.append((field.start, end))
    for start, end in spans:
        yield _without(document, start, end)


def without_values(document: Document, field: Field, gone: set[int]) -> Iterator[TextEdit]:
    """Return the edits that remove some values, by id, from a list. Each is removed with the comma before it; values
    before all that stay are removed with the comma after them."""
    values = field.values
    first = next(index for index, node in enumerate(values) if id(node) not in gone)
    for index, node in enumerate(values):
        if index < first:
            yield _cut(document, node.start, values[index + 1].start)
        elif id(node) in gone:
            yield _cut(document, values[index - 1].end, node.end)


def kept_comments(document: Document, start: int, end: int) -> str:
    """Return the comments between two places, each with its line end, to put after the replacement."""
    newline = document.newline_at(start)
    return "".join(f" {comment}{newline}" for comment in comments(document.text, start, end))


def _cut(document: Document, start: int, end: int) -> TextEdit:
    return TextEdit(start, end, kept_comments(document, start, end))


def _without(document: Document, start: int, end: int) -> TextEdit:
    text = document.text
    inner = list(comments(text, start, end))
    line_start = document.line_start(start)
    indent = text[line_start:start]
    alone = not indent.strip()
    tail = REST_OF_LINE.match(text, end)
    if inner:
        newline = document.newline_at(start) + (indent if alone else "")
        if tail is None:  # the text that follows must not become part of the comment
            return TextEdit(start, _blanks(text, end), newline.join(inner) + newline)
        return TextEdit(start, end, newline.join(inner))
    if alone and tail:
        if "#" in tail.group():
            return TextEdit(start, end + tail.group().index("#"), "")
        newline_after = _NEWLINE.match(text, tail.end())
        return TextEdit(line_start, newline_after.end() if newline_after else tail.end(), "")
    return TextEdit(start, end if tail else _blanks(text, end), "")


def _blanks(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return match.end() if match else at
