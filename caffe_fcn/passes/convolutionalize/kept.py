"""Checks what a conversion must not change: the parameters of kept layers, and the outputs of the net.

The check does not use the reasons for a change. It compares the shapes inferred for the new net with those of the
original, so an error in the decisions cannot reach a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import NamedTuple, NoReturn

from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.changes import Decision
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.shapes import Shape, Shapes, Unknown, show
from caffe_fcn.passes.convolutionalize.changes import ToConvolution


class Original(NamedTuple):
    """The net before the conversion, in one phase, with its nominal shapes."""

    graph: Graph
    shapes: Shapes
    promised: Mapping[Blob, Shape]
    """The shapes that the decision promised, for blobs whose axes may change."""


class Twin(NamedTuple):
    """The converted net in one phase: its graph, the index of each of its layers in the original, and its nominal
    shapes."""

    graph: Graph
    origins: tuple[int | None, ...]
    shapes: Shapes

    def origin(self, node: Node) -> int | None:
        """The index of NODE in the original; -1 for the `input` fields of the net, None if NODE is new."""
        return self.origins[node.index] if node.index >= 0 else -1


def check_kept(original: Original, twin: Twin, decision: Decision) -> list[str]:
    """Raise SurgeryError, naming the layer, unless every layer of TWIN has the parameters and the number of values in
    its tops that it had in ORIGINAL, and TWIN has every output of ORIGINAL. Return a note on further outputs."""
    before = {node.index: node for node in original.graph.nodes}
    weights = {edit.index: edit.weight_shape for edit in decision.changes if isinstance(edit, ToConvolution)}
    for node in twin.graph.nodes:
        origin = twin.origin(node)
        if origin is None:
            continue
        old = before[origin]
        _check_parameters(old, original.shapes.params, node, twin.shapes.params, weights.get(old.index))
        for was, now in zip(old.tops, node.tops, strict=True):
            _check_blob(original, was, node, twin.shapes.blobs[now])
    return _check_outputs(original, twin, decision)


def _check_parameters(
    old: Node,
    before: Mapping[int, tuple[Shape, ...]],
    node: Node,
    after: Mapping[int, tuple[Shape, ...]],
    weights: Shape | None,
) -> None:
    """Raise SurgeryError where the parameter blobs differ. WEIGHTS: the new shape of the first one, if it changes."""
    if old.index not in before or node.index not in after:
        return
    expected, found = tuple(before[old.index]), tuple(after[node.index])
    if weights is not None:
        expected = (weights, *expected[1:])
    if expected != found:
        _defect(node, f"expected parameters {_all(expected)}, found {_all(found)}")


def _check_blob(original: Original, blob: Blob, maker: Node, found: Shape | Unknown) -> None:
    """Raise SurgeryError unless the shape FOUND for BLOB in the converted net has as many values and is expected."""
    shape = original.shapes.blobs[blob]
    if isinstance(shape, Unknown) or isinstance(found, Unknown):
        return
    if prod(found) != prod(shape) or found not in (shape, original.promised.get(blob)):
        _defect(maker, f"expected {show(shape)} for {blob.name!r}, found {show(found)}")


def _check_outputs(original: Original, twin: Twin, decision: Decision) -> list[str]:
    """Raise SurgeryError unless each output of the original is an output of the converted net, made by the same layer.
    Return a note on further outputs."""
    made = {(twin.origin(twin.graph.producer[blob]), blob.name): blob for blob in twin.graph.outputs}
    further = dict(made)
    for blob, (held, name) in outputs_after(original.graph, decision).items():
        maker = original.graph.producer[held]
        found = made.get((maker.index, name))
        if found is None:
            _defect(maker, f"its output {blob.name!r} is missing from the converted net")
        _check_blob(original, held, maker, twin.shapes.blobs[found])
        further.pop((maker.index, name), None)
    names = ", ".join(blob.name for blob in further.values())
    return [f"the converted net has further outputs, which only another phase reads: {names}"] if further else []


def outputs_after(graph: Graph, decision: Decision) -> dict[Blob, tuple[Blob, str]]:
    """For each output of GRAPH: the blob that holds it after DECISION, which differs if the layer that made the output
    is dropped, and the new name of that blob."""
    renamed = decision.new_tops
    dropped = {edit.index for edit in decision.changes if edit.drops}
    held: dict[Blob, tuple[Blob, str]] = {}
    for blob in graph.outputs:
        source = blob
        while graph.producer[source].index in dropped:
            source = graph.producer[source].bottoms[0]
        held[blob] = source, renamed.get(source.name, source.name)
    return held


def _all(shapes: tuple[Shape, ...]) -> str:
    return ", ".join(map(show, shapes)) or "none"


def _defect(node: Node, found: str) -> NoReturn:
    raise SurgeryError(
        f"layer {node.name!r} ({node.type}): {found}; this is a defect of caffe-fcn, please report it with the prototxt"
    )
