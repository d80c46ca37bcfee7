"""The whole conversion, up to the point of writing: files in, a plan out.

`plan` decides everything and writes nothing; `writing.carry_out` writes what the plan says. Between the
two a caller can show the plan, or its diff, and stop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from caffe_fcn.errors import PrototxtError, ShapeError, SurgeryError
from caffe_fcn.files import prototxt
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.prototxt import Document, TextEdit
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.opening import meet, objection_notes
from caffe_fcn.net.foreign import RESHAPING, ForeignField, refusal
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.objections import Objection, Severity
from caffe_fcn.net.selection import ANY_NET, Selection, graph_of
from caffe_fcn.net.shapes import Shape, Shapes, infer_shapes, objections
from caffe_fcn.net.sizes import advice, other_parameters
from caffe_fcn.net.source import SourceNet, foreign_types, interpret, net_of_weights, open_either, refuse_lost, unforked
from caffe_fcn.passes.convolutionalize import Options, convolutionalize
from caffe_fcn.passes.convolutionalize.check import check_twin
from caffe_fcn.passes.convolutionalize.kept import Original, Twin, outputs_after
from caffe_fcn.passes.convolutionalize.survey import matches
from caffe_fcn.passes.edits import Surgery, ToConvolution, WindowPooling
from caffe_fcn.passes.phases import merge, outside
from caffe_fcn.passes.resize import image_inputs, resize_inputs
from caffe_fcn.passes.weights import WeightPlan, plan_weights
from caffe_fcn.schema import Message
from caffe_fcn.wording import option

_NAMES_ONLY = "a caffemodel made of it holds names and values only: BVLC Caffe has no numbers for its fields of forks"
_MOVED = {"inner_product_param": "convolution_param"}
"""Fields whose contents the surgery moves to another field."""


@dataclass(frozen=True)
class Settings:
    """What the user asks for."""

    options: Options = field(default_factory=Options)
    selection: Selection = ANY_NET
    input_size: tuple[int, ...] | None = None
    strict: bool = False


class Plan(NamedTuple):
    """A conversion decided on: the surgery, and what it makes of each document."""

    source: SourceNet
    surgery: Surgery
    net: Message
    text_edits: tuple[TextEdit, ...]
    document: Document
    weights: WeightFile | None
    weight_plan: WeightPlan | None
    outputs: Mapping[str, Shape]
    """Where an input size was asked for: the shapes that the outputs then have, by blob name."""
    notes: tuple[str, ...]

    def diff(self, new_name: str) -> str:
        """The unified diff of the prototxt."""
        return self.source.diff(self.text_edits, new_name)


def open_inputs(
    net: str, weights: str | None, names: tuple[str | None, str | None] = (None, None), fork: str | None = None
) -> tuple[SourceNet, WeightFile | None]:
    """The prototxt NET and the weights WEIGHTS, told apart by their contents. A caffemodel alone brings its own net,
    which FORK has written where that is known; HDF5 has none. NAMES is what messages call the two. Raises
    CaffeFcnError; OSError where a file cannot be read."""
    opened = open_either(net, names[0])
    if isinstance(opened, SourceNet):
        return unforked(opened, fork), open_weights(weights, names[1]) if weights is not None else None
    with ExitStack() as stack:
        stack.enter_context(opened)
        if weights is not None:
            swapped = prototxt.is_text_file(weights)
            hint = "the arguments are swapped: the prototxt comes first" if swapped else "give the prototxt first"
            raise PrototxtError(f"{opened.path}: expected a prototxt (text), found a binary file; {hint}")
        source = net_of_weights(opened, fork)
        stack.pop_all()
    return source, opened


def plan(source: SourceNet, weights: WeightFile | None, settings: Settings) -> Plan:
    """Decide how to convert SOURCE and WEIGHTS. Raises CaffeFcnError where that cannot be done."""
    try:
        return _plan(source, weights, settings)
    except (ShapeError, SurgeryError) as error:  # name the file, where that has not been done
        if str(error).startswith(f"{source.name}:"):
            raise
        raise type(error)(f"{source.name}: {error}") from error


def _plan(source: SourceNet, weights: WeightFile | None, settings: Settings) -> Plan:
    refuse_lost(source)
    found = meet(source, weights, settings.selection)
    source, weights, phases, known = found.source, found.weights, found.graphs, found.shapes
    surgeries = {
        phase: (graph, convolutionalize(graph, known[phase], settings.options)) for phase, graph in phases.items()
    }
    surgery = outside(source.net, list(phases.values()), merge(surgeries))
    _check_asked(source, phases, settings, surgery)
    _check_fields(phases, surgery)
    changed, origins = surgery.apply(source.net)
    stale = found.objected if settings.input_size else ()  # they are of another size than the written net has
    told = [note for note in found.notes if note not in stale]
    notes = [*told, *found.lacking, *foreign_types(layer.type for layer in source.net.layer), *surgery.notes]
    notes += _idle_rules(settings, source, surgery)
    if weights is not None and any(record.names_only for record in weights.layers):
        notes.append(f"{weights.path}: {_NAMES_ONLY}")
    for phase, graph in phases.items():
        notes += _renamed_outputs(graph, surgery)
        original = Original(graph, known[phase], surgeries[phase][1].promised)
        notes += _check(source, settings, phase, original, surgery, changed, origins)
    outputs: dict[str, Shape] = {}
    if settings.input_size:
        surgery, changed, outputs, more = _resized(source, settings, phases, known, surgery)
        notes += more
    weight_plan = plan_weights(found, weights, surgery) if weights else None
    text_edits = tuple(source.edits_for(changed, origins, _MOVED))
    document = source.document.with_edits(text_edits)
    check_text(document, changed)
    return Plan(
        source, surgery, changed, text_edits, document, weights, weight_plan, outputs, tuple(dict.fromkeys(notes))
    )


def _check_asked(source: SourceNet, phases: Mapping[str, Graph], settings: Settings, surgery: Surgery) -> None:
    """Raise SurgeryError for patterns that match no InnerProduct, and for what `strict` forbids."""
    names = {node.name for graph in phases.values() for node in graph.nodes if node.type == "InnerProduct"}
    for pattern in (*settings.options.only, *settings.options.skip):
        if not any(matches(name, (pattern,)) for name in names):
            there = ", ".join(sorted(names)) or "none"
            raise SurgeryError(f"{source.name}: no InnerProduct is called {pattern!r}; the net has: {there}")
    left = [entry for entry in surgery.left_alone if entry.type == "InnerProduct" and not entry.settled]
    if settings.strict and left:
        reasons = "; ".join(f"{entry.layer}: {entry.reason}" for entry in left)
        raise SurgeryError(
            f"{source.name}: {option('strict', True)}, and not every InnerProduct can be converted: {reasons}"
        )


def _check_fields(phases: Mapping[str, Graph], surgery: Surgery) -> None:
    """Raise SurgeryError where a field of unknown effect may change the size of a kernel, or may not mean in its new
    place what it meant in the old one."""
    sized = {edit.index for edit in surgery.edits if isinstance(edit, ToConvolution | WindowPooling)}
    converted = {edit.index for edit in surgery.conversions}
    for graph in phases.values():
        before = graph.before(node for node in graph.nodes if node.index in sized)

        def counts(node: Node, field: ForeignField, before: set[int] = before) -> bool:
            moves = node.index in converted and field.name.partition(".")[0] in _MOVED
            return moves or (node.index in before and field.effect in RESHAPING)

        if reason := refusal(graph, counts):
            raise SurgeryError(f"fields of unknown effect may change what is converted: {reason}")


def _check(
    source: SourceNet,
    settings: Settings,
    phase: str,
    original: Original,
    surgery: Surgery,
    changed: Message,
    origins: tuple[int, ...],
) -> list[str]:
    """Put the converted net of one phase to the test, given what is known of the original's inputs."""
    given = dict(settings.selection.given)
    for node in original.graph.nodes:
        if not node.bottoms:
            known = {blob.name: original.shapes.blobs[blob] for blob in node.tops}
            given.update({name: shape for name, shape in known.items() if isinstance(shape, tuple)})
    twin = graph_of(changed, source, settings.selection, phase)._replace(held=original.graph.held)
    try:
        made = infer_shapes(twin, given=given)
    except ShapeError as error:
        raise SurgeryError(
            f"the converted net would be refused: {_bare(source, error)}; this is a defect of caffe-fcn, please report "
            "it with the prototxt"
        ) from error
    notes = check_twin(original, Twin(twin, origins, made), surgery, given)
    if settings.input_size:  # what Caffe has against the net is found at that size
        return notes
    refused = _refusals_since((original.graph, original.shapes), (twin, made), origins)
    return [*(f"Caffe does not build the converted net: {each.message}" for each in refused), *notes]


def _resized(
    source: SourceNet, settings: Settings, phases: Mapping[str, Graph], known: Mapping[str, Shapes], surgery: Surgery
) -> tuple[Surgery, Message, dict[str, Shape], list[str]]:
    """SURGERY with the inputs resized, the net that it makes, if that takes such an input, its outputs, and notes."""
    outputs: dict[str, Shape] = {}
    size = settings.input_size or ()
    shown = option("input_size", size)
    notes: list[str] = []
    edits = [edit for phase, graph in phases.items() for edit in resize_inputs(graph, known[phase], size)]
    nominal, _ = surgery.apply(source.net)
    surgery = replace(surgery, edits=(*surgery.edits, *dict.fromkeys(edits)))
    changed, _ = surgery.apply(source.net)
    for phase in phases:
        blobs = image_inputs(phases[phase], known[phase])
        images = {blob.name: shape for blob in blobs if isinstance(shape := known[phase].blobs[blob], tuple)}
        held, channels = phases[phase].held, {name: shape[1] for name, shape in images.items()}
        graph, first = (
            graph_of(net, source, settings.selection, phase)._replace(held=held, channels=channels)
            for net in (changed, nominal)
        )
        given = {name: shape for name, shape in settings.selection.given.items() if name not in images}
        before = infer_shapes(first, given=settings.selection.given)
        try:
            shapes = infer_shapes(graph, given=given)
            misfit = other_parameters(graph, before, shapes)
            if misfit:
                raise ShapeError(str(misfit))
        except ShapeError as error:
            told = f"{_bare(source, error)}{advice(first, before, images, size, given)}"
            raise SurgeryError(f"{shown} does not suit the converted net: {told}") from error
        refused = _refusals_since((first, before), (graph, shapes))
        if refused:
            raise SurgeryError(
                f"with {shown} Caffe would refuse the net: {refused[0].message}; "
                "convert the deploy net, or first remove the layers that read labels; "
                f"without {option('input_size')} the labels fit"
            )
        notes += objection_notes(graph, shapes)
        made = {blob.name: shape for blob in graph.outputs if isinstance(shape := shapes.blobs[blob], tuple)}
        outputs = {**made, **outputs}
    return surgery, changed, outputs, notes


def _refusals_since(
    before: tuple[Graph, Shapes], after: tuple[Graph, Shapes], origins: Sequence[int] | None = None
) -> list[Objection]:
    """What no Caffe takes of the layers of the net AFTER, where it took those that they come from BEFORE. ORIGINS are
    their indices there, if these are others."""
    errors = [[each for each in objections(*net) if each.severity is Severity.ERROR] for net in (before, after)]
    known = {each.layer for each in errors[0]}
    origin = {} if origins is None else dict(enumerate(origins))
    return [each for each in errors[1] if origin.get(each.layer, each.layer) not in known]


def _bare(source: SourceNet, error: Exception) -> str:
    """The message of ERROR without the file's name, to stand in one that begins with it."""
    return str(error).removeprefix(f"{source.name}: ")


def _idle_rules(settings: Settings, source: SourceNet, surgery: Surgery) -> list[str]:
    """Notes on rename rules that match nothing that is converted: typing mistakes, mostly."""
    names = {name for edit in surgery.conversions for name in (edit.layer, *source.net.layer[edit.index].top)}
    idle = [rule for rule in settings.options.naming.rules if not any(rule[0].fullmatch(name) for name in names)]
    return [f"{option('rename', [f'{pattern.pattern}={new}'])} renames nothing" for pattern, new in idle]


def _renamed_outputs(graph: Graph, surgery: Surgery) -> list[str]:
    """A note on outputs of the net that go by another name afterwards."""
    names = {blob.name: name for blob, (_, name) in outputs_after(graph, surgery).items()}
    changes = [f"{old} is now {new}" for old, new in names.items() if old != new]
    return [f"outputs of the net have other names: {', '.join(changes)}"] if changes else []


def check_text(document: Document, planned: Message) -> None:
    """Raise SurgeryError unless DOCUMENT reads as the net that was PLANNED."""
    # By their bytes: as messages, two nets with a NaN in them are never equal to protobuf 5.
    read = interpret(document).net.SerializePartialToString(deterministic=True)
    if read != planned.SerializePartialToString(deterministic=True):
        raise SurgeryError(
            f"{document.name}: the rewritten text does not read as the net it should; nothing was written; "
            "this is a defect of caffe-fcn, please report it with the prototxt"
        )
