"""Which blobs of a net are images and maps."""

from __future__ import annotations

from math import prod

from caffe_fcn.net.graph import Blob, Graph
from caffe_fcn.net.shapes import Shapes

_IMAGE_AXES = 4
"""N×C×H×W."""


def image_inputs(graph: Graph, shapes: Shapes) -> list[Blob]:
    """The blobs that enter the net as images: tops of layers without bottoms, larger than one pixel.

    If there are none, those of one pixel: some nets declare 1×1 and leave the size to the program that runs them.
    """
    sources = [blob for node in graph.nodes if not node.bottoms for blob in node.tops]
    maps = [blob for blob in sources if is_map(shapes, blob)]
    return maps or [blob for blob in sources if len(known_shape(shapes, blob)) >= _IMAGE_AXES]


def is_map(shapes: Shapes, blob: Blob) -> bool:
    """Whether BLOB has spatial axes, and more than one position along them."""
    shape = shapes.blobs[blob]
    return isinstance(shape, tuple) and len(shape) > 2 and prod(shape[2:]) > 1


def known_shape(shapes: Shapes, blob: Blob) -> tuple[int, ...]:
    """The shape of BLOB; () if it is unknown."""
    shape = shapes.blobs[blob]
    return shape if isinstance(shape, tuple) else ()
