"""What the user searches for in the answers of a net: the peaks of a map, and where a class stands."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from operator import sub
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from caffe_fcn.display import visible
from caffe_fcn.predict.choosing import class_of, labelled_of, wanted_of
from caffe_fcn.predict.images.picture import Box
from caffe_fcn.predict.peaks import THRESHOLD, Peaks, find_peaks
from caffe_fcn.predict.results import Write
from caffe_fcn.predict.standing import Standing, standing
from caffe_fcn.wording import option

if TYPE_CHECKING:
    from caffe_fcn.predict.draw.render import Drawing
    from caffe_fcn.predict.options import PeakOptions
    from caffe_fcn.predict.outputs import NetOutput
    from caffe_fcn.predict.picture_net import PictureNet
    from caffe_fcn.predict.run import Answer, BlobResult, RunSettings

_CHUNK = 1 << 16
"""The characters of a table that are written together."""


class PeakSearch(NamedTuple):
    """The search for peaks of CLASSES in the map OUTPUT."""

    output: NetOutput
    classes: tuple[int, ...]
    options: PeakOptions

    @property
    def notes(self) -> tuple[str, ...]:
        """The note that the threshold is arbitrary, if scores are not probabilities and none is given."""
        if self.output.probabilities or self.options.threshold is not None:
            return ()
        told = f"the scores in {self.output.name!r} are not probabilities, so a threshold of {THRESHOLD:g} is arbitrary"
        return (f"{told}; choose one with {option('threshold')}",)


class AnswerSearch(NamedTuple):
    """What the user searches for: PEAKS, and the class with a number in CLASSES, by the blob."""

    peaks: PeakSearch | None = None
    classes: Mapping[str, int] = MappingProxyType({})


class Searched(NamedTuple):
    """What was found in an answer: the PEAKS of a map, and the STANDINGS of a class by the blob."""

    peaks: Peaks | None = None
    standings: Mapping[str, Standing] = MappingProxyType({})


def search_for(
    model: PictureNet, settings: RunSettings, wanted: str | None, peaks: PeakOptions | None, drawn: NetOutput | None
) -> AnswerSearch:
    """Return the search for the class WANTED, if any, and for the PEAKS of this class or of all but the background. The
    class is that of the map DRAWN, if any, else of the map with peaks, or of all blobs with classes. Raises EngineError
    if there is no such map, PictureError if there is no such class."""
    output = None
    if peaks is not None:
        output = drawn = labelled_of(model, "peaks")
    classes: Mapping[str, int] = {}
    if wanted is not None and drawn is not None:
        classes = {drawn.name: class_of(drawn, settings.labels(drawn), wanted, model.source)}
    elif wanted is not None:
        classes = wanted_of(model, settings, wanted)
    if output is None or peaks is None:
        return AnswerSearch(None, classes)
    background = settings.labels(output).background
    every = tuple(index for index in range(output.channels) if index != background)
    chosen = (classes[output.name],) if output.name in classes else every
    return AnswerSearch(PeakSearch(output, chosen, peaks), classes)


def found_in(answer: Answer, search: AnswerSearch, settings: RunSettings) -> Searched:
    """Return what SEARCH finds in ANSWER."""
    peaks = None
    if search.peaks is not None:
        peaks = find_peaks(_result(answer, search.peaks.output.name), search.peaks.classes, search.peaks.options)
    standings = {
        blob: standing(result, label, settings.labels(result.output).background)
        for blob, label in search.classes.items()
        for result in (_result(answer, blob),)
    }
    return Searched(peaks, standings)


def write_csv(answer: Answer, peaks: Peaks, settings: RunSettings, write: Write) -> None:
    """WRITE the PEAKS of ANSWER as a table: a line for each, with the cell of the map, and the box in pixels, whose
    bottom and right are exclusive. Names have no control characters, so each peak is one line."""
    result = _result(answer, peaks.blob)
    labels, text = settings.labels(result.output), io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("picture", "blob", "class", "name", "score", "scale", "row", "column", *Box._fields))
    for each in peaks:
        scale = f"{result.levels[each.level].scale:g}"
        name = visible(labels.name(each.label) or "")
        of_class = visible(answer.path), visible(peaks.blob), each.label, name, f"{each.score:.9g}"
        table.writerow((*of_class, scale, each.row, each.column, *each.box))
        if text.tell() > _CHUNK:
            write(text.getvalue().encode())
            text.seek(0)
            text.truncate()
    write(text.getvalue().encode())


def _result(answer: Answer, blob: str) -> BlobResult:
    return next(each for each in answer.results if each.output.name == blob)


def draw_boxes(answer: Answer, peaks: Peaks, settings: RunSettings) -> Drawing:
    """Draw the boxes of PEAKS over the picture. Raises PictureError, ExtraError."""
    from caffe_fcn.predict.draw.boxes import DrawnPeak, peak_boxes  # here, because few pictures are drawn on

    result = _result(answer, peaks.blob)
    corner = result.levels[0].cells.rows.start, result.levels[0].cells.columns.start
    boxes = (Box(*map(sub, each.box, (*corner, *corner))) for each in peaks)
    drawn = [DrawnPeak(each.label, _score(each.score), box) for each, box in zip(peaks, boxes, strict=True)]
    kind = "region" if peaks.of_regions else "peak"
    told = f"{len(drawn):,} {kind}{'' if len(drawn) == 1 else 's'} above {peaks.threshold:g}"
    return peak_boxes(answer.plan.picture, drawn, settings.labels(result.output), told, colour=settings.drawing.colour)


def _score(value: float) -> str:
    """Return a score as short as it fits beside a name."""
    return f"{value:.2f}" if 0.01 <= value <= 1 else f"{value:.3g}"
