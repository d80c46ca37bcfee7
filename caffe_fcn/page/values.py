"""Values of a blob as a report page shows them: numbers, and the shape of a histogram."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caffe_fcn.files.statistics import Histogram, Statistics
from caffe_fcn.inspection.words import count_of
from caffe_fcn.model.tensors import Tensor
from caffe_fcn.page.records import Fact
from caffe_fcn.page.tiles import TilePicture, number

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_SHARE = 0.001

HISTOGRAM_SIZE = (320, 72)
"""The width and the height of the drawing of a histogram, in its own units."""


@dataclass(frozen=True)
class ValuesPanel:
    """The values of one blob: the TITLE, its FACTS, a HISTOGRAM if the values differ, a PICTURE if there is one, and
    REMARKS on values and channels."""

    title: str
    shape: str
    facts: tuple[Fact, ...]
    histogram: HistogramDrawing | None
    picture: TilePicture | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class HistogramDrawing:
    """A histogram as a PATH of an SVG of the size WIDTH × HEIGHT. ZERO is the place of zero from left to right, if it
    is inside. LEFT and RIGHT are the numbers at the ends, PEAK says what the highest bar is."""

    path: str
    width: int
    height: int
    zero: float | None
    left: str
    right: str
    title: str


def values_of(tensor: Tensor, start: int, stop: int) -> NDArray[Any]:
    """Return the values START..STOP of TENSOR, flat, as float32, or as float64 if they are doubles or integers."""
    kind = "float32" if tensor.dtype in ("float16", "float32") else "float64"
    return tensor.read(start, stop).astype(kind, copy=False)


def facts_of(found: Statistics) -> Iterator[Fact]:
    """Return FOUND as facts; counts of what is missing are left out."""
    yield Fact("values", f"{found.values:,}")
    if found.minimum is not None and found.maximum is not None and found.mean is not None:
        if found.minimum == found.maximum:
            yield Fact("all", number(found.minimum), repr(found.minimum))
        else:
            yield Fact("min", number(found.minimum), repr(found.minimum))
            yield Fact("max", number(found.maximum), repr(found.maximum))
            yield Fact("mean", number(found.mean), repr(found.mean))
            yield Fact("deviation", number(found.deviation or 0.0), repr(found.deviation))
    if found.zeros:
        share = found.zeros / found.values
        yield Fact("zeros", f"{found.zeros:,} ({f'{share:.1%}' if share >= _LEAST_SHARE else '< 0.1%'})")
    if found.nan:
        yield Fact("NaN", f"{found.nan:,}")
    if found.inf:
        yield Fact("infinite", f"{found.inf:,}")


def drawn(found: Histogram | None, statistics: Statistics) -> HistogramDrawing | None:
    """Return the drawing of FOUND; None where there is nothing to tell apart."""
    if found is None or statistics.minimum == statistics.maximum:
        return None
    wide, high = HISTOGRAM_SIZE
    most, step = max(found.counts), wide / len(found.counts)
    parts = []
    for place, count in enumerate(found.counts):
        if count:
            tall = max(1.0, high * count / most)
            parts.append(f"M{place * step:.1f} {high}v-{tall:.1f}h{step:.2f}v{tall:.1f}z")
    edges = found.edges
    zero = -edges[0] / (edges[-1] - edges[0]) * wide if edges[0] < 0 < edges[-1] else None
    peak = found.counts.index(most)
    share = most / sum(found.counts)
    title = (
        f"Histogram of {count_of(sum(found.counts), 'value')} from {number(edges[0])} to {number(edges[-1])}. "
        f"The highest bar, {share:.1%} of them, is from {number(edges[peak])} to {number(edges[peak + 1])}."
    )
    zero = None if zero is None or not math.isfinite(zero) else zero
    return HistogramDrawing("".join(parts), wide, high, zero, number(edges[0]), number(edges[-1]), title)
