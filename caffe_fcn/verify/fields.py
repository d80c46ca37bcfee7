"""Compares the fields of a layer with those of its counterpart in the new net, by their effect in inference.

Four changes are the conversion itself: an InnerProduct is a Convolution with a kernel as large as its input; a global
pooling is a window as large as its input; a layer has another name; and an axis has another number where blobs have
other axes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from caffe_fcn import schema
from caffe_fcn.compare.effective import BY_PRESENCE, PAD_BEHIND, Fields, effective, pads_evenly, told_windows
from caffe_fcn.net.graph import Node
from caffe_fcn.net.layers.windows import Windows
from caffe_fcn.net.shapes import Shapes, show
from caffe_fcn.verify.records import FieldDifference

_AXES = re.compile(r"(?:.*\.)?(?:axis|num_axes|start_axis|end_axis|concat_dim|slice_dim)")
"""Fields that name axes of a blob."""

_GLOBAL = "pooling_param.global_pooling"


def differing(
    node: Node, shapes: Shapes, other: Node, others: Shapes, *, phase: str, same_axes: bool
) -> Iterator[FieldDifference]:
    """The fields of NODE, a layer of the original, that have another effect in OTHER, its counterpart, without being
    part of the conversion. SAME_AXES: whether both read blobs with the same axes."""
    if (node.type, other.type) == ("InnerProduct", "Convolution"):
        expected, found = _as_convolution(node, shapes, other, others, phase)
    elif node.type != other.type:
        expected, found = {"type": node.type}, {"type": other.type}
    else:
        expected, found = effective(node, shapes, phase), effective(other, others, phase)
        if expected.get(_GLOBAL) and not found.get(_GLOBAL):  # the windows are compared instead
            expected = {path: value for path, value in expected.items() if path != _GLOBAL}
    once = {PAD_BEHIND} if pads_evenly(expected) and pads_evenly(found) else set()  # one field says both
    for path in dict.fromkeys((*expected, *found)):
        if path in once:
            continue
        if not same_axes and _AXES.fullmatch(path):
            continue
        if expected.get(path) != found.get(path):
            told = _value(node, path, expected.get(path)), _value(other, path, found.get(path))
            yield FieldDifference(node.name, other.name, path, *told)


def _as_convolution(node: Node, shapes: Shapes, other: Node, others: Shapes, phase: str) -> tuple[Fields, Fields]:
    """The fields that the Convolution made from NODE, an InnerProduct, should have, and those of OTHER."""
    bottom = others.blobs[other.bottoms[0]]
    spatial = bottom[2:] if isinstance(bottom, tuple) else ()
    ones = (1,) * len(spatial)
    nothing = (0,) * len(spatial)
    expected = _without_message(effective(node, shapes, phase))
    for field in ("transpose", "axis"):
        expected.pop(field, None)
    found = _without_message(effective(other, others, phase))
    found.setdefault("group", 1)
    expected |= {"group": 1, **(told_windows(Windows(spatial, ones, nothing, nothing, ones)) if spatial else {})}
    return expected, found


def _without_message(fields: Fields) -> dict[str, Any]:
    return {
        path.removeprefix("inner_product_param.").removeprefix("convolution_param."): fields[path] for path in fields
    }


def _value(node: Node, path: str, value: Any) -> str:
    """VALUE of the field PATH of NODE in words; the default if VALUE is None."""
    if value is None:
        return _default(node, path)
    kind = getattr(_field(node, path), "enum_type", None)
    if kind is not None and value in kind.values_by_number:
        return str(kind.values_by_number[value].name)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return show(value) if all(isinstance(each, int) for each in value) else " ".join(map(str, value))
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _default(node: Node, path: str) -> str:
    """The default of the field PATH of NODE, in words."""
    field = _field(node, path)
    if field is None or field.message_type is not None or schema.is_repeated(field) or path in BY_PRESENCE:
        return "nothing"
    return _value(node, path, field.default_value) or "nothing"


def _field(node: Node, path: str) -> Any:
    """The descriptor of the field PATH of NODE; None if there is none, as for what several fields define."""
    message: Any = node.layer.DESCRIPTOR
    *outer, last = re.sub(r"\[\d+\]", "", path).split(".")
    for name in outer:
        field = message.fields_by_name.get(name)
        message = field.message_type if field is not None else None
        if message is None:
            return None
    return message.fields_by_name.get(last)
