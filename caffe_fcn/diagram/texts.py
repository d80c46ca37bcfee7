"""The texts of a drawing with their places: all ways to paint it show the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple, TypeAlias

from caffe_fcn.diagram.drawing import DrawingHeading, PlacedBox
from caffe_fcn.diagram.measures import CHIP, LABEL, NAME, PADDING, TYPE, pill_width

TextStyle: TypeAlias = Literal["name", "type", "remark", "pill", "chip", "label", "output"]


class Face(NamedTuple):
    """How text looks: its SIZE in pixels; QUIET text is paler."""

    size: float
    bold: bool
    quiet: bool


FACES: Mapping[TextStyle, Face] = {
    "name": Face(NAME, True, False),
    "type": Face(TYPE, False, False),
    "remark": Face(LABEL, False, True),
    "pill": Face(CHIP, True, False),
    "chip": Face(CHIP, False, False),
    "label": Face(LABEL, False, True),
    "output": Face(LABEL, True, True),
}


class Text(NamedTuple):
    """A text on one line. X is its left end, or its MIDDLE; Y is its base line."""

    x: float
    y: float
    text: str
    style: TextStyle
    middle: bool = False


def texts_of(placed: PlacedBox) -> Iterator[Text]:
    """The texts of a box itself, from its upper left corner on."""
    size = placed.measure
    yield Text(PADDING, 20, size.name, "name")
    yield Text(PADDING, 35, size.type, "type")
    for at, remark in enumerate(size.remarks):
        yield Text(PADDING, 49 + 14 * at, remark, "remark")
    if size.badge:
        yield Text(size.width - PADDING - pill_width(size.badge) / 2, 20, size.badge, "pill", True)


def chip_texts(placed: PlacedBox) -> Iterator[Text]:
    """The texts of the layers that are folded into a box, in their order."""
    return (Text(chip.x + chip.width / 2, chip.y + 11.5, chip.text, "chip", True) for chip in placed.measure.chips)


def labels_of(placed: PlacedBox) -> Iterator[Text]:
    """The labels of the blobs of a box."""
    size = placed.measure
    for port in size.ports:
        x = size.width // 2 + port.shift + (9 if port.output else 6)
        for at, text in enumerate(port.label):
            style: TextStyle = "output" if port.output and at == 0 else "label"
            yield Text(x, size.height + 14 + 13 * at, text, style)


def heading_texts(heading: DrawingHeading) -> Iterator[Text]:
    """The title and the texts of the legend, from the corner of the drawing on."""
    yield Text(heading.x, heading.y + 12, heading.title, "name")
    for entry in heading.entries:
        yield Text(entry.x + 20, entry.y + 10, entry.text, "type")
    for x, y, title in heading.captions:
        yield Text(x, y, title, "name")
