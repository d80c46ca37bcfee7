"""The heart of the program: a classifier becomes its fully convolutional twin.

An InnerProduct over a map C×H×W is a Convolution whose kernel is the whole map,

    y[o] = b[o] + sum over c, h, w of W[o, (c·H + h)·W + w] · x[c, h, w],

so with the kernel H×W, and the weight blob O×(C·H·W) read as O×C×H×W, it gives the same answer on the
same input, and one answer per window on a larger one. For one phase of the net, in order:

1. find the InnerProducts that can be converted, and why the others stay (`survey`);
2. let the layers that share a weight agree on its new shape (`sharing`);
3. follow the converted ones back to their maps and down the net: what flattened in between goes, and
   each layer that meets a blob that is now a map must take it, or the net is refused (`_Twin`);
4. make windows of the global poolings that end in converted layers or in the net's outputs;
5. name the new layers and blobs, and rewire whoever read the old ones.

The result is a list of edits. Each phase is worked out on its own, and the phases must agree (`phases`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import NoReturn

from caffe_fcn.errors import SurgeryError
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.shapes import Shapes, Unknown, show
from caffe_fcn.surgery.edits import (
    DropLayer,
    Edit,
    LeftAlone,
    RenameLayer,
    Rewire,
    Surgery,
    ToConvolution,
    WindowPooling,
)
from caffe_fcn.surgery.naming import Naming, check_names
from caffe_fcn.surgery.pooling import descendants, is_global
from caffe_fcn.surgery.sharing import disagreements
from caffe_fcn.surgery.survey import Survey, survey
from caffe_fcn.surgery.views import Passes, Refuses, Vanishes, View, flattened, outcome, reshaped


@dataclass(frozen=True)
class Options:
    """What the user decides. ONLY and SKIP are names of InnerProducts, shell patterns allowed."""

    naming: Naming = field(default_factory=Naming)
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    keep_global_pooling: bool = False


def convolutionalize(graph: Graph, shapes: Shapes, options: Options | None = None) -> Surgery:
    """The edits that make the net of GRAPH, of the nominal SHAPES, fully convolutional.

    Raises SurgeryError, naming the layer and the way round, where the result would not give the same
    answers, and ShapeError where a shape that decides is not known.
    """
    options = options or Options()
    excluded: dict[int, str] = {}
    while True:
        found = survey(graph, shapes, only=options.only, skip=options.skip, excluded=excluded)
        windows, kept = ([], []) if options.keep_global_pooling else _windows(found)
        twin = _Twin(found, {edit.index for edit in windows})
        twin.build()
        conversions = twin.conversions()
        refused = disagreements(graph, shapes, conversions)
        if not refused:
            break
        excluded.update(refused)
    left = [
        LeftAlone(node.name, node.type, found.left[node.index], settled=node.index in found.settled)
        for node in graph.nodes
        if node.index in found.left
    ]
    edits: list[Edit] = [*conversions, *twin.changes, *windows, *twin.drops(), *_names(graph, twin, options.naming)]
    edits.sort(key=lambda edit: edit.index)
    return Surgery(tuple(edits), tuple(left + kept), tuple(twin.notes))


class _Twin:
    """The twin's blobs: which of them are found elsewhere or laid out otherwise than in the original.

    `lifted` holds what stands for each such blob, and each that grows with the image where the original's does
    not; `flexible` those among them that the original's flattening could still provide to a layer that does
    not follow.
    """

    def __init__(self, found: Survey, windows: set[int]) -> None:
        self.found, self.windows = found, windows
        self.graph, self.shapes = found.graph, found.shapes
        self.lifted: dict[Blob, View] = {}
        self.flexible: set[Blob] = set()
        self.vanishing: dict[int, Node] = {}
        self.rewired: dict[int, dict[str, str]] = {}
        self.changes: list[Edit] = []
        self.notes: list[str] = []

    def build(self) -> None:
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
            view = self.lifted.get(blob)
            if view is not None and view.is_reordered:
                maker = self.graph.producer[blob]
                self._refuse(maker, [view], f"({maker.type}) makes an output of the net cell after cell", [blob])

    def _check_kept(self, node: Node) -> None:
        """A flattening that stays must not lose its top to a layer that worked on it in place."""
        for reader in self._readers(node):
            if reader.index in self.rewired and any(top.name == node.tops[0].name for top in reader.tops):
                raise SurgeryError(
                    f"{reader.name} works in place on {node.tops[0].name!r}, which other layers read as it is; give "
                    f"{reader.name} a top of its own"
                )

    def _needed(self) -> set[Blob]:
        """The blobs between the maps and the converted layers: what must be lifted for these."""
        needed: set[Blob] = set()
        queue = [node.bottoms[0] for node in self.graph.nodes if node.index in self.found.convertible]
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
            self.lifted[node.tops[0]] = self.found.views[node.tops[0]]
            return
        if node.index in self.windows:
            if any(view is not None and view.kind != "same" for view in views) and node.bottoms[0] not in self.flexible:
                self._refuse(node, views, "(Pooling) pools over axes that are in another order", node.bottoms)
            if node.bottoms[0] not in self.flexible:
                self._rewire(node, views)
            self.lifted[node.tops[0]] = View(node.tops[0], self._shape(node.tops[0]), "same")
            return
        wanted = not needed.isdisjoint(node.tops)
        if not wanted and all(
            view is None or blob in self.flexible for blob, view in zip(node.bottoms, views, strict=True)
        ):
            return  # the original's flattening stays for it
        if wanted and not any(views):
            self._flatten(node, node.bottoms[0])
        elif any(views):
            self._follow(node, views, wanted)

    def _flatten(self, node: Node, source: Blob) -> None:
        """NODE flattens or permutes a map for a converted layer: the twin does without."""
        view = reshaped(node, source, self._shape(node.bottoms[0]), self._shape(node.tops[0]))
        if view is None:
            raise SurgeryError(f"layer {node.name!r} ({node.type}) cannot be left out of the converted net")
        self.lifted[node.tops[0]] = view
        if node.bottoms[0] not in self.lifted or node.bottoms[0] in self.flexible:
            self.flexible.add(node.tops[0])
        self.vanishing[node.index] = node

    def _follow(self, node: Node, views: list[View | None], wanted: bool) -> None:
        """NODE reads something lifted."""
        first, top = views[0], self._shape(node.tops[0]) if node.tops else ()
        if first and first.kind == "same" and reshaped(node, first.blob, self._shape(node.bottoms[0]), top):
            if wanted or len(top) == 2:
                self._flatten(node, first.blob)
                return
            if node.type != "Permute":
                self._refuse(node, views, f"({node.type}) reshapes to the fixed size {show(top)}", node.bottoms)
        if node.type == "InnerProduct":
            self._stays_behind(node, views)
            return
        if first and first.kind == "same" and node.type == "ArgMax" and prod(first.spatial) == 1:
            views = [flattened(first)]
        tops = [self.shapes.blobs[blob] for blob in node.tops]
        result = outcome(node, views, [self.shapes.blobs[blob] for blob in node.bottoms], tops)
        if isinstance(result, Refuses):
            self._refuse(node, views, result.reason, node.bottoms)
        if isinstance(result, Vanishes):
            self.lifted[node.tops[0]] = result.view
            self.vanishing[node.index] = node
            if node.bottoms[0] in self.flexible:
                self.flexible.add(node.tops[0])
            return
        self._rewire(node, views)
        self.changes += result.changes
        if isinstance(result, Passes):
            self.lifted.update(zip(node.tops, result.tops, strict=True))
        else:  # what is made of a map that grows with the image, grows as well
            grown = [blob for blob in node.tops if len(self._shape(blob)) > 2]
            self.lifted.update((blob, View(blob, self._shape(blob), "same")) for blob in grown)

    def _stays_behind(self, node: Node, views: list[View | None]) -> None:
        """An InnerProduct that is left alone reads a converted blob: right at the nominal size, and only there."""
        self._rewire(node, views)
        if node.bottoms[0] not in self.found.unfit:  # behind region pooling the input size does not matter
            self.notes.append(
                f"{node.name} stays an InnerProduct behind a converted layer: the net takes only its nominal input size"
            )

    def _refuse(self, node: Node, views: Sequence[View | None], reason: str, blobs: Sequence[Blob]) -> NoReturn:
        origins = [self._origin(blob) for blob, view in zip(blobs, views, strict=True) if view is not None]
        names = sorted({origin.name for origin in origins if origin.type == "InnerProduct"})
        ways = (
            [f"leave {' and '.join(names)} alone with {' '.join(f'--skip {name}' for name in names)}"] if names else []
        )
        if any(origin.type == "Pooling" for origin in origins):
            ways.append("leave global poolings as they are with --global-pooling keep")
        raise SurgeryError("; ".join([f"{node.name} {reason}", *ways]))

    def _origin(self, blob: Blob) -> Node:
        """The converted layer, the flattening or the window that makes BLOB a map."""
        maker = self.graph.producer[blob]
        while maker.index not in self.found.convertible and maker.index not in self.windows and maker.bottoms:
            following = next((bottom for bottom in maker.bottoms if bottom in self.lifted), None)
            if following is None:
                readers = descendants(self.graph, maker.tops[0])
                return next((reader for reader in readers if reader.index in self.found.convertible), maker)
            maker = self.graph.producer[following]
        return maker

    def _rewire(self, node: Node, views: list[View | None]) -> None:
        """Let NODE read the blobs that stand for its bottoms."""
        for blob, view in zip(node.bottoms, views, strict=True):
            if view is None or view.blob == blob:
                continue
            self._check_unchanged(view.blob, node)
            self.rewired.setdefault(node.index, {})[blob.name] = view.blob.name

    def _check_unchanged(self, blob: Blob, reader: Node) -> None:
        following = self.graph.producer.get(Blob(blob.name, blob.version + 1))
        if following is not None and following.index < reader.index:
            raise SurgeryError(
                f"{reader.name} would read {blob.name!r} after {following.name} has overwritten it in place; "
                f"give {following.name} a top of its own"
            )

    def _readers(self, node: Node) -> tuple[Node, ...]:
        return self.graph.consumers.get(node.tops[0], ())

    def _reads_original(self, reader: Node, blob: Blob, kept: set[int]) -> bool:
        """Whether READER, in the twin, still reads BLOB itself and not what stands for it."""
        if reader.index in self.vanishing:
            return reader.index in kept
        return blob.name not in self.rewired.get(reader.index, {})

    def _shape(self, blob: Blob) -> tuple[int, ...]:
        shape = self.shapes.blobs[blob]
        return () if isinstance(shape, Unknown) else shape

    def conversions(self) -> list[ToConvolution]:
        """The new Convolutions, in the order of the net."""
        made = []
        for node in self.graph.nodes:
            view = self.found.convertible.get(node.index)
            if view is None:
                continue
            param = node.layer.inner_product_param
            made.append(
                ToConvolution(
                    node.index,
                    node.name,
                    channels=view.shape[1],
                    kernel=view.spatial,
                    num_output=param.num_output,
                    bias=param.bias_term,
                    transposed=param.transpose,
                    segments=view.segments,
                )
            )
        return made

    def drops(self) -> list[Edit]:
        """The layers that vanish."""
        return [DropLayer(index, node.name, node.type) for index, node in self.vanishing.items()]


def _windows(found: Survey) -> tuple[list[Edit], list[LeftAlone]]:
    """The global poolings that become windows, and why the others stay."""
    windows: list[Edit] = []
    kept: list[LeftAlone] = []
    for node in filter(is_global, found.graph.nodes):
        shape = found.shapes.blobs[node.bottoms[0]]
        join = found.gates.get(node.index)
        if join is not None:
            kept.append(
                LeftAlone(node.name, node.type, f"a gate, or like one: what it pools meets a map again in {join.name}")
            )
        elif node.bottoms[0] in found.unfit:
            kept.append(LeftAlone(node.name, node.type, found.unfit[node.bottoms[0]]))
        elif isinstance(shape, Unknown):
            kept.append(LeftAlone(node.name, node.type, f"the shape of its input is not known: {shape.reason}"))
        elif reader := _unconverted_reader(found, node):
            kept.append(LeftAlone(node.name, node.type, f"feeds {reader.name}, which stays an InnerProduct"))
        else:
            windows.append(WindowPooling(node.index, node.name, kernel=shape[2:]))
    return windows, kept


def _unconverted_reader(found: Survey, pooling: Node) -> Node | None:
    """An InnerProduct behind POOLING, with none between, that is left alone."""
    behind = descendants(found.graph, pooling.tops[0], lambda node: node.type == "InnerProduct")
    return next((node for node in behind if node.index in found.left), None)


def _names(graph: Graph, twin: _Twin, naming: Naming) -> list[Edit]:
    """New names for the converted layers and their tops, and new bottoms for whoever reads these."""
    converted = [node for node in graph.nodes if node.index in twin.found.convertible]
    layers = {node.name: naming(node.name) for node in converted}
    blobs = {node.tops[0].name: naming(node.tops[0].name) for node in converted}
    layers = {old: new for old, new in layers.items() if old != new}
    blobs = {old: new for old, new in blobs.items() if old != new}
    check_names("layer", layers, {node.name for node in graph.nodes} - layers.keys())
    check_names("blob", blobs, {blob.name for blob in graph.producer} - blobs.keys())
    edits: list[Edit] = [
        RenameLayer(node.index, node.name, layers[node.name]) for node in converted if node.name in layers
    ]
    for node in graph.nodes:
        moved = twin.rewired.get(node.index, {})
        bottoms = {blob.name: moved.get(blob.name, blob.name) for blob in node.bottoms}
        bottoms = {old: blobs.get(new, new) for old, new in bottoms.items()}
        bottoms = {old: new for old, new in bottoms.items() if old != new}
        tops = {blob.name: blobs[blob.name] for blob in node.tops if blob.name in blobs}
        if bottoms or tops:
            edits.append(Rewire(node.index, node.name, bottoms, tops))
    return edits
