"""Moves: how layers compute the cells of their tops from cells of their bottoms, along each spatial axis.

The rule of a layer type gives its move along each axis, and the reasons why the top differs from a sliding window.
Receptive fields and coordinates are computed from the moves.
"""

# Annotations are objects here and not text, which NamedTuple would have to compile when the program starts.

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from caffe_fcn.net.exactness import Cause, Reason
from caffe_fcn.net.layers.shape import Shape
from caffe_fcn.schema import Message

if TYPE_CHECKING:
    from caffe_fcn.net.graph import Graph, Node

CHANNELS = 1
"""The axis of the channels; the spatial axes follow."""


class Slide(NamedTuple):
    """The layer computes a cell from a window of KERNEL cells. EXTENT: the cells from the first to the last one.
    STRIDE: the cells from one window to the next. BEFORE: how many cells the first window begins before the map."""

    kernel: int
    stride: int
    before: int
    dilation: int = 1

    @property
    def extent(self) -> int:
        """The cells from the first to the last one of a window."""
        return self.dilation * (self.kernel - 1) + 1


class Spread(NamedTuple):
    """The layer adds each cell to a window of cells of a finer map. EXTENT: the cells from the first to the last one of
    the window. STRIDE: the cells from one window to the next. BEFORE: how many cells the first window begins before the
    map. CELLS: the number of cells of the bottom, MADE: that of the top."""

    extent: int
    stride: int
    before: int
    cells: int
    made: int


class Resample(NamedTuple):
    """The layer makes FACTOR times as many cells, each from the cell at its place."""

    factor: Fraction


KEEP = Slide(1, 1, 0)
"""The layer computes each cell from the cell at the same place."""

Move: TypeAlias = Slide | Spread | Resample


class Way(NamedTuple):
    """What a layer does along one axis: its MOVE, the REASONS why the move is not exact, and the reasons that hold for
    cells at the BORDER only, which have fewer inputs than others."""

    move: Move = KEEP
    reasons: tuple[Reason, ...] = ()
    border: tuple[Reason, ...] = ()


Ways: TypeAlias = tuple[Way, ...]


class Site(NamedTuple):
    """A layer, the shape of its bottom that is a map, and the shape of its top at POSITION."""

    node: "Node"
    graph: "Graph"
    bottom: Shape
    top: Shape
    position: int = 0

    @property
    def layer(self) -> Message:
        """The layer's message."""
        return self.node.layer

    @property
    def axes(self) -> int:
        """How many spatial axes there are."""
        return len(self.bottom) - 2

    @property
    def alone(self) -> bool:
        """Whether the layer has one bottom and one top, of the same shape."""
        return len(self.node.bottoms) == len(self.node.tops) == 1 and self.bottom == self.top

    def reason(self, cause: Cause, *, axis: int = 0, whole: bool = False) -> Reason:
        """A reason in this layer. WHOLE: because of it cells depend on the whole axis of the input."""
        return Reason(cause, self.node.name, axis=axis, whole=whole)


MovesRule: TypeAlias = Callable[[Site], Ways | None]
"""What a layer does along each spatial axis; None if its top is no map."""


def keep(site: Site) -> Ways:
    """Each cell depends on the cell at the same place."""
    return (Way(),) * site.axes


def keep_if(test: Callable[[Site], bool], idle: Callable[[Message], bool]) -> MovesRule:
    """Cells keep their places if TEST accepts the layer, or it is IDLE."""
    return lambda site: keep(site) if test(site) or (site.alone and idle(site.layer)) else None


def everywhere(site: Site, cause: Cause) -> Ways:
    """Each value depends on the whole map."""
    return (Way(KEEP, (site.reason(cause, whole=True),)),) * site.axes


def whole_map(site: Site) -> Ways:
    """Each value depends on the whole map."""
    return everywhere(site, Cause.WHOLE_MAP)


def along(axis: Callable[[Message], int]) -> MovesRule:
    """Values along the AXIS that the layer names depend on each other."""

    def rule(site: Site) -> Ways:
        found = axis(site.layer) % len(site.bottom)
        if found == CHANNELS:
            return keep(site)
        if found < CHANNELS:
            return everywhere(site, Cause.BATCH)
        there = Way(KEEP, (site.reason(Cause.ALONG_AXIS, axis=found, whole=True),))
        return tuple(there if place == found else Way() for place in range(2, len(site.bottom)))

    return rule


def pads(site: Site, *amounts: int) -> tuple[Reason, ...]:
    """The reason for padding, if one of AMOUNTS is not zero; else none."""
    return (site.reason(Cause.PADS),) if any(amounts) else ()
