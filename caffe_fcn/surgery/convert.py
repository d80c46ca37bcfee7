"""The whole conversion: files in, a plan, files out.

`plan` reads everything and decides everything, and writes nothing; `carry_out` writes what the plan
says under temporary names, reads it back, checks it against the plan, and only then lets the files
take their names. Between the two a caller can show the plan, or its diff, and stop.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TextIO

from caffe_fcn.errors import CaffemodelError, NetError, OutputError, PrototxtError, ShapeError, SurgeryError
from caffe_fcn.files import prototxt
from caffe_fcn.files.atomic import Output, OutputFiles, output_error
from caffe_fcn.files.caffemodel import WeightFile, open_caffemodel
from caffe_fcn.files.prototxt import Document, Edit
from caffe_fcn.files.rewrite import write
from caffe_fcn.net.graph import Graph, build_graph
from caffe_fcn.net.shapes import Shape, Shapes, find_rule, infer_shapes, show
from caffe_fcn.net.source import SourceNet, interpret, net_of_weights
from caffe_fcn.schema import Message
from caffe_fcn.surgery.check import Twin, check_twin
from caffe_fcn.surgery.convolutionalize import Options, convolutionalize
from caffe_fcn.surgery.edits import Surgery, ToConvolution
from caffe_fcn.surgery.inputs import image_inputs, resize_inputs
from caffe_fcn.surgery.phases import merge, outside
from caffe_fcn.surgery.survey import matches
from caffe_fcn.surgery.weights import WeightPlan, blob_shapes, plan_weights

STDOUT = "-"


@dataclass(frozen=True)
class Settings:
    """What the user asks for. PHASE None means every phase that the file tells apart; GIVEN holds shapes by
    blob name, for data that the file does not describe and layers that nobody knows."""

    options: Options = field(default_factory=Options)
    phase: str | None = None
    stages: tuple[str, ...] = ()
    level: int | None = None
    given: Mapping[str, Shape] = field(default_factory=dict)
    input_size: tuple[int, ...] | None = None
    strict: bool = False


class Plan(NamedTuple):
    """A conversion decided on: the surgery, and what it makes of each document."""

    source: SourceNet
    surgery: Surgery
    net: Message
    text_edits: tuple[Edit, ...]
    document: Document
    weights: WeightFile | None
    weight_plan: WeightPlan | None
    notes: tuple[str, ...]

    def diff(self, new_name: str) -> str:
        """The unified diff of the prototxt."""
        return self.source.diff(self.text_edits, new_name)


def open_inputs(
    net: str, weights: str | None, names: tuple[str | None, str | None] = (None, None)
) -> tuple[SourceNet, WeightFile | None]:
    """The prototxt NET and the caffemodel WEIGHTS, told apart by their contents. A caffemodel alone brings its
    own net. NAMES is what messages call the two. Raises CaffeFcnError; OSError where a file cannot be read."""
    net_name = names[0] or net
    with open(net, "rb") as file:
        data = file.read(4096)
        binary = prototxt.is_binary(data)
        data += b"" if binary else file.read()
    if not binary:
        source = interpret(prototxt.parse(data, net_name))
        return source, open_caffemodel(weights, names[1]) if weights is not None else None
    if weights is not None:
        swapped = not prototxt.is_binary(_head(weights))
        hint = "the arguments are swapped: the prototxt comes first" if swapped else "give the prototxt first"
        raise PrototxtError(f"{net_name}: expected a prototxt (text), found a binary file; {hint}")
    opened = open_caffemodel(net, net_name)
    return net_of_weights(opened), opened


def _head(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(4096)


def plan(source: SourceNet, weights: WeightFile | None, settings: Settings) -> Plan:
    """Decide how to convert SOURCE and WEIGHTS. Raises CaffeFcnError where that cannot be done."""
    try:
        return _plan(source, weights, settings)
    except (ShapeError, SurgeryError) as error:  # name the file, where that has not been done
        if str(error).startswith(source.name):
            raise
        raise type(error)(f"{source.name}: {error}") from error


def _plan(source: SourceNet, weights: WeightFile | None, settings: Settings) -> Plan:
    shapes_of_blobs = blob_shapes(weights) if weights else None
    phases = _phases(source, settings)
    surgeries: dict[str, tuple[Graph, Surgery]] = {}
    params: dict[str, tuple[Shape, ...]] = {}
    known: dict[str, Shapes] = {}
    for phase, graph in phases.items():
        _check_given(source, settings, graph)
        shapes = infer_shapes(graph, given=settings.given, weights=shapes_of_blobs)
        known[phase] = shapes
        surgeries[phase] = graph, convolutionalize(graph, shapes, settings.options)
        params.update({node.name: shapes.params[node.index] for node in graph.nodes if node.index in shapes.params})
    surgery = outside(source.net, list(phases.values()), merge(surgeries))
    _check_asked(source, phases, settings, surgery)
    changed, origins = surgery.apply(source.net)
    notes = [*source.notes, *surgery.notes]
    for phase, graph in phases.items():
        notes += known[phase].notes
        notes += _check(source, settings, phase, graph, known[phase], surgery, changed, origins)
    if settings.input_size:
        surgery, changed = _resized(source, settings, phases, known, surgery)
    weight_plan = plan_weights(weights, source.net, surgery, params) if weights else None
    text_edits = tuple(source.edits_for(changed, origins))
    document = source.document.with_edits(text_edits)
    result = Plan(source, surgery, changed, text_edits, document, weights, weight_plan, tuple(dict.fromkeys(notes)))
    _check_text(result, document)
    return result


def _phases(source: SourceNet, settings: Settings) -> dict[str, Graph]:
    """The graphs to convert by phase. Where the file tells phases apart and one of them cannot be built, as
    in a file made for training only, the other is enough."""
    tells_apart = any(rule.HasField("phase") for layer in source.net.layer for rule in (*layer.include, *layer.exclude))
    wanted = [settings.phase] if settings.phase else ["TEST", "TRAIN"] if tells_apart else ["TEST"]
    graphs: dict[str, Graph] = {}
    failures: list[NetError] = []
    for phase in wanted:
        try:
            graphs[phase] = build_graph(
                source.net, phase=phase, stages=settings.stages, level=settings.level, source=source.name
            )
        except NetError as error:
            failures.append(error)
    if not graphs and source.from_weights:
        raise NetError(f"{failures[0]}; the net inside the caffemodel is not whole: give its prototxt as well")
    if not graphs:
        raise failures[0]
    unknown = [name for name in settings.given if not any(graph.latest(name) for graph in graphs.values())]
    if unknown:
        raise NetError(f"{source.name}: a shape was given for {unknown[0]!r}, a blob that the net does not have")
    return graphs


def _check_given(source: SourceNet, settings: Settings, graph: Graph) -> None:
    """Raise ShapeError for a shape that contradicts what the file says itself of an input."""
    for node in graph.nodes:
        rule = find_rule(node.type)
        if node.type != "Input" or rule is None or not any(blob.name in settings.given for blob in node.tops):
            continue
        for blob, shape in zip(node.tops, rule.tops(node.layer, []), strict=False):
            given = settings.given.get(blob.name)
            if given is not None and isinstance(shape, tuple) and given != shape:
                raise ShapeError(
                    f"{source.name}: {blob.name!r} is {show(shape)} in the file, and was given as {show(given)}; "
                    "--input-shape tells what the file leaves out, --input-size changes the size"
                )


def _check_asked(source: SourceNet, phases: Mapping[str, Graph], settings: Settings, surgery: Surgery) -> None:
    """Raise SurgeryError for names in --only and --skip that match nothing, and for what --strict forbids."""
    names = {node.name for graph in phases.values() for node in graph.nodes if node.type == "InnerProduct"}
    for pattern in (*settings.options.only, *settings.options.skip):
        if not any(matches(name, (pattern,)) for name in names):
            there = ", ".join(sorted(names)) or "none"
            raise SurgeryError(f"{source.name}: no InnerProduct is called {pattern!r}; the net has: {there}")
    left = [entry for entry in surgery.left_alone if entry.type == "InnerProduct" and not entry.asked]
    if settings.strict and left:
        reasons = "; ".join(f"{entry.layer}: {entry.reason}" for entry in left)
        raise SurgeryError(f"{source.name}: --strict, and not every InnerProduct can be converted: {reasons}")


def _check(
    source: SourceNet,
    settings: Settings,
    phase: str,
    graph: Graph,
    shapes: Shapes,
    surgery: Surgery,
    changed: Message,
    origins: tuple[int, ...],
) -> list[str]:
    """Put the converted net of one phase to the test, given what is known of the original's inputs."""
    given = dict(settings.given)
    for node in graph.nodes:
        if not node.bottoms:
            given.update({blob.name: shape for blob in node.tops if isinstance(shape := shapes.blobs[blob], tuple)})
    twin = build_graph(changed, phase=phase, stages=settings.stages, level=settings.level, source=source.name)
    return check_twin(Twin(twin, origins), surgery, given, infer_shapes(twin, given=given))


def _resized(
    source: SourceNet, settings: Settings, phases: Mapping[str, Graph], known: Mapping[str, Shapes], surgery: Surgery
) -> tuple[Surgery, Message]:
    """SURGERY with the inputs resized, and the net that it makes, if that takes such an input."""
    size = settings.input_size or ()
    edits = [edit for phase, graph in phases.items() for edit in resize_inputs(graph, known[phase], size)]
    surgery = replace(surgery, edits=(*surgery.edits, *dict.fromkeys(edits)))
    changed, _ = surgery.apply(source.net)
    for phase in phases:
        graph = build_graph(changed, phase=phase, stages=settings.stages, level=settings.level, source=source.name)
        images = {blob.name for blob in image_inputs(phases[phase], known[phase])}
        given = {name: shape for name, shape in settings.given.items() if name not in images}
        try:
            infer_shapes(graph, given=given)
        except ShapeError as error:
            shown = "x".join(map(str, size))
            raise SurgeryError(f"--input-size {shown} does not suit the converted net: {error}") from error
    return surgery, changed


def _check_text(plan: Plan, document: Document) -> None:
    """Raise SurgeryError unless DOCUMENT reads as the net that was planned."""
    read, planned = interpret(document).net, plan.net
    # By their bytes: as messages, two nets with a NaN in them are never equal to protobuf 5.
    if read.SerializePartialToString(deterministic=True) != planned.SerializePartialToString(deterministic=True):
        raise SurgeryError(
            f"{document.name}: the rewritten text does not read as the net it should; nothing was written; "
            "this is a defect of caffe-fcn, please report it with the prototxt"
        )


def carry_out(
    plan: Plan,
    text_path: str | None,
    weights_path: str | None,
    *,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write what PLAN says to TEXT_PATH and WEIGHTS_PATH: "-" is stdout, None leaves one out. Both appear, or
    neither; what goes to stdout goes last, because it cannot be taken back."""
    with OutputFiles() as outputs:
        if weights_path is not None and weights_path != STDOUT:
            output = outputs.add(weights_path, overwrite=force)
            write_weights(plan, output.fd, output.path, progress)
            if output.temp is not None:
                output.close()
                _read_back_weights(plan, output)
        if text_path is not None and text_path != STDOUT:
            output = outputs.add(text_path, overwrite=force)
            output.write(bytes(plan.document))
            if output.temp is not None:
                output.close()
                _read_back_text(plan, output)
        if text_path == STDOUT:
            to_stdout(bytes(plan.document))
        if weights_path == STDOUT:
            write_weights(plan, _stdout().fileno(), "stdout", progress)
        outputs.commit()


def to_stdout(data: bytes) -> None:
    """Write DATA to stdout. Raises OutputError where that is closed or full."""
    out = _stdout().buffer
    try:
        out.write(data)
        out.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output_error("stdout", error, needed=len(data)) from error


def _stdout() -> TextIO:
    """Stdout, with nothing left in Python's buffer. Raises OutputError where it is closed."""
    if sys.stdout is None:
        raise OutputError("stdout: expected to write to it, found it closed; name a file instead")
    sys.stdout.flush()
    return sys.stdout


def write_weights(plan: Plan, fd: int, name: str, progress: Callable[[int], None] | None = None) -> None:
    """Write the converted caffemodel to an open descriptor; NAME is for messages."""
    if plan.weights is not None and plan.weight_plan is not None:
        upgrade = plan.weight_plan.upgrade_header
        write(plan.weights, fd, plan.weight_plan.edits, progress=progress, upgrade_header=upgrade, name=name)


def _read_back_text(plan: Plan, output: Output) -> None:
    """Hold the new prototxt against the text that was checked. Raises OutputError."""
    with open(output.temp or output.path, "rb") as file:
        if file.read() != bytes(plan.document):
            raise OutputError(f"{output.path}: read back otherwise than it was written; check the disk")


def _read_back_weights(plan: Plan, output: Output) -> None:
    """Index the new caffemodel and hold its layers and kernels against the plan. Raises CaffemodelError."""
    renamed = plan.surgery.renamed_layers
    expected: dict[str, ToConvolution] = {renamed.get(e.layer, e.layer): e for e in plan.surgery.conversions}
    with open_caffemodel(os.fspath(output.temp or output.path)) as written:
        for record in written.layers:
            edit = expected.get(record.name)
            if edit is None or not record.blobs or record.header.type != "Convolution":
                continue
            if record.blobs[0].shape != edit.weight_shape or record.blobs[0].count != edit.weight_count:
                raise CaffemodelError(
                    f"{output.path}: layer {record.name!r}: expected to read back {edit.weight_shape}, found "
                    f"{record.blobs[0].shape}; nothing was written; check the disk"
                )
        held = {record.name for record in written.layers}
    lost = [name for name, edit in expected.items() if name not in held and edit.layer not in _missing(plan)]
    if lost:
        raise CaffemodelError(f"{output.path}: layer {lost[0]!r} is missing after writing; check the disk")


def _missing(plan: Plan) -> tuple[str, ...]:
    return plan.weight_plan.missing if plan.weight_plan else ()
