"""The library: time the engines on a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from caffe_fcn.engines.timing import Timing
from caffe_fcn.report.benchmark import document


@dataclass(frozen=True, repr=False)
class Benchmark:
    """The times of the engines for a picture."""

    found: Timing

    def __repr__(self) -> str:
        return f"<Benchmark of {self.found.net}: use {self.use}>"

    @property
    def seconds(self) -> Mapping[str, float]:
        """The median time in seconds for the whole picture, for each engine that runs the net."""
        return {each.engine: each.median for each in self.found.timed}

    @property
    def left_out(self) -> Mapping[str, str]:
        """The reason for each engine that is not installed or does not run the net."""
        return {each.engine: each.reason for each in self.found.left_out}

    @property
    def use(self) -> str:
        """The recommended engine: the fastest, or the default if no other is clearly faster."""
        return self.found.best.engine

    def report(self) -> dict[str, Any]:
        """The report, as `caffe-fcn run --benchmark --json` prints it."""
        return document(self.found)
