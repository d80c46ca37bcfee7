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
"""Caffe refuses blobs of more axes."""


@dataclass(frozen=True)
class Shapes:
    """The shape of every blob, those of the parameter blobs by Node.index, and what had to be assumed.

    `params` has () for a layer without parameters and lacks a layer whose parameters cannot be known.
    """

    blobs: dict[Blob, Shape | Unknown]
    params: dict[int, tuple[Shape, ...]]
    notes: tuple[str, ...]


def infer_shapes(
    graph: Graph,
    *,
    given: Mapping[str, Shape] = MappingProxyType({}),
) -> Shapes:
    """The shapes of all blobs and parameter blobs of GRAPH, as Caffe's layers would set them up.

    GIVEN overrides the shape of a blob by name, before layers work on it in place. From the blobs that GRAPH is known
    to hold come the channels, and where possible the size, of images that a data layer does not describe, and which of
    the forks' layers one is. Raises ShapeError where Caffe would refuse the net.
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
    """Add to SHAPES what NODE makes and holds; the notes that this gives."""
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
    """The shapes of the parameter blobs of NODE over BOTTOMS, of several layouts the one that GRAPH is known to hold;
    None where they cannot be known."""
    row = row_of(node.type)
    if row.params is no_params and row.layouts is None:
        return ()
    if row.params is None or any(isinstance(bottom, Unknown) for bottom in bottoms):
        return None
    layouts = layouts_of(node.layer, bottoms)
    return (matching(layouts, graph.held.get(node.name, ())) or layouts)[0]


def layouts_of(layer: schema.Message, bottoms: Bottoms) -> Sequence[Sequence[Shape]]:
    """The layouts that the parameter blobs of LAYER may have, the likeliest first; none where they cannot be known."""
    row = row_of(layer.type)
    if row.layouts is not None:
        return row.layouts(layer, bottoms)
    return () if row.params is None else (row.params(layer, bottoms),)


def _tops(node: Node, row: LayerType, bottoms: list[Shape | Unknown], given: Mapping[str, Shape]) -> list[Top]:
    """What ROW says of each top of NODE, or what is GIVEN in its place."""
    _need_number("bottoms", len(bottoms), "take", row.bottoms)
    _need_number("tops", len(node.tops), "make", row.tops)
    # What is given for a name is the shape it begins with; layers that work in place on it have rules of their own.
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
    """Raise ShapeError unless a layer has as many bottoms or tops as the LIMITS of its type allow."""
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
    """TOP as it is kept: checked if a shape, with its origin if it is missing."""
    if isinstance(top, Unknown):
        return top
    if isinstance(top, Missing):
        return Unknown(top.kind, node.name, blob.name, top.reason)
    return _checked(f'its top "{printable(blob.name)}"', top)


def _checked(what: str, shape: PartialShape) -> Shape:
    """SHAPE, if a blob of Caffe can have it."""
    full: Shape = tuple(-1 if extent is None else int(extent) for extent in shape)
    if any(extent < 0 for extent in full):
        raise ShapeError(f"{what} would have the shape {show(shape)}", hint="no extent can be negative")
    if len(full) > MAX_AXES:
        raise ShapeError(f"{what} would have {len(full)} axes, more than the {MAX_AXES} that a blob of Caffe can have")
    largest = max((*full, *accumulate(full, mul)), default=0)  # Caffe counts from the front, a 0 behind saves nothing
    if largest > MAX_COUNT:
        raise TooLargeError(
            f"{what} would have the shape {show(full)}: {largest:,} elements, more than the {MAX_COUNT:,} "
            "that a blob of Caffe can have"
        )
    return full
