"""The library: nets that run on pictures, and their results."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.benchmark import Benchmark
from caffe_fcn.api.options import given
from caffe_fcn.engines.options import DEFAULT_ENGINE, ENGINES, EngineOptions
from caffe_fcn.engines.protocol import Array
from caffe_fcn.engines.registry import engine as engine_called
from caffe_fcn.engines.timing import Ready, time_engines
from caffe_fcn.errors import EngineError
from caffe_fcn.model.opening import NetAndWeights
from caffe_fcn.net.geometry import exactness_of, words
from caffe_fcn.net.options import Selection
from caffe_fcn.net.shapes import show
from caffe_fcn.predict import run as running
from caffe_fcn.predict.areas import areas
from caffe_fcn.predict.images.picture import open_picture, picture_of
from caffe_fcn.predict.options import DrawingOptions, PreparationOptions, RunOptions
from caffe_fcn.predict.outputs import NetOutput
from caffe_fcn.predict.picture_net import PictureNet
from caffe_fcn.predict.results import draw_heat, draw_labels, draw_overlay, heat_of
from caffe_fcn.predict.summaries import best_classes, of_channels, summarize

if TYPE_CHECKING:
    from PIL.Image import Image

    from caffe_fcn.api.net import Net


class Best(NamedTuple):
    """A class, and where it scores highest."""

    label: int
    """The number of the class."""
    name: str | None
    """Its name; None without labels."""
    score: float
    """Its score."""
    window: tuple[int, int, int, int] | None
    """The window of the cell in pixels: top, left, bottom, right, the last two exclusive; None for a classifier."""


class NamedValue(NamedTuple):
    """A value of an output that is not a map."""

    place: int
    """Its place in the output, from 0 on."""
    name: str | None
    """Its name; None without labels."""
    value: float
    """The value."""


class ChannelRange(NamedTuple):
    """The values of a channel of a map."""

    channel: int
    """The number of the channel."""
    name: str | None
    """Its name; None without labels."""
    least: float
    """The smallest value."""
    most: float
    """The largest value."""
    mean: float
    """The mean of the values."""


class ClassArea(NamedTuple):
    """The area of a class in a picture."""

    label: int | None
    """The number of the class; None for pixels without an answer."""
    name: str | None
    """Its name; None without labels."""
    pixels: int
    """The number of pixels."""
    share: float
    """Their share of the picture, from 0 to 1."""


@dataclass(frozen=True, repr=False)
class DenseMap:
    """The map of answers for a picture at one scale."""

    level: running.Level

    def __repr__(self) -> str:
        return f"<DenseMap at scale {self.scale:g}: {'×'.join(map(str, self.level.scores.shape))}>"

    @property
    def scale(self) -> float:
        """The scale of the picture."""
        return self.level.scale

    @property
    def scores(self) -> Array:
        """The scores, classes × rows × columns, in float32."""
        return self.level.scores.values()

    @property
    def stride(self) -> tuple[float, float]:
        """The distance between neighbouring cells, down and across, in pixels of the picture."""
        cells = self.level.cells
        return float(cells.rows.stride), float(cells.columns.stride)

    @property
    def exactness(self) -> str:
        """Where a cell equals the answer of the net on its window: "everywhere", "away from borders" or "nowhere"."""
        return exactness_of(self.level.cells.reasons).value

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why cells do not equal the answer of the classifier on their windows; empty if they do."""
        return tuple(map(words, self.level.cells.reasons))

    @checked()
    def window(self, row: int, column: int) -> tuple[int, int, int, int]:
        """The window of a cell in pixels: top, left, bottom, right; the last two are exclusive. Raises IndexError if
        the map has no such cell."""
        rows, columns = self.level.scores.shape[1:]
        if not (0 <= row < rows and 0 <= column < columns):
            raise IndexError(f"row {row}, column {column}: expected a cell of {rows} rows and {columns} columns")
        return self.level.cells.window_of(row, column)


@dataclass(frozen=True, repr=False)
class Prediction:
    """The results of a net on a picture. Large maps are in temporary files, which are deleted with this object."""

    answer: running.Answer
    settings: running.RunSettings
    source: str
    net_notes: tuple[str, ...]
    timed: Callable[[], Benchmark]

    def __repr__(self) -> str:
        return f"<Prediction on {self.answer.path}>"

    @property
    def blobs(self) -> Mapping[str, Array]:
        """The values of every output, or of the requested blobs, by name. A map is K × rows × columns at the first
        scale; other blobs have Caffe's shape. All come from one run of the net."""
        found: dict[str, Array] = {}
        for result in self.answer.results:
            values = result.levels[0].scores.values() if result.levels else result.values
            if values is not None:
                found[result.output.name] = values
        return found

    @property
    def maps(self) -> tuple[DenseMap, ...]:
        """The maps, one for each scale; empty for a classifier that was not converted."""
        return tuple(map(DenseMap, self._result.levels))

    @property
    def scores(self) -> Array:
        """The scores at the first scale, classes × rows × columns, in float32. A classifier has one row and one column.
        Raises EngineError if the net has no scores of classes; `blobs` has all values."""
        result = self._result
        if result.levels:
            return self.maps[0].scores
        return self._classes().reshape(-1, 1, 1)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the net, and on preprocessing that was not requested by an option."""
        return (*self.net_notes, *self.answer.plan.notes)

    @checked()
    def top(self, count: int = 5) -> list[Best]:
        """The COUNT classes with the highest scores. Of a map, these are classes that are the top class of a cell,
        without the background. Raises EngineError if there are no scores of classes, ValueError if COUNT is below 1."""
        if count < 1:
            raise ValueError(f"top: count: expected at least 1, found {count}")
        result = self._result
        labels = self.settings.labels(result.output)
        values = self._classes()
        found = summarize(result.levels, labels.background).best if result.levels else best_classes(values, count)
        maps = self.maps
        return [
            Best(
                each.label,
                labels.name(each.label),
                each.score,
                maps[each.level].window(each.row, each.column) if maps else None,
            )
            for each in found[:count]
        ]

    @property
    def values(self) -> list[NamedValue]:
        """The values of the only output in their order, the last axis fastest; with `no_scores` labels are their names.
        Raises EngineError if it is a map, which has `ranges`."""
        result = self._result
        if result.values is None:
            raise EngineError(f"{result.output.name!r} is a map", source=self.source, hint="see `ranges`")
        labels = self.settings.labels(result.output)
        numbers = result.values.reshape(-1).tolist()
        named = labels.names if len(labels.names) == len(numbers) else [None] * len(numbers)
        return [NamedValue(index, *each) for index, each in enumerate(zip(named, numbers, strict=True))]

    @property
    def ranges(self) -> list[ChannelRange]:
        """The range of the values in each channel of the only map, at the first scale; with `no_scores` labels are the
        names of the channels. Raises EngineError if there is no map."""
        self._check_map("`ranges`")
        result = self._result
        labels = self.settings.labels(result.output)
        found = of_channels(result.levels[0].scores)
        return [
            ChannelRange(index, labels.name(index), each.least, each.most, each.mean)
            for index, each in enumerate(found)
        ]

    @checked()
    def heat_map(self, wanted: str | int | None = None) -> Any:
        """A pillow image of the picture with the scores of the class WANTED, a number or a name, drawn over it. The
        default is all classes except the background. Raises EngineError if there is no map, PictureError if the net
        has no such class, ValueError for a number below 0."""
        if isinstance(wanted, Integral) and wanted < 0:
            raise ValueError(f"heat_map: wanted: expected a class, from 0 on, found {wanted}")
        self._check_map("a heat map")
        output = self._result.output
        labels = self.settings.labels(output)
        heat = heat_of(output, labels, None if wanted is None else str(wanted), self.source)
        return draw_heat(self.answer, heat, self.settings).image

    def label_map(self) -> Any:
        """A pillow image of the top class of each cell. With a palette it is an indexed image as large as the picture,
        which holds the number of the class of each pixel, 255 where there is no cell; else the same as `overlay`.
        Raises EngineError if there are no classes, or no map; PictureError if the palette has too few colours."""
        return draw_labels(self.answer, self._labelled("a label map"), self.settings).image

    def overlay(self) -> Any:
        """A pillow image of the picture with the top class of each cell drawn over it, and a legend. Raises what
        `label_map` raises."""
        return draw_overlay(self.answer, self._labelled("an overlay"), self.settings).image

    @property
    def areas(self) -> list[ClassArea]:
        """The pixels of which each class is the top class, in the order of the classes, and last those without an
        answer. Empty if there is not one answer for each pixel, and the run does not upsample. Raises EngineError if
        there are no classes."""
        self._classes()
        result = self._result
        labels = self.settings.labels(result.output)
        counts = summarize(result.levels).counts
        found = areas(self.answer, result, counts, upsample=self.settings.drawing.upsample)
        return [
            ClassArea(each.label, None if each.label is None else labels.name(each.label), each.pixels, each.share)
            for each in found
        ]

    def benchmark(self) -> Benchmark:
        """Time all engines in turn on the picture, with the options of this run, and recommend one. Each engine runs
        twice to warm up; then five runs are timed."""
        return self.timed()

    @property
    def _result(self) -> running.BlobResult:
        """Return the output to use if one is needed: the only one, or the only one with classes."""
        results = self.answer.results
        found = results if len(results) == 1 else [each for each in results if each.output.of_classes]
        if len(found) != 1:
            names = ", ".join(repr(each.output.name) for each in results)
            raise EngineError(
                source=self.source,
                expected="one output",
                found=names,
                hint="see `blobs` of the prediction, or choose one with `blobs`",
            )
        return found[0]

    def _classes(self) -> Array:
        """Return the values of the output, if these are scores of classes. Raises EngineError."""
        output = self._result.output
        if not output.of_classes:
            raise EngineError(
                f"{output.name!r} holds no scores of classes", source=self.source, hint="see `blobs` for its numbers"
            )
        return self.blobs[output.name]

    def _labelled(self, what: str) -> NetOutput:
        """Return the output whose top classes are drawn. Raises EngineError, PictureError."""
        self._check_map(what)
        self._classes()
        output = self._result.output
        palette = self.settings.drawing.palette
        if palette is not None:
            palette.check(output.channels, self.source)
        return output

    def _check_map(self, what: str) -> None:
        result = self._result
        if not result.levels:
            shape = show(result.output.shape)
            raise EngineError(f"{result.output.name!r} is {shape}, but {what} needs a map", source=self.source)


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
        channels = self.model.channels
        if isinstance(picture, str | os.PathLike):
            opened = open_picture(picture, channels, self.settings.max_pixels)
        else:
            opened = picture_of(picture, channels)
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

    made = running.prepare(files.source, files.weights, engine_called(use), selection, preparation, options, drawing)
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
    resize: tuple[int, int] | int | Literal["net"] | None = RunOptions.resize,
    crop: Literal["none", "center", "ten"] | None = RunOptions.crop,
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
