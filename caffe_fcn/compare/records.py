"""What differs between two nets, as data."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from caffe_fcn.compare.orders import Reordering
from caffe_fcn.compare.values import Deviation, Sameness
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
    """Another shape of the top at POSITION; both shapes are known. PHASES: those in which it has these shapes, if they
    are not all in which the layer is compared."""

    position: int
    old: Shape
    new: Shape
    phases: tuple[str, ...] = ()


class LayerPair(NamedTuple):
    """A layer of the old net and the one of the new net that belongs to it, with what differs; None for a layer that
    the net does not have. `rewired`: it reads other blobs; blobs with another name are the same. `makers`: then the
    names of the layers that make its bottoms, in both nets."""

    match: LayerMatch
    old: Node | None
    new: Node | None
    fields: tuple[ChangedField, ...] = ()
    shapes: tuple[ChangedShape, ...] = ()
    rewired: bool = False
    makers: tuple[tuple[str, ...], tuple[str, ...]] | None = None

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


class BlobDiff(NamedTuple):
    """A parameter blob and its counterpart. LABEL: its position, or what it is if an ONNX file holds it computed.

    Shapes and types are None for a blob that is not there. RESHAPED: the shapes have another meaning. ORDER: the order
    in which the new blob has the values. DEVIATION: how much values differ.
    """

    label: str
    old_shape: Shape | None
    new_shape: Shape | None
    old_type: str | None
    new_type: str | None
    values: int
    sameness: Sameness
    reshaped: bool = False
    order: Reordering | None = None
    deviation: Deviation | None = None

    @property
    def differs(self) -> bool:
        """Whether more than what is tolerated differs."""
        return self.reshaped or self.sameness not in (Sameness.IDENTICAL, Sameness.TOLERATED)


class LayerDiff(NamedTuple):
    """A layer of one or both nets, by its name and type in each, None where it is not there, with what differs.

    A layer that only a file of weights has, has no type. PHASES: those in which it is compared, if these are not all.
    BLOBS: the names of its bottoms and tops, where they differ. REWIRED: it reads other blobs, and not only blobs with
    another name; MAKERS: then the layers that make its bottoms.
    """

    match: LayerMatch
    old: str | None
    new: str | None
    old_type: str | None = None
    new_type: str | None = None
    phases: tuple[str, ...] = ()
    fields: tuple[ChangedField, ...] = ()
    rewired: bool = False
    bottoms: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    tops: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    shapes: tuple[ChangedShape, ...] = ()
    blobs: tuple[BlobDiff, ...] = ()
    makers: tuple[tuple[str, ...], tuple[str, ...]] | None = None

    @property
    def only_one(self) -> bool:
        """Whether only one of the nets has it."""
        return self.old is None or self.new is None

    @property
    def retyped(self) -> bool:
        """Whether it has another type."""
        return None not in (self.old_type, self.new_type) and self.old_type != self.new_type

    @property
    def renamed(self) -> bool:
        """Whether it is in both nets, and it or its tops have another name."""
        return not self.only_one and (self.old != self.new or self.tops is not None)

    @property
    def changed(self) -> bool:
        """Whether more than names and shapes of blobs differs."""
        weights = any(each.differs for each in self.blobs)
        more = any(both is not None and len(both[0]) != len(both[1]) for both in (self.bottoms, self.tops))
        return self.only_one or self.retyped or self.rewired or more or bool(self.fields) or weights

    def differs(self, *, names: bool) -> bool:
        """Whether it differs; NAMES: whether other names count. Shapes follow from other changes."""
        return self.changed or (names and self.renamed)


class DiffFile(NamedTuple):
    """A compared net: the names of its files, and the FORMATS of the net and of the weights; None where there are
    none."""

    files: tuple[str, ...]
    net_format: str | None
    weights_format: str | None


class NetDiff(NamedTuple):
    """Two nets compared. FIELDS: those of the nets themselves. LAYERS: all, in the order of the new net; those that are
    gone where they were. NETS and WEIGHTS: whether these were compared."""

    old: DiffFile
    new: DiffFile
    nets: bool
    weights: bool
    fields: tuple[ChangedField, ...]
    layers: tuple[LayerDiff, ...]
    notes: tuple[str, ...]
    ignore_names: bool = False

    @property
    def differing(self) -> tuple[LayerDiff, ...]:
        """The layers that differ."""
        return tuple(each for each in self.layers if each.differs(names=not self.ignore_names))

    @property
    def equal(self) -> bool:
        """Whether nothing differs that was compared."""
        return not self.fields and not self.differing
