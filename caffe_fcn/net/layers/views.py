"""Views: how a map of the converted net replaces a blob of the original.

Let a classifier flatten a map N×C×H×W to N×(C·H·W). The converted net has no flattening, so the map itself replaces the
blob. A `View` says which blob of the converted net that is, its shape, the axes of the original blob, and the order of
the values in the original. The output N×K of an InnerProduct is the same case with H = W = 1, because the converted
layer makes N×K×1×1 at the nominal input size.

A reshaping moves no value, so it changes only the axes of a view. A Permute is supported where it only moves the
channels behind the positions, or back. For other layers, their rows say how they change a view (`following`).
"""

# Annotations are objects here and not text, which NamedTuple would have to compile when the program starts.

from collections.abc import Iterable, Sequence
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from caffe_fcn.net.layers.shape import Shape, Unknown

if TYPE_CHECKING:
    from caffe_fcn.net.graph import Blob


class Segment(NamedTuple):
    """A part of the columns of a matrix: a flattened map of C channels and H·W positions.

    The wanted order is channels first, C×H×W; `channels_last` says that the file has H×W×C.
    """

    channels: int
    positions: int
    channels_last: bool

    @property
    def columns(self) -> int:
        """The number of columns."""
        return self.channels * self.positions


class View(NamedTuple):
    """The `blob` of the converted net, with the nominal `shape` N×C×spatial, replaces a blob of the original with the
    shape `axes`.

    `segments` give the order of the values in each item of the original. A segment is a part of the channels, stored
    channel after channel or, if `channels_last`, position after position. There are as few segments as possible
    (`in_order`), so two views with the same order are equal.
    """

    blob: "Blob"
    shape: Shape
    axes: Shape
    segments: tuple[Segment, ...]

    @property
    def channels(self) -> int:
        """The channels of the map."""
        return self.shape[1]

    @property
    def spatial(self) -> Shape:
        """The spatial axes of the map."""
        return self.shape[2:]

    @property
    def positions(self) -> int:
        """The number of positions of the map."""
        return prod(self.spatial)

    @property
    def is_reordered(self) -> bool:
        """Whether the original has another order of values than the map."""
        return any(segment.channels_last for segment in self.segments)

    @property
    def is_map(self) -> bool:
        """Whether the original is a map of the same shape and order."""
        return self.axes == self.shape and not self.is_reordered

    def runs_over_channels(self, axis: int) -> bool:
        """Whether the index along AXIS of the original, counted from the front, is the channel of the map."""
        if axis < 1 or self.axes[axis] != self.channels:
            return False
        if self.channels == 1:
            return True
        if len(self.segments) != 1:
            return False
        return self.after(axis) == 1 if self.is_reordered else self.before(axis) == 1

    def before(self, axis: int) -> int:
        """The number of places along the axes of the original between the batch axis and AXIS."""
        return prod(self.axes[1:axis])

    def after(self, axis: int) -> int:
        """The number of values of the original at one place along AXIS."""
        return prod(self.axes[axis + 1 :])


def map_view(blob: "Blob", shape: Shape) -> View:
    """The view of the unchanged map BLOB, of SHAPE N×C×spatial."""
    return View(blob, shape, shape, in_order((Segment(shape[1], prod(shape[2:]), False),)))


def product_view(blob: "Blob", view: View, outputs: int) -> View:
    """The view of BLOB, made by the Convolution over all of VIEW; the original has a vector of OUTPUTS values."""
    made = map_view(blob, (view.shape[0], outputs, *(1 for _ in view.spatial)))
    return made._replace(axes=made.shape[:2])


def map_of(blob: "Blob", shape: Shape | Unknown) -> View | None:
    """The view of BLOB unchanged if it has spatial axes; else None."""
    return map_view(blob, shape) if isinstance(shape, tuple) and len(shape) > 2 else None


def in_order(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """SEGMENTS merged as far as possible. The order of a part with one channel or one position does not matter, and
    neighbouring parts stored channel after channel are one."""
    made: list[Segment] = []
    for segment in segments:
        last = segment.channels_last and min(segment.channels, segment.positions) > 1
        if made and not last and not made[-1].channels_last:
            made[-1] = Segment(made[-1].channels + segment.channels, segment.positions, False)
        else:
            made.append(Segment(segment.channels, segment.positions, last))
    return tuple(made)


def reshaped(view: View, order: tuple[int, ...], top: Shape) -> View | None:
    """The view of a top of the shape TOP, if a layer reads the axes of VIEW in ORDER; None if no map has that order of
    values, or values move to other items."""
    if order != tuple(range(len(view.axes))):
        return _permuted(view, order)
    if top[:1] != view.shape[:1] or prod(top) != prod(view.axes):
        return None
    return view._replace(axes=top)


def with_items(view: View, items: int) -> View:
    """VIEW with ITEMS items in the batch."""
    return view._replace(shape=(items, *view.shape[1:]), axes=(items, *view.axes[1:]))


def joined(views: Sequence[View], axis: int) -> View | None:
    """VIEWS concatenated along AXIS, at least 1; None if that is no concatenation along the channels."""
    first = views[0]
    shape = (first.shape[0], sum(view.channels for view in views), *first.spatial)
    axes = (*first.axes[:axis], sum(view.axes[axis] for view in views), *first.axes[axis + 1 :])
    if first.before(axis) == 1:
        segments = [segment for view in views for segment in view.segments]
    elif all(view.runs_over_channels(axis) and view.after(axis) == 1 for view in views):
        segments = [Segment(shape[1], first.positions, True)]
    else:
        return None
    return View(first.blob, shape, axes, in_order(segments))


def makes_map(bottom: Shape, top: Shape) -> bool:
    """Whether reshaping the map BOTTOM to TOP makes another map: it keeps the last axes and regroups the channels, or
    keeps the channels and divides the only spatial axis."""
    space = min(2, len(bottom) - 2)
    regroups = len(top) >= space + 2 and top[-space:] == bottom[-space:]
    divides = len(bottom) == 3 < len(top) and top[:2] == bottom[:2]
    return top != bottom and (regroups or divides)


def moves_space(order: tuple[int, ...]) -> bool:
    """Whether a layer that reads axes in ORDER moves a spatial axis to the place of the batch or the channels.

    With five or more axes the first ones may change places; this is how nets shuffle channels.
    """
    axes = len(order)
    shuffles = axes > 4 and order[-2:] == (axes - 2, axes - 1)
    return axes > 2 and (order[0] != 0 or not (order[1] == 1 or shuffles))


def _permuted(view: View, order: tuple[int, ...]) -> View | None:
    if order[0] != 0:
        return None
    axes = tuple(view.axes[axis] for axis in order)
    moved = [axis for axis in order[1:] if view.axes[axis] != 1]
    if moved == sorted(moved):
        return view._replace(axes=axes)
    channels = next((axis for axis in moved if view.runs_over_channels(axis)), None)
    positions = [axis for axis in moved if axis != channels]
    if channels is None or positions != sorted(positions) or channels not in (moved[0], moved[-1]):
        return None
    segment = Segment(view.channels, view.positions, channels == moved[-1])
    return view._replace(axes=axes, segments=in_order((segment,)))
