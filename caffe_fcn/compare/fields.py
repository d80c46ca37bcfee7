"""Compares the fields of two layers as they are written, also those that matter in training only.

A field that is not given equals one that has its default. Fields that are written differently and mean the same, such
as kernel_size and kernel_h with kernel_w, or an axis counted from the other end, are equal. Names, bottoms and tops are
compared elsewhere.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any, NamedTuple

from caffe_fcn import schema
from caffe_fcn.compare.effective import BY_STORED_STATISTICS, WINDOW, Fields, effective, windows_of
from caffe_fcn.compare.records import ChangedField
from caffe_fcn.files.reconcile import literal
from caffe_fcn.net.graph import Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shapes

_ELSEWHERE = frozenset({"name", "type", "bottom", "top", "blobs"})
_WITHOUT_EFFECT = frozenset({"param", "include", "exclude"})
"""Messages that mean nothing if they are empty."""


class _Written(NamedTuple):
    """A field: its VALUE, equal to itself and to values that mean the same, as TEXT, and its DEFAULT as text."""

    value: object
    text: str
    default: str | None


def field_changes(
    node: Node, shapes: Shapes, other: Node, others: Shapes, phase: str = "TEST"
) -> tuple[ChangedField, ...]:
    """The fields of NODE that differ in OTHER. SHAPES and OTHERS: the shapes of their nets, as far as they are known.
    PHASE: the phase in which they are compared, for fields whose default depends on it."""
    old, new = (_written(each) for each in (node, other))
    if node.type != other.type:
        old, new = _stripped(old, node), _stripped(new, other)
    paths = [path for path in dict.fromkeys((*old, *new)) if _value(old, path) != _value(new, path)]
    if paths and node.type == other.type:
        same = _Meaning(node, shapes, other, others, phase)
        paths = [path for path in paths if not same.of(path)]
    if not paths:
        return ()
    stated = [dict(_said(each.layer, "", defaults=True)) for each in (node, other)]
    if node.type != other.type:
        stated = [_stripped(each, one) for each, one in zip(stated, (node, other), strict=True)]
    return tuple(
        _change(path, old.get(path, stated[0].get(path)), new.get(path, stated[1].get(path))) for path in paths
    )


def message_changes(old: schema.Message, new: schema.Message, without: Container[str]) -> Iterator[ChangedField]:
    """The fields of OLD that differ in NEW, a message of the same type, WITHOUT those of these names."""
    fields = [dict(_said(each, "", without)) for each in (old, new)]
    for path in dict.fromkeys((*fields[0], *fields[1])):
        if _value(fields[0], path) != _value(fields[1], path):
            yield _change(path, fields[0].get(path), fields[1].get(path))


def _change(path: str, old: _Written | None, new: _Written | None) -> ChangedField:
    there = old or new
    return ChangedField(path, old and old.text, new and new.text, there and there.default)


def _value(fields: Mapping[str, _Written], path: str) -> object:
    return fields[path].value if path in fields else None


def _written(node: Node) -> dict[str, _Written]:
    """The fields of NODE that do not have their defaults."""
    found = dict(_said(node.layer, ""))
    weight = found.get("loss_weight")
    if weight is not None and row_of(node.type).weighs and weight.value == (1,):
        del found["loss_weight"]
    for field in node.uncomputed:
        if field.shown == field.name and _known(node.layer, field.name):
            continue
        before = found.get(field.shown)
        text = f"{before.text} {field.value}" if before else field.value
        found[field.shown] = _Written(text, text, None)
    return found


def _said(
    message: schema.Message, prefix: str, without: Container[str] = _ELSEWHERE, *, defaults: bool = False
) -> Iterator[tuple[str, _Written]]:
    """The fields of MESSAGE, whose path is PREFIX, that do not have their DEFAULTS, or all that are given; none of
    those WITHOUT."""
    for field, value in message.ListFields():
        path = prefix + field.name
        if field.name in without:
            continue
        if field.message_type is not None:
            parts = (
                [(f"{path}[{place}]", each) for place, each in enumerate(value)] if schema.is_repeated(field) else []
            )
            for inner, part in parts or [(path, value)]:
                if parts and not part.ListFields() and field.name not in _WITHOUT_EFFECT:
                    yield inner, _Written((), "{ }", None)
                yield from _said(part, f"{inner}.", (), defaults=defaults)
        elif schema.is_repeated(field):
            text = " ".join(literal(field, each) for each in value)
            yield path, _Written(tuple(map(_equal_to_itself, value)), text, None)
        elif defaults or not field.has_default_value or value != field.default_value:
            default = literal(field, field.default_value) if field.has_default_value else None
            yield path, _Written(_equal_to_itself(value), literal(field, value), default)


def _equal_to_itself(value: Any) -> object:
    return "nan" if value != value else value


def _known(message: schema.Message, path: str) -> bool:
    """Whether the schema has the field PATH of MESSAGE; then its value is in the message."""
    descriptor: Any = message.DESCRIPTOR
    for name in path.split("."):
        field = None if descriptor is None else descriptor.fields_by_name.get(name)
        if field is None:
            return False
        descriptor = field.message_type
    return True


def _stripped(fields: Mapping[str, _Written], node: Node) -> dict[str, _Written]:
    """FIELDS without the name of the message that belongs to the type of NODE: types may have the same fields."""
    own = row_of(node.type).reads.split()

    def bare(path: str) -> str:
        first, _, rest = path.partition(".")
        return rest if rest and first in own else path

    return {bare(path): value for path, value in fields.items()}


class _Meaning:
    """Tells whether fields that are written differently mean the same."""

    def __init__(self, node: Node, shapes: Shapes, other: Node, others: Shapes, phase: str) -> None:
        self._before: Fields = effective(node, shapes, phase)
        self._after: Fields = effective(other, others, phase)
        both = [_bottom(node, shapes), _bottom(other, others)]
        self._shapes_known = all(isinstance(each, tuple) for each in both)
        windows = [
            windows_of(*each) if isinstance(each[1], tuple) else None for each in zip((node, other), both, strict=True)
        ]
        self._same_windows = windows[0] is not None and windows[0] == windows[1]

    def of(self, path: str) -> bool:
        """Whether the field PATH means the same in both layers."""
        if WINDOW.fullmatch(path):
            return self._same_windows
        if path == BY_STORED_STATISTICS:  # the default is another in training
            return False
        if path in self._before or path in self._after:
            return bool(self._before.get(path) == self._after.get(path))
        return self._shapes_known and path.endswith(".axis")  # counted from the end, it is the default


def _bottom(node: Node, shapes: Shapes) -> Any:
    return shapes.blobs.get(node.bottoms[0]) if node.bottoms else None
