"""The fields of a layer by their effect in inference.

A field that is not given has its default. Several fields with one meaning, such as kernel_size and kernel_h with
kernel_w, become that meaning. Left out are fields that matter in training only (fillers, learning rates, loss weights,
phase rules, the moving average of a BatchNorm), the engine, and the names of bottoms and tops. All others are compared
to the last bit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from caffe_fcn import schema
from caffe_fcn.errors import ShapeError
from caffe_fcn.net.graph import Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.windows import Windows
from caffe_fcn.net.shapes import Shape, Shapes

Fields: TypeAlias = Mapping[str, Any]
"""Fields by their paths in the layer's message, with values that can be compared and hashed. Others have defaults."""

_NOT_INFERENCE = frozenset(
    "name type bottom top phase loss_weight param blobs propagate_down include exclude loss_param transform_param "
    "engine force_nd_im2col moving_average_fraction stable_prod_grad share_in_parallel debug_info".split()
)
"""Fields, in any message, that have no effect on inference, or that the pairing of the layers compares."""

PAD, PAD_BEHIND = "pad", "pad behind"
"""The padding of windows as fields."""

BY_STORED_STATISTICS = "batch_norm_param.use_global_stats"
"""The field that says whether a BatchNorm uses stored statistics; by default this depends on the phase."""

BY_PRESENCE = frozenset({"argmax_param.axis"})
"""Fields whose empty value means the same as a missing one."""

_RESHAPE_AXIS = "reshape_param.axis"
"""An axis for which -1 is the place after the last one."""

WINDOW = re.compile(r".*\.(?:(?:kernel|stride|pad|dilation|hole)(?:_size|_[hwlrtb]|_depth)?|temporal_(?:stride|pad))")
"""Fields that together define the windows of a layer."""


def effective(node: Node, shapes: Shapes, phase: str) -> Fields:
    """The fields of NODE that affect inference in PHASE and differ from their defaults."""
    bottom = shapes.blobs.get(node.bottoms[0]) if node.bottoms else None
    axes = len(bottom) if isinstance(bottom, tuple) else 0
    found = dict(_said(node.layer, "", axes, fillers=not shapes.params.get(node.index)))
    given: dict[str, list[str]] = {}
    for field in (each for each in node.uncomputed if not each.ignored):
        given.setdefault(field.shown, []).append(field.value)
    found.update({name: tuple(values) for name, values in given.items()})
    if isinstance(bottom, tuple):
        found = _with_windows(found, node, bottom)
    if node.type == "BatchNorm":
        param = node.layer.batch_norm_param
        given = param.HasField("use_global_stats")
        found[BY_STORED_STATISTICS] = param.use_global_stats if given else phase == "TEST"
    return found


def _said(message: schema.Message, prefix: str, axes: int, *, fillers: bool) -> Iterator[tuple[str, Any]]:
    """The fields of MESSAGE, whose path is PREFIX, that differ from their defaults. AXES: the number of axes of its
    blob, for axes that are counted from the end. FILLERS: whether to include fillers."""
    for field, value in message.ListFields():
        path = prefix + field.name
        if field.name in _NOT_INFERENCE:
            continue
        if field.message_type is None:
            added = axes + (path == _RESHAPE_AXIS) if field.name == "axis" else 0
            if schema.is_repeated(field):
                yield path, tuple(each + added if added and each < 0 else _equal_to_itself(each) for each in value)
                continue
            told = value + added if added and value < 0 else value
            if told != field.default_value or path in BY_PRESENCE:
                yield path, _equal_to_itself(told)
        elif fillers or field.message_type.name != "FillerParameter":
            parts = enumerate(value) if schema.is_repeated(field) else [("", value)]
            for place, part in parts:
                inner = path if place == "" else f"{path}[{place}]"
                yield from _said(part, f"{inner}.", axes, fillers=fillers)


def _equal_to_itself(value: Any) -> Any:
    """VALUE, or a word for NaN, because NaN does not equal itself."""
    return "nan" if value != value else value


def _with_windows(found: dict[str, Any], node: Node, bottom: Shape) -> dict[str, Any]:
    """FOUND with the windows of NODE over BOTTOM in place of the fields that define them."""
    windows = windows_of(node, bottom)
    if windows is None:
        return found
    return {path: value for path, value in found.items() if not WINDOW.fullmatch(path)} | told_windows(windows)


def windows_of(node: Node, bottom: Shape) -> Windows | None:
    """The windows of NODE over BOTTOM; None if it has none, or they are unknown."""
    try:
        rule = row_of(node.type).windows
        return None if rule is None else rule(node.layer, bottom)
    except (ShapeError, ZeroDivisionError):
        return None


def told_windows(windows: Windows) -> dict[str, Shape]:
    """WINDOWS as fields. A kernel of 1 has no dilation."""
    dilation = tuple(1 if k == 1 else d for k, d in zip(windows.kernel, windows.dilation, strict=True))
    return {
        "kernel": windows.kernel,
        "stride": windows.stride,
        PAD: windows.before,
        PAD_BEHIND: windows.after,
        "dilation": dilation,
    }


def pads_evenly(fields: Fields) -> bool:
    """Whether the windows in FIELDS, if there are any, have the same padding in front and behind."""
    return fields.get(PAD) == fields.get(PAD_BEHIND)


def hashable(fields: Fields) -> tuple[tuple[str, Any], ...]:
    """FIELDS as a hashable value."""
    return tuple(sorted(fields.items()))
