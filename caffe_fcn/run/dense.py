"""A net run on a picture: the scores of a classifier, or a dense map, whole or tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.errors import EngineError, PictureError
from caffe_fcn.net.geometry import words
from caffe_fcn.net.shapes import show
from caffe_fcn.run.cells import Cells
from caffe_fcn.run.images import Box, Picture
from caffe_fcn.run.maps import Map
from caffe_fcn.run.means import whole
from caffe_fcn.run.model import Model, Size
from caffe_fcn.run.preprocessing import Preprocessing
from caffe_fcn.run.tiling import Reach, Span, longest, obstacle, spans

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

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]
    why: str | None = None

    @property
    def many(self) -> int:
        """How many tiles there are."""
        return len(self.rows) * len(self.columns)

    def pairs(self) -> Iterator[tuple[Span, Span]]:
        """The tiles, row by row."""
        return ((row, column) for row in self.rows for column in self.columns)


def scores(model: Model, picture: Picture, steps: Preprocessing) -> NDArray[Any]:
    """What a classifier makes of PICTURE, which is of a size that it takes: a value for each class."""
    import numpy as np

    high, wide = picture.size
    made = model.run(_blob(picture, Box(0, 0, high, wide), steps))
    values: NDArray[Any] = np.asarray(made).reshape(made.shape[1], -1)
    if values.shape[1] != 1:
        raise EngineError(f"{model.source}: expected a value for each class, found {show(made.shape)}")
    return values[:, 0]


def check_size(model: Model, name: str, size: Size) -> None:
    """Raise PictureError where the net does not take a picture of SIZE, which messages call NAME."""
    if model.fixed not in (None, size):
        raise PictureError(
            f"{name}: expected {_pixels(model.nominal)}, the only size that the net takes, found {_pixels(size)}; "
            f"bring it there with --resize {show(model.nominal).replace('×', 'x')}"
        )
    if any(pixels < least for pixels, least in zip(size, model.smallest, strict=True)):
        raise PictureError(
            f"{name}: expected a picture of at least {_pixels(model.smallest)}, the least that the net takes, "
            f"found {_pixels(size)}; make it larger with --resize, or leave out small --scales"
        )


def _pixels(size: Size) -> str:
    return f"{show(size)} pixels"


def tiles_of(model: Model, cells: Cells, side: int | None = None, *, automatic: bool = True) -> Tiles:
    """How to cut the picture under CELLS: into tiles of SIDE pixels at most, or where AUTOMATIC such that memory
    suffices, if need be. Raises EngineError where SIDE is asked for, and the net or SIDE does not allow it."""
    size = cells.rows.size, cells.columns.size
    single = Tiles((Span(0, size[0], 0, cells.rows.cells, 0),), (Span(0, size[1], 0, cells.columns.cells, 0),))
    needed = model.bytes_per_pixel * size[0] * size[1]
    if side is None and (not automatic or needed <= _COMFORTABLE):
        return single
    reach = model.reach(size)
    reason = obstacle_of(model, cells)
    if reason is not None or reach is None:
        why = reason or "its strides depend on the size of the picture"
        if side is not None:
            raise EngineError(f"{model.source}: cannot be run in tiles: {why}; leave --tile out")
        return single._replace(why=why) if needed > BUDGET else single
    axes = list(zip((cells.rows, cells.columns), reach, model.least, strict=True))
    most = side or _side(model, max(_reached(reach) for _, reach, _ in axes))
    if side is not None and side < (least := max(longest(*each) for each in axes)):
        raise EngineError(f"--tile {side}: expected at least {least} pixels, which one cell of the map needs")
    if side is None and size[0] * size[1] <= most * most:
        return single
    rows, columns = (tuple(spans(axis, reach, most, least)) for axis, reach, least in axes)
    return Tiles(rows, columns)


def obstacle_of(model: Model, cells: Cells) -> str | None:
    """Why the map under CELLS cannot be put together from tiles, or None if it can."""
    if model.fixed is not None:
        return f"the net takes pictures of {_pixels(model.fixed)} only"
    found = obstacle(cells.reasons)
    return None if found is None else words(found)


def _reached(reach: Reach) -> int:
    """Pixels in which a cell has its window wherever it lies."""
    return reach.needed.window + 2 * reach.align


def _side(model: Model, reached: int) -> int:
    """The pixels along the side of a tile: a comfortable size; or a larger one within the budget, of which less is
    seen by two tiles, which do that part of the work twice."""
    comfortable, most = (int((size / model.bytes_per_pixel) ** 0.5) for size in (_COMFORTABLE, BUDGET))
    return max(comfortable, min(most, 4 * reached), 2 * reached, _FEWEST, *model.least)


def dense(
    model: Model, picture: Picture, steps: Preprocessing, tiles: Tiles, into: Map, done: Callable[[], None]
) -> None:
    """Write INTO the map of PICTURE, cut into TILES, each of which is told by DONE."""
    for row, column in tiles.pairs():
        box = Box(row.start, column.start, row.stop, column.stop)
        made = model.run(_blob(picture, box, steps))[0]
        high, wide = row.end - row.first, column.end - column.first
        block = made[:, row.skip : row.skip + high, column.skip : column.skip + wide]
        if block.shape[1:] != (high, wide) or (tiles.many == 1 and made.shape[1:] != (high, wide)):
            raise EngineError(
                f"{model.source}: {model.blob.name!r} has {show(made.shape[1:])} cells on {_pixels(picture.size)}, "
                f"not {high}×{wide} as was inferred; this is a defect of caffe-fcn, please report it with the prototxt"
            )
        into.write(row.first, column.first, block)
        done()


def _blob(picture: Picture, box: Box, steps: Preprocessing) -> NDArray[Any]:
    return steps.blob(picture.read(box), box, whole(picture.size))[None]
