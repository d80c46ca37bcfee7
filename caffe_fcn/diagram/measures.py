"""The size of a box, and where its texts, its folded layers and the labels of its blobs lie in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from caffe_fcn.diagram.records import DrawnBlob, DrawnBox, DrawnLayer, Mark
from caffe_fcn.diagram.text import fitted, width
from caffe_fcn.inspection.words import shape_of

NAME, TYPE, CHIP, LABEL = 12.0, 11.0, 10.0, 10.5
"""The sizes of the font."""
PADDING, CHIP_HEIGHT = 10, 16
_LEAST, _WIDEST, _WIDEST_TYPE = 110, 260, 340
"""The least width of a box, and the greatest ones that its texts, and its type with its numbers, ask for."""
_LINE, _CHIP_STEP, _REMARK_STEP = 15, 20, 14
_MOST_REMARKS = 4
_SIDE = 6
"""The space between a line and its label."""
_LABELLED = 8
"""The maximum number of blobs that have labels; a layer with more tells them in its tooltip."""
_BUNDLE = 1200
"""The width that the ports of many blobs share."""


class Chip(NamedTuple):
    """A folded layer, at its upper left corner in the box."""

    x: int
    y: int
    width: int
    text: str


class Port(NamedTuple):
    """Where a blob leaves a box: SHIFT to the right of its middle, with LABEL beside it."""

    shift: int
    label: tuple[str, ...]
    output: bool


class Measure(NamedTuple):
    """The size and the parts of a box. REACH is its height with the labels below it."""

    width: int
    height: int
    reach: int
    name: str
    type: str
    badge: str
    remarks: tuple[str, ...]
    chips: tuple[Chip, ...]
    ports: tuple[Port, ...]


def measure(box: DrawnBox, far: Sequence[str] = ()) -> Measure:
    """The size of BOX, which has a line for each of FAR, blobs that it reads from far away."""
    layer = box.layer
    kind = f"{_kind(layer)} {layer.numbers}".strip()
    pill = badge_of(box)
    room = pill_width(pill) + 8 if pill else 0
    inner = _WIDEST - 2 * PADDING
    name = fitted(layer.name, NAME, inner - room, bold=True)
    kind = fitted(kind, TYPE, _WIDEST_TYPE - 2 * PADDING)
    texts = [f"{SIGNS[each.mark]}{_kind(each)}" for each in box.folded]
    chips = [(fitted(text, CHIP, inner - 12), pill_width(fitted(text, CHIP, inner - 12))) for text in texts]
    labels = [_label(blob, box) for blob in box.blobs]
    wide = [
        width(name, NAME, bold=True) + room + 2 * PADDING,
        width(kind, TYPE) + 2 * PADDING,
        *(min(width(each, LABEL) + 2 * PADDING, _WIDEST) for each in layer.remarks[:_MOST_REMARKS]),
        min(sum(size for _, size in chips) + 4 * (len(chips) - 1) + 2 * PADDING, _WIDEST) if chips else 0,
    ]
    slot, shifts = _ports(labels)
    if len(labels) == 1:
        wide.append(2 * (_SIDE + _label_width(labels[0])) + 8)
    full = 2 * math.ceil(max(_LEAST, *wide, slot * len(labels)) / 2)
    placed, below = _rows(chips, full - 2 * PADDING)
    top = PADDING - 2 + 2 * _LINE + 6
    remarks = [*layer.remarks[:_MOST_REMARKS], *(f"reads {each} (far above)" for each in far)]
    remarks += [f"and {len(layer.remarks) - _MOST_REMARKS} more changes"] * (len(layer.remarks) > _MOST_REMARKS)
    lower = top + _REMARK_STEP * len(remarks)
    height = lower + (below + 4 if chips else 0)
    lines = max((len(label) for label in labels), default=0) if len(labels) <= _LABELLED else 0
    reach = height + (8 + 13 * lines if labels else 0)
    return Measure(
        full,
        height,
        reach,
        name,
        kind,
        pill,
        tuple(fitted(each, LABEL, full - 2 * PADDING) for each in remarks),
        tuple(chip._replace(x=PADDING + chip.x, y=lower + chip.y) for chip in placed),
        tuple(
            Port(shift, label if len(labels) <= _LABELLED else (), blob.output)
            for shift, label, blob in zip(shifts, labels, box.blobs, strict=True)
        ),
    )


SIGNS: Mapping[Mark, str] = {"": "", "new": "+ ", "gone": "- ", "replaced": "~ ", "changed": "~ "}
"""The signs of marks, those of `diff`."""


def badge_of(box: DrawnBox) -> str:
    """The words at the upper right corner of BOX."""
    mark = box.layer.mark
    return ", ".join(filter(None, ["input" if box.input else "", f"{SIGNS[mark]}{mark}"]))


def _kind(layer: DrawnLayer) -> str:
    return layer.type if layer.family != "unknown" else f"{layer.type} (unknown type)"


def pill_width(text: str) -> int:
    """The width of TEXT in a small box of its own."""
    return math.ceil(width(text, CHIP)) + 12


def _rows(chips: Sequence[tuple[str, int]], room: int) -> tuple[list[Chip], int]:
    """CHIPS in rows that are not wider than ROOM, and the height of the rows."""
    placed: list[Chip] = []
    x = y = 0
    for text, size in chips:
        if x and x + size > room:
            x, y = 0, y + _CHIP_STEP
        placed.append(Chip(x, y, size, text))
        x += size + 4
    return placed, y + _CHIP_STEP


def _label(blob: DrawnBlob, box: DrawnBox) -> tuple[str, ...]:
    """The lines beside the line of BLOB: what it is, unless the box says so, and its shape."""
    named = blob.name not in {layer.name for layer in box.layers}
    first = " ".join((["output"] if blob.output else []) + ([fitted(blob.name, LABEL, 130)] if named else []))
    return tuple(filter(None, (first, shape_of(blob.shape))))


def _label_width(label: Sequence[str]) -> int:
    return math.ceil(max(width(line, LABEL, bold=True) for line in label))


def _ports(labels: Sequence[tuple[str, ...]]) -> tuple[int, list[int]]:
    """The width that each blob needs, and the places of their ports, to the right of the middle."""
    count = len(labels)
    if count == 1:
        return 0, [0]
    widest = max(map(_label_width, labels), default=0)
    slot = widest + 4 * _SIDE if count <= _LABELLED else max(2, min(12, _BUNDLE // count))
    slot += slot % 2
    start = -slot * count // 2 + (2 * _SIDE if count <= _LABELLED else slot // 2)
    return slot, [start + slot * at for at in range(count)]
