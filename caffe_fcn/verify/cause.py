"""Tells how a layer of a new net differs from its counterpart: its fields, its parameter blobs, and what it reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from caffe_fcn.compare.numbering import Numbered, number_both
from caffe_fcn.compare.pairing import Pairing, pair_layers
from caffe_fcn.net.graph import Node
from caffe_fcn.verify.bisection import ParameterDifference
from caffe_fcn.verify.fates import differing_blobs, same_axes
from caffe_fcn.verify.fields import differing
from caffe_fcn.verify.records import FieldDifference
from caffe_fcn.verify.weights import Side, kernel_order


@dataclass(frozen=True)
class LayerCause:
    """What layers are held against in PHASE: ORIGINAL, folded or cut where the new net is, and the new net TWIN."""

    original: Side
    twin: Side
    phase: str

    @cached_property
    def _pairing(self) -> Pairing:
        return pair_layers(self.original.graphs[self.phase], self.twin.graphs[self.phase])

    @cached_property
    def _numbers(self) -> tuple[Numbered, Numbered]:
        return number_both(self._pairing.old, self._pairing.new)

    @property
    def names(self) -> dict[str, str]:
        """The names in the new net of layers of the original that are called otherwise there, by their names. Passes
        such as the one that cuts InnerProducts keep the names of other layers."""
        pairs = self._pairing.by_structure
        return {pairs[each.index].name: each.name for each in self._pairing.new.nodes if each.index in pairs}

    def in_place(self, layer: Node) -> bool:
        """Whether LAYER, of the new net, reads what its counterpart reads."""
        other = _named(self._pairing.new.nodes, layer)
        node = self._counterpart(other)
        if node is None or other is None:
            return False
        ours, theirs = self._numbers
        return [ours.blobs[each] for each in node.bottoms] == [theirs.blobs[each] for each in other.bottoms]

    def of(self, layer: Node) -> tuple[tuple[FieldDifference, ...], tuple[ParameterDifference, ...]]:
        """The fields and the parameter blobs in which LAYER, of the new net, differs from its counterpart. Raises
        WeightsError where a value is not finite."""
        other = _named(self._pairing.new.nodes, layer)
        node = self._counterpart(other)
        if node is None or other is None:
            return (), ()
        shapes, others = self.original.shapes[self.phase], self.twin.shapes[self.phase]
        axes = same_axes(node, shapes, other, others)
        fields = tuple(differing(node, shapes, other, others, phase=self.phase, same_axes=axes))
        order = kernel_order(self.original, self.twin, self.phase, node, other)
        blobs = differing_blobs(self.original, self.twin, node, other, order)
        return fields, tuple(ParameterDifference(node.name, other.name, blob) for blob in blobs)

    def _counterpart(self, other: Node | None) -> Node | None:
        pairs = {**self._pairing.replaced, **self._pairing.pairs}
        return None if other is None else pairs.get(other.index)


def _named(nodes: tuple[Node, ...], layer: Node) -> Node | None:
    """The one of NODES with the name of LAYER, which may be the function inside a loss."""
    return next((node for node in nodes if node.name == layer.name), None)
