"""Lays out new messages of a prototxt like the messages beside them.

A `Layout` is taken from the nearest message of the same name. If that does not show a property, messages further away
are used. The properties are the indentation, one line or several (also for the inner messages), the quotes, the spaces
at colons and braces, and an empty line between two messages. New fields of a message follow the message and its
neighbours.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from caffe_fcn.files.prototxt import Block, Document, Field

_EMPTY_LINE = re.compile(r"\n[ \t]*\r?\n")
_FIELD = re.compile(r"(\s*)(\w+)(: | \{)(.*)")
_NEAR = 8
"""The number of messages before and after a message that show how its fields are laid out."""


class Layout(NamedTuple):
    """The layout of a message."""

    indent: str = "  "
    """The indentation of a field, relative to its message."""
    one_line: bool = False
    inner_one_line: bool = False
    """Whether each inner message is on one line, except for those in NAMED."""
    named: Mapping[str, bool] = MappingProxyType({})
    """Whether inner messages of a name are on one line, by name, for the names that were found."""
    quote: str = '"'
    colon: str = ": "
    brace: str = " {"
    apart: bool = False
    """Whether there is an empty line between two messages."""

    def lines(self, rendered: Sequence[str]) -> list[str]:
        """Return RENDERED, the lines of a message as protobuf prints it, in this layout."""
        return list(self._joined([self._line(line) for line in rendered]))

    def inner_lines(self, rendered: Sequence[str]) -> list[str]:
        """Return RENDERED, the lines of a field inside such a message, in this layout."""
        lines = self._replace(one_line=False).lines(["x {", *(f"  {line}" for line in rendered), "}"])[1:-1]
        return [line.removeprefix(self.indent) for line in lines]

    def _line(self, line: str) -> str:
        depth = (len(line) - len(line.lstrip())) // 2
        match = _FIELD.fullmatch(line)
        if match is None:
            return self.indent * depth + line.strip()
        _, name, sign, value = match.groups()
        if self.quote == "'" and value.startswith('"') and "'" not in value and "\\" not in value:
            value = f"'{value[1:-1]}'"
        return self.indent * depth + name + (self.colon if sign == ": " else self.brace) + value

    def _joined(self, lines: Sequence[str]) -> Iterator[str]:
        """Return LINES; the lines of a message that is on one line are joined."""
        pending: list[str] = []
        depth, joined = 0, 0  # the number of open messages, and the depth from which on all is one line; 0 for none
        for line in lines:
            if line.endswith("{"):
                depth += 1  # 1 for the message itself, more for inner messages
                name = line.rstrip("{ ").lstrip()
                inner = depth > 1 and self.named.get(name, self.inner_one_line)
                joined = joined or (depth if inner or self.one_line else 0)
            elif line.strip() == "}":
                joined = 0 if joined == depth else joined
                depth -= 1
            pending.append(line if not pending else line.strip())
            if not joined:
                yield " ".join(pending)
                pending = []


def layout_beside(document: Document, siblings: Sequence[Field], place: int) -> Layout:
    """Return the layout for a new message at PLACE of DOCUMENT, beside SIBLINGS of the same name."""
    near = sorted(siblings, key=lambda field: min(abs(field.start - place), abs(field.end - place)))
    blocks = [(field, value) for field in near for value in field.values if isinstance(value, Block)]
    if not blocks:
        return Layout()
    text, (field, block) = document.text, blocks[0]
    named: dict[str, bool] = {}
    for name, value in _inner(blocks):
        named.setdefault(name, "\n" not in text[value.start : value.end])
    strings = (text[each.values[0].start] for _, one in blocks for each in one.fields if _is_string(each))
    colon = next((text[each.start : each.values[0].start] for each in block.fields if _is_string(each)), "")
    return Layout(
        indent=next((lead for _, one in blocks if (lead := _lead(document, one))), "  "),
        one_line="\n" not in text[block.start : block.end],
        inner_one_line=next(iter(named.values()), False),
        named=named,
        quote="'" if next(strings, '"') == "'" else '"',
        colon=":" if colon.endswith(":") else ": ",
        brace="{" if text[field.start + len(field.name)] == "{" else " {",
        apart=_apart(text, sorted(siblings, key=lambda each: each.start), place),
    )


def layout_within(document: Document, place: int) -> Layout:
    """Return the layout for a new field at PLACE, inside a message at the top of DOCUMENT."""
    fields = document.root.fields
    around = fields[bisect_right(fields, place, key=lambda field: field.start) - 1]
    siblings = [field for field in fields if field.name == around.name]
    index = bisect_right(siblings, place, key=lambda field: field.start)
    return layout_beside(document, siblings[max(0, index - _NEAR) : index + _NEAR], around.start)


def _inner(blocks: Sequence[tuple[Field, Block]]) -> Iterator[tuple[str, Block]]:
    """Yield the messages inside BLOCKS that are not empty, and the messages inside these, by name."""
    for _, block in blocks:
        for field in block.fields:
            found = [(field, value) for value in field.values if isinstance(value, Block) and value.fields]
            yield from ((field.name, value) for _, value in found)
            yield from _inner(found)


def _is_string(field: Field) -> bool:
    value = field.values[0]
    return not isinstance(value, Block) and value.kind == "string"


def _lead(document: Document, block: Block) -> str:
    """Return the indentation of the fields of BLOCK, if they are on their own lines."""
    for field in block.fields:
        start = document.line_start(field.start)
        lead = document.text[start : field.start]
        if start > block.start and not lead.strip():
            outer = document.text[document.line_start(block.start) : block.start]
            return lead.removeprefix(outer[: len(outer) - len(outer.lstrip())])
    return ""


def _apart(text: str, siblings: Sequence[Field], place: int) -> bool:
    """Return whether an empty line is between the two of SIBLINGS that are nearest to PLACE, in the order of TEXT."""
    index = sum(field.end <= place for field in siblings)
    first = max(0, min(index - 1, len(siblings) - 2))
    pair = siblings[first : first + 2]
    return len(pair) == 2 and _EMPTY_LINE.search(text, pair[0].end, pair[1].start) is not None
