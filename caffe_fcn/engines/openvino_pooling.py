"""Corrects poolings that round up, because OpenVINO does not compute them as ONNX and Caffe define them.

OpenVINO counts a window that begins beyond the map. It also divides an average over a padded map by the whole kernel if
the last window extends beyond the padding. Its rounding "ceil_torch" counts as Caffe does. For an average, the padding
is written out, so the divisor is the part of the window that exists.
"""

from __future__ import annotations

from typing import Any

_UP = ("ceil", "ceil_torch")
_AS_CAFFE = "ceil_torch"


def mend_poolings(model: Any, opset: Any) -> None:
    """Replace the poolings of MODEL, an openvino.Model, that round up, by those of OPSET, openvino.opset14."""
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind not in ("MaxPool", "AvgPool"):
            continue
        attributes = node.get_attributes()
        if attributes["rounding_type"] not in _UP:
            continue
        made = _maximum(opset, node, attributes) if kind == "MaxPool" else _average(opset, node, attributes)
        made.set_friendly_name(node.get_friendly_name())
        for old, new in zip(node.outputs(), made.outputs(), strict=False):
            old.replace(new)
    model.validate_nodes_and_infer_types()


def _maximum(opset: Any, node: Any, given: dict[str, Any]) -> Any:
    """Return the replacement for NODE, a MaxPool with the attributes GIVEN: its maxima and their places."""
    extents = given["strides"], given["dilations"], given["pads_begin"], given["pads_end"], given["kernel"]
    places = given.get("index_element_type", "i64"), given.get("axis", 0)
    return opset.max_pool(node.input_value(0), *extents, _AS_CAFFE, "explicit", *places)


def _average(opset: Any, node: Any, given: dict[str, Any]) -> Any:
    """Return the replacement for NODE, an AvgPool with the attributes GIVEN."""
    value, strides, kernel = node.input_value(0), given["strides"], given["kernel"]
    before, after, excluded = given["pads_begin"], given["pads_end"], given["exclude-pad"]
    if excluded or not any((*before, *after)):
        return opset.avg_pool(value, strides, before, after, kernel, excluded, _AS_CAFFE)
    none = [0] * len(kernel)
    padded = opset.pad(value, [0, 0, *before], [0, 0, *after], "constant", 0.0)
    averages = opset.avg_pool(padded, strides, none, none, kernel, True, _AS_CAFFE)
    if all(pad <= size - stride for pad, size, stride in zip(after, kernel, strides, strict=True)):
        return averages
    # Windows that begin in the padding after the map are counted now; they are removed again.
    counted = opset.avg_pool(value, strides, before, after, kernel, False, _AS_CAFFE)
    ends = opset.shape_of(counted)
    zeros, ones = [0] * (2 + len(kernel)), [1] * (2 + len(kernel))
    return opset.slice(averages, zeros, ends, ones)
