"""The library: the engines timed on a picture."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caffe_fcn.api.arguments import check_models, check_options
from caffe_fcn.api.run import PredictOptions, planned, predictor
from caffe_fcn.engines.protocol import Array
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.source import SourceNet

if sys.version_info >= (3, 11):
    from typing import Unpack
elif TYPE_CHECKING:
    from typing_extensions import Unpack
if TYPE_CHECKING:
    from PIL.Image import Image

    from caffe_fcn.engines import timing


@dataclass(frozen=True, repr=False)
class Benchmark:
    """What the engines took for a picture."""

    found: timing.Timing

    def __repr__(self) -> str:
        return f"<Benchmark of {self.found.net}: use {self.use}>"

    @property
    def seconds(self) -> Mapping[str, float]:
        """The median time of each engine that runs the net, for the whole picture."""
        return {each.engine: each.median for each in self.found.timed}

    @property
    def left_out(self) -> Mapping[str, str]:
        """The engines that are not installed or do not run the net, and why."""
        return {each.engine: each.reason for each in self.found.left_out}

    @property
    def use(self) -> str:
        """The engine to use: the fastest, or the default where no other is clearly faster."""
        return self.found.best.engine

    def report(self) -> dict[str, Any]:
        """All that is to be told, as `caffe-fcn run --benchmark --json` prints it."""
        from caffe_fcn.report.benchmark import document

        return document(self.found)


def benchmark(
    net: SourceNet,
    weights: WeightFile,
    picture: str | os.PathLike[str] | Array | Image,
    **options: Unpack[PredictOptions],
) -> Benchmark:
    """Time all engines by turns on NET with WEIGHTS and PICTURE, as a `Predictor` takes it, and say which to use.

    OPTIONS are `PredictOptions` without the engine. Each engine runs twice to warm up, and five times. Raises what
    `predictor` and the predictor raise, where no engine runs the net; ValueError where an engine is chosen.
    """
    from caffe_fcn.engines.registry import ENGINES
    from caffe_fcn.engines.timing import Ready, time_engines

    check_models("benchmark", net=net, weights=weights)
    check_options("benchmark", options, PredictOptions)
    if "engine" in options:
        raise ValueError("engine: benchmark times all engines; leave it out")

    choices: dict[str, Any] = {**options}

    def load(name: str) -> Ready:
        predict = predictor(net, weights, **{**choices, "engine": name})
        work = planned(predict, picture)
        return Ready(lambda: predict(picture), predict.model.source, weights.path, work.picture.path, work.original)

    return Benchmark(time_engines(load, [*ENGINES]))
