"""Draws weights as tiles: a sample of the filters and channels of a layer, or of the rows of a matrix.

The kernels of a layer that reads a picture are in colour. Others are one tile for each filter and input channel.
Kernels of one cell are a matrix, and a vector is a strip. Samples are evenly spaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.inspection.words import shape_of
from caffe_fcn.model.tensors import Tensor
from caffe_fcn.page.tiles import (
    GAP,
    TilePicture,
    coded,
    colour_picture,
    in_colour,
    joined,
    on_one_scale,
    part_of,
    picture_of,
    sample,
    sentence,
    strength,
    wrapped,
)
from caffe_fcn.page.values import values_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_KERNELS = 96
"""The maximum number of kernels that have one channel or are in colour."""

_MOST_FILTERS, _MOST_CHANNELS = 24, 16
"""The maximum numbers of filters and of channels in a table of kernels."""

_MOST_ROWS, _MOST_COLUMNS = 64, 256
"""The maximum size of a matrix."""

_MOST_CELLS = 160_000
"""The maximum number of weights in a picture. Larger kernels are not drawn."""

_LONGEST = 1 << 20
"""Of filters with more weights, only the kernels that are shown are read."""

_WEAK = 0.1
"""Each filter has its own scale of colours, but not a finer one than this share of that of the strongest filter."""

_OWN = "each filter has its own scale"
OWN_SCALES = ("negative", "positive")


class KernelView(NamedTuple):
    """How the kernels of the layer NAME lie in TENSOR: filters × channels × window, or TURNED, channels × filters ×
    window. With GROUPED, the channels or filters are those of a group. OVER_MAP: they are windows of an InnerProduct on
    its map. COLOUR has the places of red, green and blue among the three channels."""

    name: str
    tensor: Tensor
    turned: bool = False
    grouped: bool = False
    over_map: bool = False
    colour: tuple[int, int, int] | None = None

    @property
    def window(self) -> tuple[int, ...]:
        """The extents of a window; those of a matrix are none."""
        return self.tensor.shape[2:]

    @property
    def cells(self) -> tuple[int, int]:
        """The height and the width of a tile: of more than two axes, the last two."""
        high, wide = (1, 1, *self.window)[-2:]
        return high, wide

    @property
    def shown(self) -> str:
        """The extents of a kernel, and the part of it that is shown, in words."""
        slices = ", ".join(str(extent // 2 + 1) for extent in self.window[:-2])
        return f"{shape_of(self.window)}{f', slice {slices} in the middle' if slices else ''}"


def tiles_of_filters(view: KernelView) -> TilePicture | None:
    """Return a picture of the kernels of VIEW; None if there are none, or they are too large. Raises CaffeFcnError if
    the file cannot be read."""
    (first, second), cells = view.tensor.shape[:2], prod(view.cells)
    if not view.tensor.count or cells > _MOST_CELLS:
        return None
    if cells == 1:
        return _matrix(view, f"weights of {view.name}")
    if view.colour is not None:
        return _coloured(view, view.colour)
    if second == 1:
        shown = sample(first, min(_MOST_KERNELS, _MOST_CELLS // cells))
        values = _read(view, shown, (0,))[:, 0]
        codes = joined(wrapped(coded(values, _own_scales(values, (1, 2)))), GAP)
        words = f"{part_of(len(shown), first, 'filter')}, {view.shown}"
        return picture_of(codes, f"{words}, of {view.name}", sentence(f"{_begin(view)}{words}; {_OWN}"), OWN_SCALES)
    return _table(view)


def tiles_of_blob(what: str, tensor: Tensor) -> TilePicture | None:
    """Return a picture of TENSOR, a blob that is no kernel but WHAT, as "bias of conv1": a strip, or if it has several
    axes, a matrix. None if there are fewer than two values."""
    long = [extent for extent in tensor.shape if extent != 1]
    if tensor.count < 2:
        return None
    if len(long) > 1:
        rows = long[0]
        return _matrix(KernelView(what, tensor.reshaped((rows, tensor.count // rows))), what, "row", "column")
    return _strip(what, tensor, "value")


def _strip(what: str, tensor: Tensor, noun: str) -> TilePicture:
    import numpy as np

    shown = sample(tensor.count, _MOST_COLUMNS)
    values = np.array([values_of(tensor, place, place + 1)[0] for place in shown])[None]
    return _on_one_scale(values, what, part_of(len(shown), tensor.count, noun))


def _matrix(view: KernelView, what: str, row: str = "filter", column: str = "input") -> TilePicture:
    first, second = view.tensor.shape[:2]
    if second == 1:
        return _strip(what, view.tensor, row)
    rows, columns = sample(first, _MOST_ROWS), sample(second, _MOST_COLUMNS)
    values = _read(view, rows, columns)[:, :, 0, 0]
    row, column = (column, row) if view.turned else (row, column)
    words = f"rows: {part_of(len(rows), first, row)}; columns: {part_of(len(columns), second, column)}"
    return _on_one_scale(values, what, words)


def _on_one_scale(values: NDArray[Any], what: str, words: str) -> TilePicture:
    limit = float(strength(values, (0, 1))[0, 0])
    return on_one_scale(coded(values, limit), values, limit, f"{what}, {words}", words)


def _coloured(view: KernelView, colour: tuple[int, int, int]) -> TilePicture:
    first = view.tensor.shape[0]
    shown = sample(first, max(1, min(_MOST_KERNELS, _MOST_CELLS // prod(view.cells))))
    values = _read(view, shown, colour)
    pixels = in_colour(values, _own_scales(values, (1, 2, 3)))
    words = f"{part_of(len(shown), first, 'filter')}, {view.shown}, in colour"
    order = "red, green, blue" if colour == (0, 1, 2) else "blue, green, red, as Caffe reads pictures"
    told = sentence(f"{_begin(view)}{words}; the channels are {order}")
    caption = f"{told} Zero is grey; {_OWN}."
    return colour_picture(joined(wrapped(pixels), 0), f"{words}, of {view.name}", caption)


def _table(view: KernelView) -> TilePicture:
    """Return a table of kernels, with a column for each filter and a row for each channel."""
    cells = prod(view.cells)
    many, deep = view.tensor.shape[1::-1] if view.turned else view.tensor.shape[:2]
    filters, channels = min(many, _MOST_FILTERS), min(deep, _MOST_CHANNELS)
    while filters * channels * cells > _MOST_CELLS and max(filters, channels) > 1:
        filters, channels = (filters // 2, channels) if filters > channels else (filters, channels // 2)
    columns, rows = sample(many, filters), sample(deep, channels)
    values = _read(view, rows, columns) if view.turned else _read(view, columns, rows).swapaxes(0, 1)
    codes = coded(values, _own_scales(values, (0, 2, 3), along=1))
    of_group = " of a group" if view.grouped else ""
    first = part_of(len(columns), many, "filter") + (of_group if view.turned else "")
    second = part_of(len(rows), deep, "input channel") + ("" if view.turned else of_group)
    words = f"columns: {first}; rows: {second}; each tile is {view.shown}"
    alt = f"kernels of {view.name}, {words}"
    return picture_of(joined(codes, GAP), alt, sentence(f"{_begin(view)}{words}; {_OWN}"), OWN_SCALES)


def _begin(view: KernelView) -> str:
    told = "windows on the map that it reads, which are the kernels of the Convolution that it becomes; "
    return told if view.over_map else ""


def _own_scales(values: NDArray[Any], axes: tuple[int, ...], along: int = 0) -> NDArray[Any]:
    """Return the limits of the colours of VALUES for each filter, over AXES; filters lie ALONG one axis."""
    import numpy as np

    limits = strength(values, axes)
    floors: NDArray[Any] = np.maximum(limits, _WEAK * limits.max(axis=along, keepdims=True))
    return floors


def _read(view: KernelView, first: Sequence[int], second: Sequence[int]) -> NDArray[Any]:
    """Return the kernels at FIRST along the first axis and SECOND along the second, first × second × height × width."""
    import numpy as np

    tensor, (high, wide) = view.tensor, view.cells
    depth, whole = tensor.shape[1], prod(view.window)
    outer = view.window[:-2]
    middle = 0
    for extent in outer:
        middle = middle * extent + extent // 2
    begin, many = middle * high * wide, high * wide
    found = np.empty((len(first), len(second), many))
    for row, place in enumerate(first):
        if depth * whole <= _LONGEST:
            values = values_of(tensor, place * depth * whole, (place + 1) * depth * whole)
            found[row] = values.reshape(depth, whole)[list(second), begin : begin + many]
        else:
            for column, channel in enumerate(second):
                start = (place * depth + channel) * whole + begin
                found[row, column] = values_of(tensor, start, start + many)
    return found.reshape(len(first), len(second), high, wide)
