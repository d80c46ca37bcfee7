"""Parses a prototxt as a lossless document: the text itself, and a tree of fields that only point into it.

The tree is never printed. A change is a list of `TextEdit`s, and everything outside the edits stays the same, byte for
byte: comments, blank lines, CRLF, quote style, the order of fields, fields that no schema has. The grammar is
protobuf's text format as real files use it: `a {` and `a: {`, `<` and `>`, `;` and `,` after values, either quote,
adjacent strings, lists, a byte-order mark, and bytes in comments that are not UTF-8.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, NoReturn

from caffe_fcn.display import printable, visible
from caffe_fcn.errors import PrototxtError, TextPlace
from caffe_fcn.files.literals import string_end
from caffe_fcn.files.reading import reading
from caffe_fcn.files.recognition import kind_of

HEAD = 4096
"""The number of bytes from which the kind of a file is recognized."""

MAX_DEPTH = 64
"""Nesting deeper than this is refused; Caffe's own schema needs five levels."""

_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<comment>\#[^\n]*)
    | (?P<word>[A-Za-z_][\w.+-]*)
    | (?P<number>[0-9.][\w.]*(?:(?<=[eE])[+-][\w.]*){0,9})
    | (?P<string>"[^"\\\n]*"|'[^'\\\n]*')
    | (?P<quote>["'])
    | (?P<symbol>[{}<>\[\]:;,\-])
    """,
    re.VERBOSE | re.ASCII,
)
_CLOSING = {"{": "}", "<": ">"}
_BINARY_NET = re.compile(rb"(?:\n|\x12|\x1a|\xa2\x06).*?[\x01-\x08\x0e-\x1f]", re.DOTALL)
"""The beginning of a NetParameter: the tag of its name, an input or a layer, and tags or lengths that a text cannot
have."""
_CONFLICT = re.compile(r"^(?:<{7}|>{7}|={7}|\|{7})(?=\s|\Z)", re.MULTILINE)
"""The line starts of a merge conflict of git; no prototxt has such a line."""
_PLACEHOLDER = re.compile(r"\$\{?\w|\{\{|%\(?\w|@\w")


class TextEdit(NamedTuple):
    """Replace text[start:end] by `text`."""

    start: int
    end: int
    text: str


@dataclass(slots=True)
class Scalar:
    """A value that is not a message: its span, and its kind of token ("word", "number" or "string")."""

    start: int
    end: int
    kind: str


@dataclass(slots=True)
class Block:
    """A message in braces. The span includes the braces; the root's is the whole text."""

    start: int
    end: int
    fields: list[Field]


@dataclass(slots=True)
class Field:
    """NAME: VALUE. A list in brackets gives one field several values. The span does not include the separator."""

    name: str
    start: int
    end: int
    values: list[Scalar | Block]
    listed: bool = False


class Document:
    """A parsed prototxt: `text`, the tree under `root`, and functions for lines and columns.

    str(document) is the text that was read; bytes(document) are the same bytes as in the file.
    """

    def __init__(self, text: str, name: str = "<string>") -> None:
        self.text = text
        self.name = name
        mark = _CONFLICT.search(text)
        if mark:
            what = f"found {mark[0].strip()!r}, a merge conflict marker; keep one side and remove the markers"
            self.fail(mark.start(), what)
        self.root = _Parser(self).parse()

    def __str__(self) -> str:
        return self.text

    @property
    def start(self) -> int:
        """The start of the text, after a byte-order mark."""
        return 1 if self.text.startswith("\ufeff") else 0

    def line_start(self, offset: int) -> int:
        """Return the start of the line that has the character at OFFSET."""
        return max(self.text.rfind("\n", 0, offset) + 1, self.start)

    def __bytes__(self) -> bytes:
        return encode(self.text)

    def newline_at(self, offset: int) -> str:
        """Return the line ending used at a place: that of its line, or at the end of the file that of the line
        before."""
        end = self.text.find("\n", offset)
        end = self.text.rfind("\n", 0, offset) if end < 0 else end
        return "\r\n" if end > 0 and self.text[end - 1] == "\r" else "\n"

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def position(self, offset: int) -> tuple[int, int]:
        """Return the line and column of a character, both from 1."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def fail(
        self, offset: int, told: str | None = None, *, expected: str | None = None, found: str | None = None
    ) -> NoReturn:
        """Raise PrototxtError with the place (file:line:column), the message TOLD or else EXPECTED and FOUND, the line
        itself and a caret."""
        line, column = self.position(offset)
        start = self._line_starts[line - 1]
        end = self.text.find("\n", start)
        source = self.text[start : len(self.text) if end < 0 else end].rstrip("\r").lstrip("\ufeff")
        column -= self.text.startswith("\ufeff") and line == 1
        shown, at = _window(source, column - 1)
        shown = visible(shown.replace("\t", " "))
        excerpt = f"  {shown}\n  {' ' * at}^"
        raise PrototxtError(
            None if told is None else visible(told),
            source=self.name,
            place=TextPlace(line, column),
            expected=None if expected is None else visible(expected),
            found=None if found is None else visible(found),
            excerpt=excerpt,
        )

    def with_edits(self, edits: Iterable[TextEdit]) -> Document:
        """Return the document after EDITS, which must not overlap; edits at one place apply in the order given."""
        pieces: list[str] = []
        done = 0
        for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
            if edit.start < done:
                raise ValueError(f"edits overlap at offset {edit.start} of {self.name}")
            pieces += self.text[done : edit.start], edit.text
            done = edit.end
        return Document("".join((*pieces, self.text[done:])), self.name)


def parse(text: str | bytes, name: str = "<string>") -> Document:
    """Parse the text of a prototxt. Raises PrototxtError, which names the file NAME."""
    if isinstance(text, bytes):
        text = decode(text, name)
    return Document(text, name)


def read(path: str | os.PathLike[str]) -> Document:
    """Read and parse the prototxt at PATH. Raises PrototxtError; OSError if it cannot be read."""
    with reading(path) as file:
        return parse(file.read(), os.fspath(path))


def decode(data: bytes, name: str) -> str:
    """Return the text of a file; bytes that are not UTF-8 become surrogates. Raises PrototxtError if DATA is not text,
    or is text of a kind that is not a prototxt."""
    kind = kind_of(data[:HEAD])
    if kind is not None:
        raise PrototxtError(source=name, expected="a prototxt (text)", found=kind)
    if is_binary(data):
        hint = "if it is the caffemodel, give the prototxt first, then the weights"
        raise PrototxtError(source=name, expected="a prototxt (text)", found="a binary file", hint=hint)
    return data.decode("utf-8", "surrogateescape")


def is_binary(data: bytes) -> bool:
    """Return whether DATA, the beginning of a file, is binary and not text."""
    return b"\0" in data[:HEAD] or _BINARY_NET.match(data[:HEAD]) is not None


def is_text_file(path: str | os.PathLike[str]) -> bool:
    """Return whether the file at PATH holds text. Raises OSError if it cannot be read."""
    with reading(path) as file:
        return not is_binary(file.read(HEAD))


def encode(text: str) -> bytes:
    """Return the bytes of a document's text; surrogates become the original bytes."""
    return text.encode("utf-8", "surrogateescape")


def comments(text: str, start: int, end: int) -> Iterator[str]:
    """Return the comments, "#" included, between two offsets that are not inside a string."""
    for kind, first, last in _tokens(text, start, end):
        if kind == "comment":
            yield text[first:last].strip()


def without_comments(text: str, start: int, end: int) -> str:
    """Return the text between two offsets that are not inside a string on one line, without comments."""
    parts = (" " if kind == "comment" else text[first:last] for kind, first, last in _tokens(text, start, end))
    return " ".join("".join(parts).split())


def _tokens(text: str, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """Yield kind, start and end of each token in a part of TEXT; at an invalid token yield kind "" and stop."""
    match_at = _TOKEN.match
    while start < end:
        match = match_at(text, start, end)
        kind, last = (match.lastgroup or "", match.end()) if match else ("", start)
        if kind == "quote":
            closed = string_end(text, start, end)
            kind, last = ("", start) if closed is None else ("string", closed)
        yield kind, start, last
        if not kind:
            return
        start = last


def _window(source: str, at: int, width: int = 120) -> tuple[str, int]:
    """Return the part of a long line to show, and the column AT in it."""
    first = max(0, at - width // 2) if len(source) > width else 0
    return source[first : first + width], at - first


class _Parser:
    """A recursive descent parser with one token of lookahead."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.text = document.text
        self.tokens = self._tokens()
        self.previous_end = 0
        self.advance()

    def _tokens(self) -> Iterator[tuple[str, int, int]]:
        end = len(self.text)
        for token in _tokens(self.text, self.document.start, end):
            if token[0] not in ("space", "comment"):
                if not token[0]:
                    self._refuse(token[1])
                yield token
        yield "end", end, end

    def _refuse(self, at: int) -> NoReturn:
        char = self.text[at]
        if _PLACEHOLDER.match(self.text, at):
            self.document.fail(at, "found a placeholder of a template; fill it in first")
        if char in "\"'":
            self.document.fail(at, f"expected a closing {char} on the same line")
        self.document.fail(at, expected="a field or a value", found=f"{char!r}")

    def advance(self) -> None:
        self.kind, self.start, self.end = next(self.tokens)

    def take(self) -> str:
        """Consume the token and return its text."""
        text = self.text[self.start : self.end]
        self.previous_end = self.end
        self.advance()
        return text

    def at_symbol(self, symbols: str) -> bool:
        return self.kind == "symbol" and self.text[self.start] in symbols

    def found(self) -> str:
        return "the end of the file" if self.kind == "end" else repr(self.text[self.start : self.end][:40])

    def parse(self) -> Block:
        fields = self.fields(None, 0, 0)
        return Block(0, len(self.text), fields)

    def fields(self, closing: str | None, opened_at: int, depth: int) -> list[Field]:
        """Parse fields up to the CLOSING brace, which is not consumed, or up to the end of the file."""
        if depth > MAX_DEPTH:
            self.document.fail(opened_at, expected=f"at most {MAX_DEPTH} nested levels", found="more")
        fields: list[Field] = []
        while self.kind != "end":
            if self.at_symbol("}>"):
                if closing is None:
                    self.document.fail(self.start, f"found {self.found()}, but no message or list is open here")
                return fields
            fields.append(self.field(depth))
        if closing is not None:
            line, column = self.document.position(opened_at)
            self.document.fail(
                self.start,
                expected=f"{closing!r} for the one opened at {line}:{column}",
                found="the end of the file",
            )
        return fields

    def field(self, depth: int) -> Field:
        start = self.start
        name = self.field_name()
        colon = self.at_symbol(":")
        if colon:
            self.take()
        listed = self.at_symbol("[")
        if listed:
            values = self.list_values(depth)
        elif self.at_symbol("{<"):
            values = [self.block(depth)]
        elif colon:
            values = [self.scalar()]
        else:
            self.document.fail(self.start, expected=f"':' or '{{' after {printable(name)!r}", found=self.found())
        field = Field(name, start, self.previous_end, values, listed)
        if self.at_symbol(";,"):
            self.take()
        return field

    def field_name(self) -> str:
        if self.at_symbol("["):  # an extension or an Any: [package.name]
            start = self.start
            while not self.at_symbol("]"):
                if self.kind == "end":
                    self.document.fail(start, expected="']'", found="the end of the file")
                self.take()
            self.take()
            return self.text[start : self.previous_end]
        if self.kind != "word":
            if self.at_symbol("<{"):
                self.document.fail(self.start, "expected a field name; is this a placeholder of a template?")
            self.document.fail(self.start, expected="a field name", found=self.found())
        return self.take()

    def block(self, depth: int) -> Block:
        start = self.start
        closing = _CLOSING[self.take()]
        fields = self.fields(closing, start, depth + 1)
        if not self.at_symbol(closing):
            self.document.fail(self.start, expected=f"{closing!r}", found=self.found())
        self.take()
        return Block(start, self.previous_end, fields)

    def list_values(self, depth: int) -> list[Scalar | Block]:
        values: list[Scalar | Block] = []
        self.take()
        while not self.at_symbol("]"):
            values.append(self.block(depth) if self.at_symbol("{<") else self.scalar())
            if self.at_symbol(","):
                self.take()
            elif not self.at_symbol("]"):
                self.document.fail(self.start, expected="',' or ']' in a list", found=self.found())
        self.take()
        return values

    def scalar(self) -> Scalar:
        start = self.start
        if self.kind == "string":
            while self.kind == "string":  # adjacent strings are one value
                self.take()
            return Scalar(start, self.previous_end, "string")
        if self.at_symbol("-"):
            self.take()
        if self.kind not in ("word", "number"):
            self.document.fail(self.start, expected="a value", found=self.found())
        kind = self.kind
        self.take()
        return Scalar(start, self.previous_end, kind)
