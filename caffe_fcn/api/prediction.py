"""The library: the results of a net on a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from caffe_fcn.api.answers import (
    Best,
    ChannelRange,
    ClassArea,
    ClassRank,
    DenseMap,
    NamedValue,
    Peak,
    rank_record,
    records_of,
)
from caffe_fcn.api.arguments import checked
from caffe_fcn.api.benchmark import Benchmark
from caffe_fcn.api.options import given
from caffe_fcn.engines.protocol import Array
from caffe_fcn.errors import EngineError
from caffe_fcn.net.shapes import show
from caffe_fcn.predict import run as running
from caffe_fcn.predict.areas import areas
from caffe_fcn.predict.choosing import class_of, heat_of
from caffe_fcn.predict.options import PeakOptions
from caffe_fcn.predict.output_picture import pictured_of, restored
from caffe_fcn.predict.outputs import NetOutput
from caffe_fcn.predict.peaks import Peaks, find_peaks
from caffe_fcn.predict.results import draw_heat, draw_labels, draw_overlay
from caffe_fcn.predict.searching import draw_boxes
from caffe_fcn.predict.standing import standing
from caffe_fcn.predict.summaries import best_classes, of_channels, summarize


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
        label = _class_number("heat_map", wanted)
        self._check_map("a heat map")
        output = self._result.output
        heat = heat_of(output, self.settings.labels(output), label, self.source)
        return draw_heat(self.answer, heat, self.settings).image

    @checked(PeakOptions)
    def peaks(
        self,
        wanted: str | int | None = None,
        *,
        threshold: float | None = PeakOptions.threshold,
        nms: float = PeakOptions.nms,
    ) -> list[Peak]:
        """The places where the class WANTED, a number or a name, scores higher than around, the highest first. The
        default is all classes except the background. The box of each is the window of its cell. If cells have no
        windows of their own, as in a segmentation net, a peak is the highest cell of a connected region above the
        threshold, and its box is around the region. Raises EngineError if there is no map of scores, PictureError if
        the net has no such class, ValueError for numbers that cannot be."""
        found = self._peaks("peaks", wanted, given(PeakOptions, locals()))
        return records_of(found, self._result, self.settings.labels(self._result.output))

    @checked(PeakOptions)
    def boxes(
        self,
        wanted: str | int | None = None,
        *,
        threshold: float | None = PeakOptions.threshold,
        nms: float = PeakOptions.nms,
    ) -> Any:
        """A pillow image of the picture with the boxes of `peaks` drawn over it, and a legend. Arguments and errors are
        those of `peaks`."""
        found = self._peaks("boxes", wanted, given(PeakOptions, locals()))
        return draw_boxes(self.answer, found, self.settings).image

    def _peaks(self, method: str, wanted: str | int | None, options: PeakOptions) -> Peaks:
        """Return what METHOD needs: the peaks of the class WANTED. Raises EngineError, PictureError, ValueError."""
        label = _class_number(method, wanted)
        self._check_map("a peak")
        self._classes()
        output = self._result.output
        labels = self.settings.labels(output)
        chosen = range(labels.count) if label is None else (class_of(output, labels, label, self.source),)
        classes = [each for each in chosen if label is not None or each != labels.background]
        return find_peaks(self._result, classes, options)

    @checked()
    def rank(self, wanted: str | int) -> ClassRank:
        """Where the class WANTED, a number or a name, scores highest, and its rank; of a map without classes, where its
        channel WANTED is highest. Raises EngineError if there is neither a class nor a map, PictureError if the net has
        no such class."""
        label = _class_number("rank", wanted)
        result = self._result
        output, labels = result.output, self.settings.labels(result.output)
        if not output.of_classes:
            self._check_map("a rank")
        found = standing(result, class_of(output, labels, str(label), self.source), labels.background)
        return rank_record(found, result, labels)

    def label_map(self) -> Any:
        """A pillow image of the top class of each cell. With a palette it is an indexed image as large as the picture,
        which holds the number of the class of each pixel, 255 where there is no cell; else the same as `overlay`.
        Raises EngineError if there are no classes, or no map; PictureError if the palette has too few colours."""
        return draw_labels(self.answer, self._labelled("a label map"), self.settings).image

    def overlay(self) -> Any:
        """A pillow image of the picture with the top class of each cell drawn over it, and a legend. Raises what
        `label_map` raises."""
        return draw_overlay(self.answer, self._labelled("an overlay"), self.settings).image

    def picture(self) -> Any:
        """A pillow image of the output that has one channel, grey, or three, as of a net for super-resolution. The
        preprocessing is undone: a value is divided by the scale, the mean of its channel is added, and the result is
        rounded and clipped to 0..255; with `value_range` its ends become 0 and 255 instead. Raises EngineError if no
        output, or more than one, can be a picture."""
        outputs = [each.output for each in self.answer.results]
        output = pictured_of(outputs, self.settings, self.source)
        return restored(self.answer, output, self.settings).drawing().image

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


def _class_number(method: str, wanted: str | int | None) -> str | None:
    """Return the class WANTED, an argument of METHOD, as a text. Raises ValueError for a number below 0."""
    if isinstance(wanted, Integral) and wanted < 0:
        raise ValueError(f"{method}: wanted: expected a class, from 0 on, found {wanted}")
    return None if wanted is None else str(wanted)
