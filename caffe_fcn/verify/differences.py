"""Measures the difference between the answers of two nets, relative to their scale, and whether they choose the same.

Probabilities are compared by their logarithms, and the indices of an ArgMax by the values at these indices, because
near a tie rounding decides between two indices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from caffe_fcn.verify.records import Difference

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST = 2.0**-126
"""The smallest normal number of single precision."""


def difference(original: NDArray[Any], twin: NDArray[Any], limit: float, *, softmax: bool) -> Difference:
    """The difference between TWIN and ORIGINAL, both N×K×spatial and finite. LIMIT times the scale is allowed.

    The scale is the largest value. The result of a SOFTMAX is compared by its logarithms, which are the scores plus a
    constant: probabilities near 0 and 1 hide differences of the scores.
    """
    import numpy as np

    absolute = float(np.max(np.abs(original - twin), initial=0))
    original, twin = (scores(values) if softmax else values for values in (original, twin))
    distance = float(np.max(np.abs(original - twin), initial=0))
    scale = _scale(original)
    agrees = cells = 0
    if original.ndim > 1 and original.shape[1] > 1:
        best = np.max(original, axis=1)
        chosen = np.take_along_axis(original, np.argmax(twin, axis=1)[:, None], axis=1)[:, 0]
        agrees, cells = int(np.count_nonzero(chosen >= best - limit * scale)), best.size
    return Difference(absolute, distance / (scale or 1.0), limit, agrees, cells)


def chosen(values: NDArray[Any], places: NDArray[Any], axis: int, limit: float, *, softmax: bool) -> Difference:
    """The difference between the original's VALUES at PLACES, the indices of the largest values along AXIS that the new
    net found, and its largest VALUES. If there are several, those of the same rank are compared."""
    import numpy as np

    values = scores(values) if softmax else values
    rank, size = places.shape[axis], values.shape[axis]
    best = np.flip(np.sort(values, axis=axis), axis).take(range(rank), axis)
    index = places.astype(np.int64)
    found = np.take_along_axis(values, np.clip(index, 0, size - 1), axis)
    scale = _scale(values)
    apart = np.where((index == places) & (index >= 0) & (index < size), np.abs(best - found), 2 * scale + 1)
    absolute = float(np.max(apart, initial=0))
    agrees = int(np.count_nonzero(apart <= limit * scale))
    return Difference(absolute, absolute / (scale or 1.0), limit, agrees, apart.size)


def scores(probabilities: NDArray[Any]) -> NDArray[Any]:
    """The scores from which a Softmax made PROBABILITIES, up to a constant."""
    import numpy as np

    made: NDArray[Any] = np.log(np.maximum(probabilities, _LEAST))
    return made


def span(answers: NDArray[Any], *, softmax: bool) -> float:
    """The largest difference between the ANSWERS to several items, relative to their scale."""
    import numpy as np

    values = scores(answers) if softmax else answers
    return float(np.max(np.ptp(values, axis=0), initial=0)) / (_scale(values) or 1.0)


def _scale(values: NDArray[Any]) -> float:
    import numpy as np

    return float(np.max(np.abs(values), initial=0))


def worst(found: Iterable[Difference]) -> Difference:
    """The difference that uses the largest part of its limit, with the cells of all."""
    differences = list(found)
    most = max(differences, key=lambda each: each.relative / each.allowed if each.allowed else each.relative)
    return most._replace(
        absolute=max(each.absolute for each in differences),
        agrees=sum(each.agrees for each in differences),
        cells=sum(each.cells for each in differences),
    )
