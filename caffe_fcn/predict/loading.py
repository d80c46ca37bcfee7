"""Loads a net for pictures into an engine, and finds out what its outputs are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

from caffe_fcn.engines.expected import counted
from caffe_fcn.engines.nets import Size, one_net_for
from caffe_fcn.engines.protocol import Engine, Session, ShapedNet
from caffe_fcn.errors import EngineError, LoweringError, ShapeError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.geometry import Exactness, Geometry, infer_geometry
from caffe_fcn.net.graph import Blob, Graph
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.shapes import Shape, show
from caffe_fcn.net.source import SourceNet
from caffe_fcn.onnx.finite import check_finite
from caffe_fcn.onnx.scope import Scope, choose_scope
from caffe_fcn.predict.outputs import NetOutput, are_probabilities, holds
from caffe_fcn.predict.picture_net import LARGER, PictureNet


def load_picture_net(
    source: SourceNet,
    weights: WeightFile,
    engine: Engine,
    *,
    blobs: Sequence[str] = (),
    selection: Selection = ANY_NET,
    like: Callable[[int], Size | None] | None = None,
    column_major: bool = False,
) -> PictureNet:
    """Load the net SOURCE with its WEIGHTS for pictures, with its outputs, or BLOBS. If it does not define its size,
    the size of pictures is LIKE, as in `one_net_for`. COLUMN_MAJOR: pictures are transposed for the net.

    Layers that are only for training are left out, as in `choose_scope`. Raises EngineError if the net takes no
    pictures; LoweringError for a blob that no layer makes; WeightsError if weights are NaN or infinite; the errors of
    ENGINE for a net that it cannot run.
    """
    found = one_net_for(source, weights, selection, blobs, _transposed(like) if column_major else like)
    whole = found.net
    check_finite(found.weights, whole.graph)
    scope = choose_scope(*whole, blobs)
    session = engine.load(whole, found.weights, outputs=blobs)
    net = ShapedNet(scope.graph, scope.shapes)
    feed, fed = _feed(net, session)
    model = PictureNet(net, session, feed, fed, (), found.notes, column_major)
    counts = counted(net.graph)
    geometry = infer_geometry(net.graph, net.shapes)
    own = scope if not blobs else _own_outputs(whole) or scope
    everything = _with_measures(whole.graph, own.graph, net.graph)
    made = []
    for blob in scope.outputs:
        shape = net.shapes.blobs[blob]
        if not isinstance(shape, tuple):
            raise EngineError(f"the shape of {blob.name!r} is unknown: {shape}", source=net.graph.source)
        if 0 in shape:
            raise EngineError(f"{blob.name!r} is empty, {show(shape)}", source=net.graph.source)
        place = None if blob in counts else _map_of(model, blob, shape, geometry.get(blob))
        kind = holds(everything, own.outputs, blob, shape, place is not None)
        if column_major and place is not None:
            place, shape = Geometry(place.axes[::-1]), (*shape[:2], *shape[:1:-1])
        made.append(NetOutput(blob, shape, kind, place, blob in counts, are_probabilities(everything, blob)))
    return replace(model, outputs=tuple(made))


def _transposed(like: Callable[[int], Size | None] | None) -> Callable[[int], Size | None] | None:
    """Return LIKE for the transposed picture."""
    if like is None:
        return None

    def turned(channels: int) -> Size | None:
        size = like(channels)
        return None if size is None else (size[1], size[0])

    return turned


def _own_outputs(whole: ShapedNet) -> Scope | None:
    """Return the part of the net WHOLE that its own outputs need; None if it has no outputs."""
    try:
        return choose_scope(*whole)
    except LoweringError:
        return None


def _with_measures(whole: Graph, *used: Graph) -> Graph:
    """Return the part of the net WHOLE with the layers of USED, and the layers of the whole net that read their
    blobs."""
    nodes = {(node.index, node.tops): node for graph in (whole, *used) for node in graph.nodes}
    return whole.made_of(nodes.values())


def _map_of(model: PictureNet, blob: Blob, shape: Shape, found: Geometry | None) -> Geometry | None:
    """Return the geometry of BLOB as a map, of which FOUND is known; None if it is not a map, but one answer for the
    picture."""
    if found is None or len(shape) != len(model.fed):
        return None
    if found.exactness is not Exactness.NOWHERE or prod(shape[2:]) != 1:
        return found
    try:
        larger = model.shapes((model.nominal[0] + LARGER, model.nominal[1] + LARGER)).blobs[blob]
    except ShapeError:
        return None
    return found if isinstance(larger, tuple) and prod(larger[2:]) != 1 else None


def _feed(net: ShapedNet, session: Session) -> tuple[str, Shape]:
    """Return the only input of the net, and its shape. Raises EngineError if it is not a picture."""
    source = net.graph.source
    if len(session.inputs) != 1:
        found = ", ".join(map(repr, session.inputs)) or "none"
        raise EngineError(source=source, expected="a net with one input, the picture", found=f"the inputs {found}")
    name = next(iter(session.inputs))
    shape = net.shapes.blobs[Blob(name, 0)]
    if not isinstance(shape, tuple) or len(shape) != 4:
        found = show(shape) if isinstance(shape, tuple) else "another shape"
        raise EngineError(source=source, expected=f"pictures, N×C×H×W, as input {name!r}", found=found)
    return name, shape
