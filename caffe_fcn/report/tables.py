"""Formats tables for terminals of any width and for pipes.

Numbers and words are never cut. A table that is too wide first folds the columns that allow it, then leaves some out,
then folds the text of the others, then leaves out more, and names the columns that are left out. If the table is still
too wide, it stays so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias
from unicodedata import category, east_asian_width

from caffe_fcn.display import visible

GAP = 2
"""The space between two columns, in cells."""

LONGEST = 100
"""The maximum number of characters of a name that are shown."""

_WORDS = re.compile(r" *[^ ]+ *")
_AFTER = re.compile(r"(?<=[/_\-,;:×])")
"""The characters after which a word is folded."""

_NOT_SHAPES = re.compile(r"(?<=[/_\-,;:])")
"""The characters after which a word in a table is folded; shapes are not folded."""

_LONGEST_WORD = 40
"""A longer word, in cells, is folded anywhere; only programs make such words."""

_DEAR = 3
"""Columns with at least this SPARE are left out only if folding texts is not enough."""

_STYLES = {"?": "yellow", "-": "dim", "in place": "dim", "shared": "dim"}
"""The cells that mean that there is no number, with their styles."""

_CODES = {"bold": 1, "dim": 2, "yellow": 33}
"""The codes for the styles in a terminal (ECMA-48, Select Graphic Rendition)."""


_NARROW = re.compile(r"[ -~×≥…─]*")
_WIDE = {"W": 2, "F": 2}
_ON_TOP = ("Mn", "Me", "Cf")


class Column(NamedTuple):
    """A column of a table. It may be folded to LEAST cells, if that is not 0. While columns can be left out instead, it
    is not folded below SOFT cells. Columns with the lowest SPARE are left out first, those with 0 never."""

    title: str
    number: bool = False
    least: int = 0
    soft: int = 0
    spare: int = 0
    style: str = ""


class Table(NamedTuple):
    """Rows of texts, optionally with a foot. A text may have several lines."""

    columns: tuple[Column, ...]
    rows: list[list[str]]
    foot: list[str] | None = None


class Heading(NamedTuple):
    """A line that names the following part."""

    text: str


Part: TypeAlias = "Table | Heading | str"
"""A part of a page; a str is a paragraph, folded so that the text after its first two spaces is aligned."""


def shown(text: str) -> str:
    """Return TEXT from a model, safe to print on one line."""
    text = visible(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


# ---- Layout ----


class Placed(NamedTuple):
    """A column that is shown: its position in the table, and its width in cells."""

    position: int
    width: int


def fit(table: Table, width: int | None) -> list[Placed]:
    """Return the columns of TABLE to show within WIDTH cells; None means any width."""
    natural = [_natural(table, position) for position in range(len(table.columns))]
    everything = [Placed(position, wide) for position, wide in enumerate(natural)]
    if width is None:
        return everything
    limits = [0, *sorted(column.spare for column in table.columns if column.spare)]
    cheap = [limit for limit in limits if limit < _DEAR]
    words = [_widest_word(table, position) for position in range(len(table.columns))]
    attempts = [(limit, [column.soft for column in table.columns]) for limit in cheap]
    attempts += [(limit, [column.least for column in table.columns]) for limit in limits[len(cheap) - 1 :]]
    for limit, least in attempts:
        kept = [place for place in everything if not 0 < table.columns[place.position].spare <= limit]
        bounds = [least[place.position] and max(least[place.position], words[place.position]) for place in kept]
        narrowed = _narrowed(kept, bounds, width)
        if _total(narrowed) <= width:
            break
    return narrowed


def fits(table: Table, width: int | None) -> bool:
    """Return whether TABLE, without columns that can be left out easily, fits into WIDTH cells without folding."""
    if width is None:
        return True
    kept = [Placed(p, _natural(table, p)) for p, each in enumerate(table.columns) if not 0 < each.spare < _DEAR]
    return _total(kept) <= width


def _texts(table: Table, position: int) -> Iterator[str]:
    """Return the lines of all texts of a column."""
    texts = [table.columns[position].title, *(row[position] for row in table.rows)]
    texts += [table.foot[position]] if table.foot else []
    return (line for text in texts for line in text.split("\n"))


def _natural(table: Table, position: int) -> int:
    """Return the width of the widest text of a column, in cells."""
    return max(map(cells, _texts(table, position)))


def _widest_word(table: Table, position: int) -> int:
    """Return the width of the widest part of a text that is not folded, in cells."""
    parts = (part for text in _texts(table, position) for word in text.split() for part in _NOT_SHAPES.split(word))
    return min(_LONGEST_WORD, max(map(cells, parts), default=0))


def _total(places: Sequence[Placed]) -> int:
    return sum(place.width for place in places) + GAP * (len(places) - 1)


def _narrowed(places: Sequence[Placed], least: Sequence[int], width: int) -> list[Placed]:
    """Return PLACES with the widest foldable columns made narrower, down to their LEAST cells (0: not at all), until
    all fit into WIDTH."""
    widths = [place.width for place in places]
    while sum(widths) + GAP * (len(widths) - 1) > width:
        wide = [index for index, limit in enumerate(least) if 0 < limit < widths[index]]
        if not wide:
            break
        widths[max(wide, key=lambda index: widths[index])] -= 1
    return [Placed(place.position, wide) for place, wide in zip(places, widths, strict=True)]


def cells(text: str) -> int:
    """Return the width of TEXT in a terminal: two cells for a wide character, none for a combining mark."""
    if _NARROW.fullmatch(text):
        return len(text)
    return sum(_WIDE.get(east_asian_width(c), 1) if category(c) not in _ON_TOP else 0 for c in text)


def folded(text: str, width: int) -> list[str]:
    """Return the lines of TEXT, at most WIDTH cells wide, broken at a space, else after a punctuation mark."""
    lines: list[str] = []
    for whole in text.split("\n"):
        line = ""
        for word in [whole] if cells(whole) <= width else _WORDS.findall(whole):
            for piece in _pieces(word, width):
                if line and cells(line + piece.rstrip()) > width:
                    lines.append(line.rstrip())
                    line = ""
                line += piece
        lines.append(line.rstrip())
    return lines


def _pieces(word: str, width: int) -> list[str]:
    """Return WORD, with the spaces after it, in parts that each fit into WIDTH cells."""
    if cells(word.rstrip()) <= width:
        return [word]
    parts = [part for part in _AFTER.split(word) if part]
    if len(parts) > 1:
        return [piece for part in parts for piece in _pieces(part, width)]
    return list(word)


# ---- Rendering ----

_Line: TypeAlias = list[tuple[str, str]]
"""Texts side by side, each with its style."""


def render(parts: Sequence[Part], width: int | None, colour: bool = False) -> str:
    """Return PARTS as text for a width of WIDTH cells, None for any width; with COLOUR in the styles of a terminal."""
    lines = [line for part in parts for line in _lines(part, width)]
    if not colour:
        return "".join(f"{''.join(text for text, _ in line).rstrip()}\n" for line in lines)
    return "".join(f"{''.join(_styled(*span) for span in line)}\n" for line in lines)


def _styled(text: str, style: str) -> str:
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if style and text.strip() else text


def _lines(part: Part, width: int | None) -> Iterator[_Line]:
    if isinstance(part, Table):
        places = fit(part, width)
        yield from _table_lines(part, places)
        shown_ones = {place.position for place in places}
        left_out = [column.title for position, column in enumerate(part.columns) if position not in shown_ones]
        if left_out:
            yield from (
                [(line, "dim")]
                for line in _prose(f"left out because the output is too narrow: {', '.join(left_out)}", width)
            )
    elif isinstance(part, Heading):
        yield from ([(line, "bold")] for line in _prose(part.text, width))
    else:
        yield from ([(line, "")] for line in _prose(part, width))


def _prose(text: str, width: int | None) -> Iterator[str]:
    """Return the lines of TEXT; if it has a second column, all but the first are indented to that."""
    if width is None or cells(text) <= width:
        yield text
        return
    label = re.match(r"\S* {2,}", text)
    indent = len(label[0]) if label and len(label[0]) < width // 2 else 0
    first, *rest = folded(text[indent:], max(width - indent, 1))
    yield text[:indent] + first
    yield from (" " * indent + line for line in rest)


def _table_lines(table: Table, places: Sequence[Placed]) -> Iterator[_Line]:
    """Return the titles, the rows and the foot, with a rule between them."""
    rule = [("─" * _total(places), "dim")]
    yield from _row_lines(table, places, [column.title for column in table.columns], "bold")
    yield rule
    for row in table.rows:
        yield from _row_lines(table, places, row)
    if table.foot:
        yield rule
        yield from _row_lines(table, places, table.foot, "bold")


def _row_lines(table: Table, places: Sequence[Placed], row: Sequence[str], style: str = "") -> Iterator[_Line]:
    """Return a row as lines, as many as its highest text has. A STYLE takes precedence over those of columns and
    texts."""
    texts = [folded(row[position], width) for position, width in places]
    for height in range(max(map(len, texts))):
        line: _Line = []
        for (position, width), lines in zip(places, texts, strict=True):
            column, text = table.columns[position], lines[height] if height < len(lines) else ""
            space = " " * (width - cells(text))
            line.append((space + text if column.number else text + space, style or _STYLES.get(text, column.style)))
            line.append((" " * GAP, ""))
        yield line[:-1]
