"""Finds what became of each layer of a net in a net that was made of it.

Layers are paired by name, else by what they compute and from which blobs. A layer is untouched if both have the same
type, the same fields and the same parameter blobs, bit by bit. The differences are data; they are not judged here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from caffe_fcn.model.tensors import Tensor
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shape, Shapes, bare
from caffe_fcn.verify.fields import differing
from caffe_fcn.verify.identity import identify
from caffe_fcn.verify.pairing import number_both
from caffe_fcn.verify.records import BlobDifference, Fate, LayerFate
from caffe_fcn.verify.weights import Side, differing_values

_SAME = (Fate.UNTOUCHED, Fate.CONVERTED)


def fates(
    old: Side, new: Side, phase: str, names: Mapping[str, str], converted: Mapping[str, str]
) -> Iterator[LayerFate]:
    """What became of the layers of OLD in NEW in PHASE, in the order of the new net; then the layers that are gone.

    NAMES: the names in the original of layers that are renamed in OLD. CONVERTED: the types, in the original, of layers
    that are converted in OLD, by their names in the original. Raises WeightsError where a value is not finite.
    """
    ancestry = _Ancestry(old.graphs[phase], new.graphs[phase], names)
    shapes, others = old.shapes[phase], new.shapes[phase]
    found: dict[int, LayerFate] = {}
    for other in ancestry.new.nodes:
        node = ancestry.pairs.get(other.index)
        if node is None or node.type != other.type:
            former = node or ancestry.replaced.get(other.index)
            fate = Fate.NEW if former is None else Fate.REPLACED
            name = None if former is None else names.get(former.name, former.name)
            kind = None if former is None else converted.get(str(name), former.type)
            found[other.index] = LayerFate(fate, name, other.name, kind, other.type)
            continue
        same_axes = _same_axes(node, shapes, other, others)
        fields = tuple(differing(node, shapes, other, others, phase=phase, same_axes=same_axes))
        blobs = tuple(_blobs(old, new, node, other))
        rewired = not ancestry.same_bottoms(node, other)
        name = names.get(node.name, node.name)
        fate = Fate.CONVERTED if name in converted else Fate.UNTOUCHED
        fate = Fate.CHANGED if fields or blobs or rewired else fate
        kind = converted.get(name, node.type)
        found[other.index] = LayerFate(
            fate, name, other.name, kind, other.type, rewired=rewired, fields=fields, blobs=blobs
        )
    same = _identical(ancestry, (shapes, others), found)
    yield from (each._replace(identical=index in same) for index, each in found.items())
    for node in ancestry.gone.values():
        name = names.get(node.name, node.name)
        yield LayerFate(Fate.GONE, name, None, converted.get(name, node.type), None)


class _Ancestry:
    """Which layers of an OLD net the layers of a NEW one come from. NAMES: other names that the old layers may have."""

    def __init__(self, old: Graph, new: Graph, names: Mapping[str, str]) -> None:
        self.old, self.new = old, new
        self.pairs: dict[int, Node] = {}
        """The old layers by the index of the new one."""
        self.gone = {node.index: node for node in old.nodes}
        """The old layers that no new one comes from, by index."""
        self.replaced: dict[int, Node] = {}
        """The old layers that another layer replaces, by the index of that."""
        self._join(self.pairs, self._by_name(names))
        self._join(self.pairs, self._by_place())
        self._join(self.replaced, self._reading_the_same())

    def same_bottoms(self, node: Node, other: Node) -> bool:
        """Whether OTHER, a new layer, reads what became of the blobs that NODE reads. Layers that hand values on do not
        count."""
        theirs = [self._counterpart(blob) for blob in other.bottoms]
        return theirs == [_settled(self.old, blob) for blob in node.bottoms]

    def _join(self, pairs: dict[int, Node], found: Iterator[tuple[Node, Node]]) -> None:
        for node, other in found:
            if node.index in self.gone and other.index not in self.pairs and other.index not in pairs:
                pairs[other.index] = self.gone.pop(node.index)

    def _by_name(self, names: Mapping[str, str]) -> Iterator[tuple[Node, Node]]:
        by_name: dict[str, list[Node]] = {}
        for other in self.new.nodes:
            by_name.setdefault(other.name, []).append(other)
        for node in self.old.nodes:
            for name in dict.fromkeys((node.name, names.get(node.name, node.name))):
                yield from ((node, other) for other in by_name.get(name, ()))

    def _by_place(self) -> Iterator[tuple[Node, Node]]:
        ours, theirs = number_both(self.old, self.new)
        yield from ((node, theirs.layers[number]) for number, node in ours.layers.items() if number in theirs.layers)

    def _reading_the_same(self) -> Iterator[tuple[Node, Node]]:
        """The layers that are gone and the new ones whose first bottom is the same blob, both linear or neither: a
        Softmax that goes is not replaced by the Deconvolution that reads the scores now."""
        for other in self.new.nodes:
            if other.index not in self.pairs and other.bottoms and (read := self._counterpart(other.bottoms[0])):
                for node in list(self.gone.values()):
                    alike = row_of(node.type).linear == row_of(other.type).linear
                    if alike and node.bottoms and _settled(self.old, node.bottoms[0]) == read:
                        yield node, other

    def _counterpart(self, blob: Blob) -> Blob | None:
        """The blob of the old net that BLOB, of the new one, was."""
        blob = _settled(self.new, blob)
        maker = self.new.producer[blob]
        node, place = self.pairs.get(maker.index), maker.tops.index(blob)
        return _settled(self.old, node.tops[place]) if node is not None and place < len(node.tops) else None


def _settled(graph: Graph, blob: Blob) -> Blob:
    """BLOB, or the blob before the layers that hand its values on."""
    while (maker := graph.producer[blob]).bottoms and row_of(maker.type).unchanging(maker.layer):
        blob = maker.bottoms[0]
    return blob


def _same_axes(node: Node, shapes: Shapes, other: Node, others: Shapes) -> bool:
    """Whether both layers read blobs with as many axes."""
    both = zip_longest((shapes.blobs[blob] for blob in node.bottoms), (others.blobs[blob] for blob in other.bottoms))
    return all(isinstance(one, tuple) and isinstance(two, tuple) and len(one) == len(two) for one, two in both)


def _blobs(old: Side, new: Side, node: Node, other: Node) -> Iterator[BlobDifference]:
    """The parameter blobs in which OTHER, of the new net, differs from NODE."""
    ours, theirs = old.tensors.get(node.name, ()), new.tensors.get(other.name, ())
    for position in range(max(len(ours), len(theirs))):
        blob, twin = _at(ours, position), _at(theirs, position)
        if blob is None or twin is None or bare(blob.shape) != bare(twin.shape):
            yield BlobDifference(position, _shape(blob), _shape(twin), 0)
        elif count := differing_values(blob, twin, (old.weights.path, node.name))[0]:
            yield BlobDifference(position, blob.shape, twin.shape, count)


def _shape(blob: Tensor | None) -> Shape | None:
    return None if blob is None else blob.shape


def _at(blobs: Sequence[Tensor], position: int) -> Tensor | None:
    return blobs[position] if position < len(blobs) else None


def _identical(ancestry: _Ancestry, shapes: tuple[Shapes, Shapes], found: Mapping[int, LayerFate]) -> frozenset[int]:
    """Those of the new layers, by index, that make what the old ones made, for any input."""
    kept = {index: ancestry.pairs[index] for index, each in found.items() if each.fate in _SAME}

    def stored(node: Node) -> object:
        return node.name

    def stored_in_new(node: Node) -> object:
        return kept[node.index].name if node.index in kept else ("new", node.name)

    before, after = identify((ancestry.old, shapes[0], stored), (ancestry.new, shapes[1], stored_in_new))
    made = {index: [before.values[top] for top in node.tops] for index, node in kept.items()}
    nodes = (other for other in ancestry.new.nodes if other.index in kept)
    return frozenset(other.index for other in nodes if [after.values[top] for top in other.tops] == made[other.index])
