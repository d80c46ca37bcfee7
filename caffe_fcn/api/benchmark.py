"""The library: time the engines on a picture."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from caffe_fcn.api.run import predictor
from caffe_fcn.engines import timing
from caffe_fcn.engines.options import ENGINES, EngineOptions
from caffe_fcn.engines.protocol import Array
from caffe_fcn.engines.timing import Ready, time_engines
from caffe_fcn.net.options import Selection
from caffe_fcn.predict.options import PreparationOptions, RunOptions
from caffe_fcn.report.benchmark import document
from caffe_fcn.verify.verify import NetAndWeights

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Benchmark:
    """The times of the engines for a picture."""

    found: timing.Timing

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


def time_on(
    picture: str | os.PathLike[str] | Array | Image,
    files: NetAndWeights,
    selection: Selection,
    use: EngineOptions,
    preparation: PreparationOptions,
    options: RunOptions,
) -> Benchmark:
    """Time all engines on PICTURE with the net in FILES that SELECTION means; they USE the same but for their names."""

    def load(name: str) -> Ready:
        predict = predictor(files, selection, replace(use, engine=name), preparation, options)
        work = predict.planned(picture)
        return Ready(
            lambda: predict(picture), predict.model.source, files.weights.path, work.picture.path, work.original
        )

    return Benchmark(time_engines(load, [*ENGINES]))
