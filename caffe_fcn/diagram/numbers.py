"""What a drawing tells about a layer: a few numbers for its box, more lines for its tooltip.

The fields come from the messages that the row of the type names, and the window from its rule; no type is named here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.text_format import MessageToString

from caffe_fcn.display import printable
from caffe_fcn.errors import ShapeError
from caffe_fcn.inspection.words import shape_of
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.windows import Windows
from caffe_fcn.net.shapes import Shape, Shapes

_MODES = ("pool", "operation")
"""Enumerators that are shown although they have their default."""
_WINDOW = ("kernel", "stride", "pad", "dilation", "hole")
"""The beginnings of the names of fields that make a window."""
_HIDDEN = ("engine", "bias_term", "num_output", "round_mode", "axis")
_ANY_MAP = (1, 1, 10**6, 10**6)
"""A map larger than any window, in place of one whose shape is unknown."""
_MOST_FIELDS = 3
_LONGEST_NAME, _LONGEST_FIELD, _MOST_LINES = 1000, 200, 24


def numbers(node: Node, shapes: Shapes) -> str:
    """The few numbers that characterise NODE, such as "3×3 → 64, stride 2"; "" if it has none."""
    params = [getattr(node.layer, field) for field in row_of(node.type).reads.split()]
    given = [
        param
        for field, param in zip(row_of(node.type).reads.split(), params, strict=True)
        if node.layer.HasField(field)
    ]
    modes = [_value(field, getattr(param, field.name)) for param in given or params[:1] for field in _modes(param)]
    windows = _windows(node, shapes)
    shown = " ".join([*modes, *([_times(windows.kernel)] if windows else [])])
    made = next((param.num_output for param in given if "num_output" in _names(param) and param.num_output), None)
    parts = [f"{shown} → {made}" if shown and made else f"→ {made}" if made else shown]
    parts += _around(windows) if windows else []
    parts += [told for param in given for told in _fields(param, whole=windows is None)][:_MOST_FIELDS]
    return ", ".join(filter(None, parts))


def about(node: Node, shapes: Shapes) -> tuple[str, ...]:
    """The lines of the tooltip of NODE: its name in full, its blobs and its fields, within limits."""
    lines = [f"{printable(node.name, _LONGEST_NAME)} ({printable(node.type)})"]
    if not row_of(node.type).known:
        lines[0] += ", unknown layer type"
    lines += [f"reads {_blob(blob, shapes)}" for blob in dict.fromkeys(node.bottoms)]
    lines += [f"makes {_blob(blob, shapes)}" for blob in node.tops]
    if params := shapes.params.get(node.index):
        lines.append(f"parameters {', '.join(map(shape_of, params[:6]))}")
    for param in _params(node):
        if text := MessageToString(param, as_one_line=True):
            lines.append(printable(text, _LONGEST_FIELD))
    more = len(lines) - _MOST_LINES
    return (*lines[:_MOST_LINES], *([f"and {more:,} more"] if more > 0 else []))


def _blob(blob: Blob, shapes: Shapes) -> str:
    shape = shapes.blobs.get(blob)
    return f"{printable(blob.name, _LONGEST_FIELD)} {shape_of(shape if isinstance(shape, tuple) else None)}"


def _params(node: Node) -> Iterator[Any]:
    """The messages with the parameters of NODE that are given, by its row."""
    fields = [field for field in row_of(node.type).reads.split() if node.layer.HasField(field)]
    return (getattr(node.layer, field) for field in fields)


def _names(param: Any) -> Sequence[str]:
    return [field.name for field in param.DESCRIPTOR.fields]


def _modes(param: Any) -> Iterator[Any]:
    return (field for field in param.DESCRIPTOR.fields if field.name in _MODES and field.enum_type is not None)


def _windows(node: Node, shapes: Shapes) -> Windows | None:
    row = row_of(node.type)
    shape = shapes.blobs.get(node.bottoms[0]) if node.bottoms else None
    if not isinstance(shape, tuple):
        shape = None if row.by_size(node.layer) else _ANY_MAP
    if row.windows is None or shape is None:
        return None
    try:
        return row.windows(node.layer, shape)
    except ShapeError:
        return None


def _times(extents: Shape) -> str:
    return "×".join(map(str, extents))


def _around(windows: Windows) -> Iterator[str]:
    """The parts of WINDOWS that are not the usual ones."""
    if any(step != 1 for step in windows.stride):
        yield f"stride {_same(windows.stride)}"
    if any(windows.before) or any(windows.after):
        sides = (_same(windows.before), _same(windows.after))
        yield f"pad {sides[0]}" + (f" and {sides[1]}" if sides[0] != sides[1] else "")
    if any(step != 1 for step in windows.dilation):
        yield f"dilation {_same(windows.dilation)}"


def _same(extents: Shape) -> str:
    return str(extents[0]) if len(set(extents)) == 1 else _times(extents)


def _fields(param: Any, whole: bool) -> Iterator[str]:
    """The fields of PARAM that are given and short; with WHOLE those of its window too, and those with their default.
    The type stands before them, so that its name is left out: "ratio" of Dropout, not "dropout ratio"."""
    begin = param.DESCRIPTOR.name.removesuffix("Parameter").lower()
    for field, value in param.ListFields():
        usual = field.name.startswith(_WINDOW) or (not field.is_repeated and value == field.default_value)
        if field.message_type is not None or field.name in (*_HIDDEN, *_MODES) or (usual and not whole):
            continue
        words = field.name.removeprefix(f"{begin}_").replace("_", " ")
        yield words if value is True else f"{words} {_value(field, value)}"


def _value(field: Any, value: Any) -> str:
    if not isinstance(value, str | bytes | bool | int | float):
        items = list(value[:4])
        sign = "×" if field.name.startswith(_WINDOW) else " "
        return sign.join(_value(field, item) for item in items) + ("…" if len(value) > len(items) else "")
    if field.enum_type is not None:
        found = field.enum_type.values_by_number.get(value)
        return found.name if found else str(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value), 24)
