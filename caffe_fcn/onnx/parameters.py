"""Gives access to the parameter blobs of a net, by name in its weights, which were checked before."""

from __future__ import annotations

from collections.abc import Sequence

from caffe_fcn.errors import WeightsError
from caffe_fcn.files.blobs import BlobRecord
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.model.tensors import Cast, Tensor, stored
from caffe_fcn.net.graph import Node

MAX_READ = 1 << 20
"""The maximum number of values in a blob that is read here: statistics, with a value for each channel."""


class Parameters:
    """The blobs of layers in WEIGHTS. If several layers in the file have one name, the last counts, as in Caffe."""

    def __init__(self, weights: WeightFile) -> None:
        self._weights = weights
        self._held = weights.held
        self._tensors: dict[int, Tensor] = {}

    def tensor(self, node: Node, position: int) -> Tensor:
        """Return parameter blob POSITION of NODE, as float32; layers that share it get the same tensor."""
        blob = self._blob(node, position)
        if id(blob) not in self._tensors:
            self._tensors[id(blob)] = Cast(stored(self._weights.source, blob), "float32")
        return self._tensors[id(blob)]

    def _blob(self, node: Node, position: int) -> BlobRecord:
        return self._held[node.name][position]

    def read(self, node: Node, position: int) -> Sequence[float]:
        """Return the values of such a blob, which is small. Raises WeightsError."""
        blob = self._blob(node, position)
        if blob.count > MAX_READ:
            raise WeightsError(
                source=self._weights.path,
                layer=node.name,
                expected=f"at most {MAX_READ:,} values in blob {position}",
                found=f"{blob.count:,}",
            )
        values: Sequence[float] = self._weights.read_values(blob, 0, blob.count).tolist()
        return values
