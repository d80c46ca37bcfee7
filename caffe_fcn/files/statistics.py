"""Computes statistics of values: minimum, maximum, mean, deviation, a histogram, and the number of zeros and NaN.

The values come in blocks and are read once, so memory does not grow with their number. The bins of the histogram are
2**k wide and begin at multiples of that. When values need a wider range, pairs of bins become one, so k and the counts
do not depend on the blocks. Zero is always the edge of a bin.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.files.blobs import BlobRecord
from caffe_fcn.files.caffemodel import WeightFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 1 << 18
"""Values read at a time; one MiB in single precision."""

BINS = 64
"""The maximum number of bins of a histogram; it has at least half as many, unless all values are nearly equal."""

_FINEST = -20
"""Bins are not narrower than the largest absolute value times 2 to the power of this."""

_LEAST = -960
"""The least power of two for the width of a bin; its reciprocal is a double."""

_SINGLE = 100
"""Up to this power of two, bins are numbered in single precision."""


class Statistics(NamedTuple):
    """Statistics of VALUES values. Minimum, maximum, mean and standard deviation are those of the finite values, None
    if there are none. It also has the numbers of zeros, NaN and infinite values."""

    values: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    deviation: float | None
    zeros: int
    nan: int
    inf: int


class Histogram(NamedTuple):
    """The numbers of finite values in bins that are 2**EXPONENT wide. The first begins at START times that; a bin
    includes its lower edge."""

    exponent: int
    start: int
    counts: tuple[int, ...]

    @property
    def edges(self) -> tuple[float, ...]:
        """The edges of the bins, one more than there are bins."""
        width = math.ldexp(1.0, self.exponent)
        edges = (width * (self.start + place) for place in range(len(self.counts) + 1))
        return tuple(min(max(edge, -sys.float_info.max), sys.float_info.max) for edge in edges)


class _Block(NamedTuple):
    """Statistics of one block: the number of finite values, their minimum, maximum, sum, mean and deviation, and the
    numbers of all values, of zeros, NaN and infinite values."""

    finite: int
    minimum: float
    maximum: float
    total: float
    mean: float
    deviation: float
    values: int
    zeros: int
    nan: int
    inf: int


class Gathering:
    """Gathers the statistics of values that come in blocks, and their histogram if HISTOGRAM."""

    def __init__(self, *, histogram: bool = False) -> None:
        self._blocks: list[_Block] = []
        self._bins = _Bins() if histogram else None

    def add(self, values: NDArray[Any]) -> None:
        """Add VALUES, of any shape. This needs several times their memory."""
        if not values.size:
            return
        block, finite = _look(values.reshape(-1))
        self._blocks.append(block)
        if self._bins is not None and block.finite:
            self._bins.add(finite, block.minimum, block.maximum)

    @property
    def statistics(self) -> Statistics:
        """The statistics of all values so far."""
        finite = [each for each in self._blocks if each.finite]
        low = min((each.minimum for each in finite), default=None)
        high = max((each.maximum for each in finite), default=None)
        mean, deviation = (None, None) if low is None or high is None else _moments(finite, low, high)
        values = sum(each.values for each in self._blocks)
        zeros = sum(each.zeros for each in self._blocks)
        nan, inf = sum(each.nan for each in self._blocks), sum(each.inf for each in self._blocks)
        return Statistics(values, low, high, mean, deviation, zeros, nan, inf)

    @property
    def histogram(self) -> Histogram | None:
        """The histogram of all finite values so far; None if there are none, or it was not requested."""
        return None if self._bins is None else self._bins.histogram


def blob_statistics(weights: WeightFile, blob: BlobRecord, block: int = BLOCK) -> Statistics:
    """Return the statistics of BLOB, reading BLOCK values at a time; they are computed in double precision.

    Raises CaffemodelError if the file cannot be read.
    """
    found = Gathering()
    for start in range(0, blob.count, block):
        found.add(weights.read_values(blob, start, min(start + block, blob.count)))
    return found.statistics


def _look(values: NDArray[Any]) -> tuple[_Block, NDArray[Any]]:
    """Return the statistics of VALUES, and those values that are finite."""
    import numpy as np

    many, zeros, nan, inf = len(values), len(values) - int(np.count_nonzero(values)), 0, 0
    if not (math.isfinite(values.min()) and math.isfinite(values.max())):  # both are NaN if one value is NaN
        nan, inf = int(np.isnan(values).sum()), int(np.isinf(values).sum())
        values = values[np.isfinite(values)]
    if not len(values):
        return _Block(0, 0.0, 0.0, 0.0, 0.0, 0.0, many, zeros, nan, inf), values
    low, high = float(values.min()), float(values.max())
    with np.errstate(over="ignore"):
        total = float(values.sum(dtype=np.float64))
        mean = total / len(values) if math.isfinite(total) else float((values / len(values)).sum())
    # Scaled by a power of two, so that the square of no double is too large or too small.
    scale = math.ldexp(1.0, -min(max(math.frexp(max(-low, high))[1], -1000), 1000))
    apart = np.multiply(values, scale, dtype=np.float64)
    apart -= mean * scale
    squares = float(np.einsum("i,i->", apart, apart))  # np.dot waits for threads, where others use them
    deviation = math.sqrt(squares / len(values)) / scale
    return _Block(len(values), low, high, total, mean, deviation, many, zeros, nan, inf), values


def _moments(blocks: list[_Block], low: float, high: float) -> tuple[float, float]:
    """Return the mean and the deviation of the finite values of BLOCKS, which are between LOW and HIGH; it also works
    for doubles whose sum would overflow."""
    count = sum(each.finite for each in blocks)
    if sum(abs(each.total) for each in blocks) < math.inf:
        mean = math.fsum(each.total for each in blocks) / count
    else:
        mean = math.fsum(each.mean * (each.finite / count) for each in blocks)
    mean = min(max(mean, low), high)
    parts = (math.sqrt(each.finite / count) * math.hypot(each.deviation, each.mean - mean) for each in blocks)
    return mean, min(math.hypot(*parts), high / 2 - low / 2)


class _Bins:
    """A histogram to which values are added."""

    def __init__(self) -> None:
        self.histogram: Histogram | None = None
        self._range = (math.inf, -math.inf)

    def add(self, values: NDArray[Any], low: float, high: float) -> None:
        """Add VALUES, which are finite and lie between LOW and HIGH."""
        import numpy as np

        before = self.histogram
        low, high = self._range = min(low, self._range[0]), max(high, self._range[1])
        exponent = _width(low, high)
        start, stop = _bin(low, exponent), _bin(high, exponent) + 1
        single = values.dtype == np.float32 and -_SINGLE <= exponent <= 0
        places = np.multiply(values, math.ldexp(1.0, -exponent), dtype=np.float32 if single else np.float64)
        np.floor(places, out=places)
        if exponent > 0:
            places[(places == 0) & (values < 0)] = -1  # the product was too small for a double
        places -= start
        counts = np.bincount(places.astype(np.intp), minlength=stop - start).tolist()
        if before is not None:
            for place, many in enumerate(before.counts, before.start):
                counts[(place >> (exponent - before.exponent)) - start] += many
        self.histogram = Histogram(exponent, start, tuple(counts))


def _width(low: float, high: float) -> int:
    """Return the least power of two for the width of bins from LOW to HIGH."""
    span, size = high / 2 - low / 2, max(-low, high)
    exponent = _LEAST if not size else max(math.frexp(size)[1] + _FINEST, _LEAST)
    if span:
        exponent = max(math.frexp(span)[1] + 1 - BINS.bit_length(), exponent)
    while _bin(high, exponent) - _bin(low, exponent) >= BINS:
        exponent += 1
    return exponent


def _bin(value: float, exponent: int) -> int:
    """Return the number of the bin of VALUE, if bins are 2**EXPONENT wide."""
    scaled = math.ldexp(value, -exponent)
    return math.floor(scaled) if scaled or value >= 0 else -1
