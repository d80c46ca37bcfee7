"""The library: nets that look at pictures."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from caffe_fcn.api.arguments import check_models, check_options
from caffe_fcn.api.options import SelectionOptions, checked_scale, checked_threads, mean_text, selection_of, several
from caffe_fcn.engines.options import EngineOptions
from caffe_fcn.engines.protocol import Array, Engine
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.geometry import exactness_of, words
from caffe_fcn.net.shapes import show
from caffe_fcn.net.source import SourceNet
from caffe_fcn.predict.options import PreparationOptions, RunOptions

if sys.version_info >= (3, 11):
    from typing import Unpack
elif TYPE_CHECKING:
    from typing_extensions import Unpack
if TYPE_CHECKING:
    from PIL.Image import Image

    from caffe_fcn.predict import run as running
    from caffe_fcn.predict.picture_net import PictureNet


class PredictOptions(SelectionOptions, total=False):
    """The options of `caffe-fcn run`, as keywords, beside those of `SelectionOptions`."""

    mean: float | Sequence[float] | str | os.PathLike[str] | None
    """What is subtracted from each channel, or a .npy or binaryproto with it; by default what the net itself states."""
    scale: float | None
    """What pixels of 0 to 255 are multiplied by then; by default what the net itself states."""
    swap_channels: bool
    """Whether the net takes red first; by default it takes blue first, as Caffe's do."""
    resize: tuple[int, int] | int | Literal["net"] | None
    """The size H×W that pictures are brought to first, one number for their shorter side, or "net" for the size of the
    net; by default what the net itself states."""
    crop: Literal["none", "center", "ten"] | None
    """Whether the net is fed the centre of pictures, or their corners and the centre, also mirrored, whose answers are
    averaged; by default what a net with one answer for a picture states, else none."""
    scales: Sequence[float]
    """The scales at which pictures are looked at, 1 by default."""
    labels: str | os.PathLike[str] | None
    """A file with the names of the classes, one a line."""
    blobs: str | Sequence[str]
    """The blobs to look at; by default all outputs."""
    tile: int | None
    """The most pixels along the side of a tile; by default what memory allows. The map is the same."""
    max_pixels: int
    """Pictures of more pixels are refused."""
    engine: Literal["onnxruntime", "opencv", "openvino", "caffe"]
    """What runs the net, onnxruntime by default."""
    threads: int | None
    """The threads of the engine, by default as many as it takes."""
    low_memory: bool
    """Whether onnxruntime uses large weights where they lie, which takes less memory and more time; by default where
    memory is short."""
    gpu: bool
    """Whether it is to run on the GPU."""


class Best(NamedTuple):
    """A class, and where it scores highest."""

    label: int
    """The number of the class."""
    name: str | None
    """Its name, where labels were given."""
    score: float
    """Its score."""
    window: tuple[int, int, int, int] | None
    """The pixels that the cell sees, from top and left to before bottom and right; None for a classifier."""


@dataclass(frozen=True, repr=False)
class DenseMap:
    """What a net says of a picture at one scale, cell by cell."""

    level: running.Level

    def __repr__(self) -> str:
        return f"<DenseMap at scale {self.scale:g}: {'×'.join(map(str, self.level.scores.shape))}>"

    @property
    def scale(self) -> float:
        """The scale at which the picture was looked at."""
        return self.level.scale

    @property
    def scores(self) -> Array:
        """The scores, classes × rows × columns, in float32."""
        return self.level.scores.values()

    @property
    def stride(self) -> tuple[float, float]:
        """The way from cell to cell, down and across, in pixels of the picture."""
        cells = self.level.cells
        return float(cells.rows.stride), float(cells.columns.stride)

    @property
    def exactness(self) -> str:
        """Where a cell is exactly what the net gives on its window: "everywhere", "away from borders" or "nowhere"."""
        return exactness_of(self.level.cells.reasons).value

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a cell is not exactly what the classifier gives on its window; empty where it is."""
        return tuple(map(words, self.level.cells.reasons))

    def window(self, row: int, column: int) -> tuple[int, int, int, int]:
        """The pixels that a cell sees, from top and left to before bottom and right."""
        rows, columns = self.level.scores.shape[1:]
        if not (0 <= row < rows and 0 <= column < columns):
            raise IndexError(f"row {row}, column {column}: expected a cell of {rows} rows and {columns} columns")
        return self.level.cells.window_of(row, column)


@dataclass(frozen=True, repr=False)
class Prediction:
    """What a net says of a picture. Large maps lie in temporary files, which go with it."""

    answer: running.Answer
    settings: running.RunSettings
    source: str

    def __repr__(self) -> str:
        return f"<Prediction on {self.answer.path}>"

    @property
    def blobs(self) -> Mapping[str, Array]:
        """The numbers of every output, or of the blobs that were asked for, by name: a map as K × rows × columns at
        the first scale, anything else in Caffe's shape. All of them come from one run of the net."""
        found: dict[str, Array] = {}
        for result in self.answer.results:
            values = result.levels[0].scores.values() if result.levels else result.values
            if values is not None:
                found[result.output.name] = values
        return found

    @property
    def maps(self) -> tuple[DenseMap, ...]:
        """The maps, one for each scale; empty for a classifier, which has one answer for the picture."""
        return tuple(map(DenseMap, self._result.levels))

    @property
    def scores(self) -> Array:
        """The scores at the first scale, classes × rows × columns, in float32; a classifier has one row and one
        column. Raises EngineError where there are none; `blobs` has all numbers."""
        result = self._result
        if result.levels:
            return self.maps[0].scores
        return self._classes().reshape(-1, 1, 1)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the picture that was not asked for by name."""
        return self.answer.plan.notes

    def top(self, count: int = 5) -> list[Best]:
        """The COUNT classes that score highest; of a map those that are the top one of a cell, but the background.
        Raises EngineError where there are no scores of classes, ValueError unless COUNT is at least 1."""
        if not isinstance(count, Integral):
            raise TypeError(f"top: count: expected a number, found {count!r}")
        if count < 1:
            raise ValueError(f"top: count: expected at least 1, found {count}")
        from caffe_fcn.predict.summaries import best_classes, summarize

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

    def heat_map(self, wanted: str | int | None = None) -> Any:
        """A pillow image of the picture and over it the scores of the class WANTED, by number or name; by default of
        all but the background. Raises EngineError where that is none."""
        from caffe_fcn.predict.results import draw_heat, heat_of

        self._check_map("a heat map")
        output = self._result.output
        labels = self.settings.labels(output)
        return draw_heat(
            self.answer, heat_of(output, labels, None if wanted is None else str(wanted), self.source)
        ).image

    def label_map(self) -> Any:
        """A pillow image of the picture and over it the top class of each cell. Raises EngineError where there are no
        classes, and for a classifier."""
        from caffe_fcn.predict.results import draw_labels

        self._check_map("a label map")
        self._classes()
        output = self._result.output
        return draw_labels(self.answer, output, self.settings.labels(output)).image

    @property
    def _result(self) -> running.BlobResult:
        """The output that is meant where one has to be: the only one, or the only one of classes."""
        from caffe_fcn.errors import EngineError

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
        """The values of the output, if these are scores of classes. Raises EngineError."""
        from caffe_fcn.errors import EngineError

        output = self._result.output
        if not output.of_classes:
            raise EngineError(
                f"{output.name!r} holds no scores of classes", source=self.source, hint="see `blobs` for its numbers"
            )
        return self.blobs[output.name]

    def _check_map(self, what: str) -> None:
        from caffe_fcn.errors import EngineError

        result = self._result
        if not result.levels:
            shape = show(result.output.shape)
            raise EngineError(f"{result.output.name!r} is {shape}, and no map to make {what} of", source=self.source)


@dataclass(frozen=True, repr=False)
class Predictor:
    """A net that looks at pictures, made by `predictor`.

    Called with a picture, it returns the `Prediction`. A picture is the path of a file, an array H×W or H×W×C of values
    from 0 to 255, channels in the order RGB, or a pillow image.
    """

    model: PictureNet
    settings: running.RunSettings
    notes: tuple[str, ...]
    """What there is to know of the net, and what was taken from it where no option said it."""

    def __repr__(self) -> str:
        outputs = ", ".join(f"{each.name} {show(each.shape)}" for each in self.model.outputs)
        return f"<Predictor by {self.model.source}: {outputs}>"

    def __call__(self, picture: str | os.PathLike[str] | Array | Image) -> Prediction:
        """What the net says of PICTURE: a file, an array H×W or H×W×C of RGB, 0 to 255, or a pillow image.

        Raises PictureError for what is no picture, or one that the net does not take; OSError for a file that cannot
        be read.
        """
        from caffe_fcn.predict.run import carry_out

        answer = carry_out(self.model, planned(self, picture), self.settings, ExitStack())
        return Prediction(answer, self.settings, self.model.source)


def planned(predict: Predictor, picture: str | os.PathLike[str] | Array | Image) -> running.PicturePlan:
    """What there is to do for PICTURE, as PREDICT takes it. Raises PictureError; OSError for a file that cannot be
    read."""
    from caffe_fcn.predict.images.picture import open_picture, picture_of
    from caffe_fcn.predict.run import plan

    channels = predict.model.channels
    if isinstance(picture, str | os.PathLike):
        opened = open_picture(picture, channels, predict.settings.max_pixels)
    else:
        opened = picture_of(picture, channels)
    return plan(predict.model, opened, predict.settings)


def predictor(net: SourceNet, weights: WeightFile, **options: Unpack[PredictOptions]) -> Predictor:
    """NET with WEIGHTS, ready to look at any number of pictures; the weights may be closed afterwards.

    OPTIONS are `PredictOptions`. Raises LoweringError or EngineError for a net that the engine cannot run, or that
    takes no pictures; WeightsError where weights are another net's or hold NaN; PictureError for a mean or labels that
    do not suit the net; ExtraError where the engine is not installed.
    """
    from caffe_fcn.predict.run import prepare

    check_models("predictor", net=net, weights=weights)
    check_options("predictor", options, PredictOptions)
    selection, others = selection_of(options)
    engine, preparation, looking = _looking(**others)
    model, settings, notes = prepare(net, weights, engine, selection, preparation, looking)
    return Predictor(model, settings, notes)


def _looking(
    *,
    engine: str = "onnxruntime",
    threads: int | None = None,
    low_memory: bool = False,
    gpu: bool = False,
    mean: float | Sequence[float] | str | os.PathLike[str] | None = None,
    scale: float | None = None,
    swap_channels: bool = False,
    scales: Sequence[float] = (1.0,),
    resize: Any = None,
    crop: Any = None,
    blobs: str | Sequence[str] = (),
    **choices: Any,
) -> tuple[Engine, PreparationOptions, RunOptions]:
    from caffe_fcn.engines.registry import engine as engine_called

    if resize not in (None, "net"):
        sides = tuple(resize) if isinstance(resize, Sequence) else (resize, resize)
        if len(sides) != 2 or not all(
            isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides
        ):
            raise ValueError(
                f'resize: expected (height, width) in pixels, the shorter side, or "net", found {resize!r}'
            )
        resize = resize if isinstance(resize, int) else sides
    if not scales or not all(0 < each <= 100 for each in scales):
        raise ValueError(f"scales: expected numbers above 0 and up to 100, found {scales!r}")
    return (
        engine_called(EngineOptions(engine, checked_threads(threads), low_memory, gpu)),
        PreparationOptions(mean_text(mean), checked_scale(scale), swap_channels),
        RunOptions(resize=resize, crop=crop, scales=tuple(scales), blobs=several(blobs), **choices),
    )
