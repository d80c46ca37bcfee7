"""Nets run on many items, one net after the other, batch by batch, whatever batch they take.

The one idea: who compares wants the answer to each item; what is loaded meanwhile, and how many go in at once, is not
their affair. One net is loaded at a time, so that memory holds the weights once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from caffe_fcn.errors import EngineError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.run.engine import Array, Engine, Net, Session

_BATCH = 1 << 19
"""Values that are fed at once, at most, unless a single item has more."""


class Runner:
    """Runs nets by ENGINE, and keeps the last one loaded."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.used = False
        """Whether a net has been run."""
        self._net: Net | None = None
        self._session: Session | None = None

    def run(
        self, net: Net, weights: WeightFile, items: Mapping[str, Array], *, outputs: Sequence[str] = ()
    ) -> dict[str, Array]:
        """The outputs of NET with WEIGHTS for ITEMS, or the blobs that OUTPUTS names, the same for a net each time.
        Raises what the engine raises, and what `run_items` does."""
        if self._session is None or net is not self._net:
            self._session = None  # goes before the next comes
            self._session = self.engine.load(net, weights, outputs=outputs)
            self._net = net
        self.used = True
        return run_items(self._session, items)


def run_items(session: Session, items: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of SESSION for ITEMS, each along its axis 0. Raises what the session raises; EngineError where an
    output is not finite, or not one for each item."""
    import numpy as np

    count = len(next(iter(items.values())))
    batch = _batch(session, items)
    made: dict[str, list[Array]] = {name: [] for name in session.outputs}
    for start in range(0, count, batch or 1):
        part = {name: values[start : start + (batch or 1)] for name, values in items.items()}
        size = len(next(iter(part.values())))
        if _static(session) is not None:  # the last batch is filled up
            part = {name: np.concatenate([values, *[values[-1:]] * (batch - size)]) for name, values in part.items()}
        for name, values in session.run(part).items():
            made[name].append(_checked(name, values, len(next(iter(part.values()))))[:size])
    return {name: np.concatenate(values) for name, values in made.items()}


def _static(session: Session) -> int | None:
    """The only batch that SESSION takes; None where it takes any."""
    batches = {dims[0] for dims in session.inputs.values() if dims}
    return next((batch for batch in batches if batch is not None), None)


def _batch(session: Session, items: Mapping[str, Array]) -> int:
    return _static(session) or max(1, _BATCH // max(1, sum(values[0].size for values in items.values())))


def _checked(name: str, values: Array, count: int) -> Array:
    import numpy as np

    if not values.ndim or len(values) != count:
        raise EngineError(f"output {name!r}: expected one answer for each of {count} items, found {_shown(values)}")
    if not np.isfinite(values).all():
        raise EngineError(
            f"output {name!r}: expected numbers, found NaN or infinity, which the net makes of numbers; has a "
            "BatchNorm negative variances, or do its scores overflow?"
        )
    return values


def _shown(values: Any) -> str:
    return "×".join(map(str, values.shape)) or "a single value"
