"""The blobs of a new net with their counterparts in the original, ready to be compared: what judges them, which cells
both have, and the order of their values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from caffe_fcn.compare.numbering import number_both
from caffe_fcn.engines.protocol import Array
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import bare
from caffe_fcn.onnx.scope import Scope
from caffe_fcn.verify.blobs import BlobPairs, hands_on
from caffe_fcn.verify.columns import Follower, permutation
from caffe_fcn.verify.finer import with_finer_maps
from caffe_fcn.verify.identity import identify
from caffe_fcn.verify.outputs import ComparedOutput, Pairs, judged
from caffe_fcn.verify.records import OutputPair
from caffe_fcn.verify.streaming import SpreadNet

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Order: TypeAlias = "NDArray[Any] | None"


class Counterpart(NamedTuple):
    """The counterpart BY of a blob of the new net; OUTPUT has the names of both in the nets that run. ORDER: for each
    value of an item of the new blob its place in the original's; None if they are in the same order."""

    by: Blob
    output: ComparedOutput
    order: _Order

    def of_original(self, values: Array) -> Array:
        """VALUES of the new blob, without the cells that the original has not, in the order of the original's."""
        import numpy as np

        values = self.output.of_original(values)
        if self.order is None or values.size != len(values) * len(self.order):
            return values
        found = np.empty((len(values), len(self.order)), values.dtype)
        found[:, self.order] = values.reshape(len(values), -1)
        return found


def counterparts(
    original: tuple[Scope, SpreadNet], twin: tuple[Scope, SpreadNet], pairs: BlobPairs, *, finer: bool
) -> dict[Blob, list[Counterpart]]:
    """The blobs that layers of TWIN make, except those that a layer hands on, with their counterparts in ORIGINAL. If
    FINER, maps of the new net may have cells between those of the original."""
    made = [
        ComparedOutput(OutputPair(by.name, top.name), by, top, by, None, False, False, False)
        for node in twin[0].graph.nodes
        for top in _made(node, twin[0])
        for by in pairs.counterparts[top]
    ]
    if finer:
        nothing = Pairs(made, (), frozenset(), ({}, {}), frozenset())
        made = list(with_finer_maps(nothing, original[0], twin[0]).outputs)
    orders = _Orders(original[0], twin[0])
    found: dict[Blob, list[Counterpart]] = {}
    for each in made:
        order = orders.between(each.blob, each.twin)
        found.setdefault(each.twin, []).append(Counterpart(each.blob, _as_run(each, original[1], twin[1]), order))
    return found


def _made(node: Node, scope: Scope) -> Sequence[Blob]:
    """The tops of NODE with values that it makes: no inputs, and no places of values, except those of an ArgMax, which
    are judged by the values there."""
    if hands_on(node) or not set(scope.inputs).isdisjoint(node.tops):
        return ()
    return node.tops if node.type == "ArgMax" else node.tops[: row_of(node.type).index_tops]


def _as_run(output: ComparedOutput, original: SpreadNet, twin: SpreadNet) -> ComparedOutput:
    """OUTPUT with the names of its blobs in the nets that run, and what judges it there."""
    blob, other = Blob(original.names[output.blob], 0), Blob(twin.names[output.twin], 0)
    by, axis = judged(original.scope, blob)
    softmax = original.net.graph.producer[by].type == "Softmax"
    return output._replace(blob=blob, twin=other, judged=by, axis=axis, softmax=softmax)


class _Orders:
    """Finds where the values of a blob of ORIGINAL are in the blob of TWIN, if that has other axes."""

    def __init__(self, original: Scope, twin: Scope) -> None:
        self._original, self._twin = original, twin
        self._numbers = number_both(original.graph, twin.graph)
        nets = ((scope.graph, scope.shapes, lambda node: None) for scope in (original, twin))
        self._structures = identify(*nets)

    def between(self, blob: Blob, top: Blob) -> _Order:
        """For each value of an item of TOP its place in BLOB; None if it is the same, or unknown."""
        import numpy as np

        shape, other = self._original.shapes.blobs[blob], self._twin.shapes.blobs[top]
        if not (isinstance(shape, tuple) and isinstance(other, tuple)) or bare(shape) == bare(other):
            return None
        follower = Follower()
        nets = zip((self._original, self._twin), self._numbers, self._structures, (blob, top), strict=True)
        before, after = (
            follower.follow(scope.graph, scope.shapes, numbered.blobs, numbers.structure, each)
            for scope, numbered, numbers, each in nets
        )
        order = None if before is None or after is None else permutation(before, after)
        return None if order is None or np.array_equal(order, np.arange(len(order))) else order
