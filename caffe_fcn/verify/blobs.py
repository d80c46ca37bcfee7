"""Pairs the blobs of a new net with those of its original.

A blob belongs to the one that the counterpart of its layer makes. If layers of the original behind that are gone, the
blob may have the values that they made: a Convolution into which a BatchNorm is folded makes what the BatchNorm made.
So a blob has several counterparts, along the layers that are gone, and equals one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from caffe_fcn.compare.pairing import Pairing, pair_layers
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.onnx.scope import Scope


class BlobPairs(NamedTuple):
    """The layers of two nets in pairs, and for each blob of the new net its counterparts in the original. The first is
    what the counterpart of its layer makes; a blob that only the new net has, has none."""

    pairing: Pairing
    counterparts: Mapping[Blob, tuple[Blob, ...]]

    def origins(self, blob: Blob) -> tuple[tuple[Blob, ...], list[Node]]:
        """The blobs with counterparts that BLOB, of the new net, is made of, or BLOB itself; and the layers between,
        which only the new net has. Layers that hand values on are skipped."""
        found: dict[Blob, None] = {}
        between: dict[int, Node] = {}
        queue = [blob]
        while queue:
            each = queue.pop(0)
            node = self.pairing.new.producer[each]
            if not node.bottoms or (self.counterparts[each] and not hands_on(node)):
                found[each] = None
            elif node.index not in between:
                between[node.index] = node
                queue += node.bottoms[:1] if hands_on(node) else node.bottoms
        return tuple(found), [node for _, node in sorted(between.items()) if not rearranges(node)]

    def lost(self, blob: Blob, read: Blob) -> list[Node] | None:
        """The layers of the original between its blobs BLOB and READ, all of which are gone or hand values on; None if
        READ is not made of BLOB in this way."""
        start, found = self.ahead(blob), []
        while read != start:
            node = self.pairing.old.producer[read]
            if not node.bottoms or not (node.index in self.pairing.gone or hands_on(node)):
                return None
            found += [] if rearranges(node) else [node]
            read = node.bottoms[0]
        return found[::-1]

    def same_values(self, blob: Blob) -> Iterator[Blob]:
        """BLOB of the original, and the blobs before the layers that only rearrange its values."""
        yield blob
        while (node := self.pairing.old.producer[blob]).bottoms and rearranges(node):
            blob = node.bottoms[0]
            yield blob

    def ahead(self, blob: Blob) -> Blob:
        """BLOB of the original, or the blob before the layers that hand its values on."""
        while (node := self.pairing.old.producer[blob]).bottoms and hands_on(node):
            blob = node.bottoms[0]
        return blob


def pair_blobs(original: Scope, twin: Scope, inputs: Mapping[str, str], names: Mapping[str, str]) -> BlobPairs:
    """The layers and blobs of ORIGINAL and TWIN in pairs. INPUTS are the names in TWIN of the inputs of ORIGINAL, NAMES
    those of other layers as far as they are known."""
    pairing = pair_layers(original.graph, twin.graph, names)
    fed = {inputs[blob.name]: blob for blob in original.inputs}
    counterparts: dict[Blob, tuple[Blob, ...]] = {}
    for other in twin.graph.nodes:
        node = pairing.pairs.get(other.index, pairing.replaced.get(other.index))
        for place, top in enumerate(other.tops):
            if top in twin.inputs:
                first = fed.get(top.name)
            elif node is None:
                first = _replaced(pairing, top)
            else:
                first = node.tops[place] if place < len(node.tops) else None
            counterparts[top] = () if first is None else tuple(_along(pairing, first))
    return BlobPairs(pairing, counterparts)


def hands_on(node: Node) -> bool:
    """Whether the top of NODE is its bottom."""
    return row_of(node.type).unchanging(node.layer)


def rearranges(node: Node) -> bool:
    """Whether the top of NODE is its bottom, with other axes at most."""
    return row_of(node.type).order is not None or hands_on(node)


def _replaced(pairing: Pairing, top: Blob) -> Blob | None:
    """The blob with the name of TOP, which a new layer makes, if the layer that made it is gone; both the last ones."""
    found = pairing.old.latest(top.name) if pairing.new.latest(top.name) == top else None
    return found if found is not None and pairing.old.producer[found].index in pairing.gone else None


def _along(pairing: Pairing, blob: Blob) -> Iterator[Blob]:
    """BLOB of the original, and the blobs that layers make of it that are gone, while nothing else reads it."""
    yield blob
    while len(readers := pairing.old.consumers.get(blob, ())) == 1:
        (node,) = readers
        if node.index not in pairing.gone or not node.tops or node.bottoms[0] != blob:
            return
        blob = node.tops[0]
        yield blob
