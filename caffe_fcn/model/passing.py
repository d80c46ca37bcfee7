"""Carries out passes: merges the decisions for each phase, and applies the changes to the net and the weights.

A pass is a function from a `Model` to a `Result`. Most passes decide on each phase of the net separately, given a graph
with all shapes: such a pass calls `in_every_phase` with its deciding function. The changes of all phases are merged and
applied here. The new model has its own graphs and shapes, so another pass can follow, and the pass can check its
result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from caffe_fcn import schema
from caffe_fcn.model.changes import Change, Decision, LeftAlone, NewLayer
from caffe_fcn.model.entries import Held, current_header, fitted, held_shapes, with_current_headers
from caffe_fcn.model.model import Model
from caffe_fcn.model.phases import merge, outside
from caffe_fcn.model.tensors import Tensor
from caffe_fcn.net.graph import Graph
from caffe_fcn.net.selection import graph_of
from caffe_fcn.net.shapes import Shape, Shapes, infer_shapes
from caffe_fcn.net.source import SourceNet
from caffe_fcn.schema import Message


class Claim(Enum):
    """How the new model relates to the old one, as the pass claims and `verify` proves."""

    SAME_BITS = "same bits"
    """Every weight is an old one, and every answer is computed in the same way from the same numbers."""
    SAME_FUNCTION = "same function within rounding"
    """Weights are computed; every answer is equal within rounding."""
    NEW_FUNCTION = "new function"
    """The answers differ on purpose."""


def weakest(claims: Iterable[Claim]) -> Claim:
    """What holds of passes that make these CLAIMS, one after the other; the same bits where there are none."""
    return max(claims, key=list(Claim).index, default=Claim.SAME_BITS)


class Phase(NamedTuple):
    """A net in one phase, as a deciding function gets it."""

    name: str
    """"TEST" or "TRAIN"."""
    graph: Graph
    shapes: Shapes
    tensors: Mapping[str, tuple[Tensor, ...]]
    """The parameter blobs by layer name, in the shapes that the net defines; empty if the model has no weights."""


class SharedMap(NamedTuple):
    """A map that a new function shares with another net: its BLOB has the values that it has in MODEL, which takes the
    same inputs."""

    model: Model
    blob: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a pass: the models before and after, and what changed."""

    before: Model
    model: Model
    decision: Decision
    """The changes, the layers left alone, and the notes, for all phases."""
    claim: Claim
    origins: tuple[int | None, ...]
    """The index of each new layer in the old net; None for a layer that the pass added."""
    phases: Mapping[str, Decision] = field(default_factory=dict)
    """The decision for each phase, if the pass decides on each separately."""

    shared: SharedMap | None = None
    """Of a new function: what else is claimed of a map of it."""

    def __repr__(self) -> str:
        return f"<Result {self.model.source.name}: {len(self.changes)} changes, {self.claim.value}>"

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes, in the order of the old net."""
        return self.decision.changes

    @property
    def left_alone(self) -> tuple[LeftAlone, ...]:
        """The layers that were left alone, and why."""
        return self.decision.left_alone


def in_every_phase(model: Model, decide: Callable[[Phase], Decision], *, claim: Claim, verb: str) -> Result:
    """Apply to MODEL the changes that DECIDE returns for each of its phases. VERB names the operation in messages.

    Raises SurgeryError where the phases disagree, ShapeError where the new net is impossible, and what DECIDE raises.
    """
    decision, phases = agreed(model, decide, verb)
    return carried_out(model, decision, claim=claim, phases=phases)


def agreed(model: Model, decide: Callable[[Phase], Decision], verb: str) -> tuple[Decision, dict[str, Decision]]:
    """The decisions of DECIDE for all phases of MODEL together and for each. Raises SurgeryError if they disagree."""
    params = model.params
    tensors = {name: _shaped(held, params.get(name, ())) for name, held in model.tensors.items()}
    phases = {name: decide(Phase(name, graph, model.shapes[name], tensors)) for name, graph in model.graphs.items()}
    decisions = {name: (model.graphs[name], decision) for name, decision in phases.items()}
    return outside(model.net, list(model.graphs.values()), merge(decisions, verb)), phases


def _shaped(tensors: Sequence[Tensor], params: Sequence[Shape]) -> tuple[Tensor, ...]:
    """TENSORS in the shapes PARAMS. In V1 files every blob has four axes."""
    shapes = [*params, *[None] * (len(tensors) - len(params))][: len(tensors)]
    pairs = zip(tensors, shapes, strict=True)
    return tuple(each if shape is None or each.shape == shape else each.reshaped(shape) for each, shape in pairs)


def carried_out(
    model: Model,
    decision: Decision,
    *,
    claim: Claim,
    phases: Mapping[str, Decision] | None = None,
    moved: Mapping[str, str] | None = None,
    resized: Mapping[str, Mapping[str, int]] | None = None,
    fit: bool = True,
) -> Result:
    """Apply the changes of DECISION to MODEL. PHASES: the decision for each phase. RESIZED: the inputs whose shape
    changes, by phase and name, with their channels. FIT: unchanged layers also get the blob shapes that Caffe wants,
    where only axes of length 1 differ."""
    origins: tuple[int | None, ...] = tuple(range(len(model.net.layer)))
    new = replace(model, held=_changed_weights(model, decision, fit), moved={**model.moved, **(moved or {})})
    if decision.changes:
        net, origins, comments = decision.apply(model.net)
        replaced = {change.index for change in decision.changes if change.replaces}
        gone = tuple(each for each in model.source.foreign if each.layer in replaced)
        source = _followed(model.source, net, origins, comments)
        source = replace(source, foreign=tuple(each for each in source.foreign if each not in gone))
        new = _inferred(replace(new, source=source, gone=(*model.gone, *gone)), model, resized or {})
    return Result(before=model, model=new, decision=decision, claim=claim, origins=origins, phases=phases or {})


def with_net(model: Model, net: Message, origins: Sequence[int | None]) -> Model:
    """MODEL with another NET that has the same blobs. ORIGINS: the index of each of its layers in the old net."""
    new = replace(model, source=_followed(model.source, net, origins))
    same = list(origins) == list(range(len(model.net.layer)))
    return new if same else _inferred(new, model, {})  # the graph counts layers


def _inferred(new: Model, old: Model, resized: Mapping[str, Mapping[str, int]]) -> Model:
    """NEW with inferred graphs and shapes. Inputs have the shapes that they have in OLD, except those RESIZED."""
    graphs: dict[str, Graph] = {}
    shapes: dict[str, Shapes] = {}
    blobs = held_shapes(new.held)
    for phase in old.graphs:
        free = resized.get(phase, {})
        graph = graph_of(new.net, new.source, new.selection, phase)
        graphs[phase] = graph._replace(held=blobs, channels={**graph.channels, **free})
        shapes[phase] = infer_shapes(graphs[phase], given=given_to(old, phase, free))
    return replace(new, graphs=graphs, shapes=shapes)


def given_to(model: Model, phase: str, free: Iterable[str] = ()) -> dict[str, Shape]:
    """The shapes of the inputs of MODEL in PHASE, without those that are FREE, and the shapes that the user gave."""
    known = model.shapes[phase].blobs
    inputs = [blob for node in model.graphs[phase].nodes if not node.bottoms for blob in node.tops]
    told = {blob.name: shape for blob in inputs if isinstance(shape := known[blob], tuple)}
    return {name: shape for name, shape in {**model.selection.given, **told}.items() if name not in free}


def _followed(
    source: SourceNet,
    net: Message,
    origins: Sequence[int | None],
    comments: Mapping[int, tuple[str, ...]] = MappingProxyType({}),
) -> SourceNet:
    """SOURCE with another NET, whose layers come from ORIGINS in the old one, and with new COMMENTS."""
    places = {origin: index for index, origin in enumerate(origins) if origin is not None}
    foreign = [
        each._replace(layer=None if each.layer is None else places[each.layer])
        for each in source.foreign
        if each.layer is None or each.layer in places
    ]
    in_text = tuple(None if origin is None else source.origins[origin] for origin in origins)
    kept = {places[index]: lines for index, lines in source.comments.items() if index in places}
    for index, lines in comments.items():
        kept[index] = (*kept.get(index, ()), *lines)
    return replace(source, net=net, origins=in_text, foreign=tuple(foreign), comments=kept)


def _changed_weights(model: Model, decision: Decision, fit: bool) -> tuple[Held, ...]:
    """The weights of MODEL after DECISION. Layers are matched by name, because a caffemodel usually comes from the
    training net and has further layers. These are rewired, so the net inside stays consistent."""
    by_name: dict[str, list[Change]] = {}
    dropped = {change.index for change in decision.changes if change.drops}
    stay = {layer.name for index, layer in enumerate(model.net.layer) if index not in dropped}
    for change in decision.changes:
        if change.in_weights and change.index >= 0 and not (change.drops and change.layer in stay):
            by_name.setdefault(change.layer, []).append(change)
    layers: list[Held] = []
    moved, params = _moved_blobs(model.net, decision), model.params
    for entry in model.held:
        if entry.name in by_name:
            layers += _changed(model, entry, by_name[entry.name], params.get(entry.name, ()))
        elif entry.name in model.types:
            layers.append(fitted(entry, params.get(entry.name, ())) if fit else entry)
        else:
            layers.append(_rewired(entry, current_header(entry, model.types), moved))
    layers += _without_place(decision.changes, layers) if model.held else []
    untouched = len(layers) == len(model.held) and all(
        one is other for one, other in zip(layers, model.held, strict=True)
    )
    return model.held if untouched else with_current_headers(layers, model.types)


def _changed(model: Model, entry: Held, changes: Sequence[Change], params: Sequence[Shape]) -> Iterator[Held]:
    """ENTRY after CHANGES, and the new layers after it. PARAMS: the shapes of its blobs in the net."""
    old = current_header(entry, model.types)
    header = schema.LayerParameter()
    header.CopyFrom(old)
    tensors = fitted(entry, params).tensors
    new: list[NewLayer] = []
    told = _one_layers(changes, tensors)
    for change in changes:
        for name in change.said:  # forks number these fields differently, so the prototxt is used
            getattr(header, name).CopyFrom(getattr(model.net.layer[change.index], name))
        if change.index == told:
            new += change.behind(header, tensors)
            tensors = change.tensors(tensors)
        change.apply(header)
    if not any(change.drops for change in changes):
        yield replace(entry, header=header, tensors=tensors)
    yield from (Held(each.layer, each.tensors) for each in new)


def _one_layers(changes: Sequence[Change], tensors: tuple[Tensor, ...]) -> int:
    """The index of the layer whose CHANGES change the TENSORS. Several layers may have one name, in different
    phases."""
    for change in changes:
        if change.tensors(tensors) is not tensors or change.behind(schema.LayerParameter(), tensors):
            return change.index
    return changes[0].index


def _without_place(changes: Iterable[Change], layers: Sequence[Held]) -> Iterator[Held]:
    """The new layers with blobs before all layers, or after or in place of layers that the weights do not have."""
    there = {entry.name for entry in layers}
    for change in changes:
        new = list(change.behind(schema.LayerParameter(), ()))
        if change.replaces:
            header = schema.LayerParameter()
            change.apply(header)
            new.insert(0, NewLayer(header, change.tensors(())))
        for each in new:
            if each.tensors and each.layer.name not in there:
                yield Held(each.layer, each.tensors)


def _moved_blobs(net: Message, decision: Decision) -> dict[str, str]:
    """The new names of the blobs of NET after DECISION, by their old names: the name is another one, or that of the
    bottom of a dropped layer."""
    moved = dict(decision.new_tops)
    for change in decision.changes:
        layer = net.layer[change.index]
        if change.drops and layer.bottom:
            held = layer.bottom[0]
            moved.update({top: moved.get(held, held) for top in layer.top if top not in moved})
    return moved


def _rewired(entry: Held, header: Message, moved: Mapping[str, str]) -> Held:
    """ENTRY with HEADER, in which blobs have the names that MOVED gives them."""
    if moved.keys().isdisjoint(header.bottom):
        return entry
    changed = type(header)()
    changed.CopyFrom(header)
    changed.bottom[:] = [moved.get(name, name) for name in header.bottom]
    changed.top[:] = [moved[name] if name in moved and name in header.bottom else name for name in header.top]
    return replace(entry, header=changed)
