"""How many terms a value of a layer is the sum of: as often the arithmetic rounds on the way to it."""

from __future__ import annotations

from caffe_fcn.net.graph import Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shapes


def terms(node: Node, shapes: Shapes) -> int:
    """How many terms each value that NODE makes is the sum of, at most."""
    bottom = shapes.blobs[node.bottoms[0]] if node.bottoms else ()
    if not isinstance(bottom, tuple) or not bottom:
        return 1
    return max(row_of(node.type).terms(node.layer, bottom, shapes.params.get(node.index, ())), len(node.bottoms))
