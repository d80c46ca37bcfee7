"""Finds objections of Caffe to the layers of a net whose shapes are all valid.

Objections of one layer type are in its rule. The others are the same for all types and are here: numbers of
`loss_weight`, `propagate_down` and `param`, layers that cannot work in place, fillers, blobs with several uses, and
shared parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from caffe_fcn import schema
from caffe_fcn.display import printable
from caffe_fcn.errors import ShapeError
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.fillers import objections_to
from caffe_fcn.net.layers.shape import Shape, Unknown, count, show
from caffe_fcn.net.objections import Objection, Severity
from caffe_fcn.net.shapes.inference import Shapes

_PERMISSIVE = 1
"""ParamSpec.DimCheckMode.PERMISSIVE."""


def objections(graph: Graph, shapes: Shapes) -> tuple[Objection, ...]:
    """Return the objections of Caffe to the layers of GRAPH with the inferred SHAPES, in file order."""
    found = []
    for node in graph.nodes:
        found += [Objection(severity, node.index, _of(node, what)) for severity, what in _of_node(node, shapes)]
    return (*found, *_shared_in_place(graph), *_sharing(graph, shapes))


def refusals_since(
    before: tuple[Graph, Shapes], after: tuple[Graph, Shapes], origins: Sequence[int | None] | None = None
) -> list[Objection]:
    """Return the errors in the net AFTER whose layers had none in the net BEFORE. ORIGINS are the indices of the layers
    in BEFORE, if these differ."""
    errors = [[each for each in objections(*net) if each.severity is Severity.ERROR] for net in (before, after)]
    known = {each.layer for each in errors[0]}
    origin = {} if origins is None else dict(enumerate(origins))
    return [each for each in errors[1] if origin.get(each.layer, each.layer) not in known]


def refuse_empty(graph: Graph, shapes: Shapes) -> None:
    """Raise ShapeError for the first blob of GRAPH without values, because no engine can compute it."""
    for node in graph.nodes:
        for blob in (*node.bottoms, *node.tops):
            shape = shapes.blobs[blob]
            if isinstance(shape, tuple) and 0 in shape:
                what = f"{printable(blob.name)!r} has the shape {show(shape)} and no values"
                error = ShapeError(what, source=graph.source, hint="give another input size")
                error.locate(layer=node.name, layer_type=node.type, index=node.index)
                raise error


def _of(node: Node, what: str) -> str:
    return f'layer "{printable(node.name)}" ({printable(node.type)}): {what}'


def _of_node(node: Node, shapes: Shapes) -> Iterator[tuple[Severity, str]]:
    bottoms = [shapes.blobs[blob] for blob in node.bottoms]
    row = row_of(node.type)
    params = shapes.params.get(node.index)
    yield from _counts(node, params)
    yield from _empty(node, bottoms, shapes)
    yield from _fillers(node, params or ())
    if row.partial or not any(isinstance(bottom, Unknown) for bottom in bottoms):
        try:
            yield from row.objections(node.layer, bottoms)
        except ShapeError as error:
            yield Severity.ERROR, str(error)


def _counts(node: Node, params: Sequence[Shape] | None) -> Iterator[tuple[Severity, str]]:
    """Check fields that are given once for each top, bottom or parameter blob, and layers that work in place."""
    layer = node.layer
    if layer.propagate_down and len(layer.propagate_down) != len(layer.bottom):
        found = f"{len(layer.propagate_down)} for {len(layer.bottom)} bottoms"
        yield Severity.ERROR, f"expected one propagate_down for each bottom or none, found {found}"
    tops = max(len(layer.top), "Loss" in node.type)  # Caffe adds a top to a loss that has none
    if layer.loss_weight and len(layer.loss_weight) != tops:
        found = f"{len(layer.loss_weight)} for {tops} tops"
        yield Severity.ERROR, f"expected one loss_weight for each top or none, found {found}"
    if params is not None and len(layer.param) > len(params) and row_of(node.type).bvlc:
        found = f"{len(layer.param)} for {len(params)} blobs"
        yield Severity.BVLC, f"BVLC Caffe takes at most one param for each parameter blob, found {found}"
    if layer.top[:1] == layer.bottom[:1] and not row_of(node.type).in_place(layer):
        yield Severity.ERROR, "it cannot work in place in Caffe; give its top and its bottom different names"


def _fillers(node: Node, params: Sequence[Shape]) -> Iterator[tuple[Severity, str]]:
    """Return the objections of Caffe to the fillers of NODE, whose parameter blobs have the shapes PARAMS."""
    row, seen = row_of(node.type), set[str]()
    for path, shape in zip(row.fillers(node.layer, params) if row.bvlc else (), params, strict=False):
        if path not in seen:
            seen.add(path)
            param, _, name = path.partition(".")
            yield from objections_to(getattr(getattr(node.layer, param), name), path, shape)


def _empty(node: Node, bottoms: Sequence[Shape | Unknown], shapes: Shapes) -> Iterator[tuple[Severity, str]]:
    """Return the objections to tops without values: Caffe builds them, but cannot run them."""
    if any(isinstance(bottom, tuple) and 0 in bottom for bottom in bottoms):
        return
    for blob in node.tops:
        shape = shapes.blobs[blob]
        if isinstance(shape, tuple) and 0 in shape:
            yield Severity.INFORMATION, f'its top "{printable(blob.name)}" has no values ({show(shape)})'


# ---- Layers in place ----


def _shared_in_place(graph: Graph) -> Iterator[Objection]:
    """Return objections to layers that work in place on a blob with another use. Caffe adds a Split, which gives each
    use of such a blob a new name, so the layer would make a blob that exists already."""
    for node in graph.nodes:
        for place, top in enumerate(node.tops):
            use = _other_use(graph, node, node.bottoms[place]) if top.version else None
            if use is not None:
                what = f'it works in place on the blob "{printable(top.name)}", which {use}; give its top another name'
                yield Objection(Severity.ERROR, node.index, _of(node, what))


def _other_use(graph: Graph, node: Node, blob: Blob) -> str | None:
    """Return another user of BLOB, a bottom of NODE: another reader, or a `loss_weight` of the blob itself."""
    for reader in graph.consumers[blob]:
        if reader is not node:
            return f'layer "{printable(reader.name)}" reads too'
    maker = graph.producer[blob]
    if any(weight for top, weight in zip(maker.tops, maker.layer.loss_weight, strict=False) if top == blob):
        return f'has a loss_weight in layer "{printable(maker.name)}"'
    return "it reads twice" if node.bottoms.count(blob) > 1 else None


# ---- Shared parameters ----


class _Owner(NamedTuple):
    """The first layer with a parameter of one name, and the settings of its sharers so far."""

    node: Node
    shape: Shape | None
    rates: dict[str, float]


def _sharing(graph: Graph, shapes: Shapes) -> Iterator[Objection]:
    """Return objections to parameters with one name that differ in shape or rates."""
    owners: dict[str, _Owner] = {}
    for node in graph.nodes:
        blobs = shapes.params.get(node.index)
        for position, spec in enumerate(node.layer.param):
            shape = blobs[position] if blobs is not None and position < len(blobs) else None
            if not spec.name:
                continue
            owner = owners.setdefault(spec.name, _Owner(node, shape, {}))
            what = f'shares the parameter "{printable(spec.name)}" with layer "{printable(owner.node.name)}"'
            for problem in chain(_other_shape(owner.shape, shape, spec), _other_rates(owner.rates, spec)):
                yield Objection(Severity.ERROR, node.index, _of(node, f"it {what}, {problem}"))


def _other_shape(first: Shape | None, second: Shape | None, spec: schema.Message) -> Iterator[str]:
    if first is None or second is None or first == second:
        return
    if spec.share_mode != _PERMISSIVE:
        yield f"which has {show(first)}, but needs {show(second)}"
    elif count(first) != count(second):
        yield f"which has {count(first)} values ({show(first)}), but needs {count(second)} ({show(second)})"


def _other_rates(said: dict[str, float], spec: schema.Message) -> Iterator[str]:
    for field in ("lr_mult", "decay_mult"):
        if spec.HasField(field):
            value = getattr(spec, field)
            if said.setdefault(field, value) != value:
                yield f"which has {field} {said[field]:g}, but its own is {value:g}; remove one of the two"
