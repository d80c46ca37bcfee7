"""Runs a net on a picture: plans the work from sizes only, then does it tile by tile.

A chosen blob is either a map of the picture, which is made and stored piece by piece, so that neither pictures nor maps
need to be in memory; or one array for the whole picture, in Caffe's shape.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from math import prod
from typing import Literal, NamedTuple

from caffe_fcn.display import printable
from caffe_fcn.engines.nets import Size
from caffe_fcn.engines.protocol import Array, Engine
from caffe_fcn.errors import EngineError, PictureError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.options import Selection
from caffe_fcn.net.shapes import show
from caffe_fcn.net.source import SourceNet
from caffe_fcn.predict.cells import Cells
from caffe_fcn.predict.crops import Crop, center, frame_of, ten
from caffe_fcn.predict.dense import Batch, check_size, dense, in_one_piece, tiles_of
from caffe_fcn.predict.draw.palette import Palette, read_palette
from caffe_fcn.predict.images.picture import Picture
from caffe_fcn.predict.labels import Labels, read_labels
from caffe_fcn.predict.maps import Map
from caffe_fcn.predict.means import read_mean, whole
from caffe_fcn.predict.options import DrawingOptions, PreparationOptions, RunOptions
from caffe_fcn.predict.outputs import Holds, NetOutput
from caffe_fcn.predict.picture_net import PictureNet, load_picture_net, no_map
from caffe_fcn.predict.preprocessing import COLOURS, Preprocessing, size_of, transform_of, with_defaults
from caffe_fcn.predict.resizing import check_pixels, padded, resampled, resized, scaled, shorter_side
from caffe_fcn.predict.stitching import check_stride, stitched, stride_of
from caffe_fcn.wording import Option, advise, option


def as_they_are() -> str:
    """Return the note if neither the net nor the user defines the preprocessing."""
    return (
        "pixels are used unchanged, from 0 to 255; if the net was trained on other values, "
        f"give {option('mean')} and {option('scale')}"
    )


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


class PreparedNet(NamedTuple):
    """A net that is loaded for pictures, its settings, and NOTES on both."""

    model: PictureNet
    settings: RunSettings
    notes: tuple[str, ...]


def prepare(
    source: SourceNet,
    weights: WeightFile,
    engine: Engine,
    selection: Selection,
    preparation: PreparationOptions | None = None,
    options: RunOptions | None = None,
    drawing: DrawingOptions | None = None,
    *,
    first: Callable[[int], Size | None] | None = None,
) -> PreparedNet:
    """Load the net SOURCE with its WEIGHTS for pictures. FIRST returns the size of the first picture, for a number of
    channels, for a net that does not define its own. Raises CaffeFcnError; OSError if a file cannot be read."""
    prepared, asked = preparation or PreparationOptions(), options or RunOptions()
    turned = prepared.column_major
    given = None if prepared.mean is None else read_mean(prepared.mean).turned(turned)
    wanted = None if asked.crop is None else Crop(asked.crop)
    like = None if wanted not in (None, Crop.NONE) else _like(asked.resize, first)
    model = load_picture_net(
        source, weights, engine, blobs=asked.blobs, selection=selection, like=like, column_major=turned
    )
    stated = transform_of(model.net.graph, model.feed)
    chosen = with_defaults(stated, given, prepared.scale, prepared.swap_channels)
    as_is = stated is None and prepared.mean is None and prepared.scale is None
    notes = (as_they_are(),) if as_is else chosen.notes
    if asked.no_scores:
        model = replace(model, outputs=tuple(replace(each, holds=Holds.VALUES) for each in model.outputs))
    names = None
    if asked.labels is not None:
        model, names = _values_named(model, asked.labels) if asked.no_scores else _named(model, asked.labels)
    size, crop, told = _brought_to_size(model, model.nominal if asked.resize == "net" else asked.resize, wanted)
    stride = None if asked.stride is None else stride_of(asked.stride)
    settings = RunSettings(chosen.steps, names, size, crop, asked.scales, stride, asked.tile, asked.max_pixels)
    settings = settings._replace(drawing=_drawing(drawing or DrawingOptions()), no_scores=asked.no_scores)
    settings = settings._replace(column_major=turned, pad_to=asked.pad_to)
    check_settings(model, settings)
    if settings.drawing.colour and model.channels < COLOURS:
        told = (*told, "the net takes grey pictures, and so the picture below a drawing is grey")
    return PreparedNet(model, settings, (*model.notes, *notes, *told))


def _drawing(asked: DrawingOptions) -> DrawingSettings:
    """Return how maps are drawn as ASKED. Raises PictureError; OSError if a file cannot be read."""
    return DrawingSettings(
        None if asked.palette is None else read_palette(asked.palette),
        asked.upsample,
        None if isinstance(asked.value_range, str) else asked.value_range,
        asked.under == "colour",
    )


def _like(
    resize: Size | int | Literal["net"] | None, first: Callable[[int], Size | None] | None
) -> Callable[[int], Size | None] | None:
    """Return a function for the size of pictures after RESIZE, if that is known before the net is loaded. FIRST returns
    the size before."""
    if isinstance(resize, tuple):
        return lambda channels: resize
    if resize == "net" or first is None:
        return None

    def size(channels: int) -> Size | None:
        found = first(channels)
        return shorter_side(found, resize) if found is not None and isinstance(resize, int) else found

    return size


def _named(model: PictureNet, labels: str | os.PathLike[str]) -> tuple[PictureNet, Labels]:
    """Return MODEL, and the names of its classes in the file LABELS. If the user names the channels of the only output,
    they are classes. Raises PictureError if they cannot be."""
    found = [output for output in model.outputs if output.of_classes]
    if not found and len(model.outputs) == 1:
        found = [each for each in model.outputs if each.is_map or prod(each.shape) == prod(each.shape[:2])]
    named = [replace(each, holds=Holds.CLASSES) if each in found else each for each in model.outputs]
    model = replace(model, outputs=tuple(named))
    counts = {output.channels for output in found}
    if len(counts) != 1:
        shown = ", ".join(f"{output.name!r} {show(output.shape)}" for output in found or model.outputs)
        raise PictureError(
            expected="scores for one number of classes",
            found=shown,
            source=os.fspath(labels),
            hint=advise("choose a blob with ", Option("blob")),
        )
    return model, read_labels(labels, counts.pop())


def _values_named(model: PictureNet, labels: str | os.PathLike[str]) -> tuple[PictureNet, Labels]:
    """Return MODEL, and the names of the values of its outputs in the file LABELS. Raises PictureError if there are as
    many in no output."""
    names = read_labels(labels, None)
    if all(output.numbers != names.count for output in model.outputs):
        shown = ", ".join(f"{output.numbers} of {output.name!r}" for output in model.outputs)
        raise PictureError(
            expected=f"a name in each line for the values of an output: {shown}",
            found=f"{names.count}",
            source=os.fspath(labels),
        )
    return model, names


def _brought_to_size(
    model: PictureNet, resize: Size | int | None, crop: Crop | None
) -> tuple[Size | int | None, Crop, tuple[str, ...]]:
    """Return RESIZE and CROP, or if they are None those that the net defines, and notes on that. A dense net gets the
    whole picture, whatever it defines."""
    stated = size_of(model.net.graph, model.feed)
    if stated is None or (model.maps and model.fixed is None):
        return resize, crop or Crop.NONE, ()
    done, where = [], ""
    if resize is None and stated.resized is not None:
        resize = stated.resized[::-1] if model.column_major else stated.resized
        done.append(f"resizes pictures to {show(resize)}")
    if crop is None and stated.cropped:
        crop, where = Crop.CENTER, ", at the centre"
        done.append(f"crops {'them' if done else 'pictures'} to {show(model.nominal)}")
    told = (
        f"layer {printable(stated.layer)!r} {' and '.join(done)}, which is done here too{where}; choose otherwise with "
    )
    return resize, crop or Crop.NONE, (f"{told}{option('resize')} and {option('crop')}",) if done else ()


def check_settings(model: PictureNet, settings: RunSettings) -> None:
    """Raise CaffeFcnError if SETTINGS do not fit MODEL, for any picture."""
    settings.steps.check(model.channels, model.fixed if settings.crop is Crop.NONE else model.nominal)
    if settings.tile is not None:
        check_maps(model, "tile")
    if settings.scales != (1.0,):
        check_maps(model, "scales")
    if settings.pad_to is not None:
        check_maps(model, "pad_to")
    if settings.stride is not None:
        check_maps(model, "stride")
        check_stride(model, settings.stride)
    if settings.drawing.upsample:
        check_maps(model, "upsample")
    for output in model.outputs if settings.crop is Crop.TEN else ():
        if output.is_map or output.counted or prod(output.shape) != prod(output.shape[:2]):
            raise EngineError(
                f"{option('crop', 'ten')} averages answers for a whole picture, but {output.name!r}, "
                f"{show(output.shape)}, has answers for positions in it",
                source=model.source,
                hint=advise("use ", Option("crop", "center"), ", or choose another with ", Option("blob")),
            )


def check_maps(model: PictureNet, name: str) -> None:
    """Raise EngineError if an output of MODEL is not a map, which the option NAME needs."""
    found = next((output for output in model.outputs if not output.is_map), None)
    if found is not None:
        raise no_map(model, found, name)


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
