"""Lowers a net to ONNX: calls the registered function for the type of each layer.

Names of blobs are kept. With in-place layers, the last version of a blob has its name, as in Caffe after a run, and
earlier versions have a suffix; but an input keeps the name by which it is fed. All layers that cannot be lowered are
reported together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from caffe_fcn.display import printable
from caffe_fcn.errors import LoweringError, ShapeError, located
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.model.filling import refuse_lacking
from caffe_fcn.net import crops
from caffe_fcn.net.foreign import refusal
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shapes, Unknown, show
from caffe_fcn.onnx.finite import no_number
from caffe_fcn.onnx.graph import Builder, Dims, OnnxGraph, Value, unique
from caffe_fcn.onnx.layers import find_lowering
from caffe_fcn.onnx.parameters import Parameters
from caffe_fcn.onnx.registry import FixedSizeError, LoweringSite, RefusalError
from caffe_fcn.onnx.scope import Scope, choose_scope
from caffe_fcn.onnx.sizes import Extents, InputAxis, batch_of, extents_with, known_shapes, mixed_items, possible_axes
from caffe_fcn.wording import Option, advise, offered

_REASONS = {
    "Filter": "the number of items that it passes on is known only when it runs",
    "Python": "its function is in Python code",
}
"""The reasons why types have no lowering, if there is a special one."""


@dataclass(frozen=True)
class Lowered:
    """A net in ONNX: the GRAPH, and the SCOPE of the net.

    FREE: the axes that may have any length. FIXED: why others may not. LEFT_OUT: the layers that inference does not
    need.
    """

    graph: OnnxGraph
    scope: Scope
    free: tuple[InputAxis, ...]
    fixed: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def inputs(self) -> dict[str, Value]:
        """The inputs, by Caffe's name."""
        return {blob.name: value for blob, value in zip(self.scope.inputs, self.graph.inputs, strict=True)}

    @property
    def outputs(self) -> dict[str, Value]:
        """The outputs, by Caffe's name."""
        return {blob.name: value for blob, value in zip(self.scope.outputs, self.graph.outputs, strict=True)}


def lower(
    graph: Graph,
    shapes: Shapes,
    weights: WeightFile,
    *,
    outputs: Sequence[str] = (),
    fixed: bool = False,
    expand_lrn: bool = False,
    separate: bool = False,
) -> Lowered:
    """Lower GRAPH, of the nominal SHAPES, to ONNX, with the parameter blobs in WEIGHTS.

    OUTPUTS names the output blobs; ALL means every blob, and an empty list the net's own outputs. With FIXED, all sizes
    are the nominal ones; with EXPAND_LRN, ONNX's operator LRN is not used. With SEPARATE, the batch is free only if
    every output that depends on it has one axis for its items: a net with a Reshape to one item also accepts a larger
    batch, and makes one item of it. Raises LoweringError, which names every layer that cannot be lowered, or that has
    fields of unknown effect; ShapeError if the net does not define the shape of an input; WeightsError if WEIGHTS
    belong to another net.
    """
    scope = choose_scope(graph, shapes, outputs)
    if reason := no_number(scope.graph):
        raise LoweringError(reason, source=graph.source)
    params = scope.shapes.params
    refuse_lacking(weights, [(node, params.get(node.index, ())) for node in scope.graph.nodes if node.index >= 0])
    walk = _LoweringWalk(scope, Parameters(weights), expand_lrn, separate)
    nominal = walk.run(Extents(dict(known_shapes(scope.shapes.blobs, scope.graph.producer)), {}, {}), ())
    if reason := refusal(scope.graph) or crops.refusal(scope.graph, scope.shapes):
        raise LoweringError(reason, source=graph.source)
    free, made, reasons = ((), nominal, ()) if fixed else _with_free_axes(walk, nominal)
    return Lowered(made, scope, free, reasons, scope.left_out)


def _with_free_axes(
    walk: _LoweringWalk, nominal: OnnxGraph
) -> tuple[tuple[InputAxis, ...], OnnxGraph, tuple[str, ...]]:
    """Return as many possible axes as the net allows to be free, the graph with these (the NOMINAL one if there are
    none), and why other axes are not free."""
    possible = possible_axes(walk.scope)
    made = walk.attempt(possible) if possible else nominal
    if isinstance(made, OnnxGraph):
        return tuple(possible), made, ()
    free: list[InputAxis] = []
    reasons = []
    best = nominal
    for axis in possible:
        made = walk.attempt([*free, axis])
        if isinstance(made, OnnxGraph):
            free, best = [*free, axis], made
        else:
            reasons.append(f"{axis.name} is fixed: {made}")
    return tuple(free), best, tuple(reasons)


class _SizeError(Exception):
    """A layer of the net cannot be lowered with the axes that should be free."""


def _check_shapes(scope: Scope) -> None:
    """Raise ShapeError if the shape of a blob is unknown, or the blob is empty."""
    for node in scope.graph.nodes:
        fed = [blob for blob in node.tops if blob in scope.inputs]
        for blob in fed or node.tops:  # of the inputs, only those that are read
            shape = scope.shapes.blobs[blob]
            source, place = scope.graph.source, f'blob "{blob.name}"'
            with located(source=source, layer=node.name, layer_type=node.type, index=node.index, place=place):
                if isinstance(shape, Unknown):
                    way = advise("give it with ", Option("input_shape"))
                    raise ShapeError(f"its shape is unknown: {shape.reason}", hint=way)
                if 0 in shape:
                    way = advise("give another input size")
                    raise ShapeError(f"it has the shape {show(shape)} and no values", hint=way)


def _refusals(refused: Mapping[int, str], nodes: Sequence[Node]) -> Iterator[str]:
    """Return a layer of each type that is REFUSED for one reason, and the number of others."""
    alike: dict[tuple[str, str], list[str]] = {}
    for place, reason in refused.items():
        alike.setdefault((nodes[place].type, reason), []).append(nodes[place].name)
    for (kind, reason), names in alike.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f'"{printable(names[0])}" ({printable(kind)}){more}{f": {reason}" if reason else ""}'


def _error(scope: Scope, refused: Mapping[int, str], nodes: Sequence[Node]) -> LoweringError:
    """Return the error that the layers in REFUSED of SCOPE cannot be lowered; REFUSED has the reasons by position in
    NODES."""
    many = "a layer is" if len(refused) == 1 else f"{len(refused)} layers are"
    way = advise("cut the net there")
    if offered("blob"):
        way = advise("ask for blobs before them (", Option("blob"), ") or ", way)
    first = nodes[next(iter(refused))]
    error = LoweringError(
        f"{many} not supported by the ONNX exporter, which the default engine uses too: "
        f"{'; '.join(_refusals(refused, nodes))}",
        source=scope.graph.source,
        layer=first.name,
        layer_type=first.type,
        index=first.index,
        hint=way,
    )
    types = frozenset(nodes[place].type for place in refused)
    error.lacking = frozenset() if any(map(find_lowering, types)) else types
    return error


class _LoweringWalk:
    """Lowers the layers of a scope, once for each choice of free axes."""

    def __init__(self, scope: Scope, parameters: Parameters, expand_lrn: bool, separate: bool) -> None:
        self.scope = scope
        self.parameters = parameters
        self.expand_lrn = expand_lrn
        self.separate = separate
        self.fed = frozenset(scope.inputs)
        self.names = _value_names(scope, _same_values(scope.graph))

    def attempt(self, free: Sequence[InputAxis]) -> OnnxGraph | str:
        """Return the graph in which the axes in FREE may have any length, or the reason why they may not."""
        extents = extents_with(self.scope, free)
        if isinstance(extents, str):
            return extents
        if self.separate and (reason := mixed_items(self.scope, free, extents)):
            return reason
        try:
            return self.run(extents, free)
        except _SizeError as error:
            return str(error)

    def run(self, extents: Extents, free: Sequence[InputAxis]) -> OnnxGraph:
        """Return the graph for blobs of these EXTENTS. Raises LoweringError; _SizeError if FREE axes are not
        possible."""
        build = Builder(self.names.values())
        refused: dict[int, str] = {}
        nodes, dims = self.scope.graph.nodes, extents.dims
        for place, node in enumerate(nodes):
            if any(blob in self.fed for blob in node.tops):
                continue
            build.enter(node.name)
            try:
                self._lower(build, node, dims)
            except RefusalError as error:
                refused[place] = str(error)
            except FixedSizeError as error:
                raise _SizeError(f'layer "{node.name}" ({node.type}): {error}') from error
        if refused:
            raise _error(self.scope, refused, nodes)
        _check_shapes(self.scope)
        scope, names = self.scope, self.names
        inputs = tuple(Value(names[blob], _input_dims(scope, blob, dims[blob], free)) for blob in scope.inputs)
        outputs = tuple(Value(names[blob], _output_dims(blob, extents, free)) for blob in scope.outputs)
        return OnnxGraph(scope.graph.source, tuple(build.nodes), tuple(build.constants), inputs, outputs)

    def _lower(self, build: Builder, node: Node, dims: Mapping[Blob, Dims]) -> None:
        """Add the lowering of NODE; its values have the names of its tops. Add nothing if shapes are unknown."""
        lowered = find_lowering(node.type)
        if lowered is None:
            sequence = row_of(node.type).sequence
            raise RefusalError("recurrent layers are not supported" if sequence else _REASONS.get(node.type, ""))
        if any(blob not in dims for blob in (*node.bottoms, *node.tops)):
            return
        blobs = self.scope.shapes.blobs
        params = self.scope.shapes.params.get(node.index, ()) if node.index >= 0 else ()
        site = LoweringSite(
            node=node,
            build=build,
            inputs=tuple(self.names[blob] for blob in node.bottoms),
            bottoms=tuple(dims[blob] for blob in node.bottoms),
            tops=tuple(dims[blob] for blob in node.tops),
            nominal=tuple(shape for each in node.bottoms if isinstance(shape := blobs[each], tuple)),
            params=params,
            tensor=lambda position: self.parameters.tensor(node, position),
            read=lambda position: self.parameters.read(node, position),
            expand_lrn=self.expand_lrn,
        )
        made = lowered(site)
        values = [made] if isinstance(made, str) else made
        named = zip(values, map(self.names.__getitem__, node.tops), strict=True)
        build.give((value, name) for value, name in named if value != name)


def _same_values(graph: Graph) -> dict[Blob, Blob]:
    """Return each blob that a layer made in place without changing it, with the blob that has the same values."""
    same: dict[Blob, Blob] = {}
    for node in graph.nodes:
        for top, bottom in zip(node.tops, node.bottoms, strict=False):
            if row_of(node.type).unchanging(node.layer) and top.name == bottom.name:
                same[top] = same.get(bottom, bottom)
    return same


def _value_names(scope: Scope, same: Mapping[Blob, Blob]) -> dict[Blob, str]:
    """Return the name of the value of each blob; blobs in SAME share a name."""
    blobs = list(scope.graph.producer)
    versions: dict[str, list[Blob]] = {}
    for blob in blobs:
        versions.setdefault(blob.name, []).append(blob)
    taken = dict.fromkeys(versions, 1)
    names: dict[Blob, str] = {}
    for name, made in versions.items():
        first, last = made[0], made[-1]
        plain = first if first in scope.inputs else same.get(last, last)
        names[plain] = name or unique("unnamed", taken)
        for blob in made:
            origin = same.get(blob, blob)
            if origin not in names:
                names[origin] = unique(f"{name}_v{origin.version}", taken)
            names[blob] = names[origin]
    return names


def _input_dims(scope: Scope, blob: Blob, dims: Dims, free: Sequence[InputAxis]) -> tuple[int | str | None, ...]:
    """Return DIMS of the input BLOB, with the axes in FREE by name: one name for axes that are equally long in the
    file."""
    shapes = scope.shapes.blobs
    named: list[int | str | None] = list(dims)
    for axis in free:
        places = dict(axis.axes)
        if blob not in places:
            continue
        first, place = axis.axes[0]
        nominal, wanted = shapes[blob], shapes[first]
        alike = isinstance(nominal, tuple) and isinstance(wanted, tuple) and nominal[places[blob]] == wanted[place]
        named[places[blob]] = axis.name if alike else f"{blob.name}_{axis.name}"
    return tuple(named)


def _output_dims(blob: Blob, extents: Extents, free: Sequence[InputAxis]) -> tuple[int | str | None, ...]:
    """Return the extents of the output BLOB; the axis of the items has the name of the batch in FREE."""
    named: list[int | str | None] = list(extents.dims[blob])
    batch = batch_of(free)
    if batch is not None and blob in extents.items:
        named[extents.items[blob]] = batch.name
    return tuple(named)
