"""Layers that reshape, which the twin does without, and layers that look around each position of a map."""

from __future__ import annotations

from caffe_fcn.net.shapes import Unknown, show
from caffe_fcn.surgery.following.place import Outcome, Passes, Place, Refuses, Vanishes, off_axis
from caffe_fcn.surgery.views import FLATTENING, map_of, reshaped


def reshape(place: Place) -> Outcome:
    """Flatten, Reshape, Squeeze, Permute: the twin does without, and what they make is read with other axes."""
    view, top = place.views[0], place.tops[0]
    if view is None or isinstance(top, Unknown):
        return Refuses(f"({place.type}) reshapes to a fixed size")
    made = reshaped(place.node, view, top)
    if made is not None:
        return Vanishes(made)
    if place.type in FLATTENING:
        return Refuses(f"({place.type}) reshapes to the fixed size {show(top)}")
    return Refuses(f"({place.type}) reorders axes that are no longer there")


def slides(place: Place) -> Outcome:
    """Layers that make a map of a map: they do so still where the original has the map itself."""
    for blob, view in zip(place.node.bottoms, place.views, strict=True):
        if view is None or not view.is_map:
            axes = f" ({show(view.axes)})" if view else ""
            reason = f"({place.type}) works on the axes of {blob.name!r}{axes}, which are no longer there"
            return Refuses(reason, makes_map=True)
    param = place.node.layer.convolution_param
    if param.HasField("axis") and param.axis % len(place.view.axes) != 1:
        return off_axis(place, place.view, param.axis % len(place.view.axes))
    return Passes(tuple(map_of(blob, top) for blob, top in zip(place.node.tops, place.tops, strict=True)))


def resizes(place: Place) -> Outcome:
    """Layers that resize a map, to a size that is written in the net or follows from the map's."""
    layer = place.node.layer
    if place.type == "Interp":
        fixed = len(place.views) == 1 and layer.interp_param.height > 0
    elif place.type == "Upsample":
        fixed = layer.upsample_param.HasField("upsample_h")
    else:
        nearest = place.type == "ResizeNearestNeighbor"
        param = layer.resize_nearest_neighbor_param if nearest else layer.resize_bilinear_param
        fixed = param.HasField("output_height") or param.HasField("output_width") or param.data_format == "NHWC"
    return Refuses(f"({place.type}) resizes to a fixed size", makes_map=True) if fixed else slides(place)
