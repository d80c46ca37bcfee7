"""How far answers may be apart, measured as often as it takes.

One measure of what rounding does is one draw. Where most values of an answer are fixed, as behind a Softmax or a Clip,
the few that are left may be hit by hardly any error, by chance. So a difference that a measure does not explain is held
against more of them, each with other errors, and the largest counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

FACTORS = (1.0, 1.7, 1.3, 1.1, 1.9, 1.5, 1.2, 1.6)
"""Of one measure each: values are rounded as multiples of it, which moves every one of them otherwise. Eight, since of
a single value that is hit by chance one measure in fifty is too small."""

BLUNT = 0.01
"""Where more than this part of the scale is what rounding does, a comparison shows nothing."""


class Limits:
    """How far outputs may be apart, relative to their scale, by their names in the original. MEASURE gives that for one
    of FACTORS, and raises what the engine raises."""

    def __init__(self, measure: Callable[[float], Mapping[str, float]]) -> None:
        self.measure = cache(measure)
        self._measured = 0
        self.widened(0.0)

    def __getitem__(self, name: str) -> float:
        """The largest that was measured of the output NAME."""
        return max(self.measure(factor)[name] for factor in FACTORS[: self._measured])

    def widened(self, relative: float) -> bool:
        """Measure once more, where that may explain a difference of so much; whether it has been done."""
        if relative > BLUNT or self._measured == len(FACTORS):
            return False
        self.measure(FACTORS[self._measured])
        self._measured += 1
        return True

    def or_else(self, more: Callable[[], Limits]) -> Limits:
        """These, and where they are not enough the larger one of these and of MORE, which is measured only then."""
        others = cache(more)

        def measure(factor: float) -> Mapping[str, float]:
            if factor == FACTORS[0]:
                return self.measure(factor)
            return {name: max(self.measure(factor)[name], most) for name, most in others().measure(factor).items()}

        return Limits(measure)
