"""The shapes that parameter blobs have today, for files of the time when every blob had four axes."""

from __future__ import annotations

from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shape


def current_shape(layer_type: str, position: int, shape: Shape) -> Shape:
    """SHAPE, as a blob of four axes, without the leading ones that stand for axes it has not.

    Blob POSITION of a layer of LAYER_TYPE. Such files fill up in front: an InnerProduct's weights are 1×1×O×K,
    its bias 1×1×1×O. What is not known of a type stays as it is; a Scale over several axes has no old form.
    """
    axes = row_of(layer_type).old_axes
    if position >= len(axes):
        return shape
    extra = max(0, len(shape) - axes[position])
    return shape[extra:] if all(extent == 1 for extent in shape[:extra]) else shape
