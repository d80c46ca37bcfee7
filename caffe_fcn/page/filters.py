"""Finds dead and duplicate filters of a layer while its weights are read, in memory that does not grow with them.

A filter is the weights of one output. It is dead if the mean size of its weights is at most `DEAD` of that of the
strongest filter of the layer. Filters of one group are duplicates if their weights differ by at most about `EQUAL` of
their size. To find these without comparing all pairs, each filter gets a few sums of its weights, each weight times a
fixed factor that looks random: filters with the same sums are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEAD = 1e-6
"""The mean size of the weights of a dead filter, as a share of that of the strongest filter."""

EQUAL = 1e-5
"""The difference between duplicates, as a share of the size of their weights: more than the rounding of the sums."""

_SUMS = 3
"""The sums of each filter. Unequal filters have equal ones with a probability of about EQUAL to the power of this."""

_FEWEST = 2
"""Filters of fewer weights are not compared: single numbers may well be equal."""

_MOST = 1 << 20
"""Layers with more outputs, or with more weights in one, are not judged."""


class FilterLayout(NamedTuple):
    """How the weights of a layer lie: OUTPUTS filters of WEIGHTS weights each, in GROUPS that read different channels.

    The weights are rows of outputs, or with BY_COLUMN rows of inputs: for each input of a group, the outputs of the
    group with WINDOW weights each.
    """

    outputs: int
    weights: int
    groups: int = 1
    by_column: bool = False
    window: int = 1


class JudgedFilters(NamedTuple):
    """The DEAD filters of MANY filters, and the groups of two or more DUPLICATES, by their numbers from 0 on."""

    many: int
    dead: tuple[int, ...]
    duplicates: tuple[tuple[int, ...], ...]


class FilterJudge:
    """Judges the filters of a layer, whose weights come in order."""

    def __init__(self, layout: FilterLayout) -> None:
        import numpy as np

        self._layout = layout
        self._sizes = np.zeros(layout.outputs)
        self._sums = np.zeros((_SUMS, layout.outputs))
        self._factors: NDArray[Any] | None = None

    @staticmethod
    def suits(layout: FilterLayout) -> bool:
        """Return whether filters of LAYOUT can be judged."""
        return 0 < layout.outputs <= _MOST and 0 < layout.weights <= _MOST

    def add(self, start: int, values: NDArray[Any]) -> None:
        """Add VALUES, flat; the first is weight START of the layer. What is no finite number counts as zero."""
        import numpy as np

        layout = self._layout
        if values.dtype != np.float32:
            with np.errstate(over="ignore"):
                values = values.astype(np.float32)
        if not (np.isfinite(values.min()) and np.isfinite(values.max())):
            values = np.where(np.isfinite(values), values, np.float32(0))
        if layout.by_column:
            self._add_columns(start, values)
            return
        width, done = layout.weights, 0
        while done < len(values):  # the rest of a row, whole rows, the beginning of a row
            row, column = divmod(start + done, width)
            rows = max(1, (len(values) - done) // width) if column == 0 else 1
            stop = min(width, column + len(values) - done)
            part = values[done : done + rows * (stop - column)].reshape(rows, stop - column)
            self._sizes[row : row + rows] += np.abs(part).sum(
                1, dtype=np.float64
            )  # the sum of the largest is no float32
            for place, factors in enumerate(self._factors_of(column, stop)):
                self._sums[place, row : row + rows] += np.einsum("rk,k->r", part, factors)
            done += part.size

    def _add_columns(self, start: int, values: NDArray[Any]) -> None:
        """Add VALUES that lie in rows of inputs, one output after another."""
        import numpy as np

        layout, places = self._layout, np.arange(start, start + len(values))
        wide = layout.outputs // layout.groups
        rows, rest = np.divmod(places, wide * layout.window)
        columns, cells = np.divmod(rest, layout.window)
        groups, inputs = np.divmod(rows, layout.weights // layout.window)
        outputs, count = groups * wide + columns, layout.outputs
        self._sizes += np.bincount(outputs, np.abs(values), count)
        for place, factors in enumerate(_factors(inputs * layout.window + cells)):
            self._sums[place] += np.bincount(outputs, values * factors, count)

    def _factors_of(self, first: int, last: int) -> NDArray[Any]:
        """Return the factors of the weights FIRST..LAST of a filter; those of whole filters are kept."""
        import numpy as np

        if (first, last) != (0, self._layout.weights):
            return _factors(np.arange(first, last))
        if self._factors is None:
            self._factors = _factors(np.arange(first, last))
        return self._factors

    @property
    def judged(self) -> JudgedFilters:
        """What was found in all weights."""
        import numpy as np

        layout, sizes = self._layout, self._sizes
        dead = sizes <= DEAD * sizes.max()
        wide = layout.outputs // layout.groups
        groups: list[tuple[int, ...]] = []
        if layout.weights >= _FEWEST:
            # A filter has at least this root of the sum of its squares.
            allowed = EQUAL * sizes / np.sqrt(layout.weights)
            for first in range(0, layout.outputs, wide) if wide > 1 else ():
                alive = first + np.flatnonzero(~dead[first : first + wide])
                groups += self._alike(alive, allowed)
        return JudgedFilters(layout.outputs, tuple(np.flatnonzero(dead).tolist()), tuple(sorted(groups)))

    def _alike(self, filters: NDArray[Any], allowed: NDArray[Any]) -> list[tuple[int, ...]]:
        """Return the groups of those of FILTERS whose sums differ by no more than ALLOWED."""
        import numpy as np

        groups = [filters]
        for sums in self._sums:
            finer = []
            for group in groups:
                ordered = group[np.argsort(sums[group], kind="stable")]
                with np.errstate(invalid="ignore"):  # sums of the largest numbers are infinite, and nothing equals them
                    near = np.diff(sums[ordered]) <= np.maximum(allowed[ordered[1:]], allowed[ordered[:-1]])
                parts = np.split(ordered, np.flatnonzero(~near) + 1)
                finer += [part for part in parts if len(part) > 1]
            groups = finer
        return [tuple(sorted(group.tolist())) for group in groups]


def _factors(places: NDArray[Any]) -> NDArray[Any]:
    """Return `_SUMS` factors between -1 and 1 for each of PLACES; they are fixed, and look random."""
    import numpy as np

    found = np.empty((_SUMS, len(places)), np.float32)
    for row in range(_SUMS):
        mixed = (places + row * 0x51ED27).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        found[row] = (mixed >> np.uint64(40)).astype(np.float32) / 2**23 - 1
    return found


def listed(numbers: Sequence[int], most: int = 12) -> str:
    """Return NUMBERS in a line, shortened."""
    more = len(numbers) - most
    return ", ".join(map(str, numbers[:most])) + (f" and {more:,} more" if more > 0 else "")
