"""The fields of a layer that its file sets, for people: each with its name and its value in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from caffe_fcn.display import printable
from caffe_fcn.net.shapes import show
from caffe_fcn.page.records import Fact
from caffe_fcn.schema import Message

_SHOWN_ELSEWHERE = frozenset(("name", "type", "bottom", "top", "blobs", "include", "exclude", "phase"))
_MOST_VALUES = 12
"""The maximum number of values of a repeated field that are shown."""


def settings_of(layer: Message) -> tuple[Fact, ...]:
    """Return the fields that are set in LAYER, a LayerParameter, except those that the page shows in other places.

    The fields of its parameters stand beside those of the layer: `num_output`, not `convolution_param.num_output`.
    Those of a message inside them have its name before theirs: "weight_filler: type".
    """
    found: list[Fact] = []
    for field, value in layer.ListFields():
        if field.name in _SHOWN_ELSEWHERE:
            continue
        inner = field.message_type is not None and not field.is_repeated
        found += _facts(value, "") if inner else [Fact(field.name, _words(field, value))]
    return tuple(found)


def _facts(message: Message, prefix: str) -> Iterator[Fact]:
    for field, value in message.ListFields():
        name = f"{prefix}{field.name}"
        if field.message_type is not None and not field.is_repeated:
            yield from _facts(value, f"{name}: ")
        else:
            yield Fact(name, _words(field, value))


def _words(field: Any, value: Any) -> str:
    values: Sequence[Any] = value if field.is_repeated else [value]
    words = [_word(field, each) for each in values[:_MOST_VALUES]]
    more = len(values) - len(words)
    return ", ".join([*words, *([f"and {more:,} more"] if more else [])])


def _word(field: Any, value: Any) -> str:
    if field.message_type is not None:
        if field.message_type.name == "BlobShape":
            return show(tuple(value.dim)) or "scalar"
        return "{" + " ".join(f"{fact.term}: {fact.value}" for fact in _facts(value, "")) + "}"
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else str(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.7g}".replace("-", "−")
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, int):
        return str(value).replace("-", "−")
    return printable(str(value))
