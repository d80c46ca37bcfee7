"""How new messages of a prototxt are laid out: as the messages beside them are.

A `Layout` is taken from the nearest message of the same name, and from those further away what that does not show: the
indentation, one line or many, for the messages inside as well, the quotes, the spaces at colons and braces, and whether
an empty line stands between two messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from caffe_fcn.files.prototxt import Block, Document, Field

_EMPTY_LINE = re.compile(r"\n[ \t]*\r?\n")
_FIELD = re.compile(r"(\s*)(\w+)(: | \{)(.*)")


class Layout(NamedTuple):
    """How a message is written."""

    indent: str = "  "
    """What a field is indented by, beside the message that it is in."""
    one_line: bool = False
    inner_one_line: bool = False
    """Whether the messages inside stand on one line each."""
    quote: str = '"'
    colon: str = ": "
    brace: str = " {"
    apart: bool = False
    """Whether an empty line stands between two messages."""

    def lines(self, rendered: Sequence[str]) -> list[str]:
        """RENDERED, the lines of a message as protobuf prints it, in this layout."""
        return list(self._joined([self._line(line) for line in rendered]))

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
        """LINES, with those of a message that stands on one line as one."""
        pending: list[str] = []
        depth = 0
        for line in lines:
            opens = line.endswith("{")
            depth += opens - (line.strip() == "}")
            pending.append(line if not pending else line.strip())
            # inside the message itself the depth is 1, inside one of its messages more
            if (depth > 1 and self.inner_one_line) or (depth and self.one_line):
                continue
            yield " ".join(pending)
            pending = []


def layout_beside(document: Document, siblings: Sequence[Field], place: int) -> Layout:
    """The layout of a new message at PLACE of DOCUMENT, beside SIBLINGS of the same name."""
    near = sorted(siblings, key=lambda field: min(abs(field.start - place), abs(field.end - place)))
    blocks = [(field, value) for field in near for value in field.values if isinstance(value, Block)]
    if not blocks:
        return Layout()
    text, (field, block) = document.text, blocks[0]
    inner = next(_inner(blocks), None)
    strings = (text[each.values[0].start] for _, one in blocks for each in one.fields if _is_string(each))
    colon = next((text[each.start : each.values[0].start] for each in block.fields if _is_string(each)), "")
    return Layout(
        indent=next((lead for _, one in blocks if (lead := _lead(document, one))), "  "),
        one_line="\n" not in text[block.start : block.end],
        inner_one_line=inner is not None and "\n" not in text[inner.start : inner.end],
        quote="'" if next(strings, '"') == "'" else '"',
        colon=":" if colon.endswith(":") else ": ",
        brace="{" if text[field.start + len(field.name)] == "{" else " {",
        apart=_apart(text, sorted(siblings, key=lambda each: each.start), place),
    )


def _inner(blocks: Sequence[tuple[Field, Block]]) -> Iterator[Block]:
    """The messages inside BLOCKS that hold something."""
    for _, block in blocks:
        for field in block.fields:
            yield from (value for value in field.values if isinstance(value, Block) and value.fields)


def _is_string(field: Field) -> bool:
    value = field.values[0]
    return not isinstance(value, Block) and value.kind == "string"


def _lead(document: Document, block: Block) -> str:
    """What the fields of BLOCK are indented by, if they have lines of their own."""
    for field in block.fields:
        start = document.line_start(field.start)
        lead = document.text[start : field.start]
        if start > block.start and not lead.strip():
            outer = document.text[document.line_start(block.start) : block.start]
            return lead.removeprefix(outer[: len(outer) - len(outer.lstrip())])
    return ""


def _apart(text: str, siblings: Sequence[Field], place: int) -> bool:
    """Whether an empty line stands between those two of SIBLINGS, in the order of TEXT, that are nearest to PLACE."""
    index = sum(field.end <= place for field in siblings)
    first = max(0, min(index - 1, len(siblings) - 2))
    pair = siblings[first : first + 2]
    return len(pair) == 2 and _EMPTY_LINE.search(text, pair[0].end, pair[1].start) is not None
