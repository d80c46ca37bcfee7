"""The contents of a drawing, without positions: a box for each layer that is not folded, and the blobs between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from caffe_fcn.net.layers.row import Family
from caffe_fcn.net.shapes import Shape

Mark: TypeAlias = Literal["", "new", "gone", "replaced", "changed"]


@dataclass(frozen=True)
class DrawnLayer:
    """A layer in a drawing. INDEX is its place in the net, -1 for the net's own input fields. NUMBERS are the few that
    characterise it, such as "3×3 → 64, pad 1"; ABOUT are the lines of its tooltip.
    In a comparison, MARK is how it differs from the other net, and REMARKS say what differs."""

    index: int
    name: str
    type: str
    family: Family
    numbers: str
    about: tuple[str, ...]
    mark: Mark = ""
    remarks: tuple[str, ...] = ()


class DrawnBlob(NamedTuple):
    """A blob that leaves a box; SHAPE is None if it is unknown. OUTPUT: no layer reads it."""

    name: str
    shape: Shape | None
    output: bool


class DrawnBox(NamedTuple):
    """A layer with the in-place layers behind it, which are FOLDED into its box. INPUT: it brings values into the
    net."""

    layer: DrawnLayer
    folded: tuple[DrawnLayer, ...]
    blobs: tuple[DrawnBlob, ...]
    input: bool

    @property
    def layers(self) -> tuple[DrawnLayer, ...]:
        """All layers in the box."""
        return (self.layer, *self.folded)


class Wire(NamedTuple):
    """A blob, the one at POSITION among those of the box SOURCE, that the box TARGET reads."""

    source: int
    position: int
    target: int


class Diagram(NamedTuple):
    """A drawing: boxes in the order of the net, so every wire goes to a later box."""

    title: str
    boxes: Sequence[DrawnBox]
    wires: Sequence[Wire]


class Comparison(NamedTuple):
    """Two nets to be drawn side by side. TWINS are boxes of both that belong together, by their positions."""

    title: str
    old: Diagram
    new: Diagram
    twins: Sequence[tuple[int, int]]
