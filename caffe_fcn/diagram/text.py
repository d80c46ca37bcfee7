"""Text of a drawing: how wide it is, and how it is shortened to fit.

The font is known only where a drawing is shown, so widths are estimates, rather too wide than too narrow.
"""

from __future__ import annotations

from unicodedata import combining, east_asian_width

from caffe_fcn.display import visible

_NARROW, _SLIM, _WIDE = frozenset("ijl.,:;|!'` "), frozenset('frtI()[]{}-/\\"'), frozenset("mwMW@%→…&")
_EM = {"narrow": 0.33, "slim": 0.41, "usual": 0.63, "capital": 0.7, "wide": 0.95, "full": 1.05}
"""Widths in the size of the font, those of DejaVu Sans, which is wider than the usual fonts of other systems."""
_LONGEST = 200
"""The characters of a name that are looked at."""


def width(text: str, size: float, *, bold: bool = False) -> float:
    """The width of TEXT in a font of SIZE, in the unit of SIZE."""
    return sum(map(_em, text)) * size * (1.1 if bold else 1)


def _em(char: str) -> float:
    if char in _NARROW:
        return _EM["narrow"]
    if char in _SLIM:
        return _EM["slim"]
    if char in _WIDE:
        return _EM["wide"]
    if not char.isascii():
        if combining(char):
            return 0
        return _EM["full" if east_asian_width(char) in "WF" else "capital"]
    return _EM["capital" if char.isupper() else "usual"]


def fitted(text: str, size: float, room: float, *, bold: bool = False) -> str:
    """TEXT on one line and not wider than ROOM; the middle of a longer one is left out, as names differ at their
    ends."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"
    text = visible(text)
    if width(text, size, bold=bold) <= room:
        return text
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if width(_cut(text, middle), size, bold=bold) <= room else (low, middle - 1)
    return _cut(text, low)


def _cut(text: str, kept: int) -> str:
    """KEPT characters from both ends of TEXT, a few more from its beginning."""
    ending = kept * 2 // 5
    return f"{text[: kept - ending]}…{text[len(text) - ending :]}"
