"""The number of terms in the sum for a value of a layer, which is the number of roundings in its computation."""

from __future__ import annotations

from caffe_fcn.net.graph import Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shapes


def terms(node: Node, shapes: Shapes) -> int:
    """The largest number of terms in the sum for a value of NODE."""
    bottom = shapes.blobs[node.bottoms[0]] if node.bottoms else ()
    if not isinstance(bottom, tuple) or not bottom:
        return 1
    return max(row_of(node.type).terms(node.layer, bottom, shapes.params.get(node.index, ())), len(node.bottoms))
