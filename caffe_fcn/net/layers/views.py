"""What stands in the twin for a blob of the original: views.

Let a classifier's map N×C×H×W be flattened to N×(C·H·W). In its twin the flattening is gone and the blob is the map
itself: a `View` says where in the twin a blob of the original lives, with which shape, which axes the original has, and
in which order the original holds the values. The output N×K of an InnerProduct is the same case with H = W = 1, because
the converted layer makes N×K×1×1 at the nominal input.

A reshaping never moves a value, so it changes the axes of a view and nothing else. A Permute is followed where it only
moves the channels behind the positions, or back. What other layers do to a view, their rows say (`following`).
"""

# Annotations are objects here and not text, which NamedTuple would have to compile when the program starts.

from collections.abc import Iterable, Sequence
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from caffe_fcn.net.layers.shape import Shape, Unknown

if TYPE_CHECKING:
    from caffe_fcn.net.graph import Blob


class Segment(NamedTuple):
    """A part of a matrix' columns: a flattened map of C channels and H·W positions.

    The wanted order is channels first, C×H×W; `channels_last` says that the file has H×W×C.
    """

    channels: int
    positions: int
    channels_last: bool

    @property
    def columns(self) -> int:
        """How many columns these are."""
        return self.channels * self.positions


class View(NamedTuple):
    """The twin's `blob`, of the nominal `shape` N×C×spatial, stands for a blob of the original of the shape `axes`.

    Each item of the original holds its values as `segments` say: a segment is a part of the channels, either channel
    after channel or, `channels_last`, position after position. Segments are as few as can be (`in_order`), so that two
    views of one order are equal.
    """

    blob: "Blob"
    shape: Shape
    axes: Shape
    segments: tuple[Segment, ...]

    @property
    def channels(self) -> int:
        """C of the twin's map."""
        return self.shape[1]

    @property
    def spatial(self) -> Shape:
        """The spatial axes of the twin's map."""
        return self.shape[2:]

    @property
    def positions(self) -> int:
        """How many positions the twin's map has."""
        return prod(self.spatial)

    @property
    def is_reordered(self) -> bool:
        """Whether the original holds the values in another order than the twin."""
        return any(segment.channels_last for segment in self.segments)

    @property
    def is_map(self) -> bool:
        """Whether the original is a map of the very same shape and order."""
        return self.axes == self.shape and not self.is_reordered

    def runs_over_channels(self, axis: int) -> bool:
        """Whether the place along AXIS of the original, counted from the front, is the channel in the twin."""
        if axis < 1 or self.axes[axis] != self.channels:
            return False
        if self.channels == 1:
            return True
        if len(self.segments) != 1:
            return False
        return self.after(axis) == 1 if self.is_reordered else self.before(axis) == 1

    def before(self, axis: int) -> int:
        """How many places there are along the axes of the original between the first, the batch, and AXIS."""
        return prod(self.axes[1:axis])

    def after(self, axis: int) -> int:
        """How many values of the original belong to one place along AXIS."""
        return prod(self.axes[axis + 1 :])


def map_view(blob: "Blob", shape: Shape) -> View:
    """The map BLOB, of SHAPE N×C×spatial, as it is."""
    return View(blob, shape, shape, in_order((Segment(shape[1], prod(shape[2:]), False),)))


def product_view(blob: "Blob", view: View, outputs: int) -> View:
    """What the Convolution over all of VIEW makes as BLOB, where the original has a vector of OUTPUTS values."""
    made = map_view(blob, (view.shape[0], outputs, *(1 for _ in view.spatial)))
    return made._replace(axes=made.shape[:2])


def map_of(blob: "Blob", shape: Shape | Unknown) -> View | None:
    """BLOB as it is, if it is a map: if it has spatial axes."""
    return map_view(blob, shape) if isinstance(shape, tuple) and len(shape) > 2 else None


def in_order(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """SEGMENTS as few as can be: where a part has one channel or one position its order does not matter, and parts that
    are held channel after channel are one."""
    made: list[Segment] = []
    for segment in segments:
        last = segment.channels_last and min(segment.channels, segment.positions) > 1
        if made and not last and not made[-1].channels_last:
            made[-1] = Segment(made[-1].channels + segment.channels, segment.positions, False)
        else:
            made.append(Segment(segment.channels, segment.positions, last))
    return tuple(made)


def reshaped(view: View, order: tuple[int, ...], top: Shape) -> View | None:
    """The view of the top, of the shape TOP, when a layer takes the axes of VIEW in ORDER; None when the values get
    into an order that is none of a map, or into other items."""
    if order != tuple(range(len(view.axes))):
        return _permuted(view, order)
    if top[:1] != view.shape[:1] or prod(top) != prod(view.axes):
        return None
    return view._replace(axes=top)


def with_items(view: View, items: int) -> View:
    """VIEW of so many ITEMS."""
    return view._replace(shape=(items, *view.shape[1:]), axes=(items, *view.axes[1:]))


def joined(views: Sequence[View], axis: int) -> View | None:
    """VIEWS one behind the other along AXIS, from 1 on; None if that is not one behind the other in the channels."""
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
    """Whether a reshaping of the map BOTTOM to TOP makes another map: it keeps the last axes and regroups the channels,
    or it keeps the channels and divides the only spatial axis."""
    space = min(2, len(bottom) - 2)
    regroups = len(top) >= space + 2 and top[-space:] == bottom[-space:]
    divides = len(bottom) == 3 < len(top) and top[:2] == bottom[:2]
    return top != bottom and (regroups or divides)


def moves_space(order: tuple[int, ...]) -> bool:
    """Whether a layer that takes axes in ORDER puts a spatial axis where the batch or the channels were.

    Of five axes and more the first ones may change places: so channels are shuffled.
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
