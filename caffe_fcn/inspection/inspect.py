"""Collects what is known about a net and its weights without running it.

Everything is computed once, for one phase, and kept in records that do not depend on the output format; the table, the
JSON document and the CSV file show the same values. An unknown value is None, with a note that gives the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from caffe_fcn.display import printable
from caffe_fcn.errors import CaffeFcnError, NetError, ShapeError, SurgeryError
from caffe_fcn.files.blobs import ITEM_SIZE
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.statistics import blob_statistics
from caffe_fcn.inspection.records import (
    BlobRow,
    Group,
    InspectedFiles,
    InspectedNet,
    Inspection,
    InspectSettings,
    Layer,
    Match,
    Top,
)
from caffe_fcn.model.fitting import foreign_layers
from caffe_fcn.model.opening import meet, open_inputs
from caffe_fcn.net.cost import Cost, infer_costs, shares_data, total
from caffe_fcn.net.geometry import infer_geometry
from caffe_fcn.net.geometry.alignment import misaligned
from caffe_fcn.net.graph import Graph
from caffe_fcn.net.images import image_inputs
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.rules import choices
from caffe_fcn.net.shapes import Shape, Shapes, Unknown, infer_shapes
from caffe_fcn.net.sizes import advice, other_parameters
from caffe_fcn.net.source import SourceNet, foreign_types, net_of_weights, open_either, unforked
from caffe_fcn.passes.convolutionalize.survey import matches
from caffe_fcn.schema import Message
from caffe_fcn.wording import Command, Option, advise, option

_MOST_NOTES = 6
"""The maximum number of shapes that are explained one by one."""


def open_inspected(
    net: str,
    weights: str | None = None,
    names: tuple[str | None, str | None] = (None, None),
    fork: str | None = None,
) -> InspectedFiles:
    """Open the prototxt NET with its WEIGHTS, or a file of weights alone with the net inside it, if it has one. FORK is
    the Caffe that wrote it, if known. Messages call the two by NAMES. Raises CaffeFcnError; OSError if a file cannot be
    read. The caller must close the weights."""
    if weights is not None:
        files = open_inputs(net, weights, names, fork)
        return InspectedFiles(files.source.name, *files)
    found = open_either(net, names[0])
    if isinstance(found, SourceNet):
        return InspectedFiles(found.name, unforked(found, fork), None)
    try:
        return InspectedFiles(found.path, net_of_weights(found, fork), found)
    except CaffeFcnError as error:
        return InspectedFiles(found.path, None, found, error.within(found.path))


def inspect(files: InspectedFiles, settings: InspectSettings) -> Inspection:
    """Inspect FILES. Raises CaffeFcnError if the net is impossible, the weights belong to another net, or the settings
    do not fit. If the net inside the weights is incomplete, only their blobs are returned."""
    return look_into(files, settings).inspection


def look_into(files: InspectedFiles, settings: InspectSettings, *, lenient: bool = False) -> InspectedNet:
    """Return what `inspect` returns, with the model and the shapes that it was made of. LENIENT: weights that belong to
    another net are told in a note, as for the net inside a caffemodel."""
    if files.source is None:
        return InspectedNet(_without_net(files, settings), None, None)
    try:
        return _with_net(files, files.source, settings, lenient=lenient)
    except (NetError, ShapeError) as error:
        if files.source.from_weights:
            files = files._replace(why=error.within(files.name))
            return InspectedNet(_without_net(files, settings), None, None)
        error.locate(source=files.name)
        raise


def _with_net(model: InspectedFiles, source: SourceNet, settings: InspectSettings, *, lenient: bool) -> InspectedNet:
    lenient = lenient or source.from_weights
    found = meet(source, model.weights, settings.selection, lenient=lenient, every=False, unsettled=True)
    phase, graph, weights = found.phase, found.graph, found.weights
    shapes = found.shapes[phase]
    if settings.input_size:
        shapes = _resized(graph, shapes, settings)
    layers = _layers(graph, shapes, settings.geometry)
    wanted = sum(bool(layer.cost.blobs) for layer in layers)
    blobs = _blob_rows(weights, settings) if weights else ()
    names = dict.fromkeys([*(layer.name for layer in layers), *(row.layer for row in blobs)])
    _check_patterns(model.name, settings.layers, names)
    listed = tuple(layer for layer in layers if _asked(layer.name, settings))
    misfit = [found.misfit.within(weights.path)] if weights and found.misfit else []
    notes = _notes(source.net, graph, shapes, settings, phase)
    inspection = Inspection(
        file=source.name,
        name=source.net.name,
        format=source.format,
        phase=_phase(source, settings, phase),
        settings=settings,
        inputs=_inputs(graph, shapes),
        batch=_batch(graph, shapes),
        weights=_summary(weights, wanted, found.missing, source) if weights else None,
        layers=listed,
        misaligned=misaligned(graph, shapes) if settings.geometry else (),
        totals=total(layer.cost for layer in layers),
        selected=total(layer.cost for layer in listed),
        groups=_groups(listed),
        blobs=tuple(row for row in blobs if _asked(row.layer, settings)),
        notes=tuple(dict.fromkeys([*found.notes, *found.lacking, *notes, *misfit])),
    )
    return InspectedNet(inspection, found, shapes)


def _without_net(model: InspectedFiles, settings: InspectSettings) -> Inspection:
    """Return the blobs of a file of weights without a usable net. Raises NetError if SETTINGS need a net."""
    weights = model.weights
    if weights is None or settings.input_size or settings.selection.given:
        raise NetError(str(model.why), source=model.name)
    blobs = _blob_rows(weights, settings)
    _check_patterns(model.name, settings.layers, dict.fromkeys(row.layer for row in blobs))
    return Inspection(
        file=model.name,
        name=weights.net_header.name,
        format=_format(weights),
        phase=None,
        settings=settings,
        inputs={},
        batch=None,
        weights=_summary(weights, None, (), None),
        layers=(),
        misaligned=(),
        totals=None,
        selected=None,
        groups=(),
        blobs=tuple(row for row in blobs if _asked(row.layer, settings)),
        notes=(f"{model.why}; these are its blobs",),
    )


def _asked(name: str, settings: InspectSettings) -> bool:
    return not settings.layers or matches(name, settings.layers)


def _check_patterns(file: str, patterns: Iterable[str], names: Iterable[str]) -> None:
    """Raise CaffeFcnError for a pattern that no layer matches: a typing mistake."""
    names = list(names)
    for pattern in patterns:
        if not any(matches(name, (pattern,)) for name in names):
            there = ", ".join(map(printable, names[:12])) + (", ..." if len(names) > 12 else "")
            raise CaffeFcnError(f"{file}: no layer has the name {pattern!r}; expected one of: {there or 'none'}")


# ---- The net ----


def _phase(source: SourceNet, settings: InspectSettings, built: str) -> str | None:
    """Return the phase that is shown. The net inside a caffemodel was built for one phase, which it often does not
    name."""
    if not source.from_weights or settings.selection.phase:
        return built
    state = source.net.state
    return ("TRAIN", "TEST")[state.phase] if state.HasField("phase") else None


def _layers(graph: Graph, shapes: Shapes, with_geometry: bool) -> list[Layer]:
    geometry = infer_geometry(graph, shapes) if with_geometry else {}
    layers = []
    for node, cost in zip(graph.nodes, infer_costs(graph, shapes), strict=True):
        lies = next((found for blob in node.tops if (found := geometry.get(blob)) is not None), None)
        tops = tuple(Top(blob.name, _told(shapes.blobs[blob]), blob.version > 0) for blob in node.tops)
        bottoms = tuple(blob.name for blob in node.bottoms)
        layers.append(Layer(node.name, node.type, bottoms, tops, cost, shares_data(node), lies))
    return layers


def _told(shape: Shape | Unknown) -> Shape | None:
    return None if isinstance(shape, Unknown) else shape


def _inputs(graph: Graph, shapes: Shapes) -> dict[str, Shape | None]:
    """Return the input blobs of the net, by name; learned blobs are not inputs."""
    makers = [node for node in graph.nodes if not node.bottoms and node.type != "Parameter"]
    return {blob.name: _told(shapes.blobs[blob]) for node in makers for blob in node.tops}


def _batch(graph: Graph, shapes: Shapes) -> int | None:
    """Return the number of images in a batch: the first extent of its images, or else of all its inputs."""
    if any(row_of(node.type).time_first for node in graph.nodes):
        return None
    inputs = _inputs(graph, shapes)
    images = [inputs[blob.name] for blob in image_inputs(graph, shapes) if blob.name in inputs]
    firsts = {shape[0] for shape in images or inputs.values() if shape}
    return firsts.pop() if len(firsts) == 1 else None


def _resized(graph: Graph, nominal: Shapes, settings: InspectSettings) -> Shapes:
    """Return the shapes for images of the size in SETTINGS. Raises SurgeryError if the net does not accept them."""
    size = settings.input_size or ()
    shown = Option("input_size", size)
    constants = {blob for node in graph.nodes if node.type == "Parameter" for blob in node.tops}
    images = {blob.name: nominal.blobs[blob] for blob in image_inputs(graph, nominal) if blob not in constants}
    known = {name: shape for name, shape in images.items() if isinstance(shape, tuple) and len(shape) >= 2 + len(size)}
    if not known:
        raise SurgeryError(
            f"no input of the net is known to have {len(size)} spatial axes",
            source=graph.source,
            place=shown,
            hint=advise("give its shape with ", Option("input_shape")),
        )
    sizes = {shape[-len(size) :] for shape in known.values()}
    if len(sizes) > 1:
        found = ", ".join(f"{name!r} {'x'.join(map(str, shape[-len(size) :]))}" for name, shape in known.items())
        raise SurgeryError(
            f"the net's inputs have different sizes: {found}",
            source=graph.source,
            place=shown,
            hint="edit the file",
        )
    given = {**settings.selection.given, **{name: (*shape[: -len(size)], *size) for name, shape in known.items()}}
    try:
        shapes = infer_shapes(graph, given=given)
    except ShapeError as error:
        near = advice(graph, nominal, known, size, settings.selection.given)
        told = f"{shown} does not suit the net: {error.within(graph.source)}{near}"
        raise SurgeryError(told, source=graph.source, layer=error.layer, index=error.index) from error
    misfit = other_parameters(graph, nominal, shapes)
    if misfit:
        raise SurgeryError(
            f"{shown} does not suit the net: {misfit}",
            source=graph.source,
            layer=misfit.node.name,
            index=misfit.node.index,
            hint=advise("convert it first with ", Command("convert")),
        )
    return shapes


def _groups(layers: Sequence[Layer]) -> tuple[Group, ...]:
    """Group the layers by the part of their names before the first slash; no groups if no two layers share one."""
    found: dict[str | None, list[Cost]] = {}
    for layer in layers:
        prefix, slash, _ = layer.name.partition("/")
        found.setdefault(prefix if slash else None, []).append(layer.cost)
    rest = found.pop(None, [])
    if not any(len(costs) > 1 for costs in found.values()):
        return ()
    groups = [Group(prefix, total(costs)) for prefix, costs in found.items()]
    return (*groups, Group(None, total(rest))) if rest else tuple(groups)


def _notes(net: Message, graph: Graph, shapes: Shapes, settings: InspectSettings, phase: str) -> list[str]:
    """Return the reasons for unknown values, and other notes on the net."""
    notes = foreign_types(node.type for node in graph.nodes)
    if phase == "TRAIN" and settings.selection.phase is None:
        notes.append(f"shown in phase TRAIN, because the file has no net in phase TEST{choices(net)}")
    causes = list(dict.fromkeys(shape for shape in shapes.blobs.values() if isinstance(shape, Unknown)))
    notes += [_cause(cause) for cause in causes[:_MOST_NOTES]]
    if len(causes) > _MOST_NOTES:
        notes.append(f"{len(causes) - _MOST_NOTES} more shapes are not defined by their layers")
    return notes


def _cause(cause: Unknown) -> str:
    name = {"input": "input_shape", "type": "shape"}.get(cause.kind)
    way = option(name, {printable(cause.blob): "NCHW"}) if name else ""
    cure = f"; give it with {way}" if way else "; it is known only at run time"
    return f"layer {cause.layer!r} does not define the shape of {cause.blob!r}: {cause.reason}{cure}"


# ---- The weights ----


def _summary(weights: WeightFile, wanted: int | None, missing: tuple[str, ...], source: SourceNet | None) -> Match:
    held = {record.name for record in weights.layers if record.blobs}
    dtypes = sorted({blob.dtype for record in weights.layers for blob in record.blobs if blob.count})
    about = weights.path, _format(weights), weights.size, tuple(dtypes), len(held)
    foreign = () if source is None else foreign_layers(weights, (layer.name for layer in source.net.layer))
    return Match(*about, wanted, missing, foreign)


def _format(weights: WeightFile) -> str:
    """Return the oldest format of the layers in the file, which is the format of the file."""
    found = {record.format for record in weights.layers}
    return next((form for form in ("HDF5", "V0", "V1") if form in found), "V2")


def _blob_rows(weights: WeightFile, settings: InspectSettings) -> tuple[BlobRow, ...]:
    """Return every blob in WEIGHTS; values of listed blobs are read if requested."""
    rows = []
    for record in weights.layers:
        read = settings.statistics and _asked(record.name, settings)
        for position, blob in enumerate(record.blobs):
            if not blob.absent:
                statistics = blob_statistics(weights, blob) if read else None
                size = blob.count * ITEM_SIZE[blob.dtype]
                rows.append(BlobRow(record.name, position, blob.shape, blob.dtype, blob.count, size, statistics))
    return tuple(rows)
