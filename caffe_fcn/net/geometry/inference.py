"""Infers the geometry of every blob: where each cell of a map lies on the input, what it sees, and how exact that is.

Given the cells of a layer's bottom, its move (`net.layers`) says on which of them a cell of its top depends. The
reasons why a map is not exactly a sliding window over the image are collected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from caffe_fcn.net.exactness import Cause, Exactness, Reason, exactness_of
from caffe_fcn.net.geometry.phases import AxisGeometry, CellPhase, join, pixels, resample, slide, spread, widen
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.moves import Move, Resample, Site, Slide, Way
from caffe_fcn.net.shapes import Shape, Shapes, Unknown


@dataclass(frozen=True)
class Geometry:
    """The cells of a map along each of its spatial AXES, in pixels of the input."""

    axes: tuple[AxisGeometry, ...]

    @property
    def window(self) -> tuple[int | None, ...]:
        """The pixels that a cell sees along each axis, the largest of all phases; None for the whole input."""
        return tuple(axis.window for axis in self.axes)

    @property
    def stride(self) -> tuple[Fraction, ...]:
        """The distance from cell to cell."""
        return tuple(axis.stride for axis in self.axes)

    @property
    def offset(self) -> tuple[Fraction, ...]:
        """The place of the first cell; 0 is the middle of the first pixel."""
        return tuple(axis.offset for axis in self.axes)

    @property
    def step(self) -> tuple[int, ...]:
        """The shift of the input that shifts the map by whole cells: a multiple of the stride."""
        return tuple(axis.step for axis in self.axes)

    @property
    def phases(self) -> tuple[tuple[CellPhase, ...], ...]:
        """The phases of the cells along each axis; empty if all cells of the map are alike."""
        return tuple(axis.phases for axis in self.axes) if any(len(axis.phases) > 1 for axis in self.axes) else ()

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why the map is not exactly a sliding window everywhere."""
        return tuple(dict.fromkeys(reason for axis in self.axes for reason in axis.reasons))

    @property
    def exactness(self) -> Exactness:
        """Where each cell is the same function of its window as the other cells of its phase."""
        return exactness_of(self.reasons)


def infer_geometry(graph: Graph, shapes: Shapes, *, in_place: bool = False) -> dict[Blob, Geometry | None]:
    """The geometry of every blob of GRAPH that is a map (N×C×spatial axes) over an input; None for the others.

    IN_PLACE: the window of each cell also includes the place of the cell, counted by the strides from the first and
    from the last pixel, and those of the cells on which it depends: the pixels that an input needs to make all of them.
    """
    known: dict[Blob, Geometry | None] = {}
    for node in graph.nodes:
        for position, blob in enumerate(node.tops):
            shape = shapes.blobs[blob]
            made = None if isinstance(shape, Unknown) else _geometry(graph, node, position, shapes, known, shape)
            if in_place and made is not None and not isinstance(shape, Unknown):
                sizes = zip(made.axes, shape[2:], strict=True)
                made = Geometry(tuple(widen(axis, cells) for axis, cells in sizes))
            known[blob] = made
    return known


def ends_of_maps(graph: Graph, geometry: Mapping[Blob, Geometry | None], blob: Blob) -> list[Node]:
    """The layers before BLOB in GRAPH whose bottoms are maps and whose tops are not. GEOMETRY: that of all blobs."""
    found: dict[int, Node] = {}
    seen: set[Blob] = set()
    queue = [blob]
    while queue:
        top = queue.pop()
        if top in seen or geometry.get(top) is not None:
            continue
        seen.add(top)
        node = graph.producer[top]
        if any(geometry.get(bottom) is not None for bottom in node.bottoms):
            found[id(node)] = node
        queue.extend(node.bottoms)
    return list(found.values())


def _geometry(
    graph: Graph, node: Node, position: int, shapes: Shapes, known: Mapping[Blob, Geometry | None], top: Shape
) -> Geometry | None:
    if len(top) < 3:
        return None
    if not node.bottoms:
        return None if row_of(node.type).constant else Geometry(tuple(map(pixels, top[2:])))
    maps = maps_of(node, position, shapes, known, top)
    ways = ways_of(graph, node, maps, shapes, top, position)
    if ways is None:
        return None
    row = row_of(node.type)
    if row.joins:
        others = [blob for blob in row.maps(node.bottoms, position) if blob not in maps]
        ways = _with_others(graph, node, ways, others, shapes, top)
    axes = []
    for place, way in enumerate(ways):
        joined = join([geometry.axes[place] for geometry in maps.values()])
        axis = joined and _moved(joined, way)
        if axis is None:
            return None
        axes.append(axis)
    return Geometry(tuple(axes))


def ways_of(
    graph: Graph, node: Node, maps: Iterable[Blob], shapes: Shapes, top: Shape, position: int = 0
) -> tuple[Way, ...] | None:
    """What NODE does along each axis to make its TOP, at POSITION, from MAPS; None if the top is no map."""
    moves, bottom = row_of(node.type).moves, next((shapes.blobs[blob] for blob in maps), None)
    return moves(Site(node, graph, bottom, top, position)) if moves is not None and isinstance(bottom, tuple) else None


def maps_of(
    node: Node, position: int, shapes: Shapes, known: Mapping[Blob, Geometry | None], top: Shape
) -> dict[Blob, Geometry]:
    """The bottoms that are maps and on which the cells of the top at POSITION depend."""
    row, found = row_of(node.type), {}
    for blob in row.maps(node.bottoms, position):
        geometry, shape = known[blob], shapes.blobs[blob]
        fits = isinstance(shape, tuple) and len(shape) == len(top) and (not row.joins or shape[2:] == top[2:])
        if geometry is not None and fits:
            found[blob] = geometry
    return found


def _with_others(
    graph: Graph, node: Node, ways: tuple[Way, ...], others: Sequence[Blob], shapes: Shapes, top: Shape
) -> tuple[Way, ...]:
    """WAYS of a join that also has OTHERS, bottoms that are no maps: constants, or values that may depend on all
    pixels."""
    for blob in others:
        if not row_of(graph.producer[blob].type).constant:
            reason = Reason(Cause.OTHER_INPUT, node.name, blob=blob.name, whole=True)
            ways = tuple(way._replace(reasons=(*way.reasons, reason)) for way in ways)
            continue
        reason = Reason(Cause.BY_PLACE, node.name)
        bound = set(_bound_axes(node, shapes.blobs[blob], top))
        ways = tuple(
            way._replace(reasons=(*way.reasons, reason)) if place + 2 in bound else way
            for place, way in enumerate(ways)
        )
    return ways


def _bound_axes(node: Node, shape: Shape | Unknown, top: Shape) -> Iterator[int]:
    """The axes of TOP along which a constant of SHAPE varies."""
    if isinstance(shape, Unknown):
        return
    axis = row_of(node.type).operand_axis
    start = 0 if axis is None or not shape or len(shape) == len(top) else axis(node.layer) % len(top)
    yield from (start + place for place, extent in enumerate(shape) if extent > 1)


def is_idle(node: Node, blobs: Mapping[Blob, Shape | Unknown]) -> bool:
    """Whether NODE moves no value of its bottom, by the shapes of BLOBS; false if these are unknown.

    A Permute of axes of 1 does move values, because on a larger input these axes are longer.
    """
    if not len(node.bottoms) == len(node.tops) == 1:
        return False
    bottom, top = blobs.get(node.bottoms[0]), blobs.get(node.tops[0])
    return isinstance(bottom, tuple) and bottom == top and row_of(node.type).idle(node.layer)


def _moved(axis: AxisGeometry, way: Way) -> AxisGeometry | None:
    """The cells of AXIS after a layer with WAY."""
    move: Move = way.move
    if isinstance(move, Slide):
        return slide(axis, move).with_reasons(way.reasons)
    if isinstance(move, Resample):
        made = resample(axis, move.factor)
        return made and made.with_reasons(way.reasons)
    made = spread(axis, move, way.border)
    return made and made.with_reasons(way.reasons)
