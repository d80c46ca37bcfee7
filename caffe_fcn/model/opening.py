"""Opens models: a prototxt, weights, or both.

Every command and the library open a net and its weights here, so all of them make the same checks and give the same
notes, and none uses weights that do not belong to the net.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import NamedTuple

from caffe_fcn.errors import PrototxtError, WeightsError, located
from caffe_fcn.files import prototxt
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.bare import with_headers
from caffe_fcn.model.entries import held_in
from caffe_fcn.model.filling import notes as supply_notes
from caffe_fcn.model.filling import supplies
from caffe_fcn.model.fitting import Fit, blob_shapes, check_fit
from caffe_fcn.model.model import Model
from caffe_fcn.net import crops, foreign
from caffe_fcn.net.graph import Graph
from caffe_fcn.net.objections import Severity
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.selection import check_given, graphs
from caffe_fcn.net.shapes import Shape, Shapes, infer_shapes, objections
from caffe_fcn.net.source import SourceNet, net_of_weights, open_either, unforked

_TOLD = {Severity.ERROR: "Caffe does not build the net: ", Severity.BVLC: "", Severity.INFORMATION: ""}


class NetFiles(NamedTuple):
    """The net and the weights that files hold."""

    source: SourceNet
    weights: WeightFile | None
    """Open; None where there are none."""


class NetAndWeights(NamedTuple):
    """A net and its weights, which are there."""

    source: SourceNet
    weights: WeightFile


def open_model(
    net: str,
    weights: str | None = None,
    selection: Selection = ANY_NET,
    *,
    names: tuple[str | None, str | None] = (None, None),
    fork: str | None = None,
) -> Model:
    """The model in the files NET and WEIGHTS: a prototxt with or without weights, or a caffemodel that contains its
    net.

    NAMES and FORK are as in `open_inputs`; SELECTION says which net of the file is used. The weights stay open. Raises
    CaffeFcnError as `open_inputs` and `meet` do; OSError where a file cannot be read.
    """
    files = open_inputs(net, weights, names, fork)
    with ExitStack() as stack:
        if files.weights is not None:
            stack.enter_context(files.weights)
        with located(source=files.source.name):
            model = meet(files.source, files.weights, selection)
        stack.pop_all()
    return model


def open_inputs(
    net: str, weights: str | None, names: tuple[str | None, str | None] = (None, None), fork: str | None = None
) -> NetFiles:
    """The prototxt NET and the weights WEIGHTS; their contents show which is which. A single caffemodel contains its
    net; HDF5 does not. FORK: the fork that wrote the caffemodel, if known. NAMES: the names of the files in messages.
    Raises CaffeFcnError; OSError where a file cannot be read."""
    opened = open_either(net, names[0])
    if isinstance(opened, SourceNet):
        return NetFiles(unforked(opened, fork), open_weights(weights, names[1]) if weights is not None else None)
    with ExitStack() as stack:
        stack.enter_context(opened)
        if weights is not None:
            swapped = prototxt.is_text_file(weights)
            hint = "the arguments are swapped: give the prototxt first" if swapped else "give the prototxt first"
            raise PrototxtError(source=opened.path, expected="a prototxt (text)", found="a binary file", hint=hint)
        source = net_of_weights(opened, fork)
        stack.pop_all()
    return NetFiles(source, opened)


def meet(
    source: SourceNet,
    weights: WeightFile | None,
    selection: Selection = ANY_NET,
    *,
    fed: Mapping[str, Mapping[str, Shape]] | None = None,
    lenient: bool = False,
    every: bool = True,
    unsettled: bool = False,
) -> Model:
    """The model of SOURCE and its WEIGHTS, for SELECTION. Weights without headers get those of the net; Crop layers get
    offsets where the geometry of the net decides on them. UNSETTLED: a Crop for which it gives none keeps its offset.
    EVERY: use all phases that SELECTION allows, and not only the first that can be built.

    FED overrides the shapes of the net's inputs, by phase and name; unknown names are ignored. Raises NetError for a
    net that Caffe could not build, ShapeError for impossible shapes, and WeightsError where the weights do not fit the
    net, unless LENIENT."""
    source, told = crops.settled(source, selection, strict=not unsettled)
    if weights is not None and weights.bare:
        weights = with_headers(weights, source.net, forks=bool(source.foreign))
    held = blob_shapes(weights) if weights is not None else {}
    built = list(graphs(source, selection).items())
    phases = {phase: graph._replace(held=held) for phase, graph in (built if every else built[:1])}
    shapes: dict[str, Shapes] = {}
    for phase, graph in phases.items():
        if fed is None:
            check_given(graph._replace(held={}), selection.given)
        given = {name: shape for name, shape in selection.given.items() if graph.latest(name) or fed is None}
        shapes[phase] = infer_shapes(graph, given={**given, **_inputs(graph, (fed or {}).get(phase, {}))})
    notes = [*source.notes, *told, *foreign.notes(source.net, source.foreign, selection.ignore_fields)]
    notes += [note for found in shapes.values() for note in found.notes]
    notes += crops.notes({phase: (graph, shapes[phase]) for phase, graph in phases.items()})
    objected: list[str] = []
    if fed is None:  # FED may enlarge the map, and the labels then do not fit
        objected = [note for phase, graph in phases.items() for note in objection_notes(graph, shapes[phase])]
    notes += objected
    both = [(graph, shapes[phase]) for phase, graph in phases.items()]
    fit, supplied, misfit = Fit(), () if weights is None else supplies(weights, both), None
    if weights is not None:
        try:
            fit = check_fit(weights, both, lacks=any(supply.lack for supply in supplied))
        except WeightsError as error:
            if not lenient:
                raise
            misfit = error.with_traceback(None)
        notes += [*fit.notes, *supply_notes(weights, supplied)]
    return Model(
        source=source,
        weights=weights,
        held=() if weights is None else held_in(weights),
        selection=selection,
        graphs=phases,
        shapes=shapes,
        fit=fit,
        supplies=supplied,
        misfit=misfit,
        notes=tuple(dict.fromkeys(notes)),
        objected=tuple(objected),
    )


def unbuilt(source: SourceNet, selection: Selection = ANY_NET) -> Model:
    """The model of SOURCE without weights and graphs, for passes that use neither. The net need only be readable."""
    return Model(source=source, weights=None, held=(), selection=selection, graphs={}, shapes={}, notes=source.notes)


def objection_notes(graph: Graph, shapes: Shapes) -> list[str]:
    """Caffe's objections to GRAPH with SHAPES, as notes."""
    return [f"{_TOLD[each.severity]}{each.message}" for each in objections(graph, shapes)]


def _inputs(graph: Graph, fed: Mapping[str, Shape]) -> dict[str, Shape]:
    """The shapes in FED of inputs that GRAPH has."""
    names = {blob.name for node in graph.nodes if not node.bottoms for blob in node.tops}
    return {name: shape for name, shape in fed.items() if name in names}
