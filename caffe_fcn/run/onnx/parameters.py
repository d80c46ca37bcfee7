"""The parameter blobs of a net, found by name in its weights and held against the shapes that it gives them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from caffe_fcn.errors import WeightsError
from caffe_fcn.files.blobs import BlobRecord
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.shapes import Shape, show

MAX_READ = 1 << 20
"""More values than any blob has that is looked at here: statistics, a value for each channel."""
_ANOTHER = "are these the weights of another net?"


class Parameters:
    """Gives each layer of GRAPH its blobs in WEIGHTS. As in Caffe, of layers of one name in the file the last counts.

    A blob that the file leaves out because it is shared is that of the first layer that gives it the same name.
    """

    def __init__(self, graph: Graph, weights: WeightFile) -> None:
        self._weights = weights
        self._held = {record.name: record.blobs for record in weights.layers if record.blobs}
        self._owners: dict[str, tuple[str, int]] = {}
        for node in graph.nodes:
            for position, param in enumerate(node.layer.param):
                if param.name:
                    self._owners.setdefault(param.name, (node.name, position))

    def missing(self, nodes: Sequence[tuple[Node, Sequence[Shape]]]) -> list[str]:
        """The names of those of NODES, each with the shapes of its parameter blobs, for which there are none."""
        return [node.name for node, shapes in nodes if shapes and self._find(node, 0) is None]

    def blob(self, node: Node, position: int, shape: Shape) -> BlobRecord:
        """Parameter blob POSITION of NODE, which must hold the values of SHAPE. Raises WeightsError."""
        blob = self._find(node, position)
        place = f"{self._weights.path}: layer {node.name!r}"
        if blob is None:
            raise WeightsError(f"{place}: expected a blob {position} of {show(shape)}, found none; {_ANOTHER}")
        if blob.count != prod(shape):
            raise WeightsError(
                f"{place}: expected {prod(shape):,} values in blob {position} ({show(shape)}), found {blob.count:,} "
                f"({show(blob.shape)}); {_ANOTHER[:-1]}, or is the input size another?"
            )
        return blob

    def read(self, node: Node, position: int, shape: Shape) -> Sequence[float]:
        """The values of such a blob, which is small. Raises WeightsError."""
        blob = self.blob(node, position, shape)
        if blob.count > MAX_READ:
            raise WeightsError(
                f"{self._weights.path}: layer {node.name!r}: expected at most {MAX_READ:,} values in blob {position}, "
                f"found {blob.count:,}"
            )
        values: Sequence[float] = self._weights.read_values(blob, 0, blob.count).tolist()
        return values

    def _find(self, node: Node, position: int) -> BlobRecord | None:
        blob = self._held_blob(node.name, position)
        if blob is None and position < len(node.layer.param) and node.layer.param[position].name:
            blob = self._held_blob(*self._owners.get(node.layer.param[position].name, (node.name, position)))
        return blob

    def _held_blob(self, name: str, position: int) -> BlobRecord | None:
        blobs = self._held.get(name, ())
        return blobs[position] if position < len(blobs) and blobs[position].pieces else None
