"""Draws arrays of numbers as small tiles side by side in one PNG.

Zero is nearly black; positive numbers are warmer and lighter colours, negative ones cooler and lighter. So lightness
shows the size of a number and hue its sign, for colour-blind readers too, on a light and on a dark page. The gaps
between tiles are transparent. One pixel of the PNG is one number; the page enlarges it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from caffe_fcn.errors import missing
from caffe_fcn.inspection.words import count_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDEST, HIGHEST = 640, 480
"""The maximum width and height of a picture on the page, in pixels of the page, if a number takes one pixel or more."""

_LARGEST = 12
"""A number is shown with at most this many pixels of the page along each side."""

_ROW, _LOW = 18, 160
"""The height of a row in a low picture on the page, and of such a picture."""

_IN_A_ROW = 16
"""The number of tiles in a row, or half of that if they are few."""

_STEPS = 31
"""The number of colours of each sign; fewer colours make smaller files."""

_ZERO: tuple[int, int, int] = (26, 27, 34)
_POSITIVE = (_ZERO, (122, 44, 18), (214, 100, 24), (250, 172, 70), (255, 240, 206))
_NEGATIVE = (_ZERO, (20, 62, 128), (38, 122, 206), (110, 184, 246), (222, 242, 255))
_NOT_FINITE = (214, 0, 214)

GAP, BROKEN, ZERO = 0, 1, 2 + _STEPS
"""The codes of a gap, of what is no finite number, and of zero. Other numbers are up to `_STEPS` below and above it."""


@dataclass(frozen=True)
class TilePicture:
    """A PNG with tiles, its size on the page, the text for those who do not see it, and what stands below it.

    SCALE has the words at the ends of the scale of colours, which begins at zero unless SIGNED; None if the picture has
    other colours."""

    png: bytes
    width: int
    height: int
    alt: str
    caption: str
    scale: tuple[str, str] | None = None
    signed: bool = True


def sample(count: int, most: int) -> tuple[int, ...]:
    """Return at most MOST of the numbers below COUNT, evenly spaced, from 0 on."""
    shown = min(count, most)
    return tuple(place * count // shown for place in range(shown))


def coded(values: NDArray[Any], limits: NDArray[Any] | float) -> NDArray[Any]:
    """Return the codes of VALUES: of zero as `ZERO`, of numbers of LIMITS and beyond as the strongest colours."""
    import numpy as np

    scales = np.asarray(limits, np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        shares = np.where(scales > 0, np.asarray(values, np.float64) / scales, 0.0)
        codes = ZERO + np.rint(np.clip(shares, -1, 1) * _STEPS)
    return np.where(np.isfinite(values), codes, BROKEN).astype(np.uint8)


def in_colour(values: NDArray[Any], limits: NDArray[Any]) -> NDArray[Any]:
    """Return VALUES, count × 3 × height × width in the order red, green, blue, as pixels, count × height × width × 4.
    Zero is grey; numbers of LIMITS and beyond are the ends of the range."""
    import numpy as np

    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        shares = np.where(limits > 0, values / limits, 0.0)
        shades = np.rint(127.5 + 127.5 * np.clip(shares, -1, 1))
    pixels = np.full((len(values), *values.shape[2:], 4), 255, np.uint8)
    finite = np.isfinite(values).all(1)
    pixels[..., :3] = np.where(finite[..., None], np.moveaxis(shades, 1, -1), _NOT_FINITE)
    return pixels


def strength(values: NDArray[Any], axes: tuple[int, ...], spread: float | None = 3) -> NDArray[Any]:
    """Return the limits for the colours of VALUES, over AXES, which stay with length 1: the largest absolute value, or
    SPREAD times the root mean square if that is less, so that single large numbers do not hide the others."""
    import numpy as np

    finite = np.abs(np.where(np.isfinite(values), values, 0).astype(np.float64))
    largest: NDArray[Any] = finite.max(axis=axes, keepdims=True, initial=0.0)
    if spread is None:
        return largest
    scales = np.where(largest > 0, largest, 1.0)
    root = np.sqrt(np.square(finite / scales).mean(axis=axes, keepdims=True)) * scales
    limits: NDArray[Any] = np.minimum(largest, spread * root)
    return limits


def number(value: float) -> str:
    """Return VALUE with four significant digits."""
    return f"{value:.4g}".replace("-", "−")


def part_of(shown: int, count: int, noun: str) -> str:
    """Return how many things of COUNT are SHOWN, in words."""
    return count_of(count, noun) if shown == count else f"a sample of {shown:,} of {count_of(count, noun)}"


def sentence(words: str) -> str:
    """Return WORDS as a sentence."""
    return f"{words[0].upper()}{words[1:]}."


def joined(tiles: NDArray[Any], gap: int) -> NDArray[Any]:
    """Return TILES, rows × columns × height × width (× bands), as one array with gaps of the value GAP between them."""
    import numpy as np

    rows, columns, high, wide, *bands = tiles.shape
    whole = np.full((rows, columns, high + 1, wide + 1, *bands), gap, tiles.dtype)
    whole[:, :, :high, :wide] = tiles
    flat = whole.swapaxes(1, 2).reshape(rows * (high + 1), columns * (wide + 1), *bands)
    return flat[:-1, :-1]


def wrapped(tiles: NDArray[Any]) -> NDArray[Any]:
    """Return TILES, count × height × width (× bands), in rows; tiles of zeros fill the last row."""
    import numpy as np

    columns = min(len(tiles), _IN_A_ROW // 2 if len(tiles) <= 2 * _IN_A_ROW else _IN_A_ROW)
    rows = -(-len(tiles) // columns)
    filled = np.zeros((rows * columns, *tiles.shape[1:]), tiles.dtype)
    filled[: len(tiles)] = tiles
    return filled.reshape(rows, columns, *tiles.shape[1:])


def picture_of(
    codes: NDArray[Any], alt: str, caption: str, scale: tuple[str, str], *, stretched: bool = False
) -> TilePicture:
    """Return the picture of CODES, height × width; the page shows the ends of its SCALE. With STRETCHED, the rows of a
    low picture are made higher."""
    high, wide = codes.shape
    times = _times(high, wide)
    if stretched:
        codes = codes.repeat(max(1, min(_ROW // times, _LOW // (high * times))), 0)
    return TilePicture(_png(codes), wide * times, len(codes) * times, alt, caption, scale)


def on_one_scale(
    codes: NDArray[Any], values: NDArray[Any], limit: float, alt: str, words: str, *, stretched: bool = True
) -> TilePicture:
    """Return the picture of CODES for VALUES, which are negative in part, or all of them from zero on. Those of LIMIT
    and beyond have the strongest colours, which the ends of the scale tell. WORDS stand below it."""
    signed = bool(((codes < ZERO) & (codes > BROKEN)).any())
    high = f"{'≥ ' if (values > limit).any() else ''}{number(limit)}"
    low = f"{'≤ ' if (values < -limit).any() else ''}{number(-limit)}"
    scale = (low if signed else "0", high)
    return replace(picture_of(codes, alt, sentence(words), scale, stretched=stretched), signed=signed)


def colour_picture(pixels: NDArray[Any], alt: str, caption: str) -> TilePicture:
    """Return the picture of PIXELS, height × width × 4 (red, green, blue, opacity)."""
    high, wide = pixels.shape[:2]
    buffer = io.BytesIO()
    _pillow().fromarray(pixels, "RGBA").save(buffer, "PNG", optimize=True)
    times = _times(high, wide)
    return TilePicture(buffer.getvalue(), wide * times, high * times, alt, caption)


def _times(high: int, wide: int) -> int:
    """Return how many times a picture of HIGH × WIDE numbers is enlarged on the page."""
    return max(1, min(_LARGEST, WIDEST // wide, HIGHEST // high))


def _png(codes: NDArray[Any]) -> bytes:
    image = _pillow().fromarray(codes, "P")
    image.putpalette([band for colour in _palette() for band in colour])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, transparency=GAP)
    return buffer.getvalue()


def _palette() -> list[tuple[int, int, int]]:
    """Return the colours of all codes."""
    below = [_mixed(_NEGATIVE, step / _STEPS) for step in range(_STEPS, 0, -1)]
    above = [_mixed(_POSITIVE, step / _STEPS) for step in range(1, _STEPS + 1)]
    return [(0, 0, 0), _NOT_FINITE, *below, _ZERO, *above]


def _mixed(anchors: Sequence[tuple[int, int, int]], share: float) -> tuple[int, int, int]:
    """Return the colour at SHARE of the way along ANCHORS."""
    place = share * (len(anchors) - 1)
    first = min(int(place), len(anchors) - 2)
    part = place - first
    red, green, blue = (
        round(one + (other - one) * part) for one, other in zip(*anchors[first : first + 2], strict=True)
    )
    return red, green, blue


def _pillow() -> Any:
    """Return pillow's module Image. Raises ExtraError if it is not installed."""
    try:
        from PIL import Image
    except ImportError as error:
        told = "pictures on a report page need more packages: pip install 'caffe-fcn[see]'"
        raise missing(error, "PIL", told) from error
    return Image
