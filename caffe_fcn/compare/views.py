"""The nets of two files, phase by phase, as far as both can be built; and their layers, where they cannot.

A net that Caffe does not build can be compared too: its layers are read in file order, whatever their phase, and a blob
may have no maker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from caffe_fcn import schema
from caffe_fcn.compare.sides import DiffSide
from caffe_fcn.errors import CaffeFcnError, NetError
from caffe_fcn.net.foreign import ForeignField
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.options import Selection
from caffe_fcn.net.selection import graph_of, known_to
from caffe_fcn.net.shapes import Shapes, infer_shapes
from caffe_fcn.net.source import SourceNet

NO_SHAPES = Shapes({}, {}, ())
_MOST_INPUTS, _BEFORE_ALL = 1 << 20, 1 << 60
"""For the numbers of inputs that are layers of their own only here."""


class NetView(NamedTuple):
    """A net in one phase: its graph, in which each input is a layer of its own, and the shapes that are known."""

    graph: Graph
    shapes: Shapes


class Views(NamedTuple):
    """Two nets, by phase. LEFT: their layers that are in none of these, unless one phase was chosen."""

    phases: Mapping[str, tuple[NetView, NetView]]
    left: tuple[Graph, Graph]
    notes: tuple[str, ...]


def views_of(old: DiffSide, new: DiffSide, selection: Selection) -> Views:
    """The nets of OLD and NEW, which have one, in the phases in which both can be built, or that SELECTION names."""
    sides = (old, new)
    sources = [side.source for side in sides if side.source is not None]
    notes: list[str] = []
    phases: dict[str, tuple[NetView, NetView]] = {}
    failures: list[NetError] = []
    for phase in _wanted(sources, selection):
        try:
            graphs = [graph_of(each.net, each, known_to(each, selection), phase) for each in sources]
        except NetError as error:
            failures.append(error)
            continue
        views = [_view(graph, side, selection, notes) for graph, side in zip(graphs, sides, strict=True)]
        phases[phase] = views[0], views[1]
    if not phases:
        notes.append(f"compared without the wiring, because Caffe would not build a net: {failures[0]}")
    seen = [{node.index for pair in phases.values() for node in pair[place].graph.nodes} for place in range(2)]
    chosen = phases and (selection.phase or any(source.from_weights for source in sources))
    left = [
        _loose(source, set(range(len(source.net.layer))) if chosen else indices)
        for source, indices in zip(sources, seen, strict=True)
    ]
    return Views(phases, (left[0], left[1]), tuple(dict.fromkeys(notes)))


def _wanted(sources: Sequence[SourceNet], selection: Selection) -> list[str]:
    """The phases in which SOURCES are compared. Caffe writes the net of phase TRAIN into a caffemodel."""
    if selection.phase:
        return [selection.phase]
    rules = [rule for source in sources for layer in source.net.layer for rule in (*layer.include, *layer.exclude)]
    if not any(rule.HasField("phase") for rule in rules):
        return ["TEST"]
    return ["TRAIN", "TEST"] if not any(source.from_weights for source in sources) else ["TRAIN"]


def _view(graph: Graph, side: DiffSide, selection: Selection, notes: list[str]) -> NetView:
    graph = graph._replace(held=side.shapes)
    given = {name: shape for name, shape in selection.given.items() if graph.latest(name)}
    try:
        shapes = infer_shapes(graph, given=given)
    except CaffeFcnError as error:
        notes.append(f"the shapes of blobs are not known: {error}")
        shapes = NO_SHAPES
    return NetView(graph.made_of(_inputs_apart(_with_foreign(graph.nodes, side.source))), shapes)


def _with_foreign(nodes: Sequence[Node], source: SourceNet | None) -> list[Node]:
    """NODES with all fields that BVLC Caffe does not have, also those that change nothing in inference."""
    fields: dict[int | None, list[ForeignField]] = {}
    for field in () if source is None else source.foreign:
        fields.setdefault(field.layer, []).append(field)
    return [replace(node, uncomputed=tuple(fields[node.index])) if node.index in fields else node for node in nodes]


def _inputs_apart(nodes: Sequence[Node]) -> Iterator[Node]:
    """NODES with each input as a layer of its own, with the name of its blob: nets declare the same inputs in fields of
    the net, in one Input layer, or in several."""
    for node in nodes:
        if node.type != "Input" or node.bottoms:
            yield node
            continue
        dims = node.layer.input_param.shape
        for place, top in enumerate(node.tops):
            layer = schema.LayerParameter()
            layer.CopyFrom(node.layer)
            layer.name, layer.top[:] = top.name, [top.name]
            del layer.input_param.shape[:]
            if dims:
                layer.input_param.shape.add().CopyFrom(dims[min(place, len(dims) - 1)])
            index = node.index if len(node.tops) == 1 and node.index >= 0 else _apart(node.index, place)
            yield Node(index, layer, node.bottoms, (top,), node.uncomputed)


def _apart(index: int, place: int) -> int:
    """A number for the input at PLACE of the layer at INDEX, in the order of these, before those of all layers."""
    return (index + 1) * _MOST_INPUTS + place - _BEFORE_ALL


def _loose(source: SourceNet, seen: set[int]) -> Graph:
    """The layers of SOURCE that are not SEEN, in file order, as a net whose blobs may have no maker."""
    current: dict[str, Blob] = {}
    nodes: list[Node] = []
    for index, layer in enumerate(source.net.layer):
        if index in seen or _apart(index, 0) in seen:
            continue
        bottoms = tuple(current.get(name, Blob(name, 0)) for name in layer.bottom)
        tops = []
        for name in layer.top:
            before = current.get(name)
            current[name] = Blob(name, 0 if before is None else before.version + 1)
            tops.append(current[name])
        nodes.append(Node(index, layer, bottoms, tuple(tops)))
    empty = Graph("", (), {}, {}, (), source.name)
    return empty.made_of(_inputs_apart(_with_foreign(nodes, source)))
