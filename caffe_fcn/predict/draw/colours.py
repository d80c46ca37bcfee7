"""Chooses colours for numbers and for classes that colour-blind people can distinguish.

Lightness carries the information; hue only repeats it. A higher number is a lighter colour. Classes have the seven
hues of Okabe and Ito, then the same ones lighter and darker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

Colour = tuple[int, int, int]

_ANCHORS: Sequence[Colour] = (
    *((0, 0, 6), (34, 12, 72), (92, 20, 110), (152, 40, 102), (208, 70, 70), (242, 124, 30), (250, 192, 52)),
    (252, 255, 172),
)
"""From black by violet, red and orange to a light yellow, at equal distances."""

_SHARES = 0.5, 0.75
"""The weights of the lowest and the highest colour in a pixel."""

_HUES: Sequence[Colour] = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)),
)
"""Orange, sky blue, bluish green, yellow, blue, vermillion, reddish purple: the colours of Okabe and Ito without
black."""

_TOWARDS: Sequence[tuple[int, float]] = ((0, 0.0), (255, 0.5), (0, 0.45))
"""The variants of the hues: unchanged, towards white, towards black."""

DISTINCT = len(_HUES) * len(_TOWARDS)
"""The number of classes that have their own colour."""

BACKGROUND: Colour = (0, 0, 0)
OTHERS: Colour = (128, 128, 128)
"""The colour of all classes that have no colour of their own."""


def sequential() -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the colours of 256 numbers from the lowest to the highest, 256×3 of 0..255, and the weight of each over a
    picture. The mixture becomes lighter with the number, for every pixel of the picture."""
    import numpy as np

    anchors = np.array(_ANCHORS, np.float64)
    steps = np.linspace(0, 1, 256)
    colours = [np.interp(steps, np.linspace(0, 1, len(anchors)), anchors[:, band]) for band in range(3)]
    return np.stack(colours, 1).astype(np.float32), np.interp(steps, (0, 1), _SHARES).astype(np.float32)


def of_classes(ranked: Sequence[int], count: int, background: int | None) -> Mapping[int, Colour]:
    """Return the colours of the classes in RANKED, the most frequent first, for a net with COUNT classes.

    If there are colours for all COUNT, a class has the same colour in every picture; otherwise the most frequent
    classes have one. Classes without a colour are not in the mapping.
    """
    seen = [index for index in ranked if index != background]
    if count - (background is not None) <= DISTINCT:
        places = {index: index - (background is not None and background < index) for index in seen}
    else:
        places = {index: place for place, index in enumerate(seen[:DISTINCT])}
    colours = {index: _numbered(place) for index, place in places.items()}
    if background is not None:
        colours[background] = BACKGROUND
    return colours


def _numbered(place: int) -> Colour:
    """Return the colour at PLACE in the list of distinct colours."""
    end, share = _TOWARDS[place // len(_HUES)]
    red, green, blue = (round(value + (end - value) * share) for value in _HUES[place % len(_HUES)])
    return red, green, blue
