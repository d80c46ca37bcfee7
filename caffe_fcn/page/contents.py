"""What the parameter blobs of a layer are, in words: weights, bias, means."""

from __future__ import annotations

from collections.abc import Sequence

from caffe_fcn.net.graph import Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shape

_LINEAR = ("weights", "bias")


def title_of(node: Node, place: int, shapes: Sequence[Shape]) -> str:
    """Return what the parameter blob at PLACE of NODE is; SHAPES are those of all its blobs."""
    row = row_of(node.type)
    if row.linear and len(shapes[0]) > 1 and place < len(_LINEAR):
        return _LINEAR[place]
    fillers = row.fillers(node.layer, shapes)
    if place < len(fillers) and fillers[place].endswith("bias_filler"):
        return "bias"
    name = row.contents[place] if place < len(row.contents) else f"blob {place}"
    return f"{name}, measured in training" if place in row.measured(shapes) else name
