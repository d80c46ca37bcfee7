"""A net looks at a picture: what there is to do is planned from sizes alone, and then done, tile by tile.

The one idea: an answer is a map, of one cell for a classifier, and all that is told of maps is gathered by bands
of their rows. So neither pictures nor maps have to be in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from caffe_fcn.errors import EngineError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.selection import Selection
from caffe_fcn.net.shapes import show
from caffe_fcn.net.source import SourceNet
from caffe_fcn.run.cells import Cells
from caffe_fcn.run.dense import Tiles, check_size, dense, scores, tiles_of
from caffe_fcn.run.engine import Engine
from caffe_fcn.run.images import MAX_PIXELS, Picture
from caffe_fcn.run.labels import Labels, read_labels
from caffe_fcn.run.maps import Map
from caffe_fcn.run.means import read_mean, whole
from caffe_fcn.run.model import Model, Size, load_model
from caffe_fcn.run.preprocessing import Preprocessing, transform_of, with_defaults
from caffe_fcn.run.pyramid import resized, scaled

if TYPE_CHECKING:
    from numpy.typing import NDArray


AS_THEY_ARE = "pixels of 0 to 255 go in as they are; if the net was trained on others, say so with --mean and --scale"
"""The note where neither the net nor its user says anything."""


class Settings(NamedTuple):
    """How pictures are looked at: brought to the size RESIZE, then at each of SCALES, in tiles of TILE pixels, or where
    that is None in such as memory needs."""

    steps: Preprocessing
    labels: Labels
    resize: Size | None = None
    scales: tuple[float, ...] = (1.0,)
    tile: int | None = None
    max_pixels: int = MAX_PIXELS


class Part(NamedTuple):
    """A picture at one SCALE: its CELLS, None for a net with one answer for the whole, and how it is cut."""

    scale: float
    cells: Cells | None
    tiles: Tiles | None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the map."""
        return self.cells.shape if self.cells else (1, 1)


class Plan(NamedTuple):
    """What there is to do for a PICTURE, which had the size ORIGINAL in its file."""

    picture: Picture
    original: Size
    parts: tuple[Part, ...]
    notes: tuple[str, ...]

    @property
    def runs(self) -> int:
        """How often the net is run."""
        return sum(part.tiles.many if part.tiles else 1 for part in self.parts)


class Level(NamedTuple):
    """The SCORES of a picture at one SCALE, K×rows×columns. CELLS are where they lie on the picture as it was given, or
    as it was resized; None for a classifier."""

    scale: float
    cells: Cells | None
    scores: Map
    tiles: int


class Answer(NamedTuple):
    """What a net made of a picture."""

    plan: Plan
    levels: tuple[Level, ...]

    @property
    def path(self) -> str:
        """The file of the picture."""
        return self.plan.picture.path

    @property
    def is_map(self) -> bool:
        """Whether the net has an answer for each window, and not one for the whole picture."""
        return self.levels[0].cells is not None


class Found(NamedTuple):
    """A class with its SCORE, at a cell of one of the levels."""

    label: int
    score: float
    level: int = 0
    row: int = 0
    column: int = 0


def prepare(
    source: SourceNet,
    weights: WeightFile,
    engine: Engine,
    selection: Selection,
    *,
    mean: str | None = None,
    scale: float | None = None,
    rgb: bool = False,
    resize: Size | Literal["net"] | None = None,
    labels: str | os.PathLike[str] | None = None,
    blob: str | None = None,
    scales: tuple[float, ...] = (1.0,),
    tile: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> tuple[Model, Settings, tuple[str, ...]]:
    """The net SOURCE with its WEIGHTS, how it is to look at pictures, and notes on both and what they state. MEAN is as
    for `read_mean`, LABELS a file. Raises CaffeFcnError; OSError for a file that cannot be read."""
    given = None if mean is None else read_mean(mean)
    model = load_model(source, weights, engine, blob=blob, selection=selection)
    stated = transform_of(model.net.graph, model.feed)
    steps, notes = with_defaults(stated, given, scale, rgb)
    if stated is None and mean is None and scale is None:
        notes = (AS_THEY_ARE,)
    named = Labels(model.classes) if labels is None else read_labels(labels, model.classes)
    size = model.nominal if resize == "net" else resize
    settings = Settings(steps, named, size, scales, tile, max_pixels)
    check_settings(model, settings)
    return model, settings, (*model.notes, *notes)


def check_settings(model: Model, settings: Settings) -> None:
    """Raise CaffeFcnError where SETTINGS are none for MODEL, whatever the picture."""
    settings.steps.check(model.channels, model.fixed)
    if settings.tile is not None:
        check_map(model, "--tile")
    if settings.scales != (1.0,):
        check_map(model, "--scales")


def check_map(model: Model, option: str) -> None:
    """Raise EngineError where MODEL gives no map, which OPTION is for."""
    if model.geometry is None:
        raise EngineError(
            f"{model.source}: gives one answer for a whole picture, and no map, which {option} is for; "
            "make it fully convolutional first: caffe-fcn convert"
        )


def plan(model: Model, picture: Picture, settings: Settings) -> Plan:
    """What there is to do for PICTURE. Raises CaffeFcnError."""
    original, notes = picture.size, []
    if settings.resize not in (None, original):
        picture = resized(picture, settings.resize or original, settings.max_pixels)
        notes.append(f"resized from {show(original)} to {show(picture.size)} pixels")
    parts = []
    for scale in settings.scales:
        size = scaled(picture.size, scale)
        check_size(model, picture.path if scale == 1 else f"{picture.path} at scale {scale:g}", size)
        note = settings.steps.note(whole(size))
        notes += [note] if note and note not in notes else []
        if model.geometry is None:
            parts.append(Part(scale, None, None))
            continue
        cells = model.cells(size)
        tiles = tiles_of(model, cells, settings.tile)
        notes += [f"in one piece, because {tiles.why}; this may take much memory"] if tiles.why else []
        parts.append(Part(scale, cells, tiles))
    return Plan(picture, original, tuple(parts), tuple(notes))


def carry_out(
    model: Model,
    work: Plan,
    settings: Settings,
    stack: ExitStack,
    *,
    file: tuple[str, str] | None = None,
    done: Callable[[], None] = lambda: None,
) -> Answer:
    """Do what a plan says. The maps are there until STACK closes; the only one lies at FILE, if given, as a .npy: its
    place and what messages call it. DONE is called after each run of the net. Raises CaffeFcnError."""
    levels = []
    for part in work.parts:
        picture = resized(work.picture, scaled(work.picture.size, part.scale), settings.max_pixels)
        into = stack.enter_context(Map((model.classes, *part.size), *(file or ())))
        if part.cells is None or part.tiles is None:
            into.write(0, 0, scores(model, picture, settings.steps)[:, None, None])
            done()
            levels.append(Level(part.scale, None, into, 1))
            continue
        dense(model, picture, settings.steps, part.tiles, into, done)
        levels.append(Level(part.scale, part.cells.scaled(work.picture.size), into, part.tiles.many))
    return Answer(work, tuple(levels))


# ---- What maps say ----


def tops(scores: Map) -> Iterator[tuple[int, NDArray[Any], NDArray[Any]]]:
    """The top class of each cell, and its score, by bands of rows, each with its first row."""
    import numpy as np

    for row, band in scores.bands():
        top = band.argmax(0)
        yield row, top, np.take_along_axis(band, top[None], 0)[0]


class Summary(NamedTuple):
    """Of how many cells of each level each class is the top one; and where each class that is one has its highest
    score, the highest first. There the background is left out."""

    counts: tuple[tuple[int, ...], ...]
    best: tuple[Found, ...]


def summarize(levels: Sequence[Level], background: int | None = None) -> Summary:
    """The `Summary` of LEVELS."""
    import numpy as np

    counts = []
    best: dict[int, Found] = {}
    for number, level in enumerate(levels):
        classes, _, columns = level.scores.shape
        count = np.zeros(classes, np.int64)
        for row, top, score in tops(level.scores):
            count += np.bincount(top.ravel(), minlength=classes)
            order = np.argsort(-score.ravel(), kind="stable")
            seen, firsts = np.unique(top.ravel()[order], return_index=True)
            for index, place in zip(seen.tolist(), order[firsts].tolist(), strict=True):
                value = float(score.flat[place])
                if index != background and (index not in best or value > best[index].score):
                    best[index] = Found(index, value, number, row + place // columns, place % columns)
        counts.append(tuple(count.tolist()))
    return Summary(tuple(counts), tuple(sorted(best.values(), key=lambda each: (-each.score, each.label))))


def best_classes(scores: Map, most: int) -> list[Found]:
    """The MOST classes that score highest in a map of one cell."""
    import numpy as np

    values = scores.values()[:, 0, 0]
    return [Found(int(index), float(values[index])) for index in np.argsort(-values, kind="stable")[:most]]
