"""Pairs the layers of two nets: by name, else by what they compute and from which blobs.

Of the layers that remain, one that reads the same blob as a layer that is gone replaces it. Others are new or gone. The
time grows with the number of layers only, however they are named and connected.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TypeAlias

from caffe_fcn.compare.numbering import in_place, number_both
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of

_Found: TypeAlias = Iterator[tuple[Node, Node]]


@dataclass(frozen=True)
class Pairing:
    """Which layers of the net NEW belong to layers of the net OLD. Layers are keyed by their indices."""

    old: Graph
    new: Graph
    by_name: Mapping[int, Node]
    """The old layers by the index of the new layer with the same name."""
    by_structure: Mapping[int, Node]
    """The old layers by the index of the new layer with another name that computes the same from the same blobs."""
    replaced: Mapping[int, Node]
    """The old layers by the index of the layer of another kind that reads the same blob now."""
    gone: Mapping[int, Node]
    """The other old layers, by their own index."""

    @cached_property
    def pairs(self) -> Mapping[int, Node]:
        """The old layers by the index of their counterpart; not those that are replaced."""
        return {**self.by_name, **self.by_structure}

    def same_bottoms(self, node: Node, other: Node) -> bool:
        """Whether OTHER, a new layer, reads what became of the blobs that NODE reads. Layers that hand values on do not
        count."""
        theirs = [self._counterpart(blob, self.pairs) for blob in other.bottoms]
        return theirs == [_end(self._old_ends, blob) for blob in node.bottoms]

    def same_wiring(self, node: Node, other: Node) -> bool:
        """The same, but only those of the skipped layers do not count that are new, gone, or replaced; what replaces a
        layer is its counterpart too."""
        if len(node.bottoms) != len(other.bottoms):
            return False
        return all(any(same(*both) for same in self._same) for both in zip(node.bottoms, other.bottoms, strict=True))

    @cached_property
    def _same(self) -> Sequence[Callable[[Blob, Blob], bool]]:
        """Whether two blobs are the same: with what replaces a layer skipped, and in its place."""

        def compared_by(pairs: Mapping[int, Node]) -> Callable[[Blob, Blob], bool]:
            paired = {node.index for node in pairs.values()}
            before = settled(self.old, lambda node: node.index not in paired and _passes_by(node))
            after = settled(self.new, lambda node: node.index not in pairs and _passes_by(node))
            return lambda blob, other: _end(before, blob) == self._made_by(_end(after, other), before, pairs)

        return [compared_by(pairs) for pairs in (self.pairs, {**self.pairs, **self.replaced})]

    @cached_property
    def _old_ends(self) -> Mapping[Blob, Blob]:
        return settled(self.old, _hands_on)

    @cached_property
    def _new_ends(self) -> Mapping[Blob, Blob]:
        return settled(self.new, _hands_on)

    def _counterpart(self, blob: Blob, pairs: Mapping[int, Node]) -> Blob | None:
        """The blob of the old net that BLOB, of the new one, was by PAIRS; without layers that hand values on."""
        return self._made_by(_end(self._new_ends, blob), self._old_ends, pairs)

    def _made_by(self, blob: Blob, ends: Mapping[Blob, Blob], pairs: Mapping[int, Node]) -> Blob | None:
        """The blob, by ENDS, that the old net's counterpart, by PAIRS, of the maker of BLOB makes. A blob without a
        maker is found by its name."""
        maker = self.new.producer.get(blob)
        if maker is None:
            return blob
        node, place = pairs.get(maker.index), maker.tops.index(blob)
        return _end(ends, node.tops[place]) if node is not None and place < len(node.tops) else None


def pair_layers(old: Graph, new: Graph, names: Mapping[str, str] = MappingProxyType({})) -> Pairing:
    """The layers of NEW with those of OLD. NAMES: other names that layers of OLD may have in NEW, by their names."""
    left = {node.index: node for node in old.nodes}
    taken: set[int] = set()

    def join(found: _Found) -> dict[int, Node]:
        pairs: dict[int, Node] = {}
        for node, other in found:
            if node.index in left and other.index not in taken:
                taken.add(other.index)
                pairs[other.index] = left.pop(node.index)
        return pairs

    by_name = join(_by_name(old, new, names))
    by_structure = join(_by_structure(old, new, by_name))
    by_structure |= join(_by_structure(old, new, {**by_name, **by_structure}, without=True))
    found = Pairing(old, new, by_name, by_structure, {}, {})
    replaced = join(_reading_the_same(found, left, taken))
    return Pairing(old, new, by_name, by_structure, replaced, left)


def settled(graph: Graph, skips: Callable[[Node], bool]) -> dict[Blob, Blob]:
    """For each blob of GRAPH the blob before the layers that make it and that SKIPS says to skip; else itself."""
    ends: dict[Blob, Blob] = {}
    for node in graph.nodes:
        through = bool(node.bottoms) and skips(node)
        for top in node.tops:
            ends[top] = _end(ends, node.bottoms[0]) if through else top
    return ends


def _end(ends: Mapping[Blob, Blob], blob: Blob) -> Blob:
    return ends.get(blob, blob)  # a net that Caffe does not build can have a blob without a maker


def _hands_on(node: Node) -> bool:
    return row_of(node.type).unchanging(node.layer)


def _passes_by(node: Node) -> bool:
    """Whether the text of the layers that read the tops of NODE need not change if NODE comes or goes."""
    return _hands_on(node) or in_place(node)


def _by_name(old: Graph, new: Graph, names: Mapping[str, str]) -> _Found:
    """Layers with the same name: first those of the same type, then others; layers of one name in their order."""

    def keys(node: Node, *, typed: bool) -> Iterator[tuple[str, str]]:
        for name in dict.fromkeys((node.name, names.get(node.name, node.name))):
            yield name, node.type if typed else ""

    for typed in (True, False):
        by_name: dict[tuple[str, str], deque[Node]] = defaultdict(deque)
        for other in new.nodes:
            by_name[other.name, other.type if typed else ""].append(other)
        for node in old.nodes:
            for key in keys(node, typed=typed):
                if by_name[key]:
                    yield node, by_name[key].popleft()


def _by_structure(old: Graph, new: Graph, known: Mapping[int, Node], *, without: bool = False) -> _Found:
    """Layers that compute the same from the same blobs, or from those of layers that are KNOWN to be counterparts.
    WITHOUT: whether other layers that work in place do not count."""
    ours, theirs = number_both(old, new, known, without=without)
    for number, node in ours.sources.items():
        other = theirs.sources.get(number)
        if other is not None and node.type == other.type:
            yield node, other
    yield from ((node, theirs.layers[number]) for number, node in ours.layers.items() if number in theirs.layers)


def _reading_the_same(found: Pairing, left: Mapping[int, Node], taken: set[int]) -> _Found:
    """The layers that are LEFT of the old net and the new ones, not yet TAKEN, whose first bottom is the same blob, or
    that of layers found before, both linear or neither: a Softmax that goes is not replaced by the Deconvolution that
    reads the scores now."""
    readers: dict[tuple[Blob, bool], deque[Node]] = defaultdict(deque)
    for node in left.values():
        if node.bottoms:
            readers[_end(found._old_ends, node.bottoms[0]), row_of(node.type).linear].append(node)
    pairs = dict(found.pairs)
    for other in found.new.nodes:
        if other.index not in taken and other.bottoms and (read := found._counterpart(other.bottoms[0], pairs)):
            candidates = readers.get((read, row_of(other.type).linear))
            if candidates:
                pairs[other.index] = candidates.popleft()
                yield pairs[other.index], other
