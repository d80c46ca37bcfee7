"""Layers that only scale and shift are folded into the weights before them, and layers that do nothing are dropped.

A layer that is linear in its weights, y[o] = W[o]·x + b[o], and behind it one that gives each channel a factor and a
summand, z[o] = a[o]·y[o] + c[o], are one linear layer:

    z[o] = (a[o]·W[o])·x + (a[o]·b[o] + c[o]).

Convolutions, Deconvolutions and InnerProducts take up the BatchNorm, Scale, Bias and affine Power layers behind them.
On one phase of a net, in its order:

1. a layer that hands its values on as they are (Dropout, Split) goes, unless an output of the net needs it;
2. a layer that scales and shifts goes where nothing else reads what lies between it and the weights (`Folding`);
3. layers that share parameters fold alike, or none of them does (`_unlike`);
4. the blobs that are left get names: inputs and outputs keep theirs, and what was in place stays so (`_names`).

Factors and summands are computed in double precision, and each weight is rounded once, when it is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.changes import Change, Decision, LeftAlone, Rewire
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim, Phase, Result, in_every_phase
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.obstacles import Obstacle
from caffe_fcn.passes.alone import refuse_others
from caffe_fcn.passes.fold.affine import Why
from caffe_fcn.passes.fold.survey import Folding


def fold(model: Model) -> Result:
    """MODEL with what scales and shifts folded into the weights before it, and with what does nothing dropped: the
    same function of the same inputs, within rounding. Raises SurgeryError where the net is one of several in its file.
    """
    refuse_others(model, "fold")
    trained = model.weights is not None
    made = in_every_phase(model, lambda phase: decide(phase, trained=trained), claim=Claim.SAME_FUNCTION, verb="fold")
    before, after = ([blob.name for blob in each.graph.outputs] for each in (model, made.model))
    if sorted(before) != sorted(after):
        raise SurgeryError(
            f"folded, the net would have the outputs {', '.join(after)}, not {', '.join(before)}",
            source=model.source.name,
            hint="this is a defect of caffe-fcn, please report it with the prototxt",
        )
    return made


def decide(phase: Phase, *, trained: bool) -> Decision:
    """What is folded and dropped in PHASE, and why the rest stays. TRAINED: the values come from weights, so that only
    layers with blobs in them can fold."""
    barred: dict[int, Obstacle] = {}
    while True:
        found = Folding(phase, barred, trained=trained)
        if not (unlike := _unlike(found)):
            break
        barred.update(unlike)
    changes = [*found.changes(), *_rewired(found)]
    left = [
        LeftAlone(node.name, node.type, found.left[node.index])
        for node in phase.graph.nodes
        if node.index in found.left
    ]
    return Decision(tuple(sorted(changes, key=lambda change: change.index)), tuple(left))


# ---- Parameters that layers share ----


def _unlike(found: Folding) -> dict[int, Obstacle]:
    """The layers that would take up others, and share parameters, they or those, with layers that do not fold alike."""
    users: dict[str, list[Node]] = {}
    for node in found.graph.nodes:
        for name in _shared_names(node):
            users.setdefault(name, []).append(node)
    nodes = {node.index: node for node in found.graph.nodes}
    folds = [(nodes[index], *(step.node for step in steps)) for index, steps in found.steps.items()]
    numbers: dict[object, int] = {}
    place_in: dict[int, tuple[int, int]] = {}
    for fold in folds:
        number = numbers.setdefault(tuple(_meaning(node) for node in fold), len(numbers))
        place_in.update({node.index: (place, number) for place, node in enumerate(fold)})
    unequal = {name for name, those in users.items() if len({place_in.get(node.index) for node in those}) > 1}
    unlike: dict[int, Obstacle] = {}
    for fold in folds:
        for place, node in enumerate(fold):
            rival = next((each for name in _shared_names(node) for each in users[name] if each is not node), None)
            apart = any(name in unequal for name in _shared_names(node))
            if rival is not None and (apart or (place == 0 and _has_own(found, fold))):
                unlike.setdefault(fold[0].index, Obstacle(Why.SHARED, (node.name, rival.name)))
    return unlike


def _meaning(node: Node) -> tuple[object, ...]:
    """What layers have in common that do the same with the parameter blobs that they share."""
    params = [getattr(node.layer, field) for field in row_of(node.type).reads.split()]
    fields = [param.SerializeToString(deterministic=True) for param in params]
    return (node.type, *fields, *(param.name for param in node.layer.param))


def _has_own(found: Folding, fold: Sequence[Node]) -> bool:
    """Whether a layer that goes into the first of FOLD has parameter blobs that are not shared by name."""
    return any(len(_shared_names(step)) < len(found.shapes.params[step.index]) for step in fold[1:])


def _shared_names(node: Node) -> dict[str, None]:
    return dict.fromkeys(param.name for param in node.layer.param if param.name)


# ---- Names ----


def _names(found: Folding, kept: Sequence[Node]) -> dict[Blob, str]:
    """What the blobs that the KEPT layers make are called: outputs of the net as before, and what is made in place as
    that in whose place it is, where nothing else reads that."""
    graph = found.graph
    readers = Counter(found.held(blob) for node in kept for blob in dict.fromkeys(node.bottoms))
    ends = {found.held(blob): blob.name for blob in graph.outputs}
    names: dict[Blob, str] = {}
    for node in kept:
        for place, top in enumerate(node.tops):
            names[top] = ends.get(top, top.name)
            if top.version and top not in ends:
                before = found.held(node.bottoms[place])
                if before.name == top.name or (readers[before] == 1 and graph.producer[before].bottoms):
                    names[top] = names[before]
    return names


def _rewired(found: Folding) -> Iterator[Change]:
    """The layers that are left, where they read or make blobs of other names than before."""
    kept = [node for node in found.graph.nodes if node.index not in found.gone]
    names = _names(found, kept)
    for node in kept:
        bottoms = {blob.name: names[found.held(blob)] for blob in node.bottoms}
        tops = {blob.name: names[blob] for blob in node.tops}
        if any(old != new for old, new in (*bottoms.items(), *tops.items())):
            yield Rewire(
                node.index,
                node.name,
                {old: new for old, new in bottoms.items() if old != new},
                {old: new for old, new in tops.items() if old != new},
            )
