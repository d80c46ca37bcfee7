"""Makes a map of a net for the panel of a dense net: places of cells, what they see, classes and values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.display import printable
from caffe_fcn.net.exactness import summed_up
from caffe_fcn.net.geometry import Exactness, exactness_of
from caffe_fcn.net.shapes import show
from caffe_fcn.page.quantised import CODE, Decimals, coded, decimals_between, pooled, step_of, top_of
from caffe_fcn.predict.cells import Cells
from caffe_fcn.predict.labels import Labels
from caffe_fcn.predict.outputs import NetOutput
from caffe_fcn.predict.picture_net import PictureNet
from caffe_fcn.predict.run import BlobResult, Level

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_CLASSES = 2000
"""The maximum number of classes of a map to choose from."""

_TOP, _FIRST = 5, 10
"""The number of top classes of a cell, and of channels that are no classes."""

_PAIR = 2
"""With two classes, all but the background is the other one."""

_PLACES, _SMALL, _SMALL_PLACES = 4, 0.01, 6
"""The maximum number of decimal places of values from 0 to 1, as probabilities are; and if all of a class are small."""

_FAINT = 0.1
"""A class whose values stay below this share of the fixed colours can hardly be seen in them."""

_LAYERS = 3
"""The maximum number of layers that a note names."""


_WHERE = {
    Exactness.AWAY_FROM_BORDERS: "Cells near borders depend on more than their receptive field",
    Exactness.NOWHERE: "Cells depend on more than their receptive field",
}


class PanelAxis(NamedTuple):
    """The cells of the page along an axis of the picture, in pixels from its edge: cell i is drawn from START + i·STEP
    to STEP further, or to END. SEES has the pixels that each cell sees, with padding: the first, and the one after the
    last. CROPS has those that the classifier would be given for it, None if there are none."""

    start: float
    step: float
    end: float
    sees: tuple[tuple[int, int], ...]
    crops: tuple[tuple[int, int], ...] | None


class PanelClass(NamedTuple):
    """A class: its NUMBER, None if it stands for several, its NAME, and the DECIMALS of its values. PEAK is the cell
    with its highest value, row by row, None if the page has no map of the class."""

    number: int | None
    name: str
    decimals: Decimals
    peak: int | None = None


@dataclass(frozen=True)
class PanelMap:
    """A map on the page: the blob NAME with CHANNELS, which are OF_CLASSES or only numbers. SPAN has the lowest and the
    highest value of the fixed colours. CELLS along both axes are those of the net, POOLED × POOLED of them one cell of
    the page.

    CLASSES has those whose map is in PLANES, SHOWN of them in the order of the chooser, and then others. The CHOSEN one
    comes first; it is FAINT if it can hardly be seen in the fixed colours. TOP has for
    each cell its top classes as numbers in CLASSES, VALUES their codes. All are of 16 bits. VALUES have the decimals
    LISTED, so that scores in one list have as many digits; None if they have those of their classes.
    """

    name: str
    channels: int
    of_classes: bool
    span: tuple[float, float]
    cells: tuple[int, int]
    pooled: int
    rows: PanelAxis
    columns: PanelAxis
    classes: tuple[PanelClass, ...]
    shown: int
    chosen: int
    faint: bool
    top: NDArray[Any]
    listed: Decimals | None
    values: NDArray[Any]
    planes: NDArray[Any]
    notes: tuple[str, ...]

    @property
    def caption(self) -> str:
        """What the table tells of the cell under the pointer."""
        if self.pooled > 1:
            what = "score of each class" if self.of_classes else "value of each channel"
            return f"Highest {what} in the {show((self.pooled, self.pooled))} cells"
        return "Top classes of the cell" if self.of_classes else "Values of the cell"


def panel_map(model: PictureNet, result: BlobResult, labels: Labels, wanted: int | None, budget: int) -> PanelMap:
    """Return the map of RESULT on the page, with at most BUDGET bytes of values."""
    import numpy as np

    output, level = result.output, result.levels[0]
    told = min(_TOP if output.of_classes else _FIRST, output.channels)
    step = step_of(level.scores.shape, budget, 2 * CODE * told)
    maps = pooled(level.scores, step)
    values = maps.reshape(len(maps), -1)
    top = top_of(values, told) if output.of_classes else np.repeat(np.arange(told)[:, None], values.shape[1], 1)
    most = (budget // values.shape[1] - 2 * CODE * told) // CODE - 1
    shown, chosen = _chooser(output, labels, values, max(1, min(MOST_CLASSES, most)), wanted)
    picked = [*shown, *sorted(set(np.unique(top).tolist()).difference(shown))]
    rows = [_all_but(values, labels.background) if each is None else values[each] for each in picked]
    span = _span(float(values.min()), float(values.max()))
    decimals = [_decimals(float(row.min()), float(row.max()), span) for row in rows]
    places = np.zeros(len(values), np.int64)
    places[[each for each in picked if each is not None]] = [at for at, each in enumerate(picked) if each is not None]
    best = np.take_along_axis(values, top, 0)
    listed = _decimals(float(best.min()), float(best.max()), span) if output.of_classes else None
    peaks = [int(row.argmax()) if at < len(shown) else None for at, row in enumerate(rows)]
    axes = [_axis(model, output, level, along, step) for along in range(2)]
    if any(axis.crops is None for axis in axes) or all(axis.crops == axis.sees for axis in axes):
        axes = [axis._replace(crops=None) for axis in axes]
    return PanelMap(
        name=printable(output.name),
        channels=output.channels,
        of_classes=output.of_classes,
        span=span,
        cells=level.cells.shape,
        pooled=step,
        rows=axes[0],
        columns=axes[1],
        classes=tuple(
            PanelClass(each, _title(output, labels, each), known, peak)
            for each, known, peak in zip(picked, decimals, peaks, strict=True)
        ),
        shown=len(shown),
        chosen=chosen,
        faint=float(rows[chosen].max()) < span[0] + _FAINT * (span[1] - span[0]),
        top=places[top].astype("<u2"),
        listed=listed,
        values=coded(best, [listed] if listed else decimals, 0 if listed else places[top]),
        planes=np.stack([coded(rows[at], decimals, at) for at in range(len(shown))]),
        notes=tuple(_notes(output, level, step, len(shown) - (None in shown), axes[0].crops is not None)),
    )


def _chooser(
    output: NetOutput, labels: Labels, values: NDArray[Any], most: int, wanted: int | None
) -> tuple[list[int | None], int]:
    """Return the classes of OUTPUT with a map on the page, MOST or fewer, in the order of the chooser, and the place of
    the first one to be shown, which is WANTED if given. Of classes those with the highest VALUES come first, and before
    them None for all but the background, if that is known."""
    import numpy as np

    order = np.argsort(-values.max(1), kind="stable") if output.of_classes else np.arange(len(values))
    found: list[int | None] = order[:most].tolist()
    if wanted is not None and wanted not in found:
        found[-1] = wanted
    if output.of_classes and labels.background is not None and labels.count > _PAIR:
        found.insert(0, None)
    return found, 0 if wanted is None else found.index(wanted)


def _all_but(values: NDArray[Any], background: int | None) -> NDArray[Any]:
    """Return the highest of VALUES, K×cells, in each cell without the BACKGROUND."""
    import numpy as np

    made = np.full(values.shape[1], -np.inf, np.float32)
    for index, row in enumerate(values):
        if index != background:
            np.maximum(made, row, out=made)
    return made


def _title(output: NetOutput, labels: Labels, index: int | None) -> str:
    """Return the name of class INDEX of OUTPUT; of all but the background if it is None."""
    if index is None:
        return "all but the background"
    if output.of_classes:
        return printable(labels.title(index))
    return printable(output.name) if output.channels == 1 else f"channel {index}"


def _decimals(low: float, high: float, span: tuple[float, float]) -> Decimals:
    """Return the decimals of a class with values from LOW to HIGH, in a map with values in SPAN."""
    places = _PLACES if high >= _SMALL else _SMALL_PLACES
    return decimals_between(low, high, places if span == (0, 1) else None)


def _span(low: float, high: float) -> tuple[float, float]:
    """Return the values at the ends of the fixed colours, if those of a map are from LOW to HIGH."""
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)


def _axis(model: PictureNet, output: NetOutput, level: Level, along: int, step: int) -> PanelAxis:
    """Return the cells of LEVEL of OUTPUT along an axis, 0 or 1, if STEP of them are one cell of the page."""
    drawn, axis = level.cells.drawn[along], level.cells.starting(0, 0)[along]
    groups = [range(first, min(first + step, axis.cells)) for first in range(0, axis.cells, step)]
    start = drawn.offset - drawn.stride / 2 + Fraction(1, 2)  # 0 is the edge of the picture here
    sees = tuple(_together(map(axis.sees_of, group)) for group in groups)
    crops = None
    if output.shape[2:] == (1, 1) and len(axis.sees.phases) == 1 and level.shifts == 1:
        pixels = model.nominal[along] * axis.factor
        crops = tuple((floor(group[0] * axis.stride), ceil(group[-1] * axis.stride + pixels)) for group in groups)
    return PanelAxis(float(start), float(drawn.stride * step), float(start + drawn.stride * axis.cells), sees, crops)


def _together(spans: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Return the span of all SPANS that are not empty; an empty one if there are none."""
    held = list(spans)
    known = [each for each in held if each[0] < each[1]] or held[:1]
    return min(first for first, _ in known), max(end for _, end in known)


def _notes(output: NetOutput, level: Level, step: int, shown: int, crops: bool) -> Iterator[str]:
    """Return what a reader of the map must know: SHOWN of its classes have a map, STEP × STEP cells are one, and there
    are CROPS beside the receptive fields."""
    kind = "classes" if output.of_classes else "channels"
    if step > 1:
        yield (
            f"The map of the net has {show(level.cells.shape)} cells. Each cell here stands for {step}×{step} of them "
            f"and has the highest value of each of the {kind}."
        )
    if shown < output.channels:
        which = "with the highest peaks" if output.of_classes else "that come first"
        yield (
            f"The map has {output.channels:,} {kind}. You can choose {shown:,} of them, those {which}."
            + (" The top classes of a cell are among all of them." if output.of_classes else "")
        )
    bare = [f"{pixels:,} pixels at the {side}" for side, pixels in _rim(level.cells) if pixels]
    if bare:
        yield f"Hatched pixels have no answer: no cell has its middle there ({', '.join(bare)})."
    exactness = exactness_of(level.cells.reasons)
    if exactness is not Exactness.EVERYWHERE:
        yield f"{_WHERE[exactness]}: {_why(level.cells)}."
    if crops:
        yield (
            "The classifier's crop is the part of the picture from which the original net gives the answer of the "
            "cell. The original sees nothing beyond it, but the cell sees more of the picture. So the answers can "
            "differ."
        )


def _why(cells: Cells) -> str:
    told = []
    for layers, what in summed_up(cells.reasons):
        named = [f'"{printable(layer)}"' for layer in layers[:_LAYERS]]
        more = f" and {len(layers) - _LAYERS} more" if len(layers) > _LAYERS else ""
        told.append(f"{'layer' if len(layers) == 1 else 'layers'} {', '.join(named)}{more} {what}")
    return "; ".join(told)


def _rim(cells: Cells) -> Iterator[tuple[str, int]]:
    """Return the pixels without a cell at each side of the picture."""
    for axis, sides in zip(cells.drawn, (("top", "bottom"), ("left", "right")), strict=True):
        start = axis.offset - axis.stride / 2 + Fraction(1, 2)
        yield sides[0], max(0, floor(start))
        yield sides[1], max(0, floor(axis.size - start - axis.cells * axis.stride))
