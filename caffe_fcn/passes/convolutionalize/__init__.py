"""Converts a classifier into a fully convolutional net.

An InnerProduct over a map C×H×W is a Convolution whose kernel is the whole map,

    y[o] = b[o] + sum over c, h, w of W[o, (c·H + h)·W + w] · x[c, h, w],

so with the kernel H×W, and the weight blob O×(C·H·W) read as O×C×H×W, it gives the same answer on the same input, and
one answer per window on a larger one. `deciding` decides what changes in one phase; here the new net is checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from caffe_fcn.errors import ShapeError, SurgeryError, WeightsError
from caffe_fcn.model.changes import Decision
from caffe_fcn.model.filling import words_of
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim, Result, agreed, carried_out, given_to
from caffe_fcn.net.foreign import RESHAPING, ForeignField, refusal
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.shapes import refusals_since
from caffe_fcn.passes.convolutionalize.check import check_twin
from caffe_fcn.passes.convolutionalize.deciding import Options, decide
from caffe_fcn.passes.convolutionalize.kept import Original, Twin, outputs_after
from caffe_fcn.passes.convolutionalize.survey import matches
from caffe_fcn.wording import Option, advise, option

_MOVED = {"inner_product_param": "convolution_param"}
"""The fields whose contents the pass moves, and where to."""


__all__ = ["Options", "convolutionalize", "decide", "renamed_outputs"]


def convolutionalize(model: Model, options: Options | None = None, *, resized: bool = False) -> Result:
    """MODEL as a fully convolutional net. The notes of the decision include those on the new net. RESIZED: another pass
    will resize its inputs, so Caffe's objections are looked for later, at that size.

    Raises SurgeryError, naming the layer and a way round, where the converted net would not give the same answers;
    ShapeError where a necessary shape is unknown; WeightsError where the weights hold nothing to convert.
    """
    options = options or Options()
    decision, phases = agreed(model, lambda phase: decide(phase.graph, phase.shapes, options), "convert")
    decision = replace(decision, notes=(*decision.notes, *_left_outside(model)))
    _check_asked(model, options)
    _check_fields(model.graphs.values(), decision)
    _check_names(model, decision)
    notes = [*decision.notes, *_idle_rules(model, options, decision)]
    try:
        result = carried_out(model, decision, claim=Claim.SAME_BITS, phases=phases, moved=_MOVED)
    except ShapeError as error:
        raise SurgeryError(
            f"the converted net would be refused: {error.within(model.source.name)}",
            layer=error.layer,
            hint="this is a defect of caffe-fcn, please report it with the prototxt",
        ) from error
    for phase, graph in model.graphs.items():
        notes += renamed_outputs(graph, decision)
        notes += _checked(result, phase, resized)
    return replace(result, decision=replace(decision, notes=tuple(dict.fromkeys(notes))))


def _checked(result: Result, phase: str, resized: bool) -> list[str]:
    """Check the converted net in PHASE, and return notes on it."""
    old, new = result.before, result.model
    original = Original(old.graphs[phase], old.shapes[phase], result.phases[phase].promised)
    twin = Twin(new.graphs[phase], result.origins, new.shapes[phase])
    notes = check_twin(original, twin, result.decision, given_to(old, phase))
    if resized:  # Caffe's objections are found later, at that size
        return notes
    refused = refusals_since((original.graph, original.shapes), (twin.graph, twin.shapes), result.origins)
    return [*(f"Caffe does not build the converted net: {each.message}" for each in refused), *notes]


def _left_outside(model: Model) -> list[str]:
    """A note on InnerProducts in phases and stages that are not selected."""
    inside = {node.index: node.name for graph in model.graphs.values() for node in graph.nodes}
    left = dict.fromkeys(
        layer.name
        for index, layer in enumerate(model.net.layer)
        if index not in inside and layer.type == "InnerProduct"
    )
    missed = [name for name in left if name not in inside.values()]
    what = ", ".join(missed) if missed else f"other definitions of {', '.join(left)}"
    told = f"left alone, because of another phase or stage: {what}; see {option('phase')} and {option('stage')}"
    return [told] if left else []


def _check_asked(model: Model, options: Options) -> None:
    """Raise SurgeryError for patterns that match no InnerProduct."""
    names = {node.name for graph in model.graphs.values() for node in graph.nodes if node.type == "InnerProduct"}
    for pattern in (*options.only, *options.skip):
        if not any(matches(name, (pattern,)) for name in names):
            there = ", ".join(sorted(names)) or "none"
            raise SurgeryError(
                f"no InnerProduct has the name {pattern!r}", source=model.source.name, hint=f"the net has: {there}"
            )


def _check_fields(graphs: Iterable[Graph], decision: Decision) -> None:
    """Raise SurgeryError where a field of unknown effect may change the size of a kernel, or would be moved to a
    place where it may have another meaning."""
    sized = {change.index for change in decision.of_kind("converted", "pooling")}
    converted = {change.index for change in decision.of_kind("converted")}
    for graph in graphs:
        before = graph.before(node for node in graph.nodes if node.index in sized)

        def counts(node: Node, field: ForeignField, before: set[int] = before) -> bool:
            moves = node.index in converted and field.name.partition(".")[0] in _MOVED
            return moves or (node.index in before and field.effect in RESHAPING)

        if reason := refusal(graph, counts):
            raise SurgeryError(f"fields of unknown effect may change the converted layers: {reason}")


def _check_names(model: Model, decision: Decision) -> None:
    """Raise WeightsError where the weights use a new name already, or hold no layer to convert."""
    if model.weights is None:
        return
    for old, new in decision.new_names.items():
        if old in model.tensors and new in model.tensors and new not in decision.new_names:
            raise WeightsError(
                f"{old!r} would become {new!r}, but the file holds a layer of this name already",
                source=model.weights.path,
                layer=old,
                hint=advise("choose another name with ", Option("suffix"), " or ", Option("rename")),
            )
    wanted = {change.layer for change in decision.of_kind("converted")}
    lacking = [supply for supply in model.supplies if supply.lack and supply.node.name in wanted]
    if wanted and len(lacking) == len(wanted):
        raise WeightsError(
            f"holds no weights for {words_of(lacking)}",
            source=model.weights.path,
            hint="nothing else is to be converted",
        )


def _idle_rules(model: Model, options: Options, decision: Decision) -> list[str]:
    """Notes on rename rules that match no converted layer; mostly typing mistakes."""
    names = {
        name for change in decision.of_kind("converted") for name in (change.layer, *model.net.layer[change.index].top)
    }
    idle = [rule for rule in options.naming.rules if not any(rule[0].fullmatch(name) for name in names)]
    return [f"{option('rename', [f'{pattern.pattern}={new}'])} renames nothing" for pattern, new in idle]


def renamed_outputs(graph: Graph, decision: Decision) -> list[str]:
    """A note on outputs of the net that get another name."""
    names = {blob.name: name for blob, (_, name) in outputs_after(graph, decision).items()}
    changes = [f"{old} is now {new}" for old, new in names.items() if old != new]
    return [f"outputs of the net have other names: {', '.join(changes)}"] if changes else []
