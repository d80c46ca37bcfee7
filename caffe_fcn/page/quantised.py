"""Makes a dense map small enough for a page: fewer cells, fewer classes, and values as whole numbers of 16 bits.

The numbers of a class are decimals with as many digits as 16 bits allow between its lowest and its highest value. So
the page shows the values of the net, correctly rounded to the digits that are shown. If a map has too many cells,
several neighbours become one with the highest value of each class. If it has too many classes, the page has the whole
maps of only some; the top classes of each cell are among all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.predict.maps import Map

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_CELLS = 1 << 16
"""The maximum number of cells of a map on the page."""

MOST_SIDE = 1024
"""The maximum number of cells along an axis."""

MOST_VALUES = 1 << 24
"""The maximum number of values that are in memory, cells × all classes."""

CODE = 2
"""The bytes of a code."""

_CODES = 1 << 8 * CODE
_DIGITS = 6
"""The maximum number of significant digits; single precision has few more."""

_WANTED = 32
"""A map has fewer cells on the page, so that it can have this number of classes."""

_CHUNK = 1 << 12
"""The number of cells whose top classes are found at once."""


class Decimals(NamedTuple):
    """How a code of 16 bits stands for a value: (FIRST + code) / 10^DIGITS."""

    first: int
    digits: int

    def value(self, code: int) -> float:
        """Return the value of CODE, the float nearest to the decimal."""
        return float(f"{self.first + code}e{-self.digits}")


def decimals_between(least: float, most: float, finest: int | None = None) -> Decimals:
    """Return the finest decimals, of at most six digits, and of FINEST places if given, that have codes for all values
    from LEAST to MOST."""
    largest = max(abs(least), abs(most))
    digits = _DIGITS - 1 - floor(log10(largest)) if largest else 0
    digits = digits if finest is None else min(digits, finest)
    while _whole(most, digits) - _whole(least, digits) >= _CODES:
        digits -= 1
    return Decimals(_whole(least, digits), digits)


def _whole(value: float, digits: int) -> int:
    return round(value * _power(digits) / _power(-digits))


def _power(digits: int) -> float:
    """Return 10 to the power of DIGITS, 1 if that is a fraction: products with whole powers are exact."""
    return float(f"1e{max(0, digits)}")


def coded(values: NDArray[Any], decimals: Sequence[Decimals], which: NDArray[Any] | int) -> NDArray[Any]:
    """Return the codes of VALUES; WHICH is the place of each in DECIMALS, or of all."""
    import numpy as np

    powers, parts = (np.array([_power(sign * each.digits) for each in decimals]) for sign in (1, -1))
    first = np.array([each.first for each in decimals])
    return np.asarray(np.rint(values * powers[which] / parts[which]) - first[which], "<u2")


def step_of(shape: tuple[int, int, int], budget: int, told: int) -> int:
    """Return how many neighbours along each axis of a map of SHAPE, K×rows×columns, become one cell of the page. It has
    at most BUDGET bytes of values, TOLD of them for each cell and the others for its classes, or for the first 32."""
    classes, rows, columns = shape
    each = told + CODE * min(classes, _WANTED)
    most = max(1, min(MOST_CELLS, MOST_VALUES // classes, budget // each))
    step = max(1, -(-max(rows, columns) // MOST_SIDE))
    while -(-rows // step) * -(-columns // step) > most:
        step += 1
    return step


def pooled(scores: Map, step: int) -> NDArray[Any]:
    """Return the highest of each STEP×STEP cells of SCORES, K×rows×columns; at the ends there may be fewer."""
    import numpy as np

    classes, rows, columns = scores.shape
    made = np.full((classes, -(-rows // step), -(-columns // step)), -np.inf, np.float32)
    for row, band in scores.bands():
        across = np.maximum.reduceat(band, range(0, columns, step), 2)
        starts = [0, *range(step - row % step, band.shape[1], step)]
        down = np.maximum.reduceat(across, starts, 1)
        part = made[:, row // step : row // step + len(starts)]
        np.maximum(part, down, out=part)
    return made


def top_of(values: NDArray[Any], most: int) -> NDArray[Any]:
    """Return the MOST classes with the highest of VALUES, K×cells, in each cell, the highest first, as MOST×cells; of
    equal ones that with the lower number."""
    import numpy as np

    made = np.empty((min(most, len(values)), values.shape[1]), np.int64)
    for first in range(0, values.shape[1], _CHUNK):
        part = np.array(values[:, first : first + _CHUNK])
        for found in made[:, first : first + _CHUNK]:
            found[:] = part.argmax(0)
            np.put_along_axis(part, found[None], -np.inf, 0)
    return made
