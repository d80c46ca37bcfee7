"""Writes text in drawings, in letters whose size follows from that of the drawing."""

from __future__ import annotations

from typing import Any, NamedTuple
from unicodedata import combining, normalize

from caffe_fcn.display import visible
from caffe_fcn.predict.draw.colours import Colour
from caffe_fcn.predict.images.picture import pillow

_LEAST_WIDE = 24
"""The minimum width of a panel of text, in heights of its text."""

_LEAST_TEXT, _PART = 15, 48
"""The minimum height of the text, in pixels, and as a fraction of the drawing (1 / this number)."""

_LONGEST = 200
"""The maximum number of characters of a name that are used."""


class Style(NamedTuple):
    """The width of the panel, the height of its text, and its font."""

    width: int
    unit: int
    font: Any

    @property
    def margin(self) -> int:
        """The free space at both sides."""
        return self.unit

    @property
    def inner(self) -> int:
        """The width between the margins."""
        return self.width - 2 * self.margin


def style_of(shown: tuple[int, int], most: int | None = None) -> Style:
    """Return the style of text in or below a drawing of the size SHOWN, with text of at most MOST pixels. Raises
    ExtraError without pillow."""
    pillow()  # its error says what to install
    from PIL import ImageFont

    unit = max(_LEAST_TEXT, max(shown) // _PART)
    unit = unit if most is None else min(unit, most)
    try:
        font = ImageFont.load_default(unit)
    except (ImportError, OSError, TypeError):  # pillow without FreeType, or before 10.1: a font with one size
        font = ImageFont.load_default()
        unit = _LEAST_TEXT
    return Style(max(shown[1], _LEAST_WIDE * unit), unit, font)


def in_ascii(text: str) -> str:
    """Return TEXT in ASCII, because pillow's own font has little else: without accents, and ? for other letters."""
    plain = normalize("NFKD", visible(text[:_LONGEST]).replace("×", "x"))
    letters = (letter for letter in plain if not combining(letter))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in letters)


def width_of(style: Style, text: str) -> int:
    """Return the width of TEXT in pixels."""
    return int(-(-style.font.getlength(text) // 1))


def fitted(style: Style, text: str, width: int) -> str:
    """Return TEXT, or its beginning if WIDTH has no room for all."""
    whole = in_ascii(text)
    if width_of(style, whole) <= width:
        return whole
    low, high = 0, len(whole)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if width_of(style, whole[:middle] + "...") <= width else (low, middle - 1)
    return whole[:low].rstrip() + "..."


def wrapped(style: Style, text: str, width: int) -> list[str]:
    """Return TEXT in lines of at most WIDTH, broken between words; a longer word is shortened."""
    lines = [""]
    for word in in_ascii(text).split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and width_of(style, longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return [fitted(style, line, width) for line in lines]


def write(style: Style, draw: Any, left: float, middle: float, text: str, colour: Colour) -> None:
    """Write TEXT such that the middle of a capital letter is at MIDDLE."""
    _, top, _, bottom = style.font.getbbox("H")
    draw.text((round(left), round(middle - (top + bottom) / 2)), text, colour, style.font)
