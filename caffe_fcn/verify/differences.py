"""How far the answers of two nets are apart: against the scale of the original's, and by what they choose.

Probabilities are compared by their logarithms, and the places of an ArgMax by the values that stand at them, because
near a tie rounding decides between two places.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from caffe_fcn.verify.records import Difference

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST = 2.0**-126
"""The least number that single precision holds with all its digits."""


def difference(original: NDArray[Any], twin: NDArray[Any], limit: float, *, softmax: bool) -> Difference:
    """How far TWIN is from ORIGINAL, both N×K×spatial and finite, where LIMIT times the scale is allowed.

    The scale is the largest value. What a SOFTMAX made is compared by its logarithms, which are the scores but for
    a summand: probabilities next to nought and one hide what the scores show.
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
    """How far the values at PLACES, the greatest along AXIS that the twin found, are from the greatest of the
    original's VALUES. Of several, which come in the order of their values, each is held against the one of its rank."""
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
    """What a Softmax made its PROBABILITIES of, but for a summand."""
    import numpy as np

    made: NDArray[Any] = np.log(np.maximum(probabilities, _LEAST))
    return made


def span(answers: NDArray[Any], *, softmax: bool) -> float:
    """How far the ANSWERS to several items are apart, of their scale."""
    import numpy as np

    values = scores(answers) if softmax else answers
    return float(np.max(np.ptp(values, axis=0), initial=0)) / (_scale(values) or 1.0)


def _scale(values: NDArray[Any]) -> float:
    import numpy as np

    return float(np.max(np.abs(values), initial=0))


def worst(found: Iterable[Difference]) -> Difference:
    """Several differences as one: that which takes most of what it is allowed, with the cells of all."""
    differences = list(found)
    most = max(differences, key=lambda each: each.relative / each.allowed if each.allowed else each.relative)
    return most._replace(
        absolute=max(each.absolute for each in differences),
        agrees=sum(each.agrees for each in differences),
        cells=sum(each.cells for each in differences),
    )
