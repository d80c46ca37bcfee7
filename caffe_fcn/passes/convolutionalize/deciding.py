"""Decides what a convolutionalization changes in one phase of a net:

1. find the InnerProducts that can be converted, and why the others stay (`survey`);
2. check that the layers that share a weight agree on its new shape (`sharing`);
3. follow the converted layers back to their maps and down the net: drop the flattenings in between; each layer that
   now reads a map must accept it, or the net is refused (`lifting`);
4. turn the global poolings that feed converted layers or outputs of the net into windows;
5. name the new layers and blobs, and rewire the layers that read the old blobs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from caffe_fcn.model.changes import Change, Decision, LeftAlone, RenameLayer, Rewire
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.obstacles import Obstacle
from caffe_fcn.net.shapes import Shapes, Unknown
from caffe_fcn.passes.convolutionalize.changes import ToConvolution, WindowPooling
from caffe_fcn.passes.convolutionalize.lifting import Lifting
from caffe_fcn.passes.convolutionalize.naming import Naming, check_names
from caffe_fcn.passes.convolutionalize.pooling import descendants, is_global
from caffe_fcn.passes.convolutionalize.reasons import Stays
from caffe_fcn.passes.convolutionalize.sharing import disagreements
from caffe_fcn.passes.convolutionalize.survey import Survey, survey


@dataclass(frozen=True)
class Options:
    """The user's choices. ONLY and SKIP are names of InnerProducts; shell patterns are allowed."""

    naming: Naming = field(default_factory=Naming)
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    keep_global_pooling: bool = False


def decide(graph: Graph, shapes: Shapes, options: Options | None = None) -> Decision:
    """The changes that make the net of GRAPH, of the nominal SHAPES, fully convolutional.

    Raises SurgeryError, naming the layer and a way round, where the result would not give the same answers, and
    ShapeError where a necessary shape is unknown.
    """
    options = options or Options()
    excluded: dict[int, Obstacle] = {}
    while True:
        found = survey(graph, shapes, only=options.only, skip=options.skip, excluded=excluded)
        windows, kept = ([], []) if options.keep_global_pooling else _windows(found)
        lifting = Lifting(found, {edit.index for edit in windows})
        lifting.build()
        conversions = _conversions(lifting, options.naming)
        refused = disagreements(graph, shapes, conversions)
        if not refused:
            break
        excluded.update(refused)
    left = [
        LeftAlone(node.name, node.type, found.left[node.index], settled=node.index in found.settled)
        for node in graph.nodes
        if node.index in found.left
    ]
    changes: list[Change] = [
        *conversions,
        *lifting.changes,
        *windows,
        *lifting.drops(),
        *_names(lifting, options.naming),
    ]
    changes.sort(key=lambda change: change.index)
    return Decision(tuple(changes), tuple(left + kept), tuple(lifting.notes), lifting.promised())


def _conversions(lifting: Lifting, naming: Naming) -> list[ToConvolution]:
    """The new Convolutions, in the order of the net."""
    made = []
    for node in lifting.graph.nodes:
        view = lifting.converted.get(node.index)
        if view is None:
            continue
        param = node.layer.inner_product_param
        made.append(
            ToConvolution(
                node.index,
                node.name,
                channels=view.channels,
                kernel=view.spatial,
                num_output=param.num_output,
                bias=param.bias_term,
                transposed=param.transpose,
                segments=view.segments,
                name=naming(node.name),
            )
        )
    return made


def _windows(found: Survey) -> tuple[list[Change], list[LeftAlone]]:
    """The changes of global poolings that become windows, and the reasons why the others stay."""
    windows: list[Change] = []
    kept: list[LeftAlone] = []
    for node in filter(is_global, found.graph.nodes):
        shape = found.shapes.blobs[node.bottoms[0]]
        join = found.gates.get(node.index)
        if join is not None:
            kept.append(LeftAlone(node.name, node.type, Obstacle(Stays.GATE, (join.name,))))
        elif node.bottoms[0] in found.unfit:
            kept.append(LeftAlone(node.name, node.type, found.unfit[node.bottoms[0]]))
        elif isinstance(shape, Unknown):
            kept.append(LeftAlone(node.name, node.type, Obstacle(Stays.UNKNOWN, (shape.reason,))))
        elif reader := _unconverted_reader(found, node):
            kept.append(LeftAlone(node.name, node.type, Obstacle(Stays.FEEDS, (reader.name,))))
        else:
            windows.append(WindowPooling(node.index, node.name, kernel=shape[2:]))
    return windows, kept


def _unconverted_reader(found: Survey, pooling: Node) -> Node | None:
    """The first InnerProduct after POOLING that is left alone; None if there is none."""
    behind = descendants(found.graph, pooling.tops[0], lambda node: node.type == "InnerProduct")
    return next((node for node in behind if node.index in found.left), None)


def _names(lifting: Lifting, naming: Naming) -> list[Change]:
    """The new names of the converted layers and their tops, and the new bottoms of the layers that read these."""
    graph = lifting.graph
    converted = [node for node in graph.nodes if node.index in lifting.found.convertible]
    layers = {node.name: naming(node.name) for node in converted}
    blobs = {node.tops[0].name: naming(node.tops[0].name) for node in converted}
    layers = {old: new for old, new in layers.items() if old != new}
    blobs = {old: new for old, new in blobs.items() if old != new}
    check_names("layer", layers, {node.name for node in graph.nodes} - layers.keys())
    check_names("blob", blobs, {blob.name for blob in graph.producer} - blobs.keys())
    edits: list[Change] = [
        RenameLayer(node.index, node.name, layers[node.name]) for node in converted if node.name in layers
    ]
    for node in graph.nodes:
        moved = lifting.rewired.get(node.index, {})
        bottoms = {blob.name: moved.get(blob.name, blob.name) for blob in node.bottoms}
        bottoms = {old: blobs.get(new, new) for old, new in bottoms.items()}
        bottoms = {old: new for old, new in bottoms.items() if old != new}
        tops = {blob.name: blobs[blob.name] for blob in node.tops if blob.name in blobs}
        if bottoms or tops:
            edits.append(Rewire(node.index, node.name, bottoms, tops))
    return edits
