"""The library: nets that look at pictures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.api.arguments import checked
from caffe_fcn.engines.options import EngineOptions
from caffe_fcn.engines.protocol import Array
from caffe_fcn.engines.registry import engine as engine_called
from caffe_fcn.errors import EngineError
from caffe_fcn.net.geometry import exactness_of, words
from caffe_fcn.net.options import Selection
from caffe_fcn.net.shapes import show
from caffe_fcn.predict import run as running
from caffe_fcn.predict.images.picture import open_picture, picture_of
from caffe_fcn.predict.options import PreparationOptions, RunOptions
from caffe_fcn.predict.picture_net import PictureNet
from caffe_fcn.predict.results import draw_heat, draw_labels, heat_of
from caffe_fcn.predict.summaries import best_classes, summarize
from caffe_fcn.verify.verify import NetAndWeights

if TYPE_CHECKING:
    from PIL.Image import Image


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

    @checked()
    def window(self, row: int, column: int) -> tuple[int, int, int, int]:
        """The pixels that a cell sees, from top and left to before bottom and right. Raises IndexError for a cell that
        the map does not have."""
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
    net_notes: tuple[str, ...]

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
        """What there is to know of the net, and what was done to the picture that was not asked for by name."""
        return (*self.net_notes, *self.answer.plan.notes)

    @checked()
    def top(self, count: int = 5) -> list[Best]:
        """The COUNT classes that score highest; of a map those that are the top one of a cell, but the background.
        Raises EngineError where there are no scores of classes, ValueError unless COUNT is at least 1."""
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

    @checked()
    def heat_map(self, wanted: str | int | None = None) -> Any:
        """A pillow image of the picture and over it the scores of the class WANTED, by number or name; by default of
        all but the background. Raises EngineError where there is no map, PictureError where the net has no such class,
        ValueError for a number below 0."""
        if isinstance(wanted, Integral) and wanted < 0:
            raise ValueError(f"heat_map: wanted: expected a class, from 0 on, found {wanted}")
        self._check_map("a heat map")
        output = self._result.output
        labels = self.settings.labels(output)
        return draw_heat(
            self.answer, heat_of(output, labels, None if wanted is None else str(wanted), self.source)
        ).image

    def label_map(self) -> Any:
        """A pillow image of the picture and over it the top class of each cell. Raises EngineError where there are no
        classes, and for a classifier."""
        self._check_map("a label map")
        self._classes()
        output = self._result.output
        return draw_labels(self.answer, output, self.settings.labels(output)).image

    @property
    def _result(self) -> running.BlobResult:
        """The output that is meant where one has to be: the only one, or the only one of classes."""
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
        output = self._result.output
        if not output.of_classes:
            raise EngineError(
                f"{output.name!r} holds no scores of classes", source=self.source, hint="see `blobs` for its numbers"
            )
        return self.blobs[output.name]

    def _check_map(self, what: str) -> None:
        result = self._result
        if not result.levels:
            shape = show(result.output.shape)
            raise EngineError(f"{result.output.name!r} is {shape}, but {what} needs a map", source=self.source)


@dataclass(frozen=True, repr=False)
class Predictor:
    """A net that looks at pictures: loaded into an engine, with all that was said of how it is to look, and NOTES on
    that."""

    model: PictureNet
    settings: running.RunSettings
    notes: tuple[str, ...]

    def __call__(self, picture: str | os.PathLike[str] | Array | Image) -> Prediction:
        """What the net says of PICTURE. Raises PictureError; OSError for a file that cannot be read."""
        answer = running.carry_out(self.model, self.planned(picture), self.settings, ExitStack())
        return Prediction(answer, self.settings, self.model.source, self.notes)

    def planned(self, picture: str | os.PathLike[str] | Array | Image) -> running.PicturePlan:
        """What there is to do for PICTURE. Raises PictureError; OSError for a file that cannot be read."""
        channels = self.model.channels
        if isinstance(picture, str | os.PathLike):
            opened = open_picture(picture, channels, self.settings.max_pixels)
        else:
            opened = picture_of(picture, channels)
        return running.plan(self.model, opened, self.settings)


def predictor(
    files: NetAndWeights, selection: Selection, use: EngineOptions, preparation: PreparationOptions, options: RunOptions
) -> Predictor:
    """The net in FILES that SELECTION means, ready to look at any number of pictures."""
    made = running.prepare(files.source, files.weights, engine_called(use), selection, preparation, options)
    return Predictor(made.model, made.settings, made.notes)
