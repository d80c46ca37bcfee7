"""Restores the layers of a prototxt from those in a caffemodel: undoes what Caffe did to build the net for training.

The include and exclude rules are removed, because they were applied. The phase in every layer is removed, because in a
deploy net it would keep Dropout and batch statistics active. The Split where several layers read a blob is removed,
because every Caffe adds it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from caffe_fcn.files.decoding import DecodedField

Layer: TypeAlias = tuple[DecodedField, ...]
"""The fields of a layer."""

_RULES = ("include", "exclude")
_SPLIT = (['"Split"'], ["SPLIT"])
_OF_SPLITS = frozenset({"name", "type", "bottom", "top", "phase"})


def as_written(layers: Sequence[Layer]) -> dict[int, Layer]:
    """LAYERS, of the V1 or the current format, as the text of the net had them, by their positions in LAYERS."""
    idle = _net_phase(layers)
    kept = _without_splits([tuple(node for node in layer if node.name not in _RULES) for layer in layers])
    return {at: tuple(node for node in layer if (node.name, node.value) != idle) for at, layer in kept.items()}


def _net_phase(layers: Sequence[Layer]) -> tuple[str, str] | None:
    """The phase of the built net, which Caffe writes into every layer; None if a layer has none."""
    phases = [node.value for layer in layers for node in layer if node.name == "phase"]
    return ("phase", str(Counter(phases).most_common(1)[0][0])) if len(phases) == len(layers) else None


def _without_splits(layers: Sequence[Layer]) -> dict[int, Layer]:
    """LAYERS by position, without the Splits that Caffe added; their readers read the blob itself."""
    written = _positions(layers, "top")
    read = _positions(layers, "bottom")
    copies: dict[str, str] = {}
    kept: dict[int, Layer] = {}
    for position, layer in enumerate(layers):
        if _is_idle_split(position, layer, written, read):
            copies.update(dict.fromkeys(_values(layer, "top"), _values(layer, "bottom")[0]))
        else:
            kept[position] = layer
    return {at: tuple(_reading(node, copies) for node in layer) for at, layer in kept.items()}


def _is_idle_split(
    position: int, layer: Layer, written: Mapping[str, list[int]], read: Mapping[str, list[int]]
) -> bool:
    """Whether LAYER is a Split that Caffe added, and its bottom is unchanged wherever a top is read."""
    if _values(layer, "type") not in _SPLIT or not {node.name for node in layer} <= _OF_SPLITS:
        return False
    name, bottoms, tops = (_values(layer, field) for field in ("name", "bottom", "top"))
    if len(name) != 1 or len(bottoms) != 1 or tops != [f'{name[0][:-1]}_{index}"' for index in range(len(tops))]:
        return False
    readers = [at for top in tops for at in read.get(top, ())]
    if not readers or any(written[top] != [position] for top in tops):
        return False
    return not any(position < at < max(readers) for at in written.get(bottoms[0], ()))


def _positions(layers: Sequence[Layer], field: str) -> dict[str, list[int]]:
    """The positions of the layers that have a blob in FIELD, by the blob."""
    found: dict[str, list[int]] = {}
    for position, layer in enumerate(layers):
        for blob in _values(layer, field):
            found.setdefault(blob, []).append(position)
    return found


def _values(layer: Layer, field: str) -> list[str]:
    return [node.value for node in layer if node.name == field and isinstance(node.value, str)]


def _reading(node: DecodedField, copies: Mapping[str, str]) -> DecodedField:
    """NODE with copies replaced by the blob that they are copies of."""
    if node.name != "bottom" or not isinstance(node.value, str):
        return node
    return node._replace(value=copies.get(node.value, node.value))
