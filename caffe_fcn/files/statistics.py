"""Computes statistics of the values of a blob: minimum, maximum, mean, and the number of zeros and NaN.

The values are read once in blocks of one mebibyte, so memory does not grow with the blob.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.files.blobs import BlobRecord
from caffe_fcn.files.caffemodel import WeightFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 1 << 18
"""Values read at a time; one MiB in single precision."""


class Statistics(NamedTuple):
    """Statistics of VALUES values. Minimum, maximum and mean are those of the finite values, None if there are none. It
    also has the numbers of zeros, NaN and infinite values."""

    values: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    zeros: int
    nan: int
    inf: int


class _Block(NamedTuple):
    """Statistics of one block: the number of finite values, their minimum, maximum, sum and mean, and the numbers of
    zeros, NaN and infinite values."""

    finite: int
    minimum: float
    maximum: float
    total: float
    mean: float
    zeros: int
    nan: int
    inf: int


def blob_statistics(weights: WeightFile, blob: BlobRecord, block: int = BLOCK) -> Statistics:
    """Return the statistics of BLOB, reading BLOCK values at a time; the mean is computed in double precision.

    Raises CaffemodelError if the file cannot be read.
    """
    starts = range(0, blob.count, block)
    blocks = [_look(weights.read_values(blob, start, min(start + block, blob.count))) for start in starts]
    finite = [each for each in blocks if each.finite]
    low = min((each.minimum for each in finite), default=None)
    high = max((each.maximum for each in finite), default=None)
    return Statistics(
        values=blob.count,
        minimum=low,
        maximum=high,
        mean=None if low is None or high is None else min(max(_mean(finite), low), high),
        zeros=sum(each.zeros for each in blocks),
        nan=sum(each.nan for each in blocks),
        inf=sum(each.inf for each in blocks),
    )


def _look(values: NDArray[Any]) -> _Block:
    import numpy as np

    zeros, nan, inf = len(values) - int(np.count_nonzero(values)), 0, 0
    if not (math.isfinite(values.min()) and math.isfinite(values.max())):  # both are NaN if one value is NaN
        nan, inf = int(np.isnan(values).sum()), int(np.isinf(values).sum())
        values = values[np.isfinite(values)]
    if not len(values):
        return _Block(0, 0.0, 0.0, 0.0, 0.0, zeros, nan, inf)
    with np.errstate(over="ignore"):
        total = float(values.sum(dtype=np.float64))
        mean = total / len(values) if math.isfinite(total) else float((values / len(values)).sum())
    return _Block(len(values), float(values.min()), float(values.max()), total, mean, zeros, nan, inf)


def _mean(blocks: list[_Block]) -> float:
    """Return the mean of the finite values of BLOCKS; it also works for doubles whose sum would overflow."""
    count = sum(each.finite for each in blocks)
    if sum(abs(each.total) for each in blocks) < math.inf:
        return math.fsum(each.total for each in blocks) / count
    return math.fsum(each.mean * (each.finite / count) for each in blocks)
