"""Runs a net on a picture, whole or tile by tile, for the scores of a classifier or a dense map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from caffe_fcn.engines.nets import Size
from caffe_fcn.engines.protocol import Array
from caffe_fcn.errors import EngineError, PictureError
from caffe_fcn.net.geometry import words
from caffe_fcn.net.shapes import show
from caffe_fcn.predict.ahead import Turns, ahead
from caffe_fcn.predict.cells import Cells
from caffe_fcn.predict.crops import frame_of
from caffe_fcn.predict.images.picture import Box, Picture
from caffe_fcn.predict.maps import Map
from caffe_fcn.predict.picture_net import PictureNet
from caffe_fcn.predict.preprocessing import Preprocessing
from caffe_fcn.predict.tiling import Reach, TileSpan, longest, obstacle, spans, whole_axis
from caffe_fcn.wording import Option, advise, offered, option

if TYPE_CHECKING:
    from numpy.typing import NDArray

BUDGET = 256 << 20
"""The maximum bytes of the bottoms and tops of the largest layer of a tile, unless windows need more."""

COMFORTABLE = 64 << 20
"""A run with these bytes in its largest layer is fast, and larger runs are not faster per pixel."""

_FEWEST = 64
"""Tiles are not made smaller than this to save memory, in pixels per side."""


Tile: TypeAlias = tuple[TileSpan, TileSpan]
"""A part of a picture that is the input of a run, along rows and columns."""

Batch: TypeAlias = tuple[Tile, ...]
"""Tiles of one size that are run together."""


class Tiles(NamedTuple):
    """How a picture is cut: ROWS and COLUMNS of tiles. WHY is the reason if a large picture is in one piece."""

    rows: tuple[TileSpan, ...]
    columns: tuple[TileSpan, ...]
    why: str | None = None

    @property
    def many(self) -> int:
        """The number of tiles."""
        return len(self.rows) * len(self.columns)

    @property
    def batches(self) -> tuple[Batch, ...]:
        """The tiles, row by row, each in its own run."""
        return tuple(((row, column),) for row in self.rows for column in self.columns)


def in_one_piece(rows: tuple[int, int], columns: tuple[int, int]) -> Tiles:
    """Return a picture in one piece; ROWS and COLUMNS have the number of pixels and of cells."""
    return Tiles((whole_axis(*rows),), (whole_axis(*columns),))


def check_size(model: PictureNet, name: str, size: Size) -> None:
    """Raise PictureError if the net does not accept a picture of SIZE, which messages call NAME."""
    if model.fixed not in (None, size):
        if model.fits(size):
            way = Option("input_shape", {model.feed: (*model.fed[:2], *model.turned(size))})
            raise PictureError(
                f"the net is loaded for pictures of {_pixels(model.nominal)}, found {_pixels(size)}; the "
                "weights are the same for this size",
                source=name,
                expected=_pixels(model.nominal),
                found=_pixels(size),
                hint=advise("load the net for it with ", way),
            )
        larger = all(found >= wanted for found, wanted in zip(size, model.nominal, strict=True))
        part = advise(", or crop it with ", Option("crop", "center")) if larger and offered("crop") else ""
        raise PictureError(
            source=name,
            expected=f"{_pixels(model.nominal)}, the only size that the net accepts",
            found=_pixels(size),
            hint=advise("resize it with ", Option("resize", model.nominal), part),
        )
    if any(pixels < least for pixels, least in zip(size, model.smallest, strict=True)):
        part = advise(", or leave out small ", Option("scales")) if offered("scales") else ""
        raise PictureError(
            source=name,
            expected=f"a picture of at least {_pixels(model.smallest)}, the smallest size that the net accepts",
            found=_pixels(size),
            hint=advise("enlarge it with ", Option("resize"), part),
        )


def _pixels(size: Size) -> str:
    return f"{show(size)} pixels"


def tiles_of(model: PictureNet, cells: Sequence[Cells], side: int | None = None, *, automatic: bool = True) -> Tiles:
    """Return how to cut the picture; CELLS are those of each map of the net. Tiles have at most SIDE pixels; if
    AUTOMATIC, they are as small as the memory needs. Raises EngineError if SIDE is given, and the net or SIDE does not
    allow it."""
    first = cells[0]
    cut = cut_of(model, cells, side, automatic=automatic)
    if cut.reach is None:
        single = in_one_piece(*((axis.size, axis.cells) for axis in (first.rows, first.columns)))
        return single._replace(why=cut.why)
    axes = zip((first.rows, first.columns), cut.reach, model.least, strict=True)
    rows, columns = (tuple(spans(axis, reach, cut.most, least)) for axis, reach, least in axes)
    return Tiles(rows, columns)


class Cutting(NamedTuple):
    """Whether a picture is cut: the maximum pixels of a tile along a side, and the REACH of its cells. Without a reach
    the picture stays in one piece; WHY is the reason if it is large."""

    most: int = 0
    reach: tuple[Reach, Reach] | None = None
    why: str | None = None


def cut_of(model: PictureNet, cells: Sequence[Cells], side: int | None, *, automatic: bool = True) -> Cutting:
    """Return whether and how the picture under CELLS is cut; arguments and errors are those of `tiles_of`."""
    first = cells[0]
    size = first.rows.size, first.columns.size
    needed = model.bytes_per_pixel * size[0] * size[1]
    if side is None and (not automatic or needed <= COMFORTABLE):
        return Cutting()
    reason, reach = obstacle_of(model, cells, size)
    if reach is None:
        if side is not None:
            raise EngineError(
                f"cannot be run in tiles: {reason}", source=model.source, hint=advise("leave ", Option("tile"), " out")
            )
        return Cutting(why=reason if needed > BUDGET else None)
    axes = list(zip((first.rows, first.columns), reach, model.least, strict=True))
    most = side or _side(model, max(_reached(reach) for _, reach, _ in axes))
    if side is not None and side < (least := max(longest(*each) for each in axes)):
        raise EngineError(
            f"expected at least {least} pixels, the window of one cell of the map", place=Option("tile", side)
        )
    if side is None and size[0] * size[1] <= most * most:
        return Cutting()
    return Cutting(most, reach)


def obstacle_of(
    model: PictureNet, cells: Sequence[Cells], size: Size
) -> tuple[str, None] | tuple[None, tuple[Reach, Reach]]:
    """Return why the maps with CELLS cannot be put together from tiles, or else what their cells need of a picture of
    SIZE."""
    if model.fixed is not None:
        return f"the net accepts only pictures of {_pixels(model.fixed)}", None
    found = next((reason for each in cells if (reason := obstacle(each.reasons)) is not None), None)
    if found is not None:
        return words(found), None
    if len(model.maps) < len(model.outputs):
        return f"some of the chosen blobs are not maps; choose a map with {option('blob')}", None
    reaches = [model.reach(output, size) for output in model.maps]
    if reaches[0] is None:
        return "its strides depend on the size of the picture", None
    if any((each, reach) != (cells[0], reaches[0]) for each, reach in zip(cells, reaches, strict=True)):
        return f"the cells of its maps are at different positions; choose one map with {option('blob')}", None
    return None, reaches[0]


def _reached(reach: Reach) -> int:
    """Return the number of pixels that contain the window of a cell at any position."""
    return reach.window + 2 * reach.align


def _side(model: PictureNet, reached: int) -> int:
    """Return the pixels along the side of a tile: a fast size, or a larger one within the budget, which has less
    overlap that is computed twice."""
    comfortable, most = (int((size / model.bytes_per_pixel) ** 0.5) for size in (COMFORTABLE, BUDGET))
    return max(comfortable, min(most, 4 * reached), 2 * reached, _FEWEST, *model.least)


def dense(
    model: PictureNet,
    picture: Picture,
    steps: Preprocessing,
    batches: Sequence[Batch],
    into: Mapping[str, Map],
    done: Callable[[], None],
    *,
    padded: Size | None = None,
) -> dict[str, Array]:
    """Run the net on PICTURE in BATCHES of tiles and write its maps, by the names of blobs, INTO maps. DONE is called
    after each batch. Return the outputs that are not maps; there are none if there are several tiles. If the picture is
    PADDED to a size, tiles are those of that size, and only the cells are written for which there is room."""
    import numpy as np

    def read(batch: Batch) -> NDArray[Any]:
        boxes = [Box(row.start, column.start, row.stop, column.stop) for row, column in batch]
        blobs = [_fed(picture, steps, box) for box in boxes]
        return np.stack(blobs) if len(blobs) > 1 else blobs[0][None]

    def take(batch: Batch, made: Mapping[str, Array]) -> None:
        for name, found in into.items():
            for item, tile in enumerate(batch):
                _take(model, size, name, made[name][item], tile, found, alone)
        done()

    size = padded or picture.size
    alone = len(batches) == len(batches[0]) == 1
    if alone:
        made = model.run(read(batches[0]))
        take(batches[0], made)
        return {name: array for name, array in made.items() if name not in into}
    turns: Turns[Batch, NDArray[Any], dict[str, Array]]
    turns = ahead(batches, read, lambda turn: model.run(turn.read.result()))
    with closing(turns):
        for turn in turns:
            take(turn.item, turn.result())
    return {}


def _fed(picture: Picture, steps: Preprocessing, box: Box) -> NDArray[Any]:
    """Return the input of the net for BOX of PICTURE after STEPS, C×h×w; it is 0 outside of the picture."""
    import numpy as np

    inside = Box(*(min(edge, end) for edge, end in zip(box, picture.size * 2, strict=True)))
    if inside == box:
        return steps.blob(picture.read(box), box, frame_of(picture))
    high, wide = inside.bottom - inside.top, inside.right - inside.left
    if not high or not wide:
        channels = picture.read(Box(0, 0, 1, 1)).shape[2]
        return np.zeros((channels, box.bottom - box.top, box.right - box.left), np.float32)
    found = steps.blob(picture.read(inside), inside, frame_of(picture))
    return np.pad(found, ((0, 0), (0, box.bottom - box.top - high), (0, box.right - box.left - wide)))


def _take(model: PictureNet, size: Size, name: str, made: Array, tile: Tile, into: Map, alone: bool) -> None:
    """Write the needed part of MADE, the map NAME of a TILE of a picture of SIZE, INTO the whole map; all of it if the
    tile is ALONE. Cells that the whole map does not have, because the picture is padded there, are left out."""
    row, column = tile
    entire = alone and row.step == column.step == 1
    output = next(each for each in model.maps if each.name == name)
    expected = model.cells(output, (row.size, column.size)).shape if entire else (row.cells, column.cells)
    block = made if entire else made[:, row.taken, column.taken]
    if block.shape[1:] != expected:
        raise EngineError(
            f"{name!r} has {show(made.shape[1:])} cells on {_pixels(size)}, not {show(expected)} as was inferred",
            source=model.source,
            hint="this is a defect of caffe-fcn, please report it with the prototxt",
        )
    room = zip(into.shape[1:], (row.first, column.first), (row.step, column.step), strict=True)
    high, wide = (max(0, -((first - cells) // step)) for cells, first, step in room)
    if high and wide:
        into.write(row.first, column.first, block[:, :high, :wide], (row.step, column.step))
