"""Formats tables for terminals of any width and for pipes.

Numbers and words are never cut. A table that is too wide first folds the columns that allow it, then leaves some out,
then folds the text of the others, then leaves out more, and names the columns that are left out. What is still too
wide stays so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias
from unicodedata import category, east_asian_width

from caffe_fcn.display import visible

GAP = 2
"""Cells between two columns."""

LONGEST = 200
"""Characters of a name that are shown."""

_WORDS = re.compile(r" *[^ ]+ *")
_AFTER = re.compile(r"(?<=[/_\-,;:×])")
"""Where a word is best folded."""

_NOT_SHAPES = re.compile(r"(?<=[/_\-,;:])")
"""Where a word of a table is folded: no shape is."""

_LONGEST_WORD = 40
"""A word of more cells, which only a machine can have made, is folded anywhere."""

_DEAR = 3
"""Columns whose SPARE is so high are left out only where folding texts does not do."""

_STYLES = {"?": "yellow", "-": "dim", "in place": "dim", "shared": "dim"}
"""The cells that mean that there is no number."""

_CODES = {"bold": 1, "dim": 2, "yellow": 33}
"""What a terminal calls the styles (ECMA-48, Select Graphic Rendition)."""


_NARROW = re.compile(r"[ -~×≥…─]*")
_WIDE = {"W": 2, "F": 2}
_ON_TOP = ("Mn", "Me", "Cf")


class Column(NamedTuple):
    """A column of a table. It may be folded to LEAST cells, where that is not 0, but to no fewer than SOFT as long
    as columns can be left out instead: those that are SPARE, lowest first, 0 being never."""

    title: str
    number: bool = False
    least: int = 0
    soft: int = 0
    spare: int = 0
    style: str = ""


class Table(NamedTuple):
    """Rows of texts, and perhaps one at the foot. A text may have several lines."""

    columns: tuple[Column, ...]
    rows: list[list[str]]
    foot: list[str] | None = None


class Heading(NamedTuple):
    """A line that names what follows."""

    text: str


Part: TypeAlias = "Table | Heading | str"
"""A piece of a page; a str is a line of prose, to be folded with what follows its first two spaces aligned."""


def shown(text: str) -> str:
    """TEXT from a model, safe to print on one line."""
    text = visible(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


# ---- Layout ----


class Placed(NamedTuple):
    """A column that is shown: its position in the table, and how many cells it takes."""

    position: int
    width: int


def fit(table: Table, width: int | None) -> list[Placed]:
    """The columns of TABLE to show within WIDTH cells, None being all there is."""
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
    """Whether TABLE, without what can be left out easily, fits into WIDTH cells with nothing folded."""
    if width is None:
        return True
    kept = [Placed(p, _natural(table, p)) for p, each in enumerate(table.columns) if not 0 < each.spare < _DEAR]
    return _total(kept) <= width


def _texts(table: Table, position: int) -> Iterator[str]:
    """The lines of all texts of a column."""
    texts = [table.columns[position].title, *(row[position] for row in table.rows)]
    texts += [table.foot[position]] if table.foot else []
    return (line for text in texts for line in text.split("\n"))


def _natural(table: Table, position: int) -> int:
    """The cells that the widest text of a column takes."""
    return max(map(cells, _texts(table, position)))


def _widest_word(table: Table, position: int) -> int:
    """The cells that the widest part of a text takes that is not to be folded."""
    parts = (part for text in _texts(table, position) for word in text.split() for part in _NOT_SHAPES.split(word))
    return min(_LONGEST_WORD, max(map(cells, parts), default=0))


def _total(places: Sequence[Placed]) -> int:
    return sum(place.width for place in places) + GAP * (len(places) - 1)


def _narrowed(places: Sequence[Placed], least: Sequence[int], width: int) -> list[Placed]:
    """PLACES with the widest of those that may be folded made narrower, down to their LEAST cells (0: not at all),
    until all fit into WIDTH."""
    widths = [place.width for place in places]
    while sum(widths) + GAP * (len(widths) - 1) > width:
        wide = [index for index, limit in enumerate(least) if 0 < limit < widths[index]]
        if not wide:
            break
        widths[max(wide, key=lambda index: widths[index])] -= 1
    return [Placed(place.position, wide) for place, wide in zip(places, widths, strict=True)]


def cells(text: str) -> int:
    """How many cells of a terminal TEXT takes: two for a wide character, none for a mark on the one before."""
    if _NARROW.fullmatch(text):
        return len(text)
    return sum(_WIDE.get(east_asian_width(c), 1) if category(c) not in _ON_TOP else 0 for c in text)


def folded(text: str, width: int) -> list[str]:
    """The lines of TEXT, none of them wider than WIDTH cells, broken at a space, else behind a punctuation mark."""
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
    """WORD, with the spaces behind it, in parts that each fit into WIDTH cells."""
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
    """PARTS as text for a place of WIDTH cells, None being one without bounds; with COLOUR in the styles of a
    terminal."""
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
    """The lines of TEXT, all but the first indented to where its second column begins, if it has two."""
    if width is None or cells(text) <= width:
        yield text
        return
    label = re.match(r"\S* {2,}", text)
    indent = len(label[0]) if label and len(label[0]) < width // 2 else 0
    first, *rest = folded(text[indent:], max(width - indent, 1))
    yield text[:indent] + first
    yield from (" " * indent + line for line in rest)


def _table_lines(table: Table, places: Sequence[Placed]) -> Iterator[_Line]:
    """The titles, the rows and the foot, with a rule between them."""
    rule = [("─" * _total(places), "dim")]
    yield from _row_lines(table, places, [column.title for column in table.columns], "bold")
    yield rule
    for row in table.rows:
        yield from _row_lines(table, places, row)
    if table.foot:
        yield rule
        yield from _row_lines(table, places, table.foot, "bold")


def _row_lines(table: Table, places: Sequence[Placed], row: Sequence[str], style: str = "") -> Iterator[_Line]:
    """A row, which is as high as the highest of its texts. A STYLE goes before those of columns and texts."""
    texts = [folded(row[position], width) for position, width in places]
    for height in range(max(map(len, texts))):
        line: _Line = []
        for (position, width), lines in zip(places, texts, strict=True):
            column, text = table.columns[position], lines[height] if height < len(lines) else ""
            space = " " * (width - cells(text))
            line.append((space + text if column.number else text + space, style or _STYLES.get(text, column.style)))
            line.append((" " * GAP, ""))
        yield line[:-1]
