"""Computes the sizes of maps along one axis of the image, for every size of the image from one pixel to infinity.

The rules of the layers give the size of a map for one size of the image. After a first Convolution that pads by p, all
sizes depend only on the padded image, n + 2p pixels, so one table of them serves every p. Layers are evaluated once for
each size of their bottoms, so a table takes as long as a few inferences of all shapes.

The table is finite and yet covers all sizes. A window slides over x cells with floor((x - k)/s) + 1 results, or with
ceil. If the bottom has s more cells, there is one more result, provided that a window fits. So a map of stride S on the
image has D/S more cells if the image has D more pixels, where D is a multiple of all strides. Sizes only grow with the
image, so a window that fits at one size fits at all larger sizes. From the first size that the net accepts, one period
D of the image is compared with the next one, map by map. If each map has D/S more cells, every layer is in its regular
range, and by induction over the layers all later periods repeat. If not, the next period is tried: C++ division rounds
towards zero, so Caffe gives a result for a window that does not fit.
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
"""Tables are made for nets that accept some image below this size. The second number limits layers times sizes that are
tried; but at least _FEWEST_PIXELS sizes are tried."""
_FEWEST_PIXELS = 1 << 10
_MOST_PERIOD = 1 << 12
_TRIES = 8
"""The number of periods that are tried from the first size that the net accepts."""

Row = tuple[int, ...]
"""The sizes of the requested maps."""


@dataclass(frozen=True)
class SizeTable:
    """The sizes of some maps along one axis, for padded images of 1, 2, ... pixels."""

    rows: tuple[Row | None, ...]
    """For each size from 1 on; None if the net does not accept it. From START on they are a period."""
    start: int
    growth: Row
    """The number of cells by which each map grows in the next period."""
    least: int
    """The first size that the net accepts."""

    @property
    def period(self) -> int:
        """The number of pixels after which the sizes repeat, apart from their growth."""
        return len(self.rows) + 1 - self.start

    def at(self, pixels: int) -> Row | None:
        """Return the sizes for a padded image of PIXELS pixels; None if the net does not accept it."""
        times = max(0, (pixels - self.start) // self.period)
        row = self.rows[pixels - times * self.period - 1]
        return None if row is None else tuple(size + times * more for size, more in zip(row, self.growth, strict=True))


@dataclass(frozen=True, kw_only=True)
class Sized:
    """The data for a table: the NODES that the MAPS need, whose blobs have nominal SHAPES, over the IMAGE. STRIDES are
    those of their maps, by blob, along each axis, for maps that have a place on the image."""

    graph: Graph
    nodes: tuple[Node, ...]
    shapes: Shapes
    image: Blob
    maps: tuple[Blob, ...]
    places: Mapping[Blob, Places]

    def extents(self, axis: int) -> SizeTable:
        """Return the sizes along AXIS, 0 for the height. Raises SurgeryError for a net whose sizes are unknown."""
        return _Table(self, axis).made()

    def refuse_one_size(self) -> None:
        """Raise SurgeryError if parameters depend on the size of a map, which padding and other images change."""
        shape = nominal(self.shapes, self.image)
        more = min(lcm(*self.strides(0).values(), *self.strides(1).values()), _MOST_PERIOD)
        larger = (*shape[:2], *(size + more for size in shape[2:]))
        try:
            other = infer_shapes(self.graph, given={self.image.name: larger})
        except ShapeError:
            return  # the tables have the sizes that the net accepts
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
        """Return the number of pixels after which each blob has a whole number of additional cells, along AXIS."""
        found = ((blob, self.places[blob].get(self.image)) for node in self.nodes for blob in node.tops)
        return {blob: places[0][axis].stride.numerator for blob, places in found if places}


class _Table:
    """The sizes of all maps along one axis, computed when they are needed."""

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
        """Return by how many cells each map grows in the period that begins at START."""
        first = next(size for size in count(start) if self.row(size) is not None)
        before, after = self.row(first) or {}, self.row(first + self.period) or {}
        return {blob: after.get(blob, 0) - size for blob, size in before.items()}

    def repeats(self, start: int) -> bool:
        """Return whether the period that begins at START is a regular one."""
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
        """Return whether the maps grow by GROWTH from this SIZE of the image to that a period later."""
        before, after = self.row(size), self.row(size + self.period)
        if before is None or after is None:
            return before is after
        return all(after[blob] - cells == growth[blob] for blob, cells in before.items())

    def row(self, pixels: int) -> dict[Blob, int] | None:
        """Return the sizes of all maps for an image of PIXELS pixels; None if the net does not accept it."""
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
        """Return the shape of BLOB, an input of the net."""
        shape = nominal(self.sized.shapes, blob)
        return (*shape[: self.axis], pixels, *shape[self.axis + 1 :]) if blob == self.sized.image else shape

    def tops(self, node: Node, bottoms: tuple[Shape, ...]) -> Sequence[Shape] | None:
        """Return the sizes of the tops of NODE for BOTTOMS; None if they are impossible or empty."""
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
        """Return whether NODE has the same parameters over BOTTOMS as over those of the nominal size; those of a layer
        with windows depend on the channels only."""
        expected = self.sized.shapes.params.get(node.index)
        if not expected or row_of(node.type).windows is not None:
            return True
        params = parameters_of(node, bottoms, self.sized.graph)
        return params is None or tuple(params) == tuple(expected)


def nominal(shapes: Shapes, blob: Blob) -> Shape:
    """Return the shape of BLOB at the nominal size. Raises SurgeryError if it is unknown."""
    shape = shapes.blobs[blob]
    if isinstance(shape, Unknown):
        raise SurgeryError(f"the shape of the blob {blob.name!r} is not known: {shape.reason}")
    return shape
