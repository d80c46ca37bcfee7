"""What is wrong with a prototxt, each problem with its place: what a compiler would say of it.

An error is what no Caffe could build. A note is what BVLC Caffe refuses and other programs read: fields and
layers of forks, and values written in a way that its parser does not take; and a phase that has no data and
cannot be built, which matters only to who builds it. What a file cannot tell, such as the size of images in a
database, is neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from caffe_fcn import schema
from caffe_fcn.errors import CaffeFcnError, NetError, PrototxtError, ShapeError
from caffe_fcn.files import prototxt
from caffe_fcn.files.literals import printable, visible
from caffe_fcn.files.prototxt import Document, Field
from caffe_fcn.files.textmessage import Typed, fields_of, to_message
from caffe_fcn.net.graph import Graph
from caffe_fcn.net.selection import ANY_NET, Selection, check_given, graph_of
from caffe_fcn.net.shapes import BVLC_LAYERS, RULES, infer_shapes
from caffe_fcn.net.source import SourceNet, interpret
from caffe_fcn.schema import Message

_MESSAGES = {"net": "NetParameter", "solver": "SolverParameter"}
_LABELS = "labelmap"
"""The names of SSD's classes, in files that lie beside its nets; no more than their syntax is looked at."""
_PHASES = {"TRAIN": 0, "TEST": 1}
_PLACE = re.compile(r":([0-9]+):([0-9]+): ")
_LONG = 100
_VARIANTS = 8
"""As many stages and levels of a file are looked at, one by one."""


class Problem(NamedTuple):
    """One problem, and where: line and column from 1."""

    line: int
    column: int
    message: str


@dataclass(frozen=True)
class Findings:
    """What a prototxt is, and what is wrong with it. KIND is "net", "solver" or "labelmap", None for none of them;
    FORMAT that of a net, "V0", "V1" or "V2"."""

    kind: str | None
    format: str | None
    errors: tuple[Problem, ...]
    notes: tuple[Problem, ...]

    def strictly(self) -> Findings:
        """The same with every note an error."""
        return replace(self, errors=tuple(sorted((*self.errors, *self.notes))), notes=())


def examine(data: bytes, name: str, selection: Selection = ANY_NET) -> Findings:
    """What is wrong with the prototxt DATA, a net of any age or a solver. NAME is what its errors would call it."""
    if prototxt.is_binary(data):
        return Findings(None, None, (Problem(1, 1, "expected a prototxt (text), found a binary file"),), ())
    try:
        document = prototxt.parse(data, name)
        kind = _kind(document)
        if kind == _LABELS:
            return Findings(kind, None, (), ())
        typed = to_message(document, schema.message_class(_MESSAGES[kind]))
    except PrototxtError as error:
        return Findings(None, None, (_located(error, name),), ())
    notes = sorted(_notes_on_text(document, typed))
    if kind == "solver":
        return Findings(kind, None, (), tuple(notes))
    try:
        source = interpret(document)
    except (PrototxtError, NetError) as error:
        return Findings(kind, None, (_located(error, name),), tuple(notes))
    built, failures = _built(source, selection)
    errors, more = _unbuilt(source, built, failures)
    errors += _errors_in_shapes(source, selection, built)
    notes = sorted({*notes, *more, *_foreign_types(source)})
    return Findings(kind, source.format, tuple(sorted(set(errors))), tuple(notes))


def _kind(document: Document) -> str:
    """What DOCUMENT holds, by its fields. Raises PrototxtError for what is none of Caffe's."""
    found = {field.name: field for field in reversed(document.root.fields)}
    if found.keys() == {"item"}:
        return _LABELS
    known = {kind: fields_of(schema.message_class(name).DESCRIPTOR).keys() for kind, name in _MESSAGES.items()}
    if found.keys() & (known["net"] - known["solver"]):
        return "net"
    if found.keys() & (known["solver"] - known["net"]):
        return "solver"
    if not found:
        document.fail(0, "expected a net or a solver, found an empty file")
    first = document.root.fields[0]
    document.fail(first.start, f"expected a net or a solver, found neither: {printable(first.name)!r} does not tell")


def _located(error: CaffeFcnError, name: str, place: tuple[int, int] = (1, 1)) -> Problem:
    """ERROR, which may say its place itself behind the file's NAME, and is else at PLACE."""
    text = str(error).removeprefix(name)
    if isinstance(error, PrototxtError):  # the line that it shows is not needed
        text = text.partition("\n")[0]
    text = visible(text.replace("\n", " "))
    found = _PLACE.match(text)
    if found:
        return Problem(int(found[1]), int(found[2]), text[found.end() :])
    return Problem(*place, text.removeprefix(": "))


# ---- Notes ----


def _notes_on_text(document: Document, typed: Typed) -> Iterator[Problem]:
    """What BVLC Caffe's parser would not take, each kind once, where it is first met."""
    for path, (offset, more) in _first(typed.unknown).items():
        what = printable(path.removeprefix("layer.").removeprefix("layers."), _LONG)
        yield Problem(*document.position(offset), f"{what} is unknown to BVLC Caffe{more}")
    for path, (offset, more) in _first(typed.irregular).items():
        yield Problem(
            *document.position(offset), f"{printable(path, _LONG)} is written in a way that Caffe refuses{more}"
        )


def _first(places: Iterable[tuple[str, int]]) -> dict[str, tuple[int, str]]:
    """The first place of each thing, and in words how many there are more."""
    found: dict[str, list[int]] = {}
    for what, offset in places:
        found.setdefault(what, []).append(offset)
    return {
        what: (offsets[0], f" ({len(offsets)} times, first here)" if len(offsets) > 1 else "")
        for what, offsets in found.items()
    }


def _foreign_types(source: SourceNet) -> Iterator[Problem]:
    """The layer types that BVLC Caffe does not have: those of forks, and typing mistakes."""
    from difflib import get_close_matches  # here, because most nets do not need it

    places = _layer_places(source)
    foreign = [(layer.type, index) for index, layer in enumerate(source.net.layer) if layer.type not in BVLC_LAYERS]
    for kind, (index, more) in _first(foreign).items():
        near = get_close_matches(kind, BVLC_LAYERS | RULES.keys(), n=1, cutoff=0.75) if kind not in RULES else []
        hint = f"; did you mean {near[0]}?" if near else ""
        message = f"BVLC Caffe has no layer of type {printable(kind)!r}{more}{hint}"
        yield Problem(*places.get(index, (1, 1)), message)


# ---- Errors ----


def _built(source: SourceNet, selection: Selection) -> tuple[list[Graph], dict[str, NetError]]:
    """The graphs that SOURCE describes, by phase, stage and level, and why those phases cannot be built that cannot
    with any stage or level in it."""
    rules = [rule for layer in source.net.layer for rule in (*layer.include, *layer.exclude)]
    phases = ["TEST", "TRAIN"] if any(rule.HasField("phase") for rule in rules) else ["TEST"]
    built: list[Graph] = []
    failures: dict[str, NetError] = {}
    for phase in [selection.phase] if selection.phase else phases:
        graphs = []
        for variant in _variants(rules, selection):
            try:
                graphs.append(graph_of(source.net, source, variant, phase))
            except NetError as error:
                failures.setdefault(phase, error)
        if graphs:
            failures.pop(phase, None)
        built += graphs
    return built, failures


def _variants(rules: Iterable[Message], selection: Selection) -> Iterator[Selection]:
    """SELECTION, and where it leaves stages and levels open, one with each that RULES name."""
    yield selection
    if selection.stages or selection.level is not None:
        return
    stages = dict.fromkeys(stage for rule in rules for stage in (*rule.stage, *rule.not_stage))
    bounds = [(rule, bound) for rule in rules for bound in ("min_level", "max_level") if rule.HasField(bound)]
    levels = dict.fromkeys(getattr(rule, bound) for rule, bound in bounds)
    for stage in islice(stages, _VARIANTS):
        yield selection._replace(stages=(stage,))
    for level in islice(levels, _VARIANTS):
        yield selection._replace(level=level)


def _unbuilt(
    source: SourceNet, built: Sequence[Graph], failures: Mapping[str, NetError]
) -> tuple[list[Problem], list[Problem]]:
    """The errors and the notes on phases that cannot be built. Where one can, another that no layer is made for need
    not, and one that no data is for may not be wanted."""
    errors: list[Problem] = []
    notes: list[Problem] = []
    for phase, error in failures.items():
        problem = _located(error, source.name, _place_of(source, _layer_named_in(error, source)))
        if not built:
            errors.append(problem)
        elif _has_layers(source.net, phase) and _has_data(source.net, phase):
            errors.append(_in_phase(problem, phase))
        elif _has_layers(source.net, phase):
            notes.append(problem._replace(message=f"phase {phase} has no data and cannot be built: {problem.message}"))
    return errors, notes


def _has_layers(net: Message, phase: str) -> bool:
    """Whether a layer of NET is made for PHASE, and not for both."""
    number = _PHASES[phase]
    included = {rule.phase for layer in net.layer for rule in layer.include if rule.HasField("phase")}
    excluded = {rule.phase for layer in net.layer for rule in layer.exclude if rule.HasField("phase")}
    return number in included or bool(excluded - {number})


def _has_data(net: Message, phase: str) -> bool:
    """Whether a layer without bottoms, or the net's own input, is in PHASE, as far as phases decide."""
    number = _PHASES[phase]
    for layer in net.layer:
        included = not layer.include or any(not r.HasField("phase") or r.phase == number for r in layer.include)
        excluded = any(rule.HasField("phase") and rule.phase == number for rule in layer.exclude)
        if not layer.bottom and included and not excluded:
            return True
    return bool(net.input)


def _errors_in_shapes(source: SourceNet, selection: Selection, built: Sequence[Graph]) -> Iterator[Problem]:
    """What is impossible in the shapes of the nets that were BUILT."""
    for name in selection.given:
        if built and not any(graph.latest(name) for graph in built):
            yield Problem(1, 1, f"a shape was given for {printable(name)!r}, a blob that the net does not have")
    found: dict[Problem, set[str]] = {}
    for graph in built:
        try:
            check_given(graph, selection.given)
            infer_shapes(graph, given=selection.given)
        except ShapeError as error:
            index = next((node.index for node in graph.nodes if node.name == error.layer), None)
            found.setdefault(_located(error, source.name, _place_of(source, index)), set()).add(graph.phase)
    for problem, phases in found.items():
        yield problem if phases == {graph.phase for graph in built} else _in_phase(problem, min(phases))


def _in_phase(problem: Problem, phase: str) -> Problem:
    return problem._replace(message=f"{problem.message} (in phase {phase})")


# ---- Places ----


def _layer_places(source: SourceNet) -> Mapping[int, tuple[int, int]]:
    """Line and column of each layer, by its index in `net.layer`; those that the upgrade made have none."""
    fields = [field for field in source.document.root.fields if field.name in ("layer", "layers")]
    offsets = [value.start if field.listed else field.start for field in fields for value in field.values]
    return {
        index: source.document.position(offsets[origin])
        for index, origin in enumerate(source.origins)
        if origin is not None and origin < len(offsets)
    }


def _place_of(source: SourceNet, index: int | None) -> tuple[int, int]:
    """Where the layer at INDEX stands; the net's own inputs for -1; the beginning where nothing is known."""
    if index == -1:
        inputs: Iterable[Field] = (field for field in source.document.root.fields if field.name.startswith("input"))
        return next((source.document.position(field.start) for field in inputs), (1, 1))
    return _layer_places(source).get(index, (1, 1)) if index is not None else (1, 1)


def _layer_named_in(error: NetError, source: SourceNet) -> int | None:
    """The index of the layer that ERROR begins with, which knows it only by its name: of several, the last."""
    text = str(error).removeprefix(f"{source.name}: ")
    named = [index for index, layer in enumerate(source.net.layer) if text.startswith(f'layer "{layer.name}" ')]
    return max(named, key=lambda index: (len(source.net.layer[index].name), index), default=None)
