"""Proves the claim "new function": what can be said of a net that a pass made to answer otherwise than its original.

Four proofs: BVLC Caffe accepts the new net; its weights have the shapes that it gives them; every layer that the pass
did not change is untouched, bit by bit, and the others have the values that the pass made, if it is known; and the net
runs, with the inferred shapes and finite values. If layers were folded, cut or converted as well, the original is
folded, cut and converted before it is compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from glob import escape
from typing import NamedTuple

from caffe_fcn.errors import CaffeFcnError, EngineError, ExtraError, NetError, ShapeError, SurgeryError
from caffe_fcn.model.changes import Change
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import NetAndWeights
from caffe_fcn.model.passing import Claim, Result
from caffe_fcn.model.temporary import temporary_copy
from caffe_fcn.model.tensors import Reshaped, Stored, Tensor
from caffe_fcn.net.objections import Severity
from caffe_fcn.net.options import Selection
from caffe_fcn.net.problems import problems_by_layer
from caffe_fcn.net.selection import known_to
from caffe_fcn.net.shapes import Shape, show
from caffe_fcn.passes.convolutionalize import Options, convolutionalize
from caffe_fcn.passes.convolutionalize.pooling import is_global
from caffe_fcn.verify.differences import difference
from caffe_fcn.verify.fates import fates
from caffe_fcn.verify.items import Runner, answers_items
from caffe_fcn.verify.meeting import fed_to, met, party_of, side_of_files
from caffe_fcn.verify.new_function_records import (
    AcceptanceProof,
    BlobDifference,
    Fate,
    FitProof,
    LayerFate,
    LayersProof,
    MapProof,
    NewFunctionProofs,
    Refusal,
    RunProof,
)
from caffe_fcn.verify.retracing import retraced, side_of
from caffe_fcn.verify.same_size import draw
from caffe_fcn.verify.weights import Side, differing_values

_SAME = (Fate.UNTOUCHED, Fate.CONVERTED)
_LIMIT = 1e-5
"""How far apart the values of one map may be in two nets, relative to the largest, if an engine sums otherwise."""
_SAMPLES = 2
"""One random input of each of the two scales."""


class Claimed(NamedTuple):
    """What passes say that they did: the layers of the original that they CHANGED in any way, and the layers of the new
    net that are NEW or whose values were COMPUTED."""

    changed: frozenset[str]
    new: frozenset[str]
    computed: frozenset[str]


def claimed_by(results: Sequence[Result]) -> Claimed:
    """What the passes say, one after the other, whose RESULTS these are."""
    names: dict[str, str | None] = {layer.name: layer.name for layer in results[0].before.net.layer}
    changed: set[str] = set()
    computed: set[str] = set()
    for result in results:
        old = [layer.name for layer in result.before.net.layer]
        made = [(layer.name, origin) for layer, origin in zip(result.model.net.layer, result.origins, strict=True)]
        changed.update(name for each in result.changes if (name := _name(each, names)) is not None)
        computed = {name for name, origin in made if origin is not None and old[origin] in computed}
        if result.claim is Claim.NEW_FUNCTION:  # of the others, the values are followed or computed here as well
            before, after = result.before.tensors, result.model.tensors
            moved = [(name, old[origin]) for name, origin in made if origin is not None]
            computed.update(now for now, was in moved if _values(after.get(now, ())) != _values(before.get(was, ())))
        names = {name: None if origin is None else names.get(old[origin]) for name, origin in made}
    return Claimed(frozenset(changed), frozenset(n for n, was in names.items() if was is None), frozenset(computed))


def _name(change: Change, names: Mapping[str, str | None]) -> str | None:
    """The name in the original of the layer of CHANGE; the net's own `input` fields are no layer and keep theirs."""
    return names.get(change.layer) if change.index >= 0 else change.layer


def _values(tensors: Sequence[Tensor]) -> list[object]:
    """What tells the values of TENSORS from others, whatever their shapes."""
    bare = [each.of if isinstance(each, Reshaped) else each for each in tensors]
    return [(id(each.source), each.values) if isinstance(each, Stored) else each for each in bare]


def prove_new_function(
    before: Model,
    original: Side,
    twin: NetAndWeights,
    selection: Selection,
    runner: Runner,
    *,
    seed: int,
    results: Sequence[Result] = (),
) -> NewFunctionProofs:
    """Prove what can be proven of TWIN, made of the model BEFORE, whose side is ORIGINAL. RESULTS are those of the
    passes that made it, if they are known. Raises WeightsError where weights hold NaN."""
    phase = before.phase
    layers = _layers(before, original, twin, selection, phase, results)
    untouched = {each.twin for each in layers.layers if each.fate in _SAME}
    refusals = tuple(_refusals(twin, before, selection, untouched))
    try:
        own = met(twin, selection, lenient=True)
    except (NetError, ShapeError) as error:
        nothing = "the new net cannot be built"
        return NewFunctionProofs(
            AcceptanceProof(refusals), FitProof(0, (str(error),)), layers, RunProof({}, {}, seed, not_shown=nothing)
        )
    side = side_of_files(own, twin)
    run = _run(own, side, runner, phase, seed)
    made = _map(results, side, runner, phase, seed) if own.misfit is None else None
    return NewFunctionProofs(AcceptanceProof(refusals), _fit(before, own), layers, run, made)


# ---- Layers ----


def _layers(
    before: Model, original: Side, twin: NetAndWeights, selection: Selection, phase: str, results: Sequence[Result]
) -> LayersProof:
    try:
        found = _found(original, twin, selection)
    except (NetError, ShapeError) as error:
        return LayersProof((), not_shown=f"the new net cannot be built: {error}")
    if phase not in found.graphs:
        return LayersProof((), not_shown=f"the new net has no phase {phase}")
    new = side_of_files(found, twin)
    base = _converted(retraced(before, found, same=True).steps, found)
    layers = tuple(fates(side_of(base, before, original), new, phase, _names(before, base), _types(before, base)))
    claimed = claimed_by(results) if results else None
    wrong = [each for each in layers if not _is_claimed(each, claimed)]
    if results:
        found_wrong = {each.twin for each in wrong}
        wrong += _other_values(results[-1].model, new, [each for each in layers if each.twin not in found_wrong])
    known = retraced(before, found)
    if known.claim is Claim.NEW_FUNCTION:  # the values of what changed are known as well
        base = _converted(known.steps, found)
        made = fates(side_of(base, before, original), new, phase, _names(before, base), {})
        right = {each.twin: not each.blobs for each in made}
        found_wrong = {each.twin for each in wrong}
        wrong += [
            each for each in layers if each.blobs and not right.get(each.twin, True) and each.twin not in found_wrong
        ]
        layers = tuple(each._replace(known=bool(each.blobs) and right.get(each.twin, False)) for each in layers)
    return LayersProof(layers, tuple(wrong))


def _found(original: Side, twin: NetAndWeights, selection: Selection) -> Model:
    """The model of TWIN, fed as the original is, or on its own input if it does not take that of the original."""
    try:
        fed = met(twin, selection, {phase: fed_to(original, phase) for phase in original.graphs}, lenient=True)
    except (NetError, ShapeError):
        return met(twin, selection, lenient=True)
    return fed if fed.misfit is None else met(twin, selection, lenient=True)


def _converted(model: Model, twin: Model) -> Model:
    """MODEL, with those InnerProducts converted that TWIN has not."""
    phases = model.graphs.keys() & twin.graphs.keys()
    there = {node.name for phase in phases for node in twin.graphs[phase].nodes if node.type == "InnerProduct"}
    ours = {node.name for phase in phases for node in model.graphs[phase].nodes if node.type == "InnerProduct"}
    keeps = any(is_global(node) for phase in phases for node in twin.graphs[phase].nodes)
    if ours <= there:
        return model
    try:
        return convolutionalize(model, Options(only=tuple(map(escape, ours - there)), keep_global_pooling=keeps)).model
    except (NetError, ShapeError, SurgeryError):
        return model


def _names(before: Model, model: Model) -> dict[str, str]:
    """The names in BEFORE of the layers of MODEL, which passes made of it, by their own names."""
    in_text = {place: layer.name for layer, place in zip(before.net.layer, before.origins, strict=True)}
    both = zip(model.net.layer, model.origins, strict=True)
    return {layer.name: in_text[place] for layer, place in both if place is not None and place in in_text}


def _types(before: Model, model: Model) -> dict[str, str]:
    """The types in BEFORE of the layers that are converted in MODEL, by their names in BEFORE."""
    names = _names(before, model)
    old = {node.name: node for graph in before.graphs.values() for node in graph.nodes}
    new = [node for graph in model.graphs.values() for node in graph.nodes]
    pairs = [(old[name], node) for node in new if (name := names.get(node.name)) in old]
    return {one.name: one.type for one, two in pairs if one.type != two.type or is_global(one) != is_global(two)}


def _is_claimed(each: LayerFate, claimed: Claimed | None) -> bool:
    """Whether EACH is as it should be: untouched, or changed as the passes say."""
    if each.other_values and (claimed is None or each.twin not in claimed.computed):
        return False
    if claimed is None or each.fate in _SAME:
        return True
    if each.fate is Fate.NEW:
        return each.twin in claimed.new
    only_rewired = each.fate is Fate.CHANGED and not each.fields and not each.blobs  # by what is new before it
    return each.layer in claimed.changed or only_rewired


def _other_values(made: Model, twin: Side, layers: Sequence[LayerFate]) -> Iterator[LayerFate]:
    """Those of LAYERS, with the blobs that differ, that have other values in TWIN than the passes MADE for them."""
    for each in layers:
        name = each.twin or ""
        pairs = zip(made.tensors.get(name, ()), twin.tensors.get(name, ()), strict=False)
        blobs = [
            BlobDifference(
                position, one.shape, other.shape, differing_values(one, other, (twin.weights.path, name)).differing
            )
            for position, (one, other) in enumerate(pairs)
            if one.count == other.count
        ]
        if any(blob.differing for blob in blobs):
            yield each._replace(blobs=tuple(blob for blob in blobs if blob.differing))


# ---- Caffe's rules, weights, and a run ----


def _refusals(
    twin: NetAndWeights, before: Model, selection: Selection, untouched: set[str | None]
) -> Iterator[Refusal]:
    """What `check --strict` has against TWIN, of which these layers are UNTOUCHED. What it has against the model BEFORE
    as well is inherited, such as the type of a layer that is changed."""
    known = {problem.message for problem, _ in problems_by_layer(before.source, known_to(before.source, selection))}
    for problem, layer in problems_by_layer(twin.source, known_to(twin.source, selection)):
        if problem.severity is not Severity.INFORMATION:
            inherited = problem.severity is Severity.BVLC and (layer in untouched or problem.message in known)
            yield Refusal(layer, problem.line, problem.column, problem.message, inherited)


def _fit(before: Model, own: Model) -> FitProof:
    """Whether the weights of the model OWN have the shapes that its net gives them."""
    layers = sum(name in own.tensors for name in own.types)
    lacking = {supply.node.name for supply in before.supplies if supply.lack}
    missing = tuple(supply.node.name for supply in own.supplies if supply.lack and supply.node.name not in lacking)
    known = before.fit.other_axes
    failures = [] if own.misfit is None else [str(own.misfit)]
    failures += [f"{each}, which Caffe refuses" for name, each in own.fit.other_axes.items() if name not in known]
    return FitProof(layers, tuple(failures), missing)


def _run(own: Model, side: Side, runner: Runner, phase: str, seed: int) -> RunProof:
    """What the model OWN, which is SIDE, answers to random inputs."""
    if phase not in own.graphs:
        return RunProof({}, {}, seed, not_shown=f"the new net has no phase {phase}")
    shapes = own.shapes[phase].blobs
    outputs: dict[str, Shape | None] = {
        blob.name: shape if isinstance(shape := shapes[blob], tuple) else None for blob in own.graphs[phase].outputs
    }
    nothing = RunProof({}, outputs, seed)
    if own.misfit is not None:
        return nothing._replace(not_shown="the weights do not fit the net")
    try:
        party = party_of(side, phase)
        nothing = nothing._replace(inputs=party.inputs)
        whole = not answers_items(party.scope, party.inputs)
        sample = draw(party.inputs, _SAMPLES, seed, (), whole=whole)
        party.run(runner, sample.items, [blob.name for blob in party.scope.outputs])
    except EngineError as error:
        return nothing._replace(failure=str(error)) if runner.used else nothing._replace(not_shown=str(error))
    except ExtraError:
        raise
    except CaffeFcnError as error:
        return nothing._replace(not_shown=str(error))
    return nothing


def _map(results: Sequence[Result], side: Side, runner: Runner, phase: str, seed: int) -> MapProof | None:
    """The map of SIDE that one of RESULTS says to be that of another net, on the inputs of SIDE. That net is written to
    a temporary file, so that it is read as the new one is. None if nothing is said."""
    shared = next((result.shared for result in results if result.shared is not None), None)
    if shared is None:
        return None
    blob, model = shared.blob, shared.model
    try:
        party = party_of(side, phase)
        sample = draw(party.inputs, _SAMPLES, seed, (), whole=not answers_items(party.scope, party.inputs))
        found = party.run(runner, sample.items, [blob])[blob]
        files = temporary_copy(model, model.source.name)
        with files.weights:
            other = party_of(side_of_files(met(files, model.selection), files), phase)
            expected = other.run(runner, sample.items, [blob])[blob]
    except ExtraError:
        raise
    except CaffeFcnError as error:
        return MapProof(blob, not_shown=str(error))
    if expected.shape != found.shape:
        return MapProof(blob, not_shown=f"the map is {show(expected.shape)}, and here {show(found.shape)}")
    return MapProof(blob, tuple(found.shape[1:]), difference(expected, found, _LIMIT, softmax=False))
