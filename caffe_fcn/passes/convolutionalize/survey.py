"""Finds the InnerProducts of a graph that can become Convolutions, and why the others stay.

It walks down the graph once, in file order. For every blob it keeps what replaces the blob when flattenings are dropped
(a `View`), or why no map can replace it. So the decision on an InnerProduct needs its bottom only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import prod

from caffe_fcn.errors import ShapeError, SurgeryError
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.images import is_map
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.following import Passes, Refuses, Vanishes
from caffe_fcn.net.layers.views import View, makes_map, map_of, moves_space, product_view, reshaped
from caffe_fcn.net.obstacles import Obstacle
from caffe_fcn.net.shapes import Shape, Shapes, Unknown, show
from caffe_fcn.passes.convolutionalize.following import order_of, outcome, reshapes
from caffe_fcn.passes.convolutionalize.pooling import gate_join, gated_layers, is_global
from caffe_fcn.passes.convolutionalize.reasons import Stays
from caffe_fcn.wording import Option, advise


@dataclass
class Survey:
    """What the survey found.

    By layer index: `convertible`, with the flat view of the layer's bottom; `left`, with the reason; `settled`, if the
    user chose that or the layer takes any input size already; `gates`, from a global pooling to the layer where its
    result joins a map again. By blob: `views`, and why it is `unfit`.
    """

    graph: Graph
    shapes: Shapes
    convertible: dict[int, View] = field(default_factory=dict)
    left: dict[int, Obstacle] = field(default_factory=dict)
    settled: set[int] = field(default_factory=set)
    views: dict[Blob, View] = field(default_factory=dict)
    gates: dict[int, Node] = field(default_factory=dict)
    unfit: dict[Blob, Obstacle] = field(default_factory=dict)


def survey(
    graph: Graph,
    shapes: Shapes,
    *,
    only: tuple[str, ...] = (),
    skip: tuple[str, ...] = (),
    excluded: Mapping[int, Obstacle] | None = None,
) -> Survey:
    """Survey every InnerProduct of GRAPH. ONLY and SKIP are shell patterns of layer names; EXCLUDED gives reasons
    found elsewhere, by layer index. Raises ShapeError when a necessary shape is unknown, and SurgeryError when a layer
    treats each position of a flattened map separately."""
    return _Surveyor(graph, shapes, only, skip, excluded or {}).run()


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether NAME matches one of the shell PATTERNS."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


class _Surveyor:
    def __init__(
        self,
        graph: Graph,
        shapes: Shapes,
        only: tuple[str, ...],
        skip: tuple[str, ...],
        excluded: Mapping[int, Obstacle],
    ) -> None:
        self.result = Survey(graph, shapes)
        self.graph, self.shapes = graph, shapes
        self.only, self.skip, self.excluded = only, skip, excluded
        self.unfit = self.result.unfit
        self.lasting: dict[Blob, Obstacle] = {}
        self.regions: set[Blob] = set()
        self.refused: dict[Blob, tuple[Node, Refuses]] = {}
        self.gated: dict[int, Obstacle] = {}

    def run(self) -> Survey:
        for node in self.graph.nodes:
            if is_global(node) and (join := gate_join(self.graph, self.shapes, node)):
                self.result.gates[node.index] = join
                reason = Obstacle(Stays.GATED, (node.name, join.name))
                self.gated.update(dict.fromkeys(gated_layers(self.graph, node, join), reason))
        for node in self.graph.nodes:
            self.visit(node)
        return self.result

    def visit(self, node: Node) -> None:
        if node.type == "InnerProduct":
            verdict = self.judge(node)
            if isinstance(verdict, View):
                self.result.convertible[node.index] = verdict
                outputs = node.layer.inner_product_param.num_output
                self.result.views[node.tops[0]] = product_view(node.tops[0], verdict, outputs)
            else:
                self.result.left[node.index] = verdict
                self.unfit[node.tops[0]] = Obstacle(Stays.BEHIND_LEFT, (node.name,))
        elif node.bottoms and node.tops:
            self.follow(node)
        self.spread(node)

    def spread(self, node: Node) -> None:
        """Mark the tops of NODE unfit if a bottom is; but a map that is only multiplied by an unfit vector, as at the
        end of a gate, stays fit."""
        row = row_of(node.type)
        for blob in node.tops:
            if row.regions or not self.regions.isdisjoint(node.bottoms):
                self.regions.add(blob)
            if row.regions:
                self.lasting[blob] = Obstacle(Stays.REGIONS, (node.name, node.type))
            elif row.sequence:
                self.lasting[blob] = Obstacle(Stays.SEQUENCE, (node.name, node.type))
            else:
                self.lasting.update((blob, self.lasting[b]) for b in node.bottoms[::-1] if b in self.lasting)
            for bottom in node.bottoms:
                same = self.shapes.blobs[blob] == self.shapes.blobs[bottom]
                if bottom in self.refused and (same or not is_map(self.shapes, blob)):
                    self.refused.setdefault(blob, self.refused[bottom])
            inherited = next((self.unfit[b] for b in node.bottoms if b in self.unfit), None)
            if blob in self.lasting:
                self.unfit[blob] = self.lasting[blob]
            elif inherited and not is_map(self.shapes, blob):
                self.unfit.setdefault(blob, inherited)

    def follow(self, node: Node) -> None:
        """Find the views of the tops of NODE, if its bottoms have views or it flattens a map."""
        bottoms = [self.shapes.blobs[blob] for blob in node.bottoms]
        tops = [self.shapes.blobs[blob] for blob in node.tops]
        views = [self.result.views.get(blob) for blob in node.bottoms]
        if all(view is None or view.is_map for view in views):
            self.flatten(node, views[0] or map_of(node.bottoms[0], bottoms[0]), tops)
            return
        result = outcome(node, views, bottoms, tops)
        if isinstance(result, Passes):
            self.result.views.update((blob, view) for blob, view in zip(node.tops, result.tops, strict=True) if view)
            reason = Obstacle(Stays.BEHIND, (node.name, node.type))
            self.unfit.update((blob, reason) for blob, view in zip(node.tops, result.tops, strict=True) if not view)
        elif isinstance(result, Vanishes):
            self.result.views[node.tops[0]] = result.view
        else:
            stays = [blob for blob in node.tops if not (result.makes_map and is_map(self.shapes, blob))]
            self.refused.update(dict.fromkeys(stays, (node, result)))

    def flatten(self, node: Node, view: View | None, tops: Sequence[Shape | Unknown]) -> None:
        """Find the view of the top of NODE, if NODE reshapes a map."""
        if view is None or not reshapes(node) or len(tops) != 1 or isinstance(tops[0], Unknown):
            return
        divides = makes_map(view.axes, tops[0])
        made = None if divides else reshaped(view, order_of(node, len(view.axes)), tops[0])
        if node.bottoms[0] in self.refused and not divides:
            self.refused[node.tops[0]] = self.refused[node.bottoms[0]]
        elif made is not None:
            self.result.views[node.tops[0]] = made
        elif moves_space(order_of(node, len(view.axes))):
            self.lasting[node.tops[0]] = Obstacle(Stays.MOVES_SPACE, (node.name, node.type))

    def judge(self, node: Node) -> View | Obstacle:
        """The flat view of an InnerProduct's bottom, or why the layer stays."""
        bottom = node.bottoms[0]
        named = matches(node.name, self.only)
        if matches(node.name, self.skip) or (self.only and not named):
            self.result.settled.add(node.index)
            return Obstacle(Stays.AS_ASKED)
        if node.index in self.excluded:
            return self.excluded[node.index]
        if node.index in self.gated and not named:
            self.result.settled.add(node.index)
            return self.gated[node.index]
        if bottom in self.unfit and not (named and isinstance(self.shapes.blobs[bottom], tuple)):
            if bottom in self.regions:
                self.result.settled.add(node.index)
            return self.unfit[bottom]
        shape = self.shapes.blobs[bottom]
        if isinstance(shape, Unknown):
            return self.unknown(node, shape)
        if 0 in shape:
            error = ShapeError(f"its input {bottom.name!r} has no values: {show(shape)}")
            error.locate(layer=node.name, layer_type=node.type, index=node.index)
            raise error
        axis = node.layer.inner_product_param.axis
        if axis % len(shape) != 1:
            return Obstacle(Stays.ALONG_AXIS, (axis,))
        view = self.result.views.get(bottom)
        if view is None and bottom in self.refused:
            return self.refusal(node, *self.refused[bottom])
        view = view or map_of(bottom, shape)
        if view is None:
            maker = self.graph.producer[bottom]
            return Obstacle(Stays.NO_MAP, (bottom.name, maker.name, maker.type))
        if view.is_map and self.carries_weights(bottom, view.spatial):
            return Obstacle(Stays.CARRIES_WEIGHTS)
        return view

    def carries_weights(self, bottom: Blob, spatial: tuple[int, ...]) -> bool:
        return self.graph.producer[bottom].type == "DummyData" and prod(spatial) == 1

    def refusal(self, node: Node, culprit: Node, refusal: Refuses) -> Obstacle:
        """Why NODE stays: CULPRIT does not accept a map. Raises SurgeryError where no window could do the same."""
        if refusal.by_axis:
            raise SurgeryError(
                f"layer {node.name!r} cannot become a Convolution: {culprit.name} {refusal.obstacle}",
                layer=node.name,
                index=node.index,
                hint=advise("leave it unchanged with ", Option("skip", [node.name])),
            )
        return Obstacle(Stays.CLASH, (culprit.name, refusal.obstacle))

    def unknown(self, node: Node, shape: Unknown) -> Obstacle:
        """The reason if the SHAPE of its input is known only at run time. Raises ShapeError if the user can give it."""
        if shape.kind == "runtime":
            return Obstacle(Stays.RUN_TIME, (shape.reason,))
        way = Option("input_shape" if shape.kind == "input" else "shape", {shape.blob: "NCHW"})
        raise ShapeError(
            f"layer {node.name!r} needs the shape of its input {node.bottoms[0].name!r}, but layer "
            f"{shape.layer!r} does not define it: {shape.reason}",
            layer=node.name,
            index=node.index,
            hint=advise("give it with ", way),
        )
