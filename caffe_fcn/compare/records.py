"""What differs between two nets, as data."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from caffe_fcn.net.graph import Node
from caffe_fcn.net.shapes import Shape


class LayerMatch(Enum):
    """How a layer of the new net belongs to one of the old."""

    NAME = "name"
    """Both have the same name."""
    STRUCTURE = "structure"
    """It has another name, and computes the same from the same blobs."""
    REPLACED = "replaced"
    """It reads the same blob as a layer that is gone, and is of another kind."""
    NEW = "new"
    """Only the new net has it."""
    GONE = "gone"
    """Only the old net has it."""


class ChangedField(NamedTuple):
    """A field of a layer, by its path in the message, with its values as text; None where it is not given. DEFAULT: the
    value of a field that is not given, None if there is no such value."""

    path: str
    old: str | None
    new: str | None
    default: str | None


class ChangedShape(NamedTuple):
    """Another shape of the top at POSITION; both shapes are known."""

    position: int
    old: Shape
    new: Shape


class LayerPair(NamedTuple):
    """A layer of the old net and the one of the new net that belongs to it, with what differs; None for a layer that
    the net does not have. `rewired`: it reads other blobs; blobs with another name are the same."""

    match: LayerMatch
    old: Node | None
    new: Node | None
    fields: tuple[ChangedField, ...] = ()
    shapes: tuple[ChangedShape, ...] = ()
    rewired: bool = False

    @property
    def retyped(self) -> bool:
        """Whether both layers are there, of different types."""
        return self.old is not None and self.new is not None and self.old.type != self.new.type

    @property
    def renamed(self) -> bool:
        """Whether both layers are there, and they or their tops have different names."""
        if self.old is None or self.new is None:
            return False
        tops = [top.name for top in self.old.tops] != [top.name for top in self.new.tops]
        return tops or self.old.name != self.new.name

    @property
    def changed(self) -> bool:
        """Whether more than names and shapes differs. Shapes follow from other changes, in this layer or before it."""
        only_one = self.old is None or self.new is None
        return only_one or self.match is LayerMatch.REPLACED or self.retyped or self.rewired or bool(self.fields)
