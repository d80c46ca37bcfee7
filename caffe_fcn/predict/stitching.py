"""Computes a map with more cells than the net gives: shift and stitch.

A map has a cell at every s-th pixel, its stride s. If the first d rows of the picture are removed, the cells are d
pixels further down. So the maps of s/N shifted pictures along each axis, put together cell by cell, have a cell at
every N-th pixel, at the cost of s/N · s/N runs. Each cell is the answer of the net for its window. If layers pad, a
shifted picture has its border inside the picture, and cells that see it differ, as cells at borders do.

A map may end in partial windows, which only some of the shifted pictures have. If these are the only reason why the map
is not exact, the pixels after the last whole window are left out. Then every cell is a function of its window only, and
pictures have two sizes along each axis, so that they can be run in batches. Otherwise cells are used up to the first
one that a shifted picture does not have. A picture is refused if cells of its own would be lost, because the net does
not accept a shifted one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import prod
from typing import NamedTuple

from caffe_fcn.engines.nets import Size
from caffe_fcn.errors import EngineError, ShapeError
from caffe_fcn.net.geometry import AxisGeometry, Cause, words
from caffe_fcn.net.geometry.phases import stitch
from caffe_fcn.predict.cells import CellAxis, Cells
from caffe_fcn.predict.dense import COMFORTABLE, Batch, Cutting, Tile, cut_of, obstacle_of
from caffe_fcn.predict.picture_net import PictureNet
from caffe_fcn.predict.tiling import TileSpan, obstacle, spans, whole_axis
from caffe_fcn.wording import Option, advise

_BY_SIZE = "its strides depend on the size of the picture"


class Stitched(NamedTuple):
    """The CELLS of the finer map, the same for each map of the net; the number of SHIFTS of the picture, the number of
    TILES of these, and the BATCHES in which they are run. WHY is the reason if a large picture is in one piece."""

    cells: Cells
    shifts: int
    tiles: int
    batches: tuple[Batch, ...]
    why: str | None


class _Shift(NamedTuple):
    """A shifted picture along one axis, from pixel START on. Its cells (none if it is too small) go to every STEP-th
    position of the finer map from PLACE on."""

    start: int
    axis: CellAxis
    place: int
    step: int


def stride_of(asked: Sequence[int]) -> Size:
    """Return the stride ASKED for, height and width. Raises EngineError for another number of axes."""
    down, *across = asked
    if len(across) != 1:
        raise EngineError("expected one number, or two, for height and width", place=Option("stride", asked))
    return down, across[0]


def check_stride(model: PictureNet, stride: Size) -> None:
    """Raise EngineError if the maps of MODEL cannot have STRIDE pixels from cell to cell along each axis, on any
    picture."""
    for output in model.maps:
        if output.geometry is None:
            continue
        reason = obstacle(output.geometry.reasons)
        if reason is not None:
            raise _refused(model, stride, f"a cell is not a function of its window, because {words(reason)}")
        found = output.geometry.stride
        if any(each % every or each.denominator != 1 for each, every in zip(found, stride, strict=True)):
            down, across = map(_divisors, found)
            shown = down if down == across else f"{down} down, {across} across"
            held = "×".join(f"{float(each):g}" for each in dict.fromkeys(found))
            told = f"expected a divisor of {held}, the stride of the map {output.name!r}: {shown}"
            raise EngineError(told, source=model.source, place=_option(stride))


def _divisors(stride: Fraction) -> str:
    if stride.denominator != 1:
        return "none, it is no whole number"
    return ", ".join(str(each) for each in range(1, int(stride) + 1) if stride % each == 0)


def _option(stride: Size) -> Option:
    return Option("stride", stride if stride[0] != stride[1] else stride[0])


def _refused(model: PictureNet, stride: Size, why: str) -> EngineError:
    told = f"cannot be run at every pixel of a finer stride: {why}"
    way = advise("leave ", Option("stride"), " out")
    return EngineError(told, source=model.source, place=_option(stride), hint=way)


def stitched(model: PictureNet, cells: Sequence[Cells], stride: Size, side: int | None) -> Stitched:
    """Return how to run MODEL on a picture for cells STRIDE pixels apart along each axis, in tiles of at most SIDE
    pixels. CELLS are those of each of its maps. Raises EngineError if that is impossible."""
    size = cells[0].rows.size, cells[0].columns.size
    why, _ = obstacle_of(model, cells, size)
    if why is not None:
        raise _refused(model, stride, why)
    cut = cut_of(model, cells, side)
    axes, spans_of = [], []
    for along, every in enumerate(stride):
        line = _Line(model, size, along, stride)
        shifts = line.shifts(every)
        spans_of.append([line.spans(shift, cut) for shift in shifts])
        sees = stitch([shift.axis.sees for shift in shifts], every)
        axes.append(CellAxis(size[along], sum(shift.axis.cells for shift in shifts), sees))
    down, across = spans_of
    tiles = [(row, column) for high in down for wide in across for row in high for column in wide]
    many = sum(map(bool, down)) * sum(map(bool, across))
    return Stitched(Cells(axes[0], axes[1]), many, len(tiles), tuple(_batches(model, tiles)), cut.why)


class _Line(NamedTuple):
    """One axis, ALONG, of a picture of SIZE for MODEL; messages name the STRIDE asked for."""

    model: PictureNet
    size: Size
    along: int
    stride: Size

    def _sized(self, pixels: int) -> Size:
        """Return the size of the picture with PIXELS along the axis."""
        return (pixels, self.size[1]) if self.along == 0 else (self.size[0], pixels)

    def _cells(self, pixels: int) -> CellAxis | None:
        """Return the cells on PIXELS pixels; None if these are too few. Raises EngineError."""
        if pixels < self.model.smallest[self.along]:
            return None
        try:
            found = {self.model.cells(output, self._sized(pixels))[self.along] for output in self.model.maps}
        except ShapeError as error:
            raise _refused(self.model, self.stride, error.within(self.model.source)) from error
        if len(found) > 1:
            raise _refused(self.model, self.stride, "its maps have different cells on shifted pictures")
        return found.pop()

    def _exact(self, axis: CellAxis) -> CellAxis:
        """Return AXIS without the pixels after the last whole window, if all its cells are exact then; else
        unchanged."""
        sees = axis.sees
        whole = axis.cells
        while whole and sees.last(whole - 1) >= axis.size:
            whole -= 1
        if not whole or any(reason.cause is not Cause.PARTIAL_WINDOW for reason in sees.reasons):
            return axis
        found = self._cells(sees.last(whole - 1) + 1)
        same = found is not None and found.cells == whole and _moves(found.sees) == _moves(sees)
        return found if same and found is not None and not found.sees.reasons else axis

    def shifts(self, every: int) -> list[_Shift]:
        """Return the shifted pictures, EVERY pixels apart. Raises EngineError."""
        pixels = self.size[self.along]
        first = self._cells(pixels)
        assert first is not None  # the picture was checked
        first = self._exact(first)
        step = int(first.stride / every)
        found = [first]
        for shift in range(1, step):
            cells = self._cells(pixels - shift * every)
            if cells is not None and _moves(cells.sees) != _moves(first.sees):
                raise _refused(self.model, self.stride, _BY_SIZE)
            found.append(CellAxis(0, 0, first.sees) if cells is None else self._exact(cells))
        end = min(each.cells * step + shift for shift, each in enumerate(found))
        if end <= (first.cells - 1) * step:  # cells of the picture itself would be lost
            raise self._too_small(self.model.smallest[self.along] + (step - 1) * every)
        taken = [each._replace(cells=-((shift - end) // step)) for shift, each in enumerate(found)]
        return [_Shift(shift * every, each, shift, step) for shift, each in enumerate(taken)]

    def _too_small(self, least: int) -> EngineError:
        """Return the error for a picture with less than LEAST pixels along the axis."""
        axis = ("height", "width")[self.along]
        told = f"expected at least {least} pixels along the {axis}, so that the net accepts all shifted pictures"
        way = advise("leave ", Option("stride"), " out, or pad the picture")
        found = f"{told}; found {self.size[self.along]}"
        return EngineError(found, source=self.model.source, place=_option(self.stride), hint=way)

    def spans(self, shift: _Shift, cut: Cutting) -> list[TileSpan]:
        """Return the tiles of the picture of SHIFT, in pixels of the whole picture. Raises EngineError."""
        axis = shift.axis
        if not axis.cells:
            return []
        if cut.reach is None:
            made = [whole_axis(axis.size, axis.cells)]
        else:
            reach = self.model.reach(self.model.maps[0], self._sized(axis.size))
            if reach is None:
                raise _refused(self.model, self.stride, _BY_SIZE)
            made = list(spans(axis, reach[self.along], cut.most, self.model.least[self.along]))
        return [span.shifted(shift.start, shift.place, shift.step) for span in made]


def _moves(axis: AxisGeometry) -> object:
    """Return the properties of AXIS that are the same in all shifted pictures."""
    return axis.step, [(phase.first, phase.last) for phase in axis.phases]


def _batches(model: PictureNet, tiles: Sequence[Tile]) -> Iterator[Batch]:
    """Group TILES of one size in batches; a batch has as many as are computed quickly together."""
    alike: dict[Size, list[Tile]] = {}
    for tile in tiles:
        alike.setdefault((tile[0].size, tile[1].size), []).append(tile)
    for size, found in alike.items():
        most = model.batch or max(1, int(COMFORTABLE / (model.bytes_per_pixel * prod(size))))
        yield from (tuple(found[first : first + most]) for first in range(0, len(found), most))
