"""Changes the text of a prototxt so that it reads as a changed message, and nothing else in the text.

A pass changes the message of a net. This module compares the message that was read from the text with the new one,
walks over both along the tree of the text, and returns the `TextEdit`s for the differences: a literal is replaced, a
field is deleted, a line is added beside its neighbours. It does not know what a change means. Comments stay when their
fields go; indentation, line endings and quotes follow the surrounding text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor

from caffe_fcn.display import visible
from caffe_fcn.files.layout import layout_beside, layout_within
from caffe_fcn.files.literals import enumerator
from caffe_fcn.files.prototxt import Block, Document, Field, Scalar, TextEdit
from caffe_fcn.files.removal import REST_OF_LINE, kept_comments, without_fields, without_values
from caffe_fcn.files.textmessage import fields_of
from caffe_fcn.schema import Message, is_repeated

_WHOLE_FLOAT = re.compile(r"^(\s*\w+: -?[0-9]+)\.0$")
_UNREAD: Any = object()
"""The value for an enumerator that the schema does not have: it is not equal to any other value."""
_SEPARATOR = re.compile(r"[ \t]*[;,]")


@dataclass(frozen=True)
class Moves:
    """Changes that a comparison by name cannot see.

    `names`: fields that were renamed, old name to new name; the old field is gone, and the new one did not exist.
    `elements`: for a repeated field at the top of the net, by its new name: for each new element its index in the old
    list, or None if it is new. Other lists are compared in order. `gone`: offsets in the text of fields to be removed,
    even if no message has them.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    elements: Mapping[str, Sequence[int | None]] = field(default_factory=dict)
    gone: Collection[int] = ()
    comments: Mapping[str, Mapping[int, Sequence[str]]] = field(default_factory=dict)
    """Comments for new elements of a repeated field at the top of the net: lines without "#", by the index of the
    element."""


def reconcile(document: Document, old: Message, new: Message, moves: Moves | None = None) -> list[TextEdit]:
    """Return the edits after which DOCUMENT reads as NEW; it now reads as OLD."""
    writer = _Writer(document, moves or Moves())
    writer.message(document.root, old, new, top=True)
    removed = [*writer.removed, *_fields_at(document.root, writer.moves.gone)]
    return [*writer.edits, *without_fields(document, removed)]


def _fields_at(block: Block, places: Collection[int]) -> Iterator[Field]:
    """Return the fields in BLOCK that begin at PLACES."""
    for each in block.fields if places else ():
        if each.start in places:
            yield each
        else:
            for value in each.values:
                if isinstance(value, Block):
                    yield from _fields_at(value, places)


class _Value(NamedTuple):
    """One value of a field in the text: the field that holds it, and the index of the value."""

    field: Field
    node: Scalar | Block


class _Writer:
    def __init__(self, document: Document, moves: Moves) -> None:
        self.document = document
        self.text = document.text
        self.moves = moves
        self.edits: list[TextEdit] = []
        self.removed: list[Field] = []

    def message(self, block: Block, old: Message, new: Message, top: bool = False) -> None:
        """Make the edits inside BLOCK, which reads as OLD and must read as NEW (possibly of another type)."""
        if old.DESCRIPTOR is new.DESCRIPTOR and old == new:
            return
        before, after = fields_of(old.DESCRIPTOR), fields_of(new.DESCRIPTOR)
        nodes = _nodes_by_name(block)
        renames = self._renames(old, new, nodes)
        kept: list[tuple[int, Field]] = []
        inserts: list[tuple[FieldDescriptor, Any, int | None, Sequence[str]]] = []
        for name in nodes:
            if name in before and _present(old, before[name]) and renames.get(name, name) not in after:
                self._remove(nodes[name])
        for name, descriptor in after.items():
            if name in renames:  # its nodes belong to another field now
                continue
            source = next((was for was, now in renames.items() if now == name), name)
            old_values = _values(old, before[source]) if source in before and source in nodes else []
            new_values = _values(new, descriptor)
            if source == name and _same(before.get(name), old_values, descriptor, new_values):
                kept += [(descriptor.number, value.field) for value in nodes.get(name, [])]
                continue
            written = nodes.get(source, [])
            if source in before:
                written, old_values = self._read_as(before[source], written, old_values)
            if source in before and _is_message(before[source]) != _is_message(descriptor):
                self._remove(written)
                written, old_values = [], []
            order = self.moves.elements.get(name) if top else None
            pairs = _pair(old_values, new_values, order)
            used = {index for index, _ in pairs if index is not None}
            if source != name:
                self.edits += [TextEdit(f.start, f.start + len(source), name) for f in _fields(written, used)]
            self._remove([value for index, value in enumerate(written) if index not in used])
            comments = self.moves.comments.get(name, {}) if top else {}
            last: Field | None = None
            for index, position in pairs:
                comment = comments.get(position, ())
                if index is None:
                    inserts.append((descriptor, new_values[position], None if last is None else last.end, comment))
                    continue
                value = written[index]
                self._comment(value.field, comment)
                self._value(value, before[source], old_values[index], descriptor, new_values[position])
                last = value.field
            kept += [(descriptor.number, written[index].field) for index in used]
        self._insert(block, inserts, kept, top)

    def _renames(self, old: Message, new: Message, nodes: Mapping[str, list[_Value]]) -> dict[str, str]:
        after = fields_of(new.DESCRIPTOR)
        return {
            was: now
            for was, now in self.moves.names.items()
            if was in nodes
            and now in after
            and now not in nodes
            and _present(new, after[now])
            and not (was in after and _present(new, after[was]))
        }

    def _read_as(
        self, descriptor: FieldDescriptor, nodes: list[_Value], values: list[Any]
    ) -> tuple[list[_Value], list[Any]]:
        """Return the nodes from which VALUES were read: of a list all but unknown enumerators, else only the last
        node."""
        if is_repeated(descriptor):
            enumeration = descriptor.enum_type
            if enumeration is not None and len(nodes) > len(values):
                nodes = [value for value in nodes if enumerator(enumeration, self._source(value.node)) is not None]
            return nodes, values
        self._remove(nodes[:-1])
        return nodes[-1:], values or [_UNREAD] * len(nodes[-1:])

    def _source(self, node: Scalar | Block) -> str:
        return self.text[node.start : node.end]

    def _value(self, value: _Value, was: FieldDescriptor, old: Any, now: FieldDescriptor, new: Any) -> None:
        node = value.node
        if isinstance(node, Block):
            self.message(node, old, new)
        elif old is _UNREAD or _comparable(was, old) != _comparable(now, new):
            text = literal(now, new)
            if self.text[node.start] == "'" and text[0] == '"' and "'" not in text and "\\" not in text:
                text = f"'{text[1:-1]}'"
            comment = kept_comments(self.document, node.start, node.end)
            self.edits.append(TextEdit(node.start, node.end, text + comment))

    def _remove(self, values: Sequence[_Value]) -> None:
        """Remove VALUES from the text: whole fields at the end, values of a list at once."""
        gone = {id(value.node) for value in values}
        for owner in {id(value.field): value.field for value in values}.values():
            if all(id(node) in gone for node in owner.values):
                self.removed.append(owner)
            else:
                self.edits += without_values(self.document, owner, gone)

    # ---- inserting ----

    def _comment(self, owner: Field, lines: Sequence[str]) -> None:
        """Write the LINES of a comment before OWNER, a field at the top of the net."""
        if lines:
            newline = self.document.newline_at(owner.start)
            first = "" if self.text[: owner.start].endswith(("\n", "\r")) or not owner.start else newline
            body = "".join(_comment_line(line) + newline for line in lines)
            self.edits.append(TextEdit(owner.start, owner.start, first + body))

    def _insert(
        self,
        block: Block,
        inserts: Sequence[tuple[FieldDescriptor, Any, int | None, Sequence[str]]],
        kept: Sequence[tuple[int, Field]],
        top: bool,
    ) -> None:
        """Add fields, each after the neighbour that comes before it by the numbers of the schema."""
        several_lines = top or "\n" in self.text[block.start : block.end]
        for descriptor, value, after, comment in inserts:
            before = [owner for number, owner in kept if number <= descriptor.number]
            if not _is_message(descriptor):  # values come before messages, especially fillers
                before = [owner for owner in before if isinstance(owner.values[0], Scalar)] or before
            following = [owner for number, owner in kept if number >= descriptor.number]
            if after is None and top and is_repeated(descriptor) and following:  # a layer before all others
                first = min(owner.start for owner in following)
                before = [owner for owner in before if owner.end <= first]
            anchor = after if after is not None else max((owner.end for owner in before), default=None)
            lines, apart = _render(descriptor, value), False
            siblings = [owner for number, owner in kept if number == descriptor.number] if top else []
            if siblings and _is_message(descriptor):
                place = min(owner.start for owner in siblings) if anchor is None else anchor
                layout = layout_beside(self.document, siblings, place)
                lines, apart = layout.lines(lines), layout.apart
            elif not top:
                lines = layout_within(self.document, block.start).inner_lines(lines)
            lines = [*map(_comment_line, comment), *lines]
            if several_lines:
                indent = self._indent(block, top)
                body = [indent + line for line in lines]
                self._insert_lines(block, anchor, following if anchor is None else [], body, top, apart)
            else:
                at = self._inline_anchor(block, anchor)
                self.edits.append(TextEdit(at, at, " " + " ".join(line.strip() for line in lines)))

    def _inline_anchor(self, block: Block, anchor: int | None) -> int:
        if anchor is None:
            return block.start + 1
        separator = _SEPARATOR.match(self.text, anchor)
        return separator.end() if separator else anchor

    def _insert_lines(
        self, block: Block, anchor: int | None, following: Sequence[Field], body: Sequence[str], top: bool, apart: bool
    ) -> None:
        """Add BODY after ANCHOR, or before FOLLOWING if ANCHOR is None. If APART, leave an empty line between."""
        if anchor is None and top:
            body = [*body, ""] if apart else body
            self._insert_in_front(min((owner.start for owner in following), default=None), body)
            return
        at = block.start + 1 if anchor is None else anchor
        rest = REST_OF_LINE.match(self.text, at)
        if rest and rest.end() <= block.end:
            newline = self.document.newline_at(rest.end())
            body = ["", *body] if apart else body
            self.edits.append(TextEdit(rest.end(), rest.end(), "".join(newline + line for line in body)))
        else:  # something else follows on this line
            at = self._inline_anchor(block, at)
            self.edits.append(TextEdit(at, at, " " + _on_one_line(body)))

    def _insert_in_front(self, first: int | None, body: Sequence[str]) -> None:
        """Add lines before the field that begins at FIRST, or at the end of the file."""
        at = len(self.text) if first is None else self.document.line_start(first)
        newline = self.document.newline_at(at)
        if first is not None and self.text[at:first].strip():  # something else begins on that line
            self.edits.append(TextEdit(first, first, _on_one_line(body) + " "))
            return
        unfinished = first is None and self.text[self.document.line_start(at) : at].strip()
        self.edits.append(TextEdit(at, at, (newline if unfinished else "") + "".join(line + newline for line in body)))

    def _indent(self, block: Block, top: bool) -> str:
        """Return the indentation of the block's own fields."""
        if top:
            return ""
        for owner in block.fields:
            line_start = self.text.rfind("\n", 0, owner.start) + 1
            lead = self.text[line_start : owner.start]
            if line_start > block.start and not lead.strip():
                return lead
        line_start = self.text.rfind("\n", 0, block.start) + 1
        line = self.text[line_start : block.start]
        return line[: len(line) - len(line.lstrip())] + "  "


def _nodes_by_name(block: Block) -> dict[str, list[_Value]]:
    nodes: dict[str, list[_Value]] = {}
    for owner in block.fields:
        nodes.setdefault(owner.name, []).extend(_Value(owner, node) for node in owner.values)
    return nodes


def _is_message(descriptor: FieldDescriptor) -> bool:
    return descriptor.message_type is not None


def _same(was: FieldDescriptor | None, old: list[Any], now: FieldDescriptor, new: list[Any]) -> bool:
    """Return whether the values of a field stay the same, in type and in number."""
    if was is None or len(old) != len(new) or was.message_type is not now.message_type:
        return was is None and not new
    if _is_message(now):
        return old == new
    return [_comparable(was, value) for value in old] == [_comparable(now, value) for value in new]


def _fields(values: Sequence[_Value], used: set[int]) -> list[Field]:
    return list({id(values[index].field): values[index].field for index in sorted(used)}.values())


def _present(message: Message, descriptor: FieldDescriptor) -> bool:
    if is_repeated(descriptor):
        return len(getattr(message, descriptor.name)) > 0
    return bool(message.HasField(descriptor.name))


def _values(message: Message, descriptor: FieldDescriptor) -> list[Any]:
    if not _present(message, descriptor):
        return []
    value = getattr(message, descriptor.name)
    return list(value) if is_repeated(descriptor) else [value]


def _pair(old: Sequence[Any], new: Sequence[Any], order: Sequence[int | None] | None) -> list[tuple[int | None, int]]:
    """Return (old index or None, new index) for every new value. ORDER gives the old index of each; without it, by
    position."""
    if order is not None:
        return [(origin, position) for position, origin in enumerate(order)]
    return [(position if position < len(old) else None, position) for position in range(len(new))]


def _comparable(descriptor: FieldDescriptor, value: Any) -> tuple[str, Any]:
    """Return a value to compare: values of different types are equal only if their text is the same."""
    if descriptor.enum_type is not None:
        return "word", literal(descriptor, value)
    if descriptor.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return "string", value
    return "number", value


def _on_one_line(lines: Sequence[str]) -> str:
    """Join LINES in one line, without comments, which would hide the text after them."""
    return " ".join(line.strip() for line in lines if not line.startswith("#"))


def _comment_line(line: str) -> str:
    return f"# {visible(line)}".rstrip()


def literal(descriptor: FieldDescriptor, value: Any) -> str:
    """Return VALUE of the field of DESCRIPTOR as text."""
    return _render(descriptor, value)[0].removeprefix(f"{descriptor.name}: ")


def _render(descriptor: FieldDescriptor, value: Any) -> list[str]:
    """Return the lines of `name: value`, or of a whole message in braces."""
    out = text_format.TextWriter(as_utf8=True)
    text_format.PrintField(descriptor, value, out, as_utf8=True)
    lines = out.getvalue().removesuffix("\n").split("\n")
    out.close()
    return [_WHOLE_FLOAT.sub(r"\1", line) for line in lines]
