"""Decides which blobs of the converted net are maps in place of vectors, and what that means for each layer.

Given the InnerProducts that become Convolutions and the poolings that become windows, it walks down the net: it drops
flattenings, rewires layers to the maps, and asks each layer that then reads a map in place of a vector whether it
accepts it (`following`). If not, the net is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from typing import NoReturn

from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.changes import Change, DropLayer, SetParameter
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.layers.following import Clash, Refuses, Vanishes
from caffe_fcn.net.layers.views import View, map_view, product_view, reshaped
from caffe_fcn.net.obstacles import Obstacle
from caffe_fcn.net.shapes import Shape, Unknown
from caffe_fcn.passes.convolutionalize.changes import ToSplit
from caffe_fcn.passes.convolutionalize.following import keeps_order, order_of, outcome, reshapes
from caffe_fcn.passes.convolutionalize.pooling import ancestors, descendants
from caffe_fcn.passes.convolutionalize.survey import Survey
from caffe_fcn.wording import Hint, Option, advise


class Lifting:
    """The blobs of a net after the conversion that the survey FOUND. WINDOWS: the indices of the global poolings that
    become windows.

    `lifted`: what replaces each blob that changes. `grown`: the blobs that grow with the image, but do not in the
    original. `flexible`: the blobs that a flattening of the original could still provide to a layer that rejects the
    map. `converted`: the view of the input of each InnerProduct that becomes a Convolution, by index. `vanishing`: the
    layers that are dropped. `rewired`: the new bottoms by layer and old name. `changes`: what else the layers need.
    """

    def __init__(self, found: Survey, windows: set[int]) -> None:
        self.found, self.windows = found, windows
        self.graph, self.shapes = found.graph, found.shapes
        self.lifted: dict[Blob, View] = {}
        self.grown: set[Blob] = set()
        self.flexible: set[Blob] = set()
        self.converted: dict[int, View] = {}
        self.vanishing: dict[int, Node] = {}
        self.rewired: dict[int, dict[str, str]] = {}
        self.changes: list[Change] = []
        self.notes: list[str] = []

    def build(self) -> None:
        """Walk down the net. Raises SurgeryError, naming the layer and a way round, where a layer rejects a map."""
        needed = self._needed()
        for node in self.graph.nodes:
            self._visit(node, needed)
        kept: set[int] = set()
        for index, node in reversed(self.vanishing.items()):
            if any(self._reads_original(reader, node.tops[0], kept) for reader in self._readers(node)):
                kept.add(index)
        for index in kept:
            self._check_kept(self.vanishing.pop(index))
            self.rewired.pop(index, None)
        for blob in self.graph.outputs:
            if blob in self.lifted:
                self._check_output(blob, self.lifted[blob])
        self._carry_outputs()

    def _check_kept(self, node: Node) -> None:
        """Raise SurgeryError if NODE, a flattening that stays, has a top that another layer changes in place."""
        for reader in self._readers(node):
            if reader.index in self.rewired and any(top.name == node.tops[0].name for top in reader.tops):
                raise SurgeryError(
                    f"{reader.name} changes {node.tops[0].name!r} in place, but other layers need the old values",
                    hint=f"give {reader.name} its own top",
                )

    def _check_output(self, blob: Blob, view: View) -> None:
        """Raise SurgeryError if BLOB, an output of the net, has another order than the map that replaces it."""
        maker = self.graph.producer[blob]
        if view.is_reordered:
            self._refuse(maker, [view], Obstacle(Clash.OUTPUT, (maker.type,)), [blob])
        while view.axes not in (view.shape, (view.shape[0], prod(view.shape[1:]))):
            if maker.index in self.vanishing and keeps_order(maker) and maker.type != "Flatten":
                reason = Obstacle(Clash.SHAPE, (maker.type, view.axes))
                self._refuse(maker, [self.lifted.get(maker.bottoms[0])], reason, maker.bottoms)
            source = next((bottom for bottom in maker.bottoms if bottom in self.lifted), None)
            if source is None:
                return
            maker, view = self.graph.producer[source], self.lifted[source]

    def _carry_outputs(self) -> None:
        """Replace a flattening that makes an output of the net by a Split, if the map has other readers or replaces
        several outputs and so cannot be the output itself. The Split gives the map the name of the output."""
        read = Counter(
            self.lifted[blob].blob if blob.name in self.rewired.get(node.index, {}) else blob
            for node in self.graph.nodes
            if node.index not in self.vanishing
            for blob in node.bottoms
        )
        ends = [node for node in self.vanishing.values() if node.tops[0] in self.graph.outputs]
        read.update({blob for blob, many in Counter(self.lifted[end.tops[0]].blob for end in ends).items() if many > 1})
        for node in ends:
            view = self.lifted[node.tops[0]]
            if view.blob in read:
                del self.vanishing[node.index]
                self._rewire(node, [view])
                self.changes.append(ToSplit(node.index, node.name, node.type))

    def _needed(self) -> set[Blob]:
        """The blobs that must become maps: those between a map and a converted layer, and those before converted layers
        and windows that are reshaped back to the same map."""
        changed = [node for node in self.graph.nodes if node.index in (self.found.convertible.keys() | self.windows)]
        ahead = ancestors(self.graph, [node.bottoms[0] for node in changed])
        queue = [node.bottoms[0] for node in changed if node.index in self.found.convertible]
        queue += [blob for blob in ahead if blob in self.found.views and self.found.views[blob].is_map]
        needed: set[Blob] = set()
        while queue:
            blob = queue.pop()
            if blob in needed or blob not in self.found.views:
                continue
            needed.add(blob)
            maker = self.graph.producer[blob]
            if maker.index not in self.found.convertible:
                queue.extend(maker.bottoms)
        return needed

    def _visit(self, node: Node, needed: set[Blob]) -> None:
        views = [self.lifted.get(blob) for blob in node.bottoms]
        if node.index in self.found.convertible:
            self._rewire(node, views)
            view = self.converted[node.index] = views[0] or self.found.convertible[node.index]
            outputs = node.layer.inner_product_param.num_output
            self._lift(node.tops[0], product_view(node.tops[0], view, outputs), grown=True)
        elif node.index in self.windows:
            if views[0] is not None and not views[0].is_map:
                if node.bottoms[0] not in self.flexible:
                    self._refuse(node, views, Obstacle(Clash.OTHER_ORDER, (node.type,)), node.bottoms)
            else:
                self._rewire(node, views)
            self._lift(node.tops[0], map_view(node.tops[0], self._shape(node.tops[0])), grown=True)
        else:
            wanted = not needed.isdisjoint(node.tops)
            if not wanted and all(
                view is None or (blob in self.flexible and not view.is_map)
                for blob, view in zip(node.bottoms, views, strict=True)
            ):
                return  # it still reads the flattening of the original
            if wanted and not any(views):
                self._flatten(node, map_view(node.bottoms[0], self._shape(node.bottoms[0])))
            elif any(views):
                self._follow(node, views, wanted)

    def _lift(self, blob: Blob, view: View, *, grown: bool) -> None:
        self.lifted[blob] = view
        if grown:
            self.grown.add(blob)

    def _flatten(self, node: Node, source: View) -> None:
        """Drop NODE, which reshapes a map that does not grow for a converted layer."""
        view = reshaped(source, order_of(node, len(source.axes)), self._shape(node.tops[0]))
        if view is None:
            raise SurgeryError(f"layer {node.name!r} ({node.type}) cannot be left out of the converted net")
        self._vanish(node, view)

    def _vanish(self, node: Node, view: View) -> None:
        bottom, top = node.bottoms[0], node.tops[0]
        self._lift(top, view, grown=bottom in self.grown)
        if bottom not in self.lifted or bottom in self.flexible:
            self.flexible.add(top)
        self.vanishing[node.index] = node

    def _follow(self, node: Node, views: list[View | None], wanted: bool) -> None:
        """Handle NODE, which reads a lifted blob."""
        grown = not self.grown.isdisjoint(node.bottoms)
        if all(view is None or view.is_map for view in views):
            if not grown and wanted and reshapes(node) and views[0]:
                self._flatten(node, views[0])
                return
            if not grown or (reshapes(node) and not keeps_order(node) and self._ends(node)):
                self._rewire(node, views)  # the same map under another name; or one that is reordered for the user
                return
        tops = [self.shapes.blobs[blob] for blob in node.tops]
        result = outcome(node, views, [self.shapes.blobs[blob] for blob in node.bottoms], tops)
        if isinstance(result, Refuses):
            self._refuse(node, views, result.obstacle, node.bottoms)
        if isinstance(result, Vanishes):
            self._vanish(node, result.view)
            return
        self._rewire(node, views)
        self.changes += (SetParameter(node.index, node.name, *change) for change in result.changes)
        for blob, view in zip(node.tops, result.tops, strict=True):
            if view is not None:
                self._lift(blob, view, grown=grown)
        # An InnerProduct on regions of a fixed size, which are unfit, takes any size.
        if node.type == "InnerProduct" and node.bottoms[0] not in self.found.unfit:
            self.notes.append(
                f"{node.name} stays an InnerProduct after a converted layer: the net takes only its nominal input size"
            )

    def _ends(self, node: Node) -> bool:
        return all(top in self.graph.outputs for top in node.tops)

    def _refuse(self, node: Node, views: Sequence[View | None], obstacle: Obstacle, blobs: Sequence[Blob]) -> NoReturn:
        origins = [self._origin(blob) for blob, view in zip(blobs, views, strict=True) if view is not None]
        names = sorted({origin.name for origin in origins if origin.type == "InnerProduct"})
        ways: list[Hint] = []
        if names:
            ways.append(advise(f"leave {' and '.join(names)} unchanged with ", Option("skip", names)))
        if any(origin.type == "Pooling" for origin in origins):
            ways.append(advise("keep global poolings with ", Option("global_pooling", "keep")))
        joined = [part for way in ways for part in ("; ", way)][1:]
        raise SurgeryError(
            f"{node.name} {obstacle}", layer=node.name, index=node.index, hint=advise(*joined) if joined else None
        )

    def _origin(self, blob: Blob) -> Node:
        """The converted layer, flattening or window because of which BLOB is a map."""
        maker = self.graph.producer[blob]
        while maker.index not in self.found.convertible and maker.index not in self.windows and maker.bottoms:
            following = next((bottom for bottom in maker.bottoms if bottom in self.lifted), None)
            if following is None:
                readers = descendants(self.graph, maker.tops[0])
                return next((reader for reader in readers if reader.index in self.found.convertible), maker)
            maker = self.graph.producer[following]
        return maker

    def _rewire(self, node: Node, views: list[View | None]) -> None:
        """Let NODE read the blobs that replace its bottoms."""
        for blob, view in zip(node.bottoms, views, strict=True):
            if view is None or view.blob == blob:
                continue
            self._check_unchanged(view.blob, node)
            self.rewired.setdefault(node.index, {})[blob.name] = view.blob.name

    def _check_unchanged(self, blob: Blob, reader: Node) -> None:
        following = self.graph.producer.get(Blob(blob.name, blob.version + 1))
        if following is not None and following.index < reader.index:
            raise SurgeryError(
                f"{reader.name} would read {blob.name!r} after {following.name} changed it in place",
                hint=f"give {following.name} its own top",
            )

    def _readers(self, node: Node) -> tuple[Node, ...]:
        return self.graph.consumers.get(node.tops[0], ())

    def _reads_original(self, reader: Node, blob: Blob, kept: set[int]) -> bool:
        """Whether READER still reads BLOB itself in the converted net, and not its replacement."""
        if reader.index in self.vanishing:
            return reader.index in kept
        return blob.name not in self.rewired.get(reader.index, {})

    def _shape(self, blob: Blob) -> Shape:
        shape = self.shapes.blobs[blob]
        return () if isinstance(shape, Unknown) else shape

    def drops(self) -> list[Change]:
        """The changes that drop layers."""
        return [DropLayer(index, node.name, node.type) for index, node in self.vanishing.items()]

    def promised(self) -> dict[Blob, Shape]:
        """The nominal shapes of blobs in the converted net, where they may differ from those in the original."""
        return {blob: view.shape for blob, view in self.lifted.items()}
