"""A net and its weights, brought together: the one place where the two meet, for every command and the library.

The one idea: whatever has to be known, checked or told of a net with its weights is done here once, so that
no command can read the bytes of another net as if they were its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from caffe_fcn.errors import WeightsError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.model.bare import with_headers
from caffe_fcn.model.filling import Supply, completed, supplies, words_of
from caffe_fcn.model.filling import notes as supply_notes
from caffe_fcn.model.fitting import Fit, blob_shapes, check_fit
from caffe_fcn.net import crops, foreign
from caffe_fcn.net.graph import Graph
from caffe_fcn.net.objections import Severity
from caffe_fcn.net.selection import ANY_NET, Selection, check_given, graphs
from caffe_fcn.net.shapes import Shape, Shapes, infer_shapes, objections
from caffe_fcn.net.source import SourceNet

_TOLD = {Severity.ERROR: "Caffe does not build the net: ", Severity.BVLC: "", Severity.INFORMATION: ""}


class Trained(NamedTuple):
    """A net in each of its phases, TEST first, with the shapes of all blobs, and the weights that belong to it."""

    source: SourceNet
    weights: WeightFile | None
    graphs: Mapping[str, Graph]
    """By phase."""
    shapes: Mapping[str, Shapes]
    """By phase."""
    fit: Fit
    """What BVLC Caffe would refuse of the weights."""
    supplies: tuple[Supply, ...]
    """What the layers have that the weights hold nothing for."""
    misfit: str
    """Why the weights do not fit the net, "" if they do, which is raised unless who asks is lenient."""
    notes: tuple[str, ...]
    """What the user has to know of them, in sentences, none twice. Every command tells them."""
    objected: tuple[str, ...]
    """Those of the notes that tell what Caffe has against the net, which may be other things at another input size."""

    @property
    def phase(self) -> str:
        """The phase that is meant where only one can be."""
        return next(iter(self.graphs))

    @property
    def graph(self) -> Graph:
        """The net in that phase."""
        return self.graphs[self.phase]

    @property
    def missing(self) -> tuple[str, ...]:
        """The layers that have parameters, and none in the weights."""
        return tuple(supply.node.name for supply in self.supplies if supply.fillers or supply.lack)

    @property
    def lacking(self) -> tuple[str, ...]:
        """The note on layers that have no values, for who does not need them."""
        words = words_of(supply for supply in self.supplies if supply.lack)
        return (f"{self.weights.path} holds no weights for {words}",) if self.weights is not None and words else ()

    @property
    def completed(self) -> WeightFile | None:
        """The weights, with those that layers share or that the net fills, to be run and not to be written."""
        return None if self.weights is None else completed(self.weights, self.supplies)

    @property
    def params(self) -> dict[str, tuple[Shape, ...]]:
        """The shapes that the net gives the parameter blobs, by layer name, where they are known."""
        return {
            node.name: self.shapes[phase].params[node.index]
            for phase, graph in self.graphs.items()
            for node in graph.nodes
            if node.index in self.shapes[phase].params
        }


def meet(
    source: SourceNet,
    weights: WeightFile | None,
    selection: Selection = ANY_NET,
    *,
    fed: Mapping[str, Mapping[str, Shape]] | None = None,
    lenient: bool = False,
    every: bool = True,
    unsettled: bool = False,
) -> Trained:
    """SOURCE, as SELECTION wants it, with its WEIGHTS, which get headers if they have none, and with the offsets of its
    Crop layers where the geometry of the net decides on them; if UNSETTLED, those whose geometry gives none stay as
    they are. EVERY: in all phases that SELECTION leaves open, and not only in the first that can be built.

    FED overrides, by phase, the shapes of the net's inputs by name; names that the net does not have are ignored.
    Raises NetError for a net that Caffe could not build, ShapeError for impossible shapes, WeightsError where the
    weights do not fit the net, unless LENIENT.
    """
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
    notes = [*source.notes, *told, *foreign.notes(source.net, source.foreign, selection.ignored_fields)]
    notes += [note for found in shapes.values() for note in found.notes]
    notes += crops.notes({phase: (graph, shapes[phase]) for phase, graph in phases.items()})
    objected: list[str] = []
    if fed is None:  # labels are not as many as the larger map's cells
        objected = [note for phase, graph in phases.items() for note in objection_notes(graph, shapes[phase])]
    notes += objected
    both = [(graph, shapes[phase]) for phase, graph in phases.items()]
    fit, supplied, misfit = Fit(), () if weights is None else supplies(weights, both), ""
    if weights is not None:
        try:
            fit = check_fit(weights, both, lacks=any(supply.lack for supply in supplied))
        except WeightsError as error:
            if not lenient:
                raise
            misfit = str(error)
        notes += [*fit.notes, *supply_notes(weights, supplied)]
    return Trained(source, weights, phases, shapes, fit, supplied, misfit, tuple(dict.fromkeys(notes)), tuple(objected))


def objection_notes(graph: Graph, shapes: Shapes) -> list[str]:
    """What Caffe has against GRAPH, of these SHAPES, in sentences."""
    return [f"{_TOLD[each.severity]}{each.message}" for each in objections(graph, shapes)]


def _inputs(graph: Graph, fed: Mapping[str, Shape]) -> dict[str, Shape]:
    """Those of the shapes in FED that are of inputs of GRAPH."""
    names = {blob.name for node in graph.nodes if not node.bottoms for blob in node.tops}
    return {name: shape for name, shape in fed.items() if name in names}
