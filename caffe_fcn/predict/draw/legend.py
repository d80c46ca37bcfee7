"""Draws the legend below a map: strips of one width that explain its colours.

A colour is shown as it looks in the drawing, over dark and over bright. Sentences that are too long continue on the
next line; names that are too long are shortened with an ellipsis.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.predict.draw import bare
from caffe_fcn.predict.draw.colours import Colour
from caffe_fcn.predict.draw.lettering import Style, fitted, in_ascii, style_of, width_of, wrapped, write
from caffe_fcn.predict.images.picture import pillow

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

GROUND: Colour = (22, 22, 26)
_TEXT: Colour = (240, 240, 240)
_QUIET: Colour = (165, 165, 172)

_LINE, _NEXT = 1.7, 1.4
"""The height of a line of text, and the distance to its continuation on the next, in heights of the text."""

_WIDEST = 16
"""The maximum width of a column of classes, in heights of the text."""


class LegendEntry(NamedTuple):
    """A class in the legend: its name, its colour, if it has one, and its share of the drawn cells, or its number of
    boxes."""

    name: str
    colour: Colour | None
    share: str


class Caption(NamedTuple):
    """The words of a legend: the TITLE, what the COLOURS mean, what is TOLD about the picture; and the share of BARE
    pixels, without an answer."""

    title: str
    colours: str
    told: str
    bare: float


def heat_legend(
    shown: tuple[int, int],
    caption: Caption,
    span: tuple[float, float],
    ramp: NDArray[Any],
    shares: NDArray[Any],
) -> Any:
    """Return the panel below a heat map of the size SHOWN, as an image: CAPTION, and the colours of RAMP with the
    numbers of SPAN. SHARES are the weights of the colours in a pixel."""
    style = style_of(shown)
    low, high = span
    numbers = [_number(value, high - low) for value in dict.fromkeys((low, low + (high - low) / 2, high))]
    strips = [_line(style, caption.title, _TEXT), _bar(style, ramp, shares), _spread(style, numbers)]
    return _stacked(style, [*strips, _line(style, caption.colours, _QUIET), *_ending(style, shown, caption)])


def label_legend(shown: tuple[int, int], caption: Caption, entries: Sequence[LegendEntry], share: float) -> Any:
    """Return the panel below a label map of the size SHOWN, as an image: ENTRIES and CAPTION. SHARE is the weight of a
    colour in a pixel."""
    style = style_of(shown)
    return _stacked(style, [_table(style, entries, share), *_ending(style, shown, caption)])


def _ending(style: Style, shown: tuple[int, int], caption: Caption) -> Iterator[Any]:
    """Yield the last lines of a legend: on bare pixels, if any, and on the picture."""
    if caption.bare:
        text = f"{percent(caption.bare)} of the picture without an answer: no cell of the map is there"
        image = _line(style, text, _QUIET, _beside(style))
        _swatch(image, style, style.margin, _LINE * style.unit / 2, _stripes(style, bare.width_of(shown)), bare.SHARE)
        yield image
    yield _line(style, caption.told, _QUIET)


def _stripes(style: Style, width: int) -> NDArray[Any]:
    """Return the colours of a hatched square; stripes are WIDTH pixels wide."""
    import numpy as np

    return np.array(bare.STRIPES, np.float32).take(bare.stripes(range(style.unit), style.unit, width), 0)


def _beside(style: Style) -> int:
    """Return the distance of a text from the left end of the square before it."""
    return round(1.6 * style.unit)


def _strip(style: Style, high: float) -> tuple[Any, Any]:
    """Return an empty strip, HIGH in heights of the text, and the object that draws on it."""
    from PIL import ImageDraw

    image = pillow().new("RGB", (style.width, round(high * style.unit)), GROUND)
    return image, ImageDraw.Draw(image)


def _stacked(style: Style, strips: Sequence[Any]) -> Any:
    """Put STRIPS one below the other, with some space above and below."""
    top = style.unit // 2
    image = pillow().new("RGB", (style.width, 2 * top + sum(strip.height for strip in strips)), GROUND)
    for strip in strips:
        image.paste(strip, (0, top))
        top += strip.height
    return image


def _line(style: Style, text: str, colour: Colour, indent: int = 0) -> Any:
    """Write TEXT, INDENT pixels right of the margin, on as many lines as it needs."""
    lines = wrapped(style, text, style.inner - indent)
    image, draw = _strip(style, _LINE + _NEXT * (len(lines) - 1))
    for place, line in enumerate(lines):
        write(style, draw, style.margin + indent, (_LINE / 2 + _NEXT * place) * style.unit, line, colour)
    return image


def _bar(style: Style, ramp: NDArray[Any], shares: NDArray[Any]) -> Any:
    """Draw all colours of RAMP, at the top as over black and at the bottom as over white."""
    import numpy as np

    image, _ = _strip(style, 1.2)
    places = np.arange(style.inner) * len(ramp) // style.inner
    beneath = np.linspace(0, 255, style.unit)[:, None, None]
    colours = beneath + (ramp[places] - beneath) * shares[places][:, None]
    image.paste(pillow().fromarray(colours.round().astype(np.uint8)), (style.margin, 0))
    return image


def _spread(style: Style, words: Sequence[str]) -> Any:
    """Write WORDS over the whole width, the first at the left end and the last at the right end."""
    image, draw = _strip(style, 1.4)
    for place, word in enumerate(words):
        free = style.inner - width_of(style, word)
        left = style.margin + free * place / max(1, len(words) - 1)
        write(style, draw, left, image.height / 2, word, _TEXT)
    return image


def _table(style: Style, entries: Sequence[LegendEntry], share: float) -> Any:
    """Draw ENTRIES in columns."""
    beside = _beside(style), style.unit // 2
    taken = sum(beside) + max((width_of(style, entry.share) for entry in entries), default=0) + round(1.5 * style.unit)
    names = max((width_of(style, in_ascii(entry.name)) for entry in entries), default=0)
    column = min(taken + names, _WIDEST * style.unit, style.inner)
    columns = max(1, min(len(entries), style.inner // column))
    rows = -(-len(entries) // columns)
    image, draw = _strip(style, 1.6 * rows)
    for place, entry in enumerate(entries):
        left = style.margin + place // rows * column
        middle = (place % rows + 0.5) * 1.6 * style.unit
        if entry.colour is not None:
            _swatch(image, style, left, middle, entry.colour, share)
        name = fitted(style, entry.name, column - taken)
        write(style, draw, left + beside[0], middle, name, _TEXT)
        write(style, draw, left + sum(beside) + width_of(style, name), middle, entry.share, _QUIET)
    return image


def _swatch(image: Any, style: Style, left: int, middle: float, colour: ArrayLike, share: float) -> None:
    """Draw a square of COLOUR, or of one for each pixel, half of it over black and half over white."""
    import numpy as np

    side = style.unit
    beneath = np.where(np.arange(side) < side // 2, 0, 255)[:, None, None]
    mixed = np.broadcast_to(np.asarray(colour, np.float32), (side, side, 3)) * share + beneath * (1 - share)
    image.paste(pillow().fromarray(mixed.round().astype(np.uint8)), (left, round(middle - side / 2)))


def _number(value: float, span: float) -> str:
    """Return VALUE with three digits; less than a thousandth of SPAN becomes 0."""
    if span > 0:
        value = round(value, 3 - math.floor(math.log10(span))) + 0.0
    return f"{value:.3g}"


def percent(share: float) -> str:
    """Return SHARE in percent, with few digits; only nothing is 0%, and only all is 100%."""
    found = 100 * share
    if found in (0, 100) or 10 <= found <= 99:
        return f"{found:.0f}%"
    return f"{found:.1f}%" if 0.1 <= found <= 99.9 else "< 0.1%" if found < 0.1 else "> 99.9%"
