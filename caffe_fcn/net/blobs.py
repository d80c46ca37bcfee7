"""Converts the shapes of parameter blobs from old files, in which every blob had four axes."""

from __future__ import annotations

from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shape


def current_shape(layer_type: str, position: int, shape: Shape) -> Shape:
    """Return SHAPE, of four axes, without the leading axes of length 1 that the blob does not have.

    SHAPE is that of blob POSITION of a layer of LAYER_TYPE. Old files add leading axes: an InnerProduct's weights are
    1×1×O×K, its bias 1×1×1×O. The shape stays if the type does not define how many axes the blob has.
    """
    axes = row_of(layer_type).old_axes
    if position >= len(axes):
        return shape
    extra = max(0, len(shape) - axes[position])
    return shape[extra:] if all(extent == 1 for extent in shape[:extra]) else shape
