"""The library: what a prediction consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from caffe_fcn.api.arguments import checked
from caffe_fcn.engines.protocol import Array
from caffe_fcn.net.geometry import exactness_of, words
from caffe_fcn.predict.run import BlobResult, Level

if TYPE_CHECKING:
    from caffe_fcn.predict.labels import Labels
    from caffe_fcn.predict.peaks import Peaks
    from caffe_fcn.predict.standing import Standing


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


class Peak(NamedTuple):
    """A place where a class scores higher than around."""

    label: int
    """The number of the class."""
    name: str | None
    """Its name; None without labels."""
    score: float
    """Its score."""
    box: tuple[int, int, int, int]
    """The window of the cell in pixels, or the region around it if cells have no windows of their own: top, left,
    bottom, right, the last two exclusive."""
    scale: float
    """The scale of the picture at which it was found."""
    row: int
    """The row of the cell in the map at this scale."""
    column: int
    """Its column."""


class ClassRank(NamedTuple):
    """Where a class scores highest, and how many classes score higher."""

    label: int
    """The number of the class; the channel of a map that has no classes."""
    name: str | None
    """Its name; None without labels."""
    score: float
    """Its highest score."""
    window: tuple[int, int, int, int] | None
    """The window of the cell in pixels: top, left, bottom, right, the last two exclusive; None for a classifier."""
    rank: int | None
    """Its rank among the scores of all classes in this cell, 1 for the highest; None if values are not scores."""
    rank_of_best: int | None
    """Its rank among the highest scores of all classes but the background anywhere in the map; None for a
    classifier."""
    classes: int | None
    """The number of classes of which it has the first rank."""
    others: int | None
    """The number of classes of which it has the rank of its highest score, itself included."""
    leader: Best | None
    """The class with the highest score in this cell; None if values are not scores."""


@dataclass(frozen=True, repr=False)
class DenseMap:
    """The map of answers for a picture at one scale."""

    level: Level

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


def records_of(found: Peaks, result: BlobResult, labels: Labels) -> list[Peak]:
    """Return the peaks FOUND in RESULT, whose classes have LABELS."""
    scales = [level.scale for level in result.levels]
    return [
        Peak(each.label, labels.name(each.label), each.score, each.box, scales[each.level], each.row, each.column)
        for each in found
    ]


def rank_record(found: Standing, result: BlobResult, labels: Labels) -> ClassRank:
    """Return where a class of RESULT, which has LABELS, was FOUND to stand."""
    best = found.best
    window = result.levels[best.level].cells.window_of(best.row, best.column) if result.levels else None
    leads = found.leader
    leader = None if leads is None else Best(leads.label, labels.name(leads.label), leads.score, window)
    return ClassRank(
        label=best.label,
        name=labels.name(best.label),
        score=best.score,
        window=window,
        rank=found.rank,
        rank_of_best=found.rank_of_best,
        classes=found.all,
        others=found.others,
        leader=leader,
    )
