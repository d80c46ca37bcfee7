"""Finds the layers that a fold drops, the layers that absorb them, and why other layers stay, in the net's order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from caffe_fcn.model.changes import Change, DropLayer
from caffe_fcn.model.passing import Phase
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.convolutions import outputs_by_column
from caffe_fcn.net.layers.windows import linear_param
from caffe_fcn.net.obstacles import Obstacle
from caffe_fcn.passes.fold.affine import AFFINE, CHANNELS, Why
from caffe_fcn.passes.fold.changes import Folded, Step, TakeUp

_TOLD = frozenset({*AFFINE, "Dropout", "Split"})
"""The types whose layers are reported if they stay."""


class Folding:
    """What a fold does with one phase of a net. BARRED layers stay, for the reasons given."""

    def __init__(self, phase: Phase, barred: Mapping[int, Obstacle], *, trained: bool) -> None:
        self.graph, self.shapes, self.tensors = phase.graph, phase.shapes, phase.tensors
        self.barred, self.trained = barred, trained
        self.outputs = frozenset(self.graph.outputs)
        self.gone: dict[int, Node] = {}
        self.steps: dict[int, list[Step]] = {}
        self.left: dict[int, Obstacle] = {}
        self._moved: dict[Blob, Blob] = {}
        for node in self.graph.nodes:
            if node.bottoms:
                self._visit(node)

    def held(self, blob: Blob) -> Blob:
        """The blob that holds the values of BLOB after the fold."""
        return self._moved.get(blob, blob)

    def maker(self, blob: Blob) -> Node:
        """The layer that makes the values of BLOB after the fold."""
        return self.graph.producer[self.held(blob)]

    def linear(self, blob: Blob) -> Node:
        """The same, but not a layer that only changes the axes after the channels."""
        while self._reshapes(maker := self.maker(blob)):
            blob = maker.bottoms[0]
        return maker

    def changes(self) -> Iterator[Change]:
        """The changes of the layers that are folded and dropped."""
        into = {step.node.index: index for index, steps in self.steps.items() for step in steps}
        nodes = {node.index: node for node in self.graph.nodes}
        for index, steps in self.steps.items():
            node, param = nodes[index], linear_param(nodes[index].layer)
            yield TakeUp(
                index,
                node.name,
                type=node.type,
                weight_shape=self.shapes.params[index][0],
                outputs=int(param.num_output),
                by_column=outputs_by_column(node.layer),
                new_bias=not param.bias_term and any(step.affine.shifts for step in steps),
                steps=tuple(steps),
            )
        for index, node in self.gone.items():
            if index in into:
                yield Folded(index, node.name, node.type, nodes[into[index]].name)
            else:
                yield DropLayer(index, node.name, node.type)

    def _visit(self, node: Node) -> None:
        obstacle: Obstacle | None = None
        if node.type in AFFINE:
            found = self._step(node)
            if isinstance(found, Step):
                self.steps.setdefault(self.linear(node.bottoms[0]).index, []).append(found)
            else:
                obstacle = found
        elif row_of(node.type).unchanging(node.layer):
            obstacle = self._needed(node)
        elif node.type in _TOLD:
            obstacle = Obstacle(Why.SCALES)
        else:
            return
        if obstacle is not None:
            self.left[node.index] = obstacle
        else:
            self.gone[node.index] = node
            self._moved.update(dict.fromkeys(node.tops, self.held(node.bottoms[0])))

    def _needed(self, node: Node) -> Obstacle | None:
        """Why NODE, which passes its values on, must stay; None if it can be dropped."""
        bottom, tops = node.bottoms[0], node.tops
        if node.uncomputed:
            return Obstacle(Why.UNCOMPUTED, (node.uncomputed[0].name,))
        if row_of(node.type).shares(node.layer):  # a Split, whose tops share the memory of its bottom
            for top in tops:
                if Blob(top.name, top.version + 1) in self.graph.producer:
                    return Obstacle(Why.IN_PLACE, (self.graph.consumers[top][0].name,))
            if ends := [top.name for top in tops if top in self.outputs]:
                return Obstacle(Why.OUTPUT, (ends[0],))
        elif tops[0] in self.outputs and tops[0].name != bottom.name:
            if other := self._other_reader(bottom, node):
                return Obstacle(Why.OUTPUT_OF_READ, (tops[0].name, other.name))
            if not self.maker(bottom).bottoms:
                return Obstacle(Why.OUTPUT_OF_INPUT, (tops[0].name,))
        return None

    def _step(self, node: Node) -> Step | Obstacle:
        """NODE as a step of a fold, or why it cannot be folded."""
        bottom, maker = node.bottoms[0], self.linear(node.bottoms[0])
        if len(node.bottoms) > 1:
            return Obstacle(Why.OPERAND, (node.bottoms[1].name,))
        if fault := self.barred.get(node.index) or self._fault(node):
            return fault
        if (before := self.graph.producer[bottom]).index in self.left:
            return Obstacle(Why.FOLLOWS_LEFT, (before.name,))
        if not row_of(maker.type).linear:
            return Obstacle(Why.FOLLOWS, (maker.name, maker.type))
        if fault := self.barred.get(maker.index) or self._fault(maker):
            return fault
        if len(maker.tops) > 1:
            return Obstacle(Why.SEVERAL_TOPS, (maker.name,))
        if linear_param(maker.layer).relu:
            return Obstacle(Why.RECTIFIED, (maker.name,))
        if other := self._other_reader(bottom, node, self._reshapes):
            return Obstacle(Why.READ, (maker.name, other.name))
        read, made = (self.shapes.blobs[blob] for blob in (maker.bottoms[0], bottom))
        known = isinstance(made, tuple) and {maker.index, node.index} <= self.shapes.params.keys()
        if not isinstance(read, tuple) or not known:
            return Obstacle(Why.SHAPE, (maker.name,))
        channels = int(getattr(linear_param(maker.layer), "axis", 1)) % len(read)
        if channels != CHANNELS and self.maker(bottom) is not maker:
            return Obstacle(Why.OTHER_AXIS)
        affine = AFFINE[node.type](node, self.shapes, channels)
        return affine if isinstance(affine, Obstacle) else Step(node, affine, self.tensors.get(node.name, ()))

    def _fault(self, node: Node) -> Obstacle | None:
        """Why NODE cannot be folded or absorb others, whatever layers are around it; None if it can."""
        if node.uncomputed:
            return Obstacle(Why.UNCOMPUTED, (node.uncomputed[0].name,))
        tensors = self.tensors.get(node.name, ())
        absent = any(tensor.kept is not None and tensor.kept.blob.absent for tensor in tensors)
        if self.trained and self.shapes.params.get(node.index) != () and (absent or not tensors):
            return Obstacle(Why.NO_WEIGHTS, (node.name,))
        return None

    def _reshapes(self, node: Node) -> bool:
        """Whether NODE changes the axes of its bottom but not the axis of the channels."""
        order = row_of(node.type).order
        if order is None or not len(node.bottoms) == len(node.tops) == 1:
            return False
        before, after = (self.shapes.blobs[blob] for blob in (*node.bottoms, *node.tops))
        if not isinstance(before, tuple) or not isinstance(after, tuple) or len(before) <= CHANNELS:
            return False
        axes = len(before)
        return order(node.layer, axes) == tuple(range(axes)) and before[: CHANNELS + 1] == after[: CHANNELS + 1]

    def _other_reader(
        self, blob: Blob, reader: Node, passes: Callable[[Node], bool] = lambda _node: False
    ) -> Node | None:
        """Another layer than READER that reads the values of BLOB, directly or through layers that are dropped or that
        PASSES accepts; None if there is none."""
        while True:
            for node in self.graph.consumers[blob]:
                if node is not reader:
                    return node
            reader = self.graph.producer[blob]
            if reader.index not in self.gone and not passes(reader):
                return None
            for top in reader.tops:
                if top != blob and (readers := self.graph.consumers.get(top)):
                    return readers[0]
            blob = reader.bottoms[0]
