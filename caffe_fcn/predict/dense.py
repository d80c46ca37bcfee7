"""A net run on a picture: the scores of a classifier, or a dense map, whole or tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

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
from caffe_fcn.predict.tiling import Reach, TileSpan, longest, obstacle, spans
from caffe_fcn.wording import Option, advise, option

if TYPE_CHECKING:
    from numpy.typing import NDArray

BUDGET = 256 << 20
"""The most bytes that the largest layer of a tile may read and make, if windows are not too large for that."""

_COMFORTABLE = 64 << 20
"""So many bytes of the largest layer are soon computed, and as quickly as more at once."""

_FEWEST = 64
"""No tile is cut smaller for want of memory."""


class Tiles(NamedTuple):
    """How a picture is cut: ROWS and COLUMNS of tiles; WHY says, for one in one piece that is large, why."""

    rows: tuple[TileSpan, ...]
    columns: tuple[TileSpan, ...]
    why: str | None = None

    @property
    def many(self) -> int:
        """How many tiles there are."""
        return len(self.rows) * len(self.columns)

    def pairs(self) -> Iterator[tuple[TileSpan, TileSpan]]:
        """The tiles, row by row."""
        return ((row, column) for row in self.rows for column in self.columns)


WHOLE = Tiles((TileSpan(0, 0, 0, 0, 0),), (TileSpan(0, 0, 0, 0, 0),))
"""A picture in one piece, of which there is no map."""


def check_size(model: PictureNet, name: str, size: Size) -> None:
    """Raise PictureError where the net does not take a picture of SIZE, which messages call NAME."""
    if model.fixed not in (None, size):
        if model.fits(size):
            way = Option("input_shape", {model.feed: (*model.fed[:2], *size)})
            raise PictureError(
                f"the net is loaded for pictures of {_pixels(model.nominal)}, found {_pixels(size)}; the "
                "weights are the same for this size",
                source=name,
                expected=_pixels(model.nominal),
                found=_pixels(size),
                hint=advise("load the net for it with ", way),
            )
        larger = all(found >= wanted for found, wanted in zip(size, model.nominal, strict=True))
        part = advise(", or crop it with ", Option("crop", "center")) if larger else ""
        raise PictureError(
            source=name,
            expected=f"{_pixels(model.nominal)}, the only size that the net accepts",
            found=_pixels(size),
            hint=advise("resize it with ", Option("resize", model.nominal), part),
        )
    if any(pixels < least for pixels, least in zip(size, model.smallest, strict=True)):
        raise PictureError(
            source=name,
            expected=f"a picture of at least {_pixels(model.smallest)}, the smallest size that the net accepts",
            found=_pixels(size),
            hint=advise("enlarge it with ", Option("resize"), ", or leave out small ", Option("scales")),
        )


def _pixels(size: Size) -> str:
    return f"{show(size)} pixels"


def tiles_of(model: PictureNet, cells: Sequence[Cells], side: int | None = None, *, automatic: bool = True) -> Tiles:
    """How to cut the picture under CELLS, those of each map of the net: into tiles of SIDE pixels at most, or where
    AUTOMATIC such that memory suffices, if need be. Raises EngineError where SIDE is asked for, and the net or SIDE
    does not allow it."""
    first = cells[0]
    size = first.rows.size, first.columns.size
    single = Tiles((TileSpan(0, size[0], 0, first.rows.cells, 0),), (TileSpan(0, size[1], 0, first.columns.cells, 0),))
    needed = model.bytes_per_pixel * size[0] * size[1]
    if side is None and (not automatic or needed <= _COMFORTABLE):
        return single
    reason, reach = obstacle_of(model, cells, size)
    if reach is None:
        if side is not None:
            raise EngineError(
                f"cannot be run in tiles: {reason}", source=model.source, hint=advise("leave ", Option("tile"), " out")
            )
        return single._replace(why=reason) if needed > BUDGET else single
    axes = list(zip((first.rows, first.columns), reach, model.least, strict=True))
    most = side or _side(model, max(_reached(reach) for _, reach, _ in axes))
    if side is not None and side < (least := max(longest(*each) for each in axes)):
        raise EngineError(
            f"expected at least {least} pixels, the window of one cell of the map", place=Option("tile", side)
        )
    if side is None and size[0] * size[1] <= most * most:
        return single
    rows, columns = (tuple(spans(axis, reach, most, least)) for axis, reach, least in axes)
    return Tiles(rows, columns)


def obstacle_of(
    model: PictureNet, cells: Sequence[Cells], size: Size
) -> tuple[str, None] | tuple[None, tuple[Reach, Reach]]:
    """Why the maps under CELLS cannot be put together from tiles, or else what their cells need of a picture of
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
    """Pixels in which a cell has its window wherever it lies."""
    return reach.window + 2 * reach.align


def _side(model: PictureNet, reached: int) -> int:
    """The pixels along the side of a tile: a comfortable size; or a larger one within the budget, of which less is
    seen by two tiles, which do that part of the work twice."""
    comfortable, most = (int((size / model.bytes_per_pixel) ** 0.5) for size in (_COMFORTABLE, BUDGET))
    return max(comfortable, min(most, 4 * reached), 2 * reached, _FEWEST, *model.least)


def dense(
    model: PictureNet,
    picture: Picture,
    steps: Preprocessing,
    tiles: Tiles,
    into: Mapping[str, Map],
    done: Callable[[], None],
) -> dict[str, Array]:
    """Write INTO its maps, by the names of blobs, what the net makes of PICTURE, cut into TILES, each of which is told
    by DONE. Returns the outputs that are no maps, of which there are none where there are several tiles."""

    def read(tile: tuple[TileSpan, TileSpan]) -> NDArray[Any]:
        row, column = tile
        box = Box(row.start, column.start, row.stop, column.stop) if into else Box(0, 0, *picture.size)
        return steps.blob(picture.read(box), box, frame_of(picture))[None]

    if tiles.many == 1:
        made = model.run(read(next(tiles.pairs())))
        for name, found in into.items():
            _take(model, picture, name, made[name][0], None, found)
        done()
        return {name: array for name, array in made.items() if name not in into}
    turns: Turns[tuple[TileSpan, TileSpan], NDArray[Any], dict[str, Array]]
    turns = ahead(tiles.pairs(), read, lambda turn: model.run(turn.read.result()))
    with closing(turns):
        for turn in turns:
            made = turn.result()
            for name, found in into.items():
                _take(model, picture, name, made[name][0], turn.item, found)
            done()
    return {}


def _take(
    model: PictureNet, picture: Picture, name: str, made: Array, tile: tuple[TileSpan, TileSpan] | None, into: Map
) -> None:
    """Write INTO the map called NAME the part of MADE that is wanted of a TILE; all of it where that is None."""
    first, block, expected = (0, 0), made, into.shape[1:]
    if tile is not None:
        row, column = tile
        first, expected = (row.first, column.first), (row.end - row.first, column.end - column.first)
        block = made[:, row.skip : row.skip + expected[0], column.skip : column.skip + expected[1]]
    if block.shape[1:] != expected:
        raise EngineError(
            f"{name!r} has {show(made.shape[1:])} cells on {_pixels(picture.size)}, not "
            f"{show(expected)} as was inferred",
            source=model.source,
            hint="this is a defect of caffe-fcn, please report it with the prototxt",
        )
    into.write(*first, block)
