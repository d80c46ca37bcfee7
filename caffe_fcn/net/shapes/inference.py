"""Infers the shapes of a net: walks the graph in file order and applies the rule of each layer.

A shape that cannot be inferred is a value, `Unknown`. It passes from the layer where it arises to everything that
depends on it, so a caller can name the cause and the next step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import mul
from types import MappingProxyType

from caffe_fcn import schema
from caffe_fcn.display import printable
from caffe_fcn.errors import ShapeError
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import LayerType, row_of
from caffe_fcn.net.layers.row import Limits, no_params
from caffe_fcn.net.layers.shape import (
    MAX_COUNT,
    Bottoms,
    Missing,
    PartialShape,
    Shape,
    TooLargeError,
    Top,
    Unknown,
    matching,
    show,
)
from caffe_fcn.net.shapes.completion import Search, complete

MAX_AXES = 32
"""The maximum number of axes of a blob in Caffe."""


@dataclass(frozen=True)
class Shapes:
    """The shape of every blob, the shapes of the parameter blobs by Node.index, and notes on assumptions.

    In `params`, a layer without parameters has (), and a layer with unknown parameters is missing.
    """

    blobs: dict[Blob, Shape | Unknown]
    params: dict[int, tuple[Shape, ...]]
    notes: tuple[str, ...]


def infer_shapes(
    graph: Graph,
    *,
    given: Mapping[str, Shape] = MappingProxyType({}),
) -> Shapes:
    """Return the shapes of all blobs and parameter blobs of GRAPH, as Caffe's layers would set them up.

    GIVEN overrides the shape of a blob by name, before layers work on it in place. The shapes in the weights of GRAPH,
    if known, give the channels, and if possible the size, of images that a data layer does not define. They also decide
    which fork's version of a layer type it is. Raises ShapeError if Caffe would refuse the net.
    """
    search = Search(graph, given, infer_shapes)
    shapes = Shapes({}, {}, ())
    for node in graph.nodes:
        try:
            notes = _infer_node(node, shapes, search)
        except ShapeError as error:
            error.locate(source=graph.source, layer=node.name, layer_type=node.type, index=node.index)
            raise
        shapes = replace(shapes, notes=shapes.notes + notes) if notes else shapes
    return shapes


def _infer_node(node: Node, shapes: Shapes, search: Search) -> tuple[str, ...]:
    """Add the shapes of the tops and parameters of NODE to SHAPES. Return notes."""
    bottoms = [shapes.blobs[blob] for blob in node.bottoms]
    row = row_of(node.type)
    notes: tuple[str, ...] = ()
    for blob, partial in zip(node.tops, _tops(node, row, bottoms, search.given), strict=True):
        top = partial
        if isinstance(partial, tuple) and None in partial:
            top, more = complete(search, node, blob, partial)
            notes += more
        shapes.blobs[blob] = _settled(node, blob, top)
    made = parameters_of(node, bottoms, search.graph)
    if made is not None:
        shapes.params[node.index] = tuple(_checked("a parameter blob", shape) for shape in made)
    return notes


def parameters_of(node: Node, bottoms: Sequence[Shape | Unknown], graph: Graph) -> Sequence[Shape] | None:
    """Return the shapes of the parameter blobs of NODE over BOTTOMS; None if they are unknown. If there are several
    layouts, the one in the weights of GRAPH is used."""
    row = row_of(node.type)
    if row.params is no_params and row.layouts is None:
        return ()
    if row.params is None or any(isinstance(bottom, Unknown) for bottom in bottoms):
        return None
    layouts = layouts_of(node.layer, bottoms)
    return (matching(layouts, graph.held.get(node.name, ())) or layouts)[0]


def layouts_of(layer: schema.Message, bottoms: Bottoms) -> Sequence[Sequence[Shape]]:
    """Return the possible layouts of the parameter blobs of LAYER, the most likely first; none if they are unknown."""
    row = row_of(layer.type)
    if row.layouts is not None:
        return row.layouts(layer, bottoms)
    return () if row.params is None else (row.params(layer, bottoms),)


def _tops(node: Node, row: LayerType, bottoms: list[Shape | Unknown], given: Mapping[str, Shape]) -> list[Top]:
    """Return the shape of each top of NODE by ROW, or the one in GIVEN."""
    _need_number("bottoms", len(bottoms), "take", row.bottoms)
    _need_number("tops", len(node.tops), "make", row.tops)
    # A shape in GIVEN is the first one of its name; layers that work in place on it have their own rules.
    overrides = [given.get(blob.name) if blob.version == 0 or not row.known else None for blob in node.tops]
    if node.tops and None not in overrides:
        return list(overrides)  # type: ignore[arg-type]
    tops = [*_by_rule(node, row, bottoms)]
    if len(tops) < len(node.tops):
        if row.bvlc:
            _need_number("tops", len(node.tops), "make", (len(tops), len(tops)))
        why = f'at most {len(tops)} tops of "{printable(node.type)}" are known'
        tops += [Missing("type", why)] * len(node.tops)
    return [top if override is None else override for top, override in zip(tops, overrides, strict=False)]


def _need_number(what: str, found: int, verb: str, limits: Limits) -> None:
    """Raise ShapeError unless the number of bottoms or tops of a layer is within the LIMITS of its type."""
    least, most = limits
    if found < least or (most is not None and found > most):
        wanted = f"{least}" if least == most else f"at least {least}" if most is None else f"{least} to {most}"
        raise ShapeError(
            f"it has {found} {what[: -1 if found == 1 else None]}, but layers of this type {verb} {wanted}"
        )


def _by_rule(node: Node, row: LayerType, bottoms: list[Shape | Unknown]) -> Sequence[Top]:
    if row.shape is None:
        return [_unknown_type(node)] * len(node.tops)
    cause = next((bottom for bottom in bottoms if isinstance(bottom, Unknown)), None)
    if cause is not None and not row.partial:
        return [cause] * len(node.tops)
    return row.shape(node.layer, bottoms)


def _unknown_type(node: Node) -> Missing:
    if node.bottoms:
        return Missing("type", f'unknown layer type "{printable(node.type)}"')
    return Missing("input", f'it is made by a layer of unknown type "{printable(node.type)}"')


def _settled(node: Node, blob: Blob, top: Top) -> Shape | Unknown:
    """Return TOP checked if it is a shape, or with its origin if it is missing."""
    if isinstance(top, Unknown):
        return top
    if isinstance(top, Missing):
        return Unknown(top.kind, node.name, blob.name, top.reason)
    return _checked(f'its top "{printable(blob.name)}"', top)


def _checked(what: str, shape: PartialShape) -> Shape:
    """Return SHAPE if a blob of Caffe can have it; else raise ShapeError."""
    full: Shape = tuple(-1 if extent is None else int(extent) for extent in shape)
    if any(extent < 0 for extent in full):
        raise ShapeError(f"{what} would have the shape {show(shape)}", hint="no extent can be negative")
    if len(full) > MAX_AXES:
        raise ShapeError(f"{what} would have {len(full)} axes, more than the {MAX_AXES} that a blob of Caffe can have")
    largest = max((*full, *accumulate(full, mul)), default=0)  # Caffe multiplies from the front: a last 0 is too late
    if largest > MAX_COUNT:
        raise TooLargeError(
            f"{what} would have the shape {show(full)}: {largest:,} elements, more than the {MAX_COUNT:,} "
            "that a blob of Caffe can have"
        )
    return full
