"""Folds layers that only scale and shift into the weights before them, and drops layers that do nothing.

A layer that is linear in its weights, y[o] = W[o]·x + b[o], followed by one that multiplies each channel by a factor
and adds a summand, z[o] = a[o]·y[o] + c[o], is one linear layer:

    z[o] = (a[o]·W[o])·x + (a[o]·b[o] + c[o]).

Convolutions, Deconvolutions and InnerProducts absorb the BatchNorm, Scale, Bias and affine Power layers after them. In
one phase of a net, in its order:

1. drop each layer that passes its values on unchanged (Dropout, Split), unless an output of the net needs it;
2. fold each layer that scales and shifts, unless another layer reads a blob between it and the weights (`Folding`);
3. fold layers that share parameters only if all of them fold in the same way (`_unlike`);
4. name the blobs that are left: inputs and outputs keep their names, and in-place layers stay in place (`_names`).

Factors and summands are computed in double precision, and each weight is rounded once, when it is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from caffe_fcn.errors import SurgeryError, WeightsError
from caffe_fcn.model.changes import Change, Decision, LeftAlone, Rewire
from caffe_fcn.model.filling import words_of
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim, Phase, Result, in_every_phase
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.obstacles import Obstacle
from caffe_fcn.passes.alone import only_net
from caffe_fcn.passes.fold.affine import Why
from caffe_fcn.passes.fold.survey import Folding


def fold(model: Model) -> Result:
    """MODEL with layers that scale and shift folded into the weights before them, and layers that do nothing dropped:
    the same function within rounding. Raises SurgeryError where the file holds several nets, WeightsError where
    nothing can be folded because weights are missing.
    """
    model = only_net(model, "fold")
    trained = model.weights is not None
    made = in_every_phase(model, lambda phase: decide(phase, trained=trained), claim=Claim.SAME_FUNCTION, verb="fold")
    _check_weights(model, made.decision)
    before, after = ([blob.name for blob in each.graph.outputs] for each in (model, made.model))
    if sorted(before) != sorted(after):
        raise SurgeryError(
            f"expected the outputs {', '.join(before)} in the folded net, found {', '.join(after)}",
            source=model.source.name,
            hint="this is a defect of caffe-fcn, please report it with the prototxt",
        )
    return made


def _check_weights(model: Model, decision: Decision) -> None:
    """Raise WeightsError where layers would be folded if they had weights, and no others are folded."""
    lacking = {entry.obstacle.about[0] for entry in decision.left_alone if entry.obstacle.why is Why.NO_WEIGHTS}
    if model.weights is not None and lacking and not decision.of_kind("into"):
        raise WeightsError(
            f"holds no weights for {words_of(each for each in model.supplies if each.node.name in lacking)}",
            source=model.weights.path,
            hint="nothing else is to be folded",
        )


def decide(phase: Phase, *, trained: bool) -> Decision:
    """What is folded and dropped in PHASE, and why other layers stay. TRAINED: there are weights, so only layers with
    blobs in them can be folded."""
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
    """The layers that must not absorb others, because shared parameters would be folded in different ways."""
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
    """A key that is equal for layers that use shared parameter blobs in the same way."""
    params = [getattr(node.layer, field) for field in row_of(node.type).reads.split()]
    fields = [param.SerializeToString(deterministic=True) for param in params]
    return (node.type, *fields, *(param.name for param in node.layer.param))


def _has_own(found: Folding, fold: Sequence[Node]) -> bool:
    """Whether a layer of FOLD after the first has parameter blobs that are not shared by name."""
    return any(len(_shared_names(step)) < len(found.shapes.params[step.index]) for step in fold[1:])


def _shared_names(node: Node) -> dict[str, None]:
    return dict.fromkeys(param.name for param in node.layer.param if param.name)


# ---- Names ----


def _names(found: Folding, kept: Sequence[Node]) -> dict[Blob, str]:
    """The names of the blobs that the KEPT layers make. Outputs of the net keep their names; a blob made in place has
    the name of the bottom, if no other layer reads that."""
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
    """The changes of layers whose bottoms or tops have new names."""
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
