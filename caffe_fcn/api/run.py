"""The library: nets that run on pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.benchmark import Benchmark
from caffe_fcn.api.options import given
from caffe_fcn.api.prediction import Prediction
from caffe_fcn.engines.options import DEFAULT_ENGINE, ENGINES, EngineOptions
from caffe_fcn.engines.protocol import Array
from caffe_fcn.engines.registry import engine as engine_called
from caffe_fcn.engines.timing import Ready, time_engines
from caffe_fcn.model.opening import NetAndWeights
from caffe_fcn.net.options import Selection
from caffe_fcn.predict import run as running
from caffe_fcn.predict.images.picture import picture_from
from caffe_fcn.predict.options import DrawingOptions, PreparationOptions, RunOptions
from caffe_fcn.predict.picture_net import PictureNet
from caffe_fcn.predict.preparing import prepare

if TYPE_CHECKING:
    from PIL.Image import Image

    from caffe_fcn.api.net import Net


@dataclass(frozen=True, repr=False)
class Predictor:
    """A net for pictures: loaded into an engine, with all settings, and NOTES on these."""

    model: PictureNet
    settings: running.RunSettings
    notes: tuple[str, ...]
    weights: str
    """The file of the weights."""
    again: Callable[[str], Predictor]
    """Loads the same net into another engine."""

    def __call__(self, picture: str | os.PathLike[str] | Array | Image) -> Prediction:
        """Return the answer of the net for PICTURE. Raises PictureError; OSError if a file cannot be read."""
        answer = running.carry_out(self.model, self.planned(picture), self.settings, ExitStack())
        return Prediction(answer, self.settings, self.model.source, self.notes, partial(_timed, self.again, picture))

    def planned(self, picture: str | os.PathLike[str] | Array | Image) -> running.PicturePlan:
        """Return the work for PICTURE. Raises PictureError; OSError if a file cannot be read."""
        opened = picture_from(picture, self.model.channels, self.settings.max_pixels)
        return running.plan(self.model, opened, self.settings)


def predictor(
    files: NetAndWeights,
    selection: Selection,
    use: EngineOptions,
    preparation: PreparationOptions,
    options: RunOptions,
    drawing: DrawingOptions,
) -> Predictor:
    """Load the net in FILES, chosen by SELECTION, for any number of pictures."""

    def again(name: str) -> Predictor:
        return predictor(files, selection, replace(use, engine=name), preparation, options, drawing)

    made = prepare(files.source, files.weights, engine_called(use), selection, preparation, options, drawing)
    return Predictor(made.model, made.settings, made.notes, files.weights.path, again)


def _timed(load: Callable[[str], Predictor], picture: str | os.PathLike[str] | Array | Image) -> Benchmark:
    """Time the engines on PICTURE; LOAD loads the net into the engine of a name."""

    def ready(name: str) -> Ready:
        predict = load(name)
        work = predict.planned(picture)
        source = predict.model.source
        return Ready(lambda: predict(picture), source, predict.weights, work.picture.path, work.original)

    return Benchmark(time_engines(ready, [*ENGINES]))


@checked(RunOptions, DrawingOptions, PreparationOptions, EngineOptions)
def run(
    self: Net,
    picture: str | os.PathLike[str] | Array | Image,
    *,
    mean: float | Sequence[float] | str | os.PathLike[str] | None = PreparationOptions.mean,
    scale: float | None = PreparationOptions.scale,
    swap_channels: bool = PreparationOptions.swap_channels,
    column_major: bool = PreparationOptions.column_major,
    resize: tuple[int, int] | int | Literal["net"] | None = RunOptions.resize,
    crop: Literal["none", "center", "ten"] | None = RunOptions.crop,
    pad_to: int | None = RunOptions.pad_to,
    scales: Sequence[float] = RunOptions.scales,
    labels: str | os.PathLike[str] | None = RunOptions.labels,
    no_scores: bool = RunOptions.no_scores,
    palette: str | os.PathLike[str] | None = DrawingOptions.palette,
    upsample: bool = DrawingOptions.upsample,
    value_range: tuple[float, float] | Literal["auto"] = DrawingOptions.value_range,
    under: Literal["grey", "colour"] = DrawingOptions.under,
    blobs: str | Sequence[str] = RunOptions.blobs,
    stride: int | Sequence[int] | None = RunOptions.stride,
    tile: int | None = RunOptions.tile,
    max_pixels: int = RunOptions.max_pixels,
    engine: Literal["onnxruntime", "opencv", "openvino", "caffe"] = DEFAULT_ENGINE,
    threads: int | None = EngineOptions.threads,
    low_memory: bool = EngineOptions.low_memory,
    gpu: bool = EngineOptions.gpu,
) -> Prediction:
    """Run the net on PICTURE: a file, a pillow image, or an array H×W or H×W×C with values from 0 to 255 and
    channels in the order RGB.

    The net stays loaded for the next picture with the same options. Raises LoweringError or EngineError if the
    engine cannot run the net, or the net takes no pictures; WeightsError if weights contain NaN; PictureError if
    PICTURE is not a picture, or if picture, mean or labels do not fit the net; ExtraError if the engine is not
    installed; OSError if a file cannot be read.
    """
    preparation, options, drawing = (
        given(PreparationOptions, locals()),
        given(RunOptions, locals()),
        given(DrawingOptions, locals()),
    )
    asked = self.model.selection, given(EngineOptions, locals()), preparation, options, drawing
    if self._predictor is None or self._predictor[0] != asked:
        self._predictor = asked, predictor(self._runnable(), *asked)
    return self._predictor[1](picture)
