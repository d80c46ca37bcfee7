"""The sizes of maps along one axis of the image, for every size of the image from one pixel to infinity.

The rules of the layers say the size of a map for one size of the image. Behind a first Convolution that pads by p, all
sizes depend on the padded image only, n + 2p pixels: one table of them serves every p. Layers are asked once for each
size of their bottoms, so that a table takes as long as a few inferences of all shapes.

The table ends, and yet says all. A window slides over x cells with floor((x - k)/s) + 1 results, or with ceil; where
the bottom has s cells more, it has one result more, if only a window fits at all. A map of stride S on the image so has
D/S cells more when the image has D pixels more, D being a multiple of all strides. Sizes only grow with the image, so
that what fits at one size fits at all above. From the first size on that the net takes, one period D of the image is
held against the next one, map by map: where each has D/S cells more, every layer is in its regular range, and by
induction over the layers all later periods repeat. Where it has not, since Caffe cuts C++ divisions towards zero and
so makes a result of a window that does not fit, the next period is tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from math import lcm

from caffe_fcn.errors import ShapeError, SurgeryError
from caffe_fcn.net.geometry.coordinates import Places
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.moves import keep
from caffe_fcn.net.shapes import Shape, Shapes, Unknown, infer_shapes, parameters_of, show
from caffe_fcn.net.sizes import other_parameters

_MOST_PIXELS, _MOST_STEPS = 1 << 14, 1 << 24
"""Tables are made for nets that take some image below this size, and no more than so many layers are asked, times the
sizes that are tried; but _FEWEST_PIXELS are."""
_FEWEST_PIXELS = 1 << 10
_MOST_PERIOD = 1 << 12
_TRIES = 8
"""So many periods are looked at from the first size on that the net takes."""

Row = tuple[int, ...]
"""The sizes of the maps that are asked for."""


@dataclass(frozen=True)
class SizeTable:
    """The sizes of some maps along one axis, for padded images of 1, 2, ... pixels."""

    rows: tuple[Row | None, ...]
    """For each size from 1 on; None where the net does not take it. From START on they are a period."""
    start: int
    growth: Row
    """How many cells each of the maps has more in the next period."""
    least: int
    """The first size that the net takes."""

    @property
    def period(self) -> int:
        """The number of pixels after which the sizes repeat, apart from their growth."""
        return len(self.rows) + 1 - self.start

    def at(self, pixels: int) -> Row | None:
        """The sizes for a padded image of so many PIXELS; None where the net does not take it."""
        times = max(0, (pixels - self.start) // self.period)
        row = self.rows[pixels - times * self.period - 1]
        return None if row is None else tuple(size + times * more for size, more in zip(row, self.growth, strict=True))


@dataclass(frozen=True, kw_only=True)
class Sized:
    """What sizes are asked of: the NODES that the MAPS need, on which blobs have nominal SHAPES, over the IMAGE.
    STRIDES are those of their maps, by blob, along each axis, of those that have a place on the image."""

    graph: Graph
    nodes: tuple[Node, ...]
    shapes: Shapes
    image: Blob
    maps: tuple[Blob, ...]
    places: Mapping[Blob, Places]

    def extents(self, axis: int) -> SizeTable:
        """The sizes along AXIS, 0 for the height. Raises SurgeryError for a net whose sizes are unknown."""
        return _Table(self, axis).made()

    def refuse_one_size(self) -> None:
        """Raise SurgeryError where parameters have the size of a map, which padding and other images change."""
        shape = nominal(self.shapes, self.image)
        more = min(lcm(*self.strides(0).values(), *self.strides(1).values()), _MOST_PERIOD)
        larger = (*shape[:2], *(size + more for size in shape[2:]))
        try:
            other = infer_shapes(self.graph, given={self.image.name: larger})
        except ShapeError:
            return  # the tables say which sizes the net takes
        found = other_parameters(self.graph, self.shapes, other)
        if found is not None:
            raise SurgeryError(
                f"layer {found.node.name!r} ({found.node.type}) has parameters for each place of its map, "
                f"{show(found.held)}, so the net takes images of one size only, and no other padding",
                layer=found.node.name,
                layer_type=found.node.type,
            )

    @property
    def square(self) -> bool:
        """Whether all maps and windows are the same along both axes, so that one table serves both."""
        return all(map(self._is_square, self.nodes))

    def _is_square(self, node: Node) -> bool:
        shapes = [shape for blob in node.tops if isinstance(shape := self.shapes.blobs[blob], tuple)]
        if any(len(set(shape[2:])) > 1 for shape in shapes):
            return False
        row = row_of(node.type)
        bottom = self.shapes.blobs[node.bottoms[0]] if node.bottoms else None
        if row.windows is None or not isinstance(bottom, tuple):
            return row.moves is keep or row.in_its_place or row.joins or not node.bottoms
        return all(len(set(values)) == 1 for values in row.windows(node.layer, bottom))

    def strides(self, axis: int) -> dict[Blob, int]:
        """After how many pixels a blob has a whole number of cells more, along AXIS."""
        found = ((blob, self.places[blob].get(self.image)) for node in self.nodes for blob in node.tops)
        return {blob: places[0][axis].stride.numerator for blob, places in found if places}


class _Table:
    """The sizes of all maps along one axis, as they become known."""

    def __init__(self, sized: Sized, axis: int) -> None:
        self.sized, self.axis = sized, axis + 2
        self.period = lcm(*sized.strides(axis).values())
        self.asked: dict[int, dict[tuple[Shape, ...], Sequence[Shape] | None]] = {n.index: {} for n in sized.nodes}
        self.rows: list[dict[Blob, int] | None] = []

    def made(self) -> SizeTable:
        if self.period > _MOST_PERIOD:
            raise SurgeryError(f"the sizes of the maps repeat only after {self.period:,} pixels of the image")
        most = max(_FEWEST_PIXELS, min(_MOST_PIXELS, _MOST_STEPS // len(self.sized.nodes)))
        least = next((size for size in range(1, most) if self.row(size) is not None), None)
        if least is None:
            raise SurgeryError(f"the net takes no image of less than {most:,} pixels along an axis")
        for start in range(least, least + _TRIES * self.period, self.period):
            if self.repeats(start):
                return self.from_start(start, least)
        raise SurgeryError("the sizes of the maps do not grow evenly with the image")

    def from_start(self, start: int, least: int) -> SizeTable:
        maps = self.sized.maps
        rows = [self.row(size) for size in range(1, start + self.period)]
        made = [None if row is None else tuple(row[blob] for blob in maps) for row in rows]
        growth = tuple(self.growth(start)[blob] for blob in maps)
        return SizeTable(tuple(made), start, growth, least)

    def growth(self, start: int) -> dict[Blob, int]:
        """By how many cells each map grows in the period that begins at START."""
        first = next(size for size in count(start) if self.row(size) is not None)
        before, after = self.row(first) or {}, self.row(first + self.period) or {}
        return {blob: after.get(blob, 0) - size for blob, size in before.items()}

    def repeats(self, start: int) -> bool:
        """Whether the period that begins at START is a regular one."""
        sizes = range(start, start + self.period)
        if not any(self.row(size) for size in sizes):
            return False
        growth, places = self.growth(start), self.sized.places
        for blob, more in growth.items():
            there = places[blob].get(self.sized.image)
            if more and there and more * there[0][self.axis - 2].stride != self.period:
                return False
        return all(self._alike(size, growth) for size in sizes)

    def _alike(self, size: int, growth: Mapping[Blob, int]) -> bool:
        """Whether the maps grow by GROWTH from this SIZE of the image to that a period later."""
        before, after = self.row(size), self.row(size + self.period)
        if before is None or after is None:
            return before is after
        return all(after[blob] - cells == growth[blob] for blob, cells in before.items())

    def row(self, pixels: int) -> dict[Blob, int] | None:
        """The sizes of all maps for an image of so many PIXELS; None where the net does not take it."""
        while len(self.rows) < pixels:
            self.rows.append(self.computed(len(self.rows) + 1))
        return self.rows[pixels - 1]

    def computed(self, pixels: int) -> dict[Blob, int] | None:
        sized, known = self.sized, dict[Blob, Shape]()
        for node in sized.nodes:
            bottoms = tuple(known[blob] for blob in node.bottoms)
            table = self.asked[node.index]
            if not node.bottoms:
                tops: Sequence[Shape] | None = [self.source(blob, pixels) for blob in node.tops]
            elif bottoms in table:
                tops = table[bottoms]
            else:
                tops = table[bottoms] = self.tops(node, bottoms)
            if tops is None:
                return None
            known.update(zip(node.tops, tops, strict=False))
        return {blob: shape[self.axis] for blob, shape in known.items() if len(shape) > self.axis}

    def source(self, blob: Blob, pixels: int) -> Shape:
        """The shape of BLOB, which comes into the net."""
        shape = nominal(self.sized.shapes, blob)
        return (*shape[: self.axis], pixels, *shape[self.axis + 1 :]) if blob == self.sized.image else shape

    def tops(self, node: Node, bottoms: tuple[Shape, ...]) -> Sequence[Shape] | None:
        """The sizes of the tops of NODE for BOTTOMS; None if they are impossible or empty."""
        rule = row_of(node.type).shape
        if rule is None:
            raise SurgeryError(
                f"the shapes of layer {node.name!r} ({node.type}) are not known for other sizes of the image",
                layer=node.name,
                layer_type=node.type,
            )
        try:
            tops = [tuple(int(extent or 0) for extent in top) for top in rule(node.layer, bottoms)]  # type: ignore[union-attr]
            fits = self.fits(node, bottoms)
        except ShapeError:
            return None
        return tops if fits and not any(0 in top for top in tops) else None

    def fits(self, node: Node, bottoms: tuple[Shape, ...]) -> bool:
        """Whether NODE has the same parameters over BOTTOMS as over those of the nominal size; those of a layer with
        windows depend on the channels alone."""
        expected = self.sized.shapes.params.get(node.index)
        if not expected or row_of(node.type).windows is not None:
            return True
        params = parameters_of(node, bottoms, self.sized.graph)
        return params is None or tuple(params) == tuple(expected)


def nominal(shapes: Shapes, blob: Blob) -> Shape:
    """The shape of BLOB at the nominal size. Raises SurgeryError where it is not known."""
    shape = shapes.blobs[blob]
    if isinstance(shape, Unknown):
        raise SurgeryError(f"the shape of the blob {blob.name!r} is not known: {shape.reason}")
    return shape
