"""Draws activations: the maps of a sample of channels, vectors as a strip, the input of a net in colour.

Large maps are reduced: a pixel is the mean of an area. All tiles of a blob have one scale of colours.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from caffe_fcn.inspection.words import shape_of
from caffe_fcn.page.tiles import (
    GAP,
    TilePicture,
    coded,
    colour_picture,
    in_colour,
    joined,
    on_one_scale,
    part_of,
    sample,
    sentence,
    strength,
    wrapped,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST = 96
"""The maximum height and width of a map in a picture with several."""

_ALONE = 256
"""The same of a single map."""

_IMAGE = 224
"""The same of the input of a net, and of a single map."""

_SMALL, _MANY, _FEW = 16, 64, 32
"""Of maps of at most this size, so many channels are shown at most; of larger ones fewer."""

_MOST_ROWS, _MOST_COLUMNS = 64, 256
"""The maximum size of a matrix."""

_TALL = 4
"""A matrix with so many times more rows than columns is turned."""

_COLOURS = 3


def tiles_of_values(name: str, values: NDArray[Any], limit: float) -> TilePicture | None:
    """Return a picture of VALUES, the blob called NAME for one item: N×C×spatial axes. Values of LIMIT and beyond have
    the strongest colours. None if there are fewer than two values."""
    if values.size < 2:
        return None
    shape = values.shape
    tiled = len(shape) > 3 and prod(shape[-2:]) > 1
    if tiled:
        shown, words = _maps(values.reshape(-1, *shape[2:]))
        codes = joined(wrapped(coded(shown, limit)), GAP)
    else:
        long = [extent for extent in shape if extent != 1]
        rows = values.reshape(1 if len(long) < 2 else long[0], -1)
        shown, words = _matrix(rows)
        codes = coded(shown, limit)
    return on_one_scale(codes, shown, limit, f"activations {name}, {words}", words, stretched=not tiled)


def tiles_of_image(name: str, values: NDArray[Any], order: tuple[int, int, int]) -> TilePicture:
    """Return a picture in colour of VALUES, an input 1×3×H×W called NAME, of which ORDER has the places of red, green
    and blue."""
    small = reduced(values[0], _IMAGE)
    limit, zero = strength(small[None], (1, 2, 3), spread=None), "grey"
    if not (small < 0).any():
        small, zero = 2 * small - limit[0], "black"
    pixels = in_colour(small[list(order)][None], limit)
    size = _reduced(values.shape[2:], small.shape[1:])
    words = f"in colour, as the net gets it{size}; zero is {zero}"
    return colour_picture(joined(pixels[None], 0), f"input {name} {words}", sentence(words))


def _maps(values: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Return the maps of a sample of the channels of VALUES, C×spatial axes, and what they are; of more than two axes,
    the last two."""
    outer, size = values.shape[1:-2], values.shape[-2:]
    shown = sample(len(values), _MANY if max(size) <= _SMALL else _FEW)
    slices = tuple(extent // 2 for extent in outer)
    tiles = reduced(values[(list(shown), *slices)], _LARGEST if len(shown) > 1 else _ALONE)
    words = f"{part_of(len(shown), len(values), 'channel')}, {shape_of(size)}{_reduced(size, tiles.shape[1:])}"
    if outer:
        words += f", slice {', '.join(str(place + 1) for place in slices)} of {shape_of(outer)}"
    return tiles, words


def _matrix(values: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Return a sample of VALUES, rows × columns, and what it is. Few values of many channels lie in columns."""
    nouns = ("channel", "value")
    if len(values) > _TALL * values.shape[1]:
        values, nouns = values.T, nouns[::-1]
    many, wide = values.shape
    rows, columns = sample(many, _MOST_ROWS), sample(wide, _MOST_COLUMNS)
    words = part_of(len(columns), wide, nouns[1])
    if many > 1:
        words = f"rows: {part_of(len(rows), many, nouns[0])}; columns: {words}"
    return values[list(rows)][:, list(columns)], words


def reduced(maps: NDArray[Any], most: int) -> NDArray[Any]:
    """Return MAPS, C×H×W, with at most MOST rows and columns: means of areas of equal size, smaller ones at the end."""
    import numpy as np

    high, wide = maps.shape[1:]
    step = -(-max(high, wide) // most)
    if step == 1:
        return maps
    counts = [np.diff([*range(0, extent, step), extent]) for extent in (high, wide)]
    means = np.empty((len(maps), *map(len, counts)))
    for place, each in enumerate(maps):  # one at a time, because they can be large
        with np.errstate(invalid="ignore", over="ignore"):
            rows = np.add.reduceat(each, np.arange(0, high, step), 0, dtype=np.float64)
            means[place] = np.add.reduceat(rows, np.arange(0, wide, step), 1)
    means /= np.outer(*counts)
    return means


def _reduced(size: tuple[int, ...], shown: tuple[int, ...]) -> str:
    return f", reduced to {shape_of(shown)}, means of areas" if shown != size else ""
