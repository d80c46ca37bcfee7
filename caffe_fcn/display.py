"""How text from files and models is shown: on one line, of bounded length, and without control characters.

Names in a model can be of any length and hold any character. `visible` shows a whole line, `printable` a single name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

_RUN = 1000
"""The repeats in a match: re remembers each while it matches, so longer runs are matched in several steps."""
_STEERING = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f"  # C0, DEL and C1: line ends, escape sequences
    "\\xad\\u0600-\\u0605\\u061c\\u06dd\\u070f\\u0890-\\u0891\\u08e2\\u180e"  # formatting that shows nothing
    "\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb"  # directions, joiners, line ends
    "\\u115f-\\u1160\\u3164\\uffa0"  # letters that show nothing
    "\\U000110bd\\U000110cd\\U00013430-\\U0001343f\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a"
    "\\U000e0000-\\U000e0fff]"  # tags
)
"""Characters that steer a terminal, change the order in which others are shown, or cannot be seen."""
_STEERED = re.compile(f"(?:{_STEERING.pattern}){{1,{_RUN}}}")
_ENDLESS = re.compile("(?<![^ ])[^ ]{4097,}")
"""A word that is longer than a path can be."""
_LONG = 100
"""The characters that are shown of a longer name."""
_BEGINNING, _END = 16_000, 4_000
"""The characters that are shown of a longer line, such as one with a long name of many words."""


def as_utf8(text: str) -> str:
    """TEXT with its bytes decoded as UTF-8, whatever the locale in which a file's name was read; ? for invalid ones."""
    return _decoded(text).encode("utf-8", "replace").decode()


def _decoded(text: str) -> str:
    """TEXT with its bytes decoded as UTF-8; invalid bytes become surrogates."""
    if text.isascii():  # most are, and this costs no memory
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text


def visible(text: str) -> str:
    """TEXT on one line, without characters that would steer a terminal or that it cannot show. A word longer than
    any path is shortened to its two ends, and so is a very long line."""
    text = _ENDLESS.sub(_ends, text)
    if len(text) > _BEGINNING + _END:
        text = f"{text[:_BEGINNING]}…{text[-_END:]}"
    return _STEERING.sub("?", as_utf8(text))


def _ends(word: re.Match[str]) -> str:
    return f"{word[0][:_LONG]}…{word[0][-_LONG:]}"


def visible_lines(text: str) -> str:
    """TEXT of several lines, each of them visible."""
    return "\n".join(map(visible, text.split("\n")))


def visible_json(text: str) -> str:
    """TEXT of a JSON document, with escapes for the characters in its strings that `visible` masks, and for surrogates,
    which stand for bytes in names of files that are not UTF-8. The meaning of the document stays the same."""
    text = _STEERED.sub(lambda run: _STEERING.sub(_as_escape, run[0]), text)
    return _decoded(text).encode("utf-8", "backslashreplace").decode()


def _as_escape(match: re.Match[str]) -> str:
    return match[0] if match[0] == "\n" else json.dumps(match[0])[1:-1]


def printable(text: str, length: int = _LONG) -> str:
    """TEXT, visible and on one line, shortened to LENGTH characters."""
    return visible(text if len(text) <= length else f"{text[: length - 1]}…")


def first_of(texts: Sequence[str], most: int) -> list[str]:
    """The first MOST of TEXTS, and how many more there are."""
    more = len(texts) - most
    return [*texts[:most], *([f"and {more:,} more"] if more > 0 else [])]


def some(texts: Sequence[str], most: int, separator: str = ", ") -> str:
    """The same in a line."""
    more = len(texts) - most
    return separator.join(texts[:most]) + (f" and {more:,} more" if more > 0 else "")
