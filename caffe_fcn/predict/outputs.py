"""Describes the outputs of a net: each chosen blob, and whether its values are scores of classes.

Values count as scores of classes only where the net shows it, or where the user gives names: a Softmax or a Sigmoid
made them, or only such a layer, a loss or a measure reads them. Everything else is reported as numbers with a shape.
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
    """What the numbers of a blob are: scores of classes; what may be that, or an embedding, for the net does not show
    it; or anything else."""

    CLASSES = "classes"
    SCORES = "scores"
    VALUES = "values"


@dataclass(frozen=True)
class NetOutput:
    """A blob that is looked at, of a SHAPE at the nominal size, and what it HOLDS. GEOMETRY says where the cells of a
    map lie; None for what is no map of the picture. COUNTED: an axis is as long as there are detections or regions."""

    blob: Blob
    shape: Shape
    holds: Holds
    geometry: Geometry | None = None
    counted: bool = False

    @property
    def name(self) -> str:
        """What the blob is called."""
        return self.blob.name

    @property
    def channels(self) -> int:
        """How many numbers there are for each item, or for each cell of its map."""
        return channels_of(self.shape)

    @property
    def is_map(self) -> bool:
        """Whether there is an answer for each window, and not one for the whole picture."""
        return self.geometry is not None

    @property
    def of_classes(self) -> bool:
        """Whether the numbers are scores of classes, or may be."""
        return self.holds is not Holds.VALUES


def channels_of(shape: Shape) -> int:
    """How many channels a blob of SHAPE has, or numbers, if it has no channels."""
    return shape[1] if len(shape) > 1 else prod(shape)


def holds(graph: Graph, outputs: Sequence[Blob], blob: Blob, shape: Shape, is_map: bool) -> Holds:
    """What BLOB of GRAPH, of SHAPE, holds; OUTPUTS are those of the whole net.

    Scores of classes are two channels or more of an item, or of the cells of a map, that a Softmax or a Sigmoid has
    made, or that something reads that makes such of them or judges them, and nothing else. Those that nothing reads may
    be; but what a net has beside its probabilities, as a detector the places of its boxes, is none.
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


def _made(graph: Graph, blob: Blob) -> str:
    """What the numbers of BLOB are by the layer that made them, and not only their order."""
    node = graph.producer[blob]
    while row_of(node.type).makes == "same" and node.bottoms:
        node = graph.producer[node.bottoms[0]]
    return row_of(node.type).makes


def _readers(graph: Graph, blob: Blob) -> set[str]:
    """The types of the layers that read the numbers of BLOB, also in another order."""
    found: set[str] = set()
    for node in graph.consumers.get(blob, ()):
        if row_of(node.type).makes != "same":
            found.add(node.type)
        elif node.bottoms[0] == blob:  # a Crop reads its second bottom for the size alone
            for top in node.tops:
                found |= _readers(graph, top)
    return found
