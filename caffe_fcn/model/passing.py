"""How a pass makes a model of a model: its decisions for each phase, made into one, and carried out.

A pass is a function from a `Model` to a `Result`. Most decide on each phase of the net by itself, on a graph with all
its shapes: such a pass is a call of `in_every_phase` with the function that decides. What it comes to is a list of
changes; here these are agreed on by the phases, and carried out on the net and on the weights. The new model
has its own graphs and shapes, so that a pass can follow another, and so that a pass can hold them against what it meant
to do.
"""

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
    """What a pass says of the new model, beside the old one."""

    SAME_BITS = "same bits"
    """Every weight is an old one, and every answer is computed from the same numbers in the same way."""
    SAME_FUNCTION = "same function within rounding"
    """Weights are computed; every answer is the same but for rounding."""
    NEW_FUNCTION = "new function"
    """The answers are others, as they should be."""


def weakest(claims: Iterable[Claim]) -> Claim:
    """What holds of passes that make these CLAIMS, one after the other; the same bits where there are none."""
    return max(claims, key=list(Claim).index, default=Claim.SAME_BITS)


class Phase(NamedTuple):
    """A net in one phase, as a pass sees it."""

    name: str
    """"TEST" or "TRAIN"."""
    graph: Graph
    shapes: Shapes
    tensors: Mapping[str, tuple[Tensor, ...]]
    """The parameter blobs by layer name, in the shapes that the net gives them; none where the model has no weights."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a pass made of the model BEFORE."""

    before: Model
    model: Model
    decision: Decision
    """What was changed, what was left alone and why, and what the user should know, in all phases."""
    claim: Claim
    origins: tuple[int | None, ...]
    """For each layer of the new net its index in the old one, None where it is new."""
    phases: Mapping[str, Decision] = field(default_factory=dict)
    """What the pass decided on each phase, where it looks at them one by one."""

    def __repr__(self) -> str:
        return f"<Result {self.model.source.name}: {len(self.changes)} changes, {self.claim.value}>"

    @property
    def changes(self) -> tuple[Change, ...]:
        """What was changed, in the order of the old net."""
        return self.decision.changes

    @property
    def left_alone(self) -> tuple[LeftAlone, ...]:
        """What was left alone, and why."""
        return self.decision.left_alone


def in_every_phase(model: Model, decide: Callable[[Phase], Decision], *, claim: Claim, verb: str) -> Result:
    """MODEL with the changes that DECIDE comes to in each of its phases. VERB is what messages call that.

    Raises SurgeryError where the phases disagree, ShapeError where the new net is impossible, and what DECIDE raises.
    """
    decision, phases = agreed(model, decide, verb)
    return carried_out(model, decision, claim=claim, phases=phases)


def agreed(model: Model, decide: Callable[[Phase], Decision], verb: str) -> tuple[Decision, dict[str, Decision]]:
    """What DECIDE comes to for all phases of MODEL, and for each of them. Raises SurgeryError where they disagree."""
    params = model.params
    tensors = {name: _shaped(held, params.get(name, ())) for name, held in model.tensors.items()}
    phases = {name: decide(Phase(name, graph, model.shapes[name], tensors)) for name, graph in model.graphs.items()}
    decisions = {name: (model.graphs[name], decision) for name, decision in phases.items()}
    return outside(model.net, list(model.graphs.values()), merge(decisions, verb)), phases


def _shaped(tensors: Sequence[Tensor], params: Sequence[Shape]) -> tuple[Tensor, ...]:
    """TENSORS in the shapes PARAMS: files of 2014 give every blob four axes."""
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
    """MODEL with the changes of DECISION, which for each of the PHASES follows from the one there. RESIZED are the
    inputs, by phase and name, that get another shape, with their channels. FIT: blobs of layers that do not change get
    the shapes that Caffe wants, too, where only axes of one differ."""
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
    """MODEL with another NET, whose layers come from ORIGINS in the old one, and which has the same blobs."""
    new = replace(model, source=_followed(model.source, net, origins))
    same = list(origins) == list(range(len(model.net.layer)))
    return new if same else _inferred(new, model, {})  # the graph counts layers


def _inferred(new: Model, old: Model, resized: Mapping[str, Mapping[str, int]]) -> Model:
    """NEW, which comes of OLD, with graphs and shapes of its own, fed as OLD was but for inputs that are RESIZED."""
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
    """The shapes of what comes into the net of MODEL in PHASE, but for what is FREE, and those that the user gave."""
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
    """The weights of MODEL after DECISION: matched by name, because a caffemodel is usually the training net's, and
    holds layers that the net lacks. Those are rewired, so that the net inside still holds together."""
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
    """ENTRY, whose blobs have the shapes PARAMS in the net, with CHANGES, and the new layers behind it."""
    old = current_header(entry, model.types)
    header = schema.LayerParameter()
    header.CopyFrom(old)
    tensors = fitted(entry, params).tensors
    new: list[NewLayer] = []
    told = _one_layers(changes, tensors)
    for change in changes:
        for name in change.said:  # forks number these fields differently, so the prototxt's word counts
            getattr(header, name).CopyFrom(getattr(model.net.layer[change.index], name))
        if change.index == told:
            new += change.behind(header, tensors)
            tensors = change.tensors(tensors)
        change.apply(header)
    if not any(change.drops for change in changes):
        yield replace(entry, header=header, tensors=tensors)
    yield from (Held(each.layer, each.tensors) for each in new)


def _one_layers(changes: Sequence[Change], tensors: tuple[Tensor, ...]) -> int:
    """The index of that one of the layers of one name, as they are in different phases, whose CHANGES say what becomes
    of their TENSORS."""
    for change in changes:
        if change.tensors(tensors) is not tensors or change.behind(schema.LayerParameter(), tensors):
            return change.index
    return changes[0].index


def _without_place(changes: Iterable[Change], layers: Sequence[Held]) -> Iterator[Held]:
    """The new layers with blobs behind layers, or in place of layers, that the weights do not have, or in front of
    all."""
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
    """Where the blobs of NET are found after DECISION, by their old names: under another name, or before a layer that
    is gone."""
    moved = dict(decision.new_tops)
    for change in decision.changes:
        layer = net.layer[change.index]
        if change.drops and layer.bottom:
            held = layer.bottom[0]
            moved.update({top: moved.get(held, held) for top in layer.top if top not in moved})
    return moved


def _rewired(entry: Held, header: Message, moved: Mapping[str, str]) -> Held:
    """ENTRY, whose HEADER this is, with the names that blobs have after they MOVED."""
    if moved.keys().isdisjoint(header.bottom):
        return entry
    changed = type(header)()
    changed.CopyFrom(header)
    changed.bottom[:] = [moved.get(name, name) for name in header.bottom]
    changed.top[:] = [moved[name] if name in moved and name in header.bottom else name for name in header.top]
    return replace(entry, header=changed)
