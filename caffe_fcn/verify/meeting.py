"""A net and its weights, made ready to be compared with another net, and to be run."""

from __future__ import annotations

from collections.abc import Mapping

from caffe_fcn.engines.protocol import ShapedNet
from caffe_fcn.errors import LoweringError, ShapeError
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import NetAndWeights, meet
from caffe_fcn.net.graph import Graph
from caffe_fcn.net.options import Selection
from caffe_fcn.net.selection import known_to
from caffe_fcn.net.shapes import Shape, Shapes, show
from caffe_fcn.onnx.scope import Scope, choose_scope
from caffe_fcn.verify.outputs import Party
from caffe_fcn.verify.weights import Side, tensors_of
from caffe_fcn.wording import Option, advise


def met(
    files: NetAndWeights,
    selection: Selection,
    fed: Mapping[str, Mapping[str, Shape]] | None = None,
    *,
    lenient: bool = False,
) -> Model:
    """The model of FILES in each phase. FED are, by phase, the shapes of the inputs of the net that it is held against.
    Raises CaffeFcnError as `meet` does."""
    return meet(files.source, files.weights, known_to(files.source, selection), fed=fed, lenient=lenient)


def side_of_files(found: Model, files: NetAndWeights) -> Side:
    """FILES, of which the model was FOUND, for the proof of the weights."""
    weights = found.completed or files.weights
    return Side(weights, found.graphs, found.shapes, found.notes, tensors_of(weights))


def fed_to(side: Side, phase: str) -> dict[str, Shape]:
    """The shapes of what comes into the net in PHASE."""
    return _known(side.graphs[phase], side.shapes[phase])


def differing_inputs(original: Model, twin: Model) -> tuple[str, ...]:
    """What both nets take in the same phase under the same name, and with other channels or another size."""
    told = []
    for phase in original.graphs.keys() & twin.graphs.keys():
        ours, theirs = (_inputs(each, phase) for each in (original, twin))
        for name in ours.keys() & theirs.keys():
            if ours[name][1:] != theirs[name][1:]:
                expected, found = show(ours[name]), show(theirs[name])
                told.append(f"input {name!r}: expected {expected}, as in the original, found {found}")
    return tuple(dict.fromkeys(told))


def _inputs(model: Model, phase: str) -> dict[str, Shape]:
    """The shapes of what comes into MODEL in PHASE, by name."""
    return _known(model.graphs[phase], model.shapes[phase])


def _known(graph: Graph, shapes: Shapes) -> dict[str, Shape]:
    sources = [blob for node in graph.nodes if not node.bottoms for blob in node.tops]
    return {blob.name: shape for blob in sources if isinstance(shape := shapes.blobs[blob], tuple)}


def party_of(side: Side, phase: str) -> Party:
    """SIDE in PHASE as it is run. Raises LoweringError where nothing of it can be run, ShapeError where the shape of an
    input is unknown."""
    graph, shapes = side.graphs[phase], side.shapes[phase]
    scope = choose_scope(graph, shapes)
    fed: dict[str, Shape] = {}
    for blob in scope.inputs:
        shape = shapes.blobs[blob]
        if not isinstance(shape, tuple) or not shape:
            raise ShapeError(
                f"the shape of {blob.name!r} is unknown",
                source=graph.source,
                hint=advise("give it with ", Option("input_shape", {blob.name: "NCHW"})),
            )
        fed[blob.name] = shape
    return Party(ShapedNet(graph, shapes), side.weights, scope, fed)


def scope_of(side: Side, phase: str) -> Scope:
    """What the outputs of SIDE need in PHASE; all of it where nothing is left without losses and measures."""
    graph, shapes = side.graphs[phase], side.shapes[phase]
    try:
        return choose_scope(graph, shapes)
    except LoweringError:
        return Scope(graph, shapes, (), graph.outputs, ())
