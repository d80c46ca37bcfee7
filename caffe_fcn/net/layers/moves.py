"""How layers make the cells of their tops from those of their bottoms, along each spatial axis.

The rule of a layer type says its move along each axis, and why the top is not a sliding window exactly. Receptive
fields and coordinates are both worked out from it.
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
    """How a layer makes a cell of a window of cells: EXTENT from the first to the last of KERNEL cells, windows STRIDE
    cells apart, the first one BEFORE cells ahead of the map."""

    kernel: int
    stride: int
    before: int
    dilation: int = 1

    @property
    def extent(self) -> int:
        """The cells from the first to the last one of a window."""
        return self.dilation * (self.kernel - 1) + 1


class Spread(NamedTuple):
    """How a layer adds each cell to a window of cells of a finer map: EXTENT from its first cell to its last, windows
    STRIDE cells apart, the first one BEFORE cells ahead of the map. CELLS are those that there are, MADE the finer."""

    extent: int
    stride: int
    before: int
    cells: int
    made: int


class Resample(NamedTuple):
    """How a layer makes FACTOR times as many cells, each of the one at its place."""

    factor: Fraction


KEEP = Slide(1, 1, 0)
"""How a layer makes a cell of the one in its place."""

Move: TypeAlias = Slide | Spread | Resample


class Way(NamedTuple):
    """What a layer does along one axis: its MOVE, the REASONS why that is not exact, and the reasons for cells that
    lack inputs at the BORDER which others of their phase have."""

    move: Move = KEEP
    reasons: tuple[Reason, ...] = ()
    border: tuple[Reason, ...] = ()


Ways: TypeAlias = tuple[Way, ...]


class Site(NamedTuple):
    """A layer in its surroundings: the shapes of its bottom that is a map, and of its top, which is at POSITION."""

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
        """Whether the layer makes one top of one bottom, of the same shape."""
        return len(self.node.bottoms) == len(self.node.tops) == 1 and self.bottom == self.top

    def reason(self, cause: Cause, *, axis: int = 0, whole: bool = False) -> Reason:
        """A reason in this layer, because of which cells see the WHOLE axis of the input or do not."""
        return Reason(cause, self.node.name, axis=axis, whole=whole)


MovesRule: TypeAlias = Callable[[Site], Ways | None]
"""What a layer does along each spatial axis; None where its top is no map."""


def keep(site: Site) -> Ways:
    """Each cell is made of the one in its place."""
    return (Way(),) * site.axes


def keep_if(test: Callable[[Site], bool], idle: Callable[[Message], bool]) -> MovesRule:
    """Cells keep their place if the layer stands a TEST, or is IDLE."""
    return lambda site: keep(site) if test(site) or (site.alone and idle(site.layer)) else None


def everywhere(site: Site, cause: Cause) -> Ways:
    """Each value depends on the whole map."""
    return (Way(KEEP, (site.reason(cause, whole=True),)),) * site.axes


def whole_map(site: Site) -> Ways:
    """Each value depends on the whole map."""
    return everywhere(site, Cause.WHOLE_MAP)


def along(axis: Callable[[Message], int]) -> MovesRule:
    """Values change each other along the AXIS that the layer names."""

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
    """The reason for a layer that pads by AMOUNTS, if it does."""
    return (site.reason(Cause.PADS),) if any(amounts) else ()
