"""The original of a folded twin, folded as well: what the layers and the weights of the twin are compared with. So is
that of a twin with InnerProducts that were cut at the joints of their columns.

Files do not say what was done to a net. That a twin was folded shows in what it lacks: layers that scale and shift;
that something was cut, in sums that the original has not. Then the pass decides on the original once more, and the twin
has to be what it makes, but for rounding. Its arithmetic is not taken on trust: the answers of the twin are compared
with those of the original itself.
"""

from __future__ import annotations

from caffe_fcn.errors import NetError, SurgeryError
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Result
from caffe_fcn.model.tensors import stored
from caffe_fcn.net.graph import Graph
from caffe_fcn.onnx.scope import Scope
from caffe_fcn.passes.alone import alone
from caffe_fcn.passes.cut import cut
from caffe_fcn.passes.fold import fold
from caffe_fcn.passes.fold.affine import AFFINE
from caffe_fcn.passes.splitting import find_splits, split_batch_norms
from caffe_fcn.verify.apart import alike, of_forks
from caffe_fcn.verify.identity import Stored, identify
from caffe_fcn.verify.outputs import Pairs, judged
from caffe_fcn.verify.weights import Side


def folded(model: Model, original: Side, twin: Side) -> Side | None:
    """MODEL, which is ORIGINAL, folded or cut; None where TWIN does not lack what folds nor has more sums, or where
    nothing of MODEL folds or is cut."""
    made = _fold(model, original, twin)
    new = model if made is None else made.model
    phases = new.graphs.keys() & twin.graphs.keys()
    if any(_sums(new.graphs[phase]) < _sums(twin.graphs[phase]) for phase in phases):
        made = cut(new)
        made = made if made.changes or new is not model else None
    if made is None or model.weights is None:
        return None
    filled = {
        supply.node.name: tuple(stored(model.weights.source, blob) for blob in supply.blobs)
        for supply in model.supplies
        if supply.lack is None
    }
    return original._replace(
        graphs=made.model.graphs, shapes=made.model.shapes, tensors={**filled, **made.model.tensors}
    )


def _fold(model: Model, original: Side, twin: Side) -> Result | None:
    """MODEL, which is ORIGINAL, folded; None where TWIN does not lack what folds, or where nothing of it folds."""
    if not lacks_layers(original, twin):
        return None
    try:
        made = _folded(model, twin)
    except (NetError, SurgeryError):
        return None
    return made if made is not None and made.decision.of_kind("into") else None


def _sums(graph: Graph) -> int:
    """How many layers of GRAPH join blobs value by value."""
    return sum(node.type == "Eltwise" for node in graph.nodes)


def lacks_layers(original: Side, twin: Side) -> bool:
    """Whether TWIN has fewer layers that may scale and shift than ORIGINAL."""
    apart, other = alike(original, twin)
    phases = apart.graphs.keys() & other.graphs.keys()
    return any(_many(apart.graphs[phase]) > _many(other.graphs[phase]) for phase in phases)


def _many(graph: Graph) -> int:
    """How many layers of GRAPH may scale and shift."""
    return sum(node.type in AFFINE for node in graph.nodes)


def _folded(model: Model, twin: Side) -> Result | None:
    """MODEL folded, the BatchNorm layers of forks taken apart before where TWIN has others of these then."""
    if model.selection.phase is not None:
        model = alone(model).model
    made = fold(model)
    if len(of_forks(made.model.graphs, made.model.shapes)) == len(of_forks(twin.graphs, twin.shapes)):
        return made
    if model.weights is None:
        return None
    return fold(split_batch_norms(model, find_splits(model.source, model.weights)).model)


def of_the_original(pairs: Pairs, original: Scope, twin: Scope, tell: tuple[Stored, Stored]) -> Pairs:
    """PAIRS of the outputs of a folded net and of a twin, as pairs of those of ORIGINAL, of which the folded one was
    made, and of TWIN; these may be parts of the two nets. Folding keeps the names of outputs. TELL is as STORED of
    `pair_outputs`, of these two."""
    before, after = identify((original.graph, original.shapes, tell[0]), (twin.graph, twin.shapes, tell[1]))
    own, others = ({blob.name: blob for blob in scope.outputs} for scope in (original, twin))
    outputs = []
    for each in pairs.outputs:
        if each.blob.name not in own or each.twin.name not in others:
            continue
        blob, other = own[each.blob.name], others[each.twin.name]
        by, axis = judged(original, blob)
        outputs.append(
            each._replace(
                blob=blob,
                twin=other,
                judged=by,
                axis=axis,
                softmax=original.graph.producer[by].type == "Softmax",
                identical=before.values[blob] == after.values[other],
            )
        )
    return pairs._replace(outputs=outputs, values=(before.values, after.values))
