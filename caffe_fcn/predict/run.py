"""Runs a net on a picture: plans the work from sizes only, then does it tile by tile.

A chosen blob is either a map of the picture, which is made and stored piece by piece, so that neither pictures nor maps
need to be in memory; or one array for the whole picture, in Caffe's shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from caffe_fcn.engines.nets import Size
from caffe_fcn.engines.protocol import Array
from caffe_fcn.errors import PictureError
from caffe_fcn.net.shapes import show
from caffe_fcn.predict.cells import Cells
from caffe_fcn.predict.crops import Crop, center, frame_of, ten
from caffe_fcn.predict.dense import Batch, check_size, dense, in_one_piece, tiles_of
from caffe_fcn.predict.draw.palette import Palette
from caffe_fcn.predict.images.picture import Picture
from caffe_fcn.predict.labels import Labels
from caffe_fcn.predict.maps import Map
from caffe_fcn.predict.means import whole
from caffe_fcn.predict.options import DrawingOptions, PreparationOptions, RunOptions
from caffe_fcn.predict.outputs import NetOutput
from caffe_fcn.predict.picture_net import PictureNet
from caffe_fcn.predict.preprocessing import Preprocessing
from caffe_fcn.predict.resizing import check_pixels, padded, resampled, resized, scaled, shorter_side
from caffe_fcn.predict.stitching import stitched
from caffe_fcn.wording import Option, advise, option


class DrawingSettings(NamedTuple):
    """How maps are drawn: label maps are indexed PNG in the colours of PALETTE, if given; UPSAMPLE: drawings are
    interpolated between cells; SPAN: the values of the first and the last colour, if given; COLOUR: the picture below
    is in colour, else in grey."""

    palette: Palette | None = None
    upsample: bool = DrawingOptions.upsample
    span: tuple[float, float] | None = None
    colour: bool = False


class RunSettings(NamedTuple):
    """The settings for pictures. A picture is resized to RESIZE, or its shorter side if that is one number, then
    CROPPED, then used at each of SCALES. STRIDE: the distance of cells in pixels, if given. TILE: the size of tiles in
    pixels; if None it depends on the memory. NAMES are those of the classes, or with NO_SCORES of the
    values, if known. COLUMN_MAJOR: pictures are transposed for the net.
    PAD_TO: they are padded to multiples of so many pixels."""

    steps: Preprocessing
    names: Labels | None = None
    resize: Size | int | None = None
    crop: Crop = Crop.NONE
    scales: tuple[float, ...] = RunOptions.scales
    stride: Size | None = None
    tile: int | None = RunOptions.tile
    max_pixels: int = RunOptions.max_pixels
    drawing: DrawingSettings = DrawingSettings()
    no_scores: bool = RunOptions.no_scores
    column_major: bool = PreparationOptions.column_major
    pad_to: int | None = RunOptions.pad_to

    def labels(self, output: NetOutput) -> Labels:
        """Return the names of the classes in OUTPUT; without scores those of its values. No names if they are for other
        outputs."""
        if self.names is not None and output.of_classes:
            return self.names
        if self.names is not None and self.no_scores and self.names.count == output.numbers:
            return self.names
        return Labels(output.numbers if self.no_scores else output.channels)


class PlannedScale(NamedTuple):
    """A picture at one SCALE, PADDED to a size: the CELLS of each map on it, the numbers of SHIFTS of the picture and
    of TILES, and the BATCHES in which the net is run."""

    scale: float
    padded: Size
    cells: tuple[Cells, ...]
    shifts: int
    tiles: int
    batches: tuple[Batch, ...]


class PicturePlan(NamedTuple):
    """The work for a PICTURE, which had the size ORIGINAL in its file, before it was RESIZED and cropped. The answers
    of several CROPS are averaged."""

    picture: Picture
    original: Size
    resized: Size
    crops: tuple[Picture, ...]
    parts: tuple[PlannedScale, ...]
    notes: tuple[str, ...]

    @property
    def runs(self) -> int:
        """The number of runs of the net."""
        return len(self.crops) * sum(len(part.batches) for part in self.parts)


class Level(NamedTuple):
    """The SCORES of a picture at one SCALE, K×rows×columns. CELLS has their positions on the whole picture as given, or
    as resized, even if only a part of it was the input. TILES and SHIFTS are those of the plan."""

    scale: float
    cells: Cells
    scores: Map
    tiles: int
    shifts: int = 1


class BlobResult(NamedTuple):
    """The values of one of the OUTPUTS of a net: for a map LEVELS, one for each scale; else VALUES, in Caffe's
    shape."""

    output: NetOutput
    levels: tuple[Level, ...]
    values: Array | None = None


class Answer(NamedTuple):
    """The answers of a net for a picture, in all its outputs."""

    plan: PicturePlan
    results: tuple[BlobResult, ...]

    @property
    def path(self) -> str:
        """The file of the picture."""
        return self.plan.picture.path


def plan(model: PictureNet, picture: Picture, settings: RunSettings) -> PicturePlan:
    """Return the work for PICTURE. Raises CaffeFcnError."""
    original, notes = picture.size, []
    if settings.resize is not None:
        size = shorter_side(original, settings.resize) if isinstance(settings.resize, int) else settings.resize
        picture = resampled(picture, size, settings.max_pixels)
    if picture.size != original:
        notes.append(f"resized from {show(original)} to {show(picture.size)} pixels")
    size = picture.size
    crops, told = _crops(model, picture, settings.crop)
    notes += told
    parts = []
    for scale in settings.scales:
        scaled_size = scaled(crops[0].size, scale)
        fed = padded(scaled_size, settings.pad_to)
        check_pixels(picture.path, fed, settings.max_pixels)
        check_size(model, picture.path if scale == 1 else f"{picture.path} at scale {scale:g}", fed)
        if fed != scaled_size:
            notes.append(f"padded from {show(scaled_size)} to {show(fed)} pixels, at the bottom and at the right")
        frame = frame_of(crops[0]) if scale == 1 else whole(scaled_size)
        note = settings.steps.note(frame)
        notes += [note] if note and note not in notes else []
        part, why = _planned(model, scale, scaled_size, fed, settings)
        notes += [f"in one piece, because {why}; this may need much memory"] if why else []
        parts.append(part)
    shown = crops[0] if len(crops) == 1 else picture
    return PicturePlan(shown, original, size, crops, tuple(parts), tuple(notes))


def _planned(
    model: PictureNet, scale: float, size: Size, fed: Size, settings: RunSettings
) -> tuple[PlannedScale, str | None]:
    """Return the work at SCALE, where the picture has SIZE and is padded to FED; and the reason if it is in one piece
    and large."""
    cells = tuple(model.cells(output, fed) for output in model.maps)
    if not cells:
        return PlannedScale(scale, fed, (), 1, 1, in_one_piece((fed[0], 0), (fed[1], 0)).batches), None
    if settings.stride is not None:
        made = stitched(model, cells, settings.stride, settings.tile)
        kept = (made.cells if fed == size else made.cells.cut(size),) * len(cells)
        return PlannedScale(scale, fed, kept, made.shifts, made.tiles, made.batches), made.why
    tiles = tiles_of(model, cells, settings.tile)
    kept = cells if fed == size else tuple(each.cut(size) for each in cells)
    return PlannedScale(scale, fed, kept, 1, tiles.many, tiles.batches), tiles.why


def _crops(model: PictureNet, picture: Picture, crop: Crop) -> tuple[tuple[Picture, ...], list[str]]:
    """Return the parts of PICTURE that are inputs of the net, and notes on them. Raises PictureError if it is too
    small."""
    size = model.nominal
    if crop is Crop.NONE or (crop is Crop.CENTER and picture.size == size):
        return (picture,), []
    if picture.size[0] < size[0] or picture.size[1] < size[1]:
        raise PictureError(
            source=picture.path,
            expected=f"at least {show(size)} pixels, to crop the input from",
            found=show(picture.size),
            hint=advise("enlarge it, for example with ", Option("resize", max(size))),
        )
    if crop is Crop.CENTER:
        return (center(picture, size),), [f"used the centre, {show(size)} of {show(picture.size)} pixels"]
    same = f", which are all the same without a larger {option('resize')}" if picture.size == size else ""
    return ten(picture, size), [f"averaged over ten crops of {show(size)} pixels{same}"]


def carry_out(
    model: PictureNet,
    work: PicturePlan,
    settings: RunSettings,
    stack: ExitStack,
    *,
    file: tuple[str, str] | None = None,
    done: Callable[[], None] = lambda: None,
) -> Answer:
    """Do the WORK of a plan. The maps exist until STACK closes. If FILE is given, the only map is there as a .npy: its
    path, and its name in messages. DONE is called after each run of the net. Raises CaffeFcnError."""
    levels: dict[str, list[Level]] = {output.name: [] for output in model.outputs}
    values: dict[str, Array] = {}
    for part in work.parts:
        found = dict(zip(model.maps, part.cells, strict=True))
        into = {
            output.name: stack.enter_context(Map((output.channels, *cells.shape), *(file or ())))
            for output, cells in found.items()
        }
        made = []
        for crop in work.crops:
            picture = resized(crop, scaled(crop.size, part.scale), settings.max_pixels)
            made.append(dense(model, picture, settings.steps, part.batches, into, done, padded=part.padded))
        values = made[0] if len(made) == 1 else average(made)
        for output, cells in found.items():
            lies = frame_of(work.picture).window
            cells = cells.scaled(work.picture.size).starting(lies.top, lies.left)
            level = Level(part.scale, cells, into[output.name], part.tiles, part.shifts)
            levels[output.name].append(level)
    results = [BlobResult(each, tuple(levels[each.name]), values.get(each.name)) for each in model.outputs]
    return Answer(work, tuple(results))


def average(made: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Return the means of the arrays with the same name in MADE."""
    import numpy as np

    found = {name: np.stack([each[name] for each in made]) for name in made[0]}
    return {name: np.asarray(arrays.mean(0, np.float64), np.float32) for name, arrays in found.items()}
