"""Limits for the difference of answers, measured as often as necessary.

A single measurement of rounding errors is random. Where most values of an answer are fixed, as after a Softmax or a
Clip, the remaining ones may have hardly any error by chance. So if a measurement does not explain a difference, more
are made, each with other errors, and the largest one is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

FACTORS = (1.0, 1.7, 1.3, 1.1, 1.9, 1.5, 1.2, 1.6)
"""One for each measurement: values are rounded to multiples of it, which changes each of them in another way. Eight,
because for a single value one measurement in fifty is too small by chance."""

BLUNT = 0.01
"""If rounding changes answers by more than this part of their scale, a comparison shows nothing."""


class Limits:
    """The allowed difference of outputs, relative to their scale, by their names in the original. MEASURE measures it
    for one of FACTORS, and raises what the engine raises."""

    def __init__(self, measure: Callable[[float], Mapping[str, float]]) -> None:
        self.measure = cache(measure)
        self._measured = 0
        self.widened(0.0)

    def __getitem__(self, name: str) -> float:
        """The largest measurement for the output NAME."""
        return max(self.measure(factor)[name] for factor in FACTORS[: self._measured])

    def widened(self, relative: float) -> bool:
        """Measure again if that may explain the RELATIVE difference; return whether it was done."""
        if relative > BLUNT or self._measured == len(FACTORS):
            return False
        self.measure(FACTORS[self._measured])
        self._measured += 1
        return True

    def or_else(self, more: Callable[[], Limits]) -> Limits:
        """These limits; if they are not enough, the larger of these and of MORE, which is measured only then."""
        others = cache(more)

        def measure(factor: float) -> Mapping[str, float]:
            if factor == FACTORS[0]:
                return self.measure(factor)
            return {name: max(self.measure(factor)[name], most) for name, most in others().measure(factor).items()}

        return Limits(measure)
