"""Checks the nets that a file describes: each phase, stage and level in its rules."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from caffe_fcn.display import printable
from caffe_fcn.errors import NetError, ShapeError
from caffe_fcn.net.foreign import unknown_name
from caffe_fcn.net.graph import Graph
from caffe_fcn.net.layers import LAYERS, row_of
from caffe_fcn.net.objections import Severity
from caffe_fcn.net.options import Selection
from caffe_fcn.net.problems.findings import Problem
from caffe_fcn.net.problems.joins import joins
from caffe_fcn.net.problems.places import START, layer_places, located, place_of
from caffe_fcn.net.problems.text import first_of_each
from caffe_fcn.net.rules import named
from caffe_fcn.net.selection import check_given, graph_of
from caffe_fcn.net.shapes import Shapes, Unknown, infer_shapes, objections
from caffe_fcn.net.source import SourceNet
from caffe_fcn.net.upgrade import SHAPE_HINT, old_types
from caffe_fcn.schema import Message
from caffe_fcn.wording import nearest

_PHASES = {"TRAIN": 0, "TEST": 1}
_VARIANTS = 8
"""The maximum number of stages and levels of a file that are checked, one by one."""


class _Phases(NamedTuple):
    """The graphs that a file describes, by phase, stage and level. PHASES cannot be built with any stage or level, with
    the reason. UNTOLD cannot be built at level 0 without a stage, with the reason."""

    built: list[Graph]
    failures: dict[str, NetError]
    untold: dict[str, tuple[NetError, Selection]]
    """Each with a selection that can be built."""


def problems_of(source: SourceNet, selection: Selection) -> Iterator[Problem]:
    """Return the problems of the nets that SOURCE describes, for all choices that SELECTION does not make."""
    phases = _phases(source, selection)
    for name in sorted(selection.ignore_fields):
        if wrong := unknown_name(source.foreign, name):
            yield Problem(*START, wrong)
    yield from _unbuilt(source, phases)
    yield from _errors_in_shapes(source, selection, phases.built)
    judged = {node.index for graph in phases.built for node in graph.nodes}
    if phases.failures:
        judged.update(range(len(source.net.layer)))
    yield from _foreign_types(source, judged)
    yield from _old_types(source)


def _phases(source: SourceNet, selection: Selection) -> _Phases:
    rules = [rule for layer in source.net.layer for rule in (*layer.include, *layer.exclude)]
    names = ["TEST", "TRAIN"] if any(rule.HasField("phase") for rule in rules) else ["TEST"]
    found = _Phases([], {}, {})
    for phase in [selection.phase] if selection.phase else names:
        graphs: list[Graph] = []
        for variant in _variants(source.net, selection):
            try:
                graphs.append(graph_of(source.net, source, variant, phase))
            except NetError as error:
                found.failures.setdefault(phase, error)
            else:
                if phase in found.failures:
                    found.untold[phase] = found.failures.pop(phase), variant
        if graphs:
            found.failures.pop(phase, None)
        found.built.extend(graphs)
    return found


def _variants(net: Message, selection: Selection) -> Iterator[Selection]:
    """Return SELECTION, and if it chooses no stage and level, further selections with each one in the rules of NET."""
    yield selection
    if selection.stages or selection.level is not None:
        return
    stages, levels = named(net)
    for stage in islice(stages, _VARIANTS):
        yield replace(selection, stages=(stage,))
    for level in islice(levels, _VARIANTS):
        yield replace(selection, level=level)


def _unbuilt(source: SourceNet, phases: _Phases) -> Iterator[Problem]:
    """Return the problems of phases that cannot be built. If one phase can be built, another without layers of its own
    is no problem, and one without data is only a note."""
    for phase, error in phases.failures.items():
        problem = located(error, source.name, place_of(source, error.index))
        if not phases.built:
            yield problem
        elif _has_layers(source.net, phase) and _has_data(source.net, phase):
            yield _in_phase(problem, phase)
        elif _has_layers(source.net, phase):
            message = f"phase {phase} has no data and cannot be built: {problem.message}"
            yield problem._replace(message=message, severity=Severity.BVLC)
    for phase, (error, choice) in phases.untold.items():
        problem = located(error, source.name, place_of(source, error.index))
        can = f"stage {printable(choice.stages[0])!r}" if choice.stages else f"level {choice.level}"
        message = f"phase {phase} cannot be built at level 0 without a stage, Caffe's defaults, but can with {can}: "
        yield problem._replace(message=message + problem.message, severity=Severity.BVLC)


def _has_layers(net: Message, phase: str) -> bool:
    """Return whether a layer of NET is for PHASE only, not for both."""
    number = _PHASES[phase]
    included = {rule.phase for layer in net.layer for rule in layer.include if rule.HasField("phase")}
    excluded = {rule.phase for layer in net.layer for rule in layer.exclude if rule.HasField("phase")}
    return number in included or bool(excluded - {number})


def _has_data(net: Message, phase: str) -> bool:
    """Return whether a layer without bottoms, or an input field of the net, is in PHASE, as far as phases decide."""
    number = _PHASES[phase]
    for layer in net.layer:
        included = not layer.include or any(not r.HasField("phase") or r.phase == number for r in layer.include)
        excluded = any(rule.HasField("phase") and rule.phase == number for rule in layer.exclude)
        if not layer.bottom and included and not excluded:
            return True
    return bool(net.input)


def _errors_in_shapes(source: SourceNet, selection: Selection, built: Sequence[Graph]) -> Iterator[Problem]:
    """Return errors in the shapes of the nets in BUILT."""
    for name in selection.given:
        if built and not any(graph.latest(name) for graph in built):
            yield Problem(*START, f"a shape was given for {printable(name)!r}, but the net has no such blob")
    found: dict[Problem, set[str]] = {}
    for graph in built:
        for problem in _in_graph(source, graph, selection):
            found.setdefault(problem, set()).add(graph.phase)
    for problem, phases in found.items():
        yield problem if phases == {graph.phase for graph in built} else _in_phase(problem, min(phases))


def _in_graph(source: SourceNet, graph: Graph, selection: Selection) -> Iterator[Problem]:
    """Return errors in the shapes of one net; if there are none, Caffe's objections to its layers."""
    try:
        check_given(graph, selection.given)
        shapes = infer_shapes(graph, given=selection.given)
    except ShapeError as error:
        yield located(error, source.name, place_of(source, error.index))
        return
    for severity, layer, message in objections(graph, shapes):
        yield Problem(*place_of(source, layer), message, severity)
    yield from joins(source, graph, selection, shapes)
    yield from _shapeless(source, graph, selection, shapes)


def _shapeless(source: SourceNet, graph: Graph, selection: Selection, shapes: Shapes) -> Iterator[Problem]:
    """Return problems of inputs without a shape: Caffe drops an input field, and gives a top of an Input layer no
    axes."""
    inputs = [node for node in graph.nodes if node.type == "Input" and not node.layer.input_param.shape]
    blobs = [(node, blob) for node in inputs for blob in node.tops if isinstance(shapes.blobs[blob], Unknown)]
    for node, blob in blobs:
        if node.index == -1:
            what = f"input {printable(blob.name)!r} has no shape, so Caffe drops it; {SHAPE_HINT}"
            yield Problem(*place_of(source, -1), what)
    try:
        infer_shapes(graph, given={**selection.given, **{blob.name: () for _, blob in blobs}})
    except ShapeError as error:
        reason = located(error, source.name).message
        for node, blob in blobs:
            if node.index != -1:
                what = f"Caffe cannot load the net while {printable(blob.name)!r} has no shape ({reason})"
                hint = "give the layer input_param { shape { ... } }"
                yield Problem(*place_of(source, node.index), f"{what}; {hint}", Severity.BVLC)


def _in_phase(problem: Problem, phase: str) -> Problem:
    return problem._replace(message=f"{problem.message} (in phase {phase})")


def _old_types(source: SourceNet) -> Iterator[Problem]:
    """Return problems of current layers whose type has its name of 2014."""
    places = layer_places(source)
    types = old_types()
    old = [(layer.type, index) for index, layer in enumerate(source.written.layer) if layer.type in types]
    for kind, (index, more) in first_of_each(old).items():
        message = f"type {kind} is a name from the format of 2014{more}; in a 'layer', write type: \"{types[kind]}\""
        yield Problem(*places.get(index, START), message, Severity.BVLC)


def _foreign_types(source: SourceNet, judged: Collection[int]) -> Iterator[Problem]:
    """Return problems of layers in JUDGED, by index, with types that BVLC Caffe does not have: of forks, or
    mistyped."""
    places = layer_places(source)
    foreign = [
        (layer.type, index)
        for index, layer in enumerate(source.net.layer)
        if not row_of(layer.type).bvlc and index in judged
    ]
    for kind, (index, more) in first_of_each(foreign).items():
        near = None if row_of(kind).known else nearest(kind, LAYERS, cutoff=0.75)
        hint = f"; did you mean {near}?" if near else ""
        message = f"BVLC Caffe has no layer type {printable(kind)!r}{more}{hint}"
        yield Problem(*places.get(index, START), message, Severity.BVLC)
