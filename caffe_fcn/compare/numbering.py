"""Numbers the layers of two nets so that counterparts have equal numbers, independent of their names.

A layer is identified by what it computes and from which blobs. Both nets are numbered in the same way, beginning at
the inputs: two layers have the same number if they are of the same kind and read blobs with the same numbers. An
InnerProduct and a Convolution are of the same kind. A layer that only rearranges its blob, or does nothing, passes its
number on. Layers that cannot be distinguished are paired by their order in the file. Layers that are known to be
counterparts have equal numbers whatever they compute, so a difference in them does not reach the layers behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of

_NONE_KNOWN: Mapping[int, int] = MappingProxyType({})


class Numbering:
    """Numbers what nets compute: equal numbers for equal computations, in all nets given to it."""

    def __init__(self) -> None:
        self._table: dict[tuple[object, ...], int] = {}

    def of(
        self, graph: Graph, sources: Mapping[str, str], known: Mapping[int, int] = _NONE_KNOWN, *, without: bool = False
    ) -> Numbered:
        """The numbers of GRAPH. SOURCES: the names of its inputs in the net with which it is compared. KNOWN: numbers
        of layers, by their indices, that are equal for known counterparts. WITHOUT: whether other layers that work in
        place pass their number on too."""
        blobs: dict[Blob, int] = {}
        layers: dict[int, Node] = {}
        makers: dict[int, Node] = {}
        seen: dict[tuple[object, ...], int] = {}
        for node in graph.nodes:
            row = row_of(node.type)
            passing = without and node.index not in known and in_place(node)
            if node.bottoms and (passing or row.order is not None or row.unchanging(node.layer)):
                blobs.update(dict.fromkeys(node.tops, self._read(blobs, node.bottoms[0])))
                continue
            if not node.bottoms:
                blobs.update({top: self._number("source", sources.get(top.name, top.name)) for top in node.tops})
                makers.update({blobs[top]: node for top in node.tops[:1]})
                continue
            if node.index in known:
                number = self._number("known", known[node.index])
            else:
                kind = (_kind(node), *(self._read(blobs, bottom) for bottom in node.bottoms))
                seen[kind] = seen.get(kind, 0) + 1
                number = self._number(*kind, "occurrence", seen[kind])
            layers[number] = node
            blobs.update({top: self._number(number, "top", place) for place, top in enumerate(node.tops)})
        return Numbered(layers, blobs, makers)

    def _read(self, blobs: Mapping[Blob, int], bottom: Blob) -> int:
        """The number of BOTTOM. In a net that Caffe does not build it may have no maker; then its name counts."""
        return blobs[bottom] if bottom in blobs else self._number("missing", bottom.name)

    def _number(self, *key: object) -> int:
        return self._table.setdefault(key, len(self._table))


def _kind(node: Node) -> tuple[object, ...]:
    """A key that is equal for a layer and its counterpart."""
    if node.type == "InnerProduct":
        return ("product", node.layer.inner_product_param.num_output)
    if node.type == "Convolution":
        return ("product", node.layer.convolution_param.num_output)
    return (node.type,)


class Numbered(NamedTuple):
    """A net by what it computes: its layers, without those that pass values on, and the numbers of its blobs."""

    layers: Mapping[int, Node]
    blobs: Mapping[Blob, int]
    sources: Mapping[int, Node]
    """The layers without bottoms, such as Input and Parameter, by the number of their first top."""


def number_both(
    original: Graph, twin: Graph, known: Mapping[int, Node] = MappingProxyType({}), *, without: bool = False
) -> tuple[Numbered, Numbered]:
    """Both nets, numbered in the same way. KNOWN: layers of ORIGINAL by the indices of their counterparts in TWIN.
    WITHOUT: whether other layers that work in place do not count."""
    numbers = Numbering()
    ours = {node.index: node.index for node in known.values()}
    theirs = {index: node.index for index, node in known.items()}
    renamed = source_names(original, twin)
    return numbers.of(original, {}, ours, without=without), numbers.of(twin, renamed, theirs, without=without)


def in_place(node: Node) -> bool:
    """Whether the only top of NODE has the name of its first bottom."""
    return len(node.tops) == 1 and bool(node.bottoms) and node.tops[0].name == node.bottoms[0].name


def source_names(original: Graph, twin: Graph) -> dict[str, str]:
    """The names in ORIGINAL of the inputs of TWIN, where they differ. Inputs are paired by name if both nets have the
    same names, else by their order."""
    names, others = (
        [blob.name for node in graph.nodes if not node.bottoms for blob in node.tops] for graph in (original, twin)
    )
    return {} if set(names) == set(others) else dict(zip(others, names, strict=False))
