"""Draws dense maps: the answers over the picture, each at its position, with a legend below.

A cell is drawn around the middle of its window, half a stride to every side. Where windows overlap, a pixel shows the
cell with the nearest middle. So a map is not stretched over the picture, and places without a cell are hatched.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.net.shapes import show
from caffe_fcn.predict.draw import bare, colours
from caffe_fcn.predict.draw.legend import GROUND, Caption, LegendEntry, heat_legend, label_legend, percent
from caffe_fcn.predict.draw.palette import VOID, Palette
from caffe_fcn.predict.draw.view import (
    DrawnMap,
    PictureView,
    beneath,
    every_pixel,
    highest,
    is_coarse,
    labelled,
    view_of,
)
from caffe_fcn.predict.images.picture import Picture, pillow
from caffe_fcn.predict.labels import Labels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MOST = 4096
"""The maximum number of pixels per side of a drawing; larger pictures are drawn smaller."""

_CLASS = 0.6
"""The weight of the class colour in a pixel; the rest is the picture."""

_PIXEL = 64
"""The approximate memory per pixel while it is coloured, in bytes."""

_LEVELS = 256
"""The number of grey levels, and of colours for numbers."""

_COMPRESSION = 2
"""The compression level of zlib for PNG: the default takes four times as long, for a file smaller by a sixth."""

_BARE = -1
"""Marks pixels without a cell."""

NAMED = 12
"""The maximum number of classes in the legend."""


class Drawing(NamedTuple):
    """A drawing: a pillow image whose upper left part is the picture, every STEP-th pixel of it, ZOOM times as large.
    STEP or ZOOM is 1."""

    image: Any
    step: int
    zoom: int

    def png(self) -> bytes:
        """Return the image as PNG; the bytes are always the same."""
        file = io.BytesIO()
        self.image.save(file, "PNG", compress_level=_COMPRESSION)
        return file.getvalue()


def heat_map(
    picture: Picture,
    levels: Sequence[DrawnMap],
    classes: Sequence[int],
    title: str,
    *,
    span: tuple[float, float] | None = None,
    most: int = MOST,
    upsample: bool = False,
    colour: bool = False,
) -> Drawing:
    """Draw PICTURE in grey, or in COLOUR, and over it the score of CLASSES: the highest of them and of all LEVELS.

    TITLE says in the legend what is drawn. The darkest and the lightest colour are the numbers of SPAN, and scores
    outside have these colours; by default 0 and 1 if no score is outside, else the lowest and highest score drawn. If
    there are more cells than pixels, up to MOST per side, the highest score in a pixel is drawn. UPSAMPLE: scores are
    interpolated between the centres of cells.

    Raises PictureError if the picture cannot be read.
    """
    import numpy as np

    view = view_of(picture, most)
    heat = np.full(view.shown, -np.inf, np.float32)
    for level in levels:
        for rows, columns, scores in highest(level, classes, view, upsample=upsample):
            heat[rows, columns] = np.maximum(heat[rows, columns], scores)
    low, high = span or _span(heat)
    ramp, shares = colours.sequential()

    def laid(rows: slice) -> NDArray[Any]:
        drawn = heat[rows] > -np.inf
        above = np.where(drawn, heat[rows], low) - np.float64(low)
        above *= (_LEVELS - 1) / (high - low) if high > low else 0
        return np.where(drawn, above.round().clip(0, _LEVELS - 1).astype(np.intp), _BARE)

    shared = any(view.shares(axis) for level in levels for axis in (level.rows, level.columns))
    told = _told(picture, levels, view, upsample) + (", each pixel shows the highest of its cells" if shared else "")
    caption = Caption(title, _of_range(heat, span, (low, high)), told, float((heat == -np.inf).mean()))
    legend = heat_legend(view.shown, caption, (low, high), ramp, shares)
    return _drawing(picture, view, laid, _mixed(ramp, shares), legend, colour=colour)


def label_map(
    picture: Picture,
    levels: Sequence[DrawnMap],
    labels: Labels,
    *,
    background: int | None = None,
    most: int = MOST,
    upsample: bool = False,
    palette: Sequence[colours.Colour] = (),
    colour: bool = False,
) -> Drawing:
    """Draw PICTURE in grey, or in COLOUR, and over it each cell in the colour of its top class, from the LEVEL with the
    highest score.

    The class BACKGROUND, by default the background of LABELS, is dark. The legend names the classes with the largest
    areas. If there are more cells than pixels, up to MOST per side, one of the cells in a pixel is drawn. UPSAMPLE:
    scores are interpolated between the centres of cells. PALETTE has the colours of the classes, if given.

    Raises PictureError if the picture cannot be read.
    """
    import numpy as np

    view = view_of(picture, most)
    top = labelled(levels, view, upsample=upsample)
    counts = np.bincount(top[top >= 0].ravel(), minlength=labels.count)
    ranked = [int(index) for index in np.argsort(-counts, kind="stable") if counts[index]]
    dark = labels.background if background is None else background
    own = {index: palette[index] for index in ranked} if palette else None
    chosen = own or colours.of_classes(ranked, labels.count, dark)
    others = len(chosen)
    table = np.full(len(counts) + 1, others, np.intp)  # the last is for pixels without a cell
    table[list(chosen)], table[-1] = range(others), _BARE
    mixed = _mixed([*chosen.values(), colours.OTHERS], [_CLASS] * (others + 1))

    def laid(rows: slice) -> NDArray[Any]:
        found: NDArray[Any] = table[top[rows]]
        return found

    shares = counts / max(1, counts.sum())
    named = [
        LegendEntry(labels.title(index), chosen.get(index, colours.OTHERS), percent(shares[index]))
        for index in ranked[:NAMED]
    ]
    if further := ranked[NAMED:]:
        named.append(LegendEntry(f"{len(further):,} others", None, percent(shares[further].sum())))
    caption = Caption("", "", _told(picture, levels, view, upsample), float((top < 0).mean()))
    legend = label_legend(view.shown, caption, named, _CLASS)
    return _drawing(picture, view, laid, mixed, legend, colour=colour)


def indexed_map(
    levels: Sequence[DrawnMap], palette: Palette, size: tuple[int, int], *, upsample: bool = False
) -> Drawing:
    """Return the top class of each pixel of a picture of SIZE as an image of class numbers, in the colours of PALETTE;
    VOID where there is no cell."""
    import numpy as np

    top = labelled(levels, every_pixel(size), upsample=upsample)
    image = pillow().fromarray(np.where(top < 0, VOID, top).astype(np.uint8))
    image.putpalette(palette.table)  # this makes it an indexed image
    return Drawing(image, 1, 1)


def _mixed(laid: ArrayLike, shares: ArrayLike) -> NDArray[Any]:
    """Return what each level of red, green and blue becomes under the colours LAID over it, and last under the stripes
    of bare pixels: colours × levels × 3. SHARES are the weights of the colours."""
    import numpy as np

    levels = np.arange(_LEVELS, dtype=np.float32)[:, None]
    colour = np.append(np.asarray(laid, np.float32), bare.STRIPES, 0)[:, None]
    share = np.append(np.asarray(shares, np.float32), [bare.SHARE] * len(bare.STRIPES))[:, None, None]
    return np.asarray((levels + (colour - levels) * share).round(), np.uint8)


def _drawing(
    picture: Picture,
    view: PictureView,
    laid: Callable[[slice], NDArray[Any]],
    mixed: NDArray[Any],
    legend: Any,
    *,
    colour: bool,
) -> Drawing:
    """Draw PICTURE in grey, or in COLOUR, as VIEW shows it, with LEGEND below. LAID returns for rows which colour of
    MIXED each pixel has, or that it is bare."""
    import numpy as np

    high, wide = view.shown
    pixels = beneath(picture, view, colour=colour)
    width, first_stripe = bare.width_of(view.shown), len(mixed) - len(bare.STRIPES)
    image = pillow().new("RGB", (max(wide, legend.width), high + legend.height), GROUND)
    for first, end in view.bands(_PIXEL * wide):
        found = laid(slice(first, end))
        found = np.where(found == _BARE, first_stripe + bare.stripes(range(first, end), wide, width), found)
        made = mixed[found[:, :, None], pixels[first:end], np.arange(3)]
        image.paste(pillow().fromarray(made), (0, first))
    image.paste(legend, (0, high))
    return Drawing(image, view.step, view.zoom)


def _span(heat: NDArray[Any]) -> tuple[float, float]:
    """Return the numbers at the ends of the colours of HEAT; HEAT is -inf where nothing is drawn."""
    import numpy as np

    drawn = heat > -np.inf
    low = float(heat.min(where=drawn, initial=np.inf))
    high = float(heat.max())
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)


def _of_range(heat: NDArray[Any], fixed: tuple[float, float] | None, span: tuple[float, float]) -> str:
    """Return how the colours of HEAT follow from its values: between the FIXED ones if given, else those of SPAN."""
    import numpy as np

    if fixed is None:
        return "colours from 0 to 1" if span == (0, 1) else "colours from the lowest to the highest value drawn"
    drawn = heat > -np.inf
    count = max(1, int(drawn.sum()))
    parts = (
        ("below", float(((heat < fixed[0]) & drawn).sum()) / count),
        ("above", float((heat > fixed[1]).sum()) / count),
    )
    outside = " and ".join(f"{percent(share)} {side}" for side, share in parts if share)
    end = f"; of the values {outside}, in the end colours" if outside else "; no value is outside"
    return f"fixed range of colours{end}"


def _told(picture: Picture, levels: Sequence[DrawnMap], view: PictureView, upsample: bool) -> str:
    """Return a line that describes the drawing."""
    size = f"{show(view.size)} pixels" + (f", shown 1:{view.step}" if view.step > 1 else "")
    cells = " and ".join(show((level.rows.cells, level.columns.cells)) for level in levels)
    between = ", interpolated" if upsample and any(is_coarse(level, view) for level in levels) else ""
    return f"{os.path.basename(picture.path)}: {size}; {cells} cells{between}"
