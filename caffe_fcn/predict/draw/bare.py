"""Draws pixels without an answer: the picture, darkened and hatched, so that they look neither like a score nor like a
class.

The stripes are not lighter than the lowest score is over the same bright pixel, and can be seen over a black one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from caffe_fcn.predict.draw.colours import Colour

STRIPES: Sequence[Colour] = ((0, 0, 0), (30, 30, 36))
"""The colours of the stripes, which take turns."""

SHARE = 0.66
"""The weight of a stripe in a pixel."""

_PART, _LEAST = 150, 5
"""The width of a stripe as a fraction of the drawing (1 / this number), and its minimum in pixels."""


def width_of(shown: tuple[int, int]) -> int:
    """Return the width of a stripe, along a row, in a drawing of the size SHOWN."""
    return max(_LEAST, max(shown) // _PART)


def stripes(rows: range, columns: int, width: int) -> NDArray[Any]:
    """Return which of STRIPES each pixel in ROWS has, for COLUMNS pixels in each; a stripe is WIDTH pixels wide."""
    import numpy as np

    return (np.arange(rows.start, rows.stop)[:, None] + np.arange(columns)) // width % len(STRIPES)
