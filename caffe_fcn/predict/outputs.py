"""Describes the outputs of a net: each chosen blob, and whether its values are scores of classes.

Values are scores of classes only if the net shows it, or if the user gives names: a Softmax or a Sigmoid made them, or
only such a layer, a loss or a measure reads them. All other values are reported as numbers with a shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod

from caffe_fcn.net.geometry import Geometry
from caffe_fcn.net.graph import Blob, Graph
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shape


class Holds(Enum):
    """The meaning of the numbers in a blob: scores of classes; possibly scores, or an embedding, because the net does
    not show it; or anything else."""

    CLASSES = "classes"
    SCORES = "scores"
    VALUES = "values"


@dataclass(frozen=True)
class NetOutput:
    """An output blob, with its SHAPE at the nominal size and the meaning of its numbers, HOLDS. GEOMETRY has the
    positions of the cells of a map; None if it is not a map of the picture. COUNTED: the length of an axis is the
    number of detections or regions. PROBABILITIES: a Softmax or a Sigmoid made the numbers."""

    blob: Blob
    shape: Shape
    holds: Holds
    geometry: Geometry | None = None
    counted: bool = False
    probabilities: bool = False

    @property
    def name(self) -> str:
        """The name of the blob."""
        return self.blob.name

    @property
    def channels(self) -> int:
        """The number of values for each item, or for each cell of the map."""
        return channels_of(self.shape)

    @property
    def numbers(self) -> int:
        """The number of values for each item, along all its axes, or for each cell of the map."""
        return self.channels if self.is_map else prod(self.shape[1:] if len(self.shape) > 1 else self.shape)

    @property
    def is_map(self) -> bool:
        """Whether there is an answer for each window, and not one for the whole picture."""
        return self.geometry is not None

    @property
    def of_classes(self) -> bool:
        """Whether the numbers are, or may be, scores of classes."""
        return self.holds is not Holds.VALUES


def channels_of(shape: Shape) -> int:
    """Return the number of channels of a blob of SHAPE; of values if it has no channels."""
    return shape[1] if len(shape) > 1 else prod(shape)


def holds(graph: Graph, outputs: Sequence[Blob], blob: Blob, shape: Shape, is_map: bool) -> Holds:
    """Return the meaning of the numbers in BLOB of GRAPH, of SHAPE; OUTPUTS are the outputs of the whole net.

    Scores of classes are two or more channels of an item, or of the cells of a map, if a Softmax or a Sigmoid made
    them, or if only layers read them that do so or that judge scores. Blobs that no layer reads may be scores. But if a
    net also has probabilities, its other outputs are not scores, for example the boxes of a detector.
    """
    vector = len(shape) >= 2 and prod(shape[2:]) == 1
    if shape[1:2] < (2,) or not (is_map or vector):
        return Holds.VALUES
    made, readers = _made(graph, blob), _readers(graph, blob)
    if made == "values" or not all(row_of(reader).reads_scores for reader in readers):
        return Holds.VALUES
    if made == "probabilities" or readers - {"Silence"}:
        return Holds.CLASSES
    beside = any(_made(graph, other) == "probabilities" for other in outputs if other != blob)
    return Holds.VALUES if beside else Holds.SCORES


def are_probabilities(graph: Graph, blob: Blob) -> bool:
    """Return whether a Softmax or a Sigmoid made the numbers of BLOB of GRAPH."""
    return _made(graph, blob) == "probabilities"


def _made(graph: Graph, blob: Blob) -> str:
    """Return the meaning of the numbers of BLOB by the layer that made them; layers that only reorder are skipped."""
    node = graph.producer[blob]
    while row_of(node.type).makes == "same" and node.bottoms:
        node = graph.producer[node.bottoms[0]]
    return row_of(node.type).makes


def _readers(graph: Graph, blob: Blob) -> set[str]:
    """Return the types of the layers that read the numbers of BLOB, also after reordering."""
    found: set[str] = set()
    for node in graph.consumers.get(blob, ()):
        if row_of(node.type).makes != "same":
            found.add(node.type)
        elif node.bottoms[0] == blob:  # a Crop uses only the size of its second bottom
            for top in node.tops:
                found |= _readers(graph, top)
    return found
