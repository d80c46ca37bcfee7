"""What a layer does if a bottom becomes a map in the converted net: the possible outcomes, and the rules of most types.

The row of a layer's type gives one of three outcomes for a bottom with a view: the layer stays, and its tops have views
or not (`Passes`); it is dropped, because the converted net needs no reshaping there (`Vanishes`); or it does not accept
the map, with a reason (`Refuses`). An axis that a layer names is an axis of the original net: in the converted net the
layer can do the same only along the channels or the batch. The caller decides what a refusal means.
"""

# Annotations are objects here and not text, which NamedTuple would have to compile when the program starts.

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from caffe_fcn.net.layers.shape import Shape, Unknown, show
from caffe_fcn.net.layers.views import View, map_of
from caffe_fcn.net.obstacles import Obstacle

if TYPE_CHECKING:
    from caffe_fcn.net.graph import Node


class FieldChange(NamedTuple):
    """The FIELD of a layer's MESSAGE of parameters that gets a VALUE, e.g. ("argmax_param", "axis", 1)."""

    message: str
    field: str
    value: int


class Passes(NamedTuple):
    """The layer stays. TOPS: the view of each top, None for a top without one, such as a loss. CHANGES: how the layer
    itself must change."""

    tops: tuple[View | None, ...]
    changes: tuple[FieldChange, ...] = ()


class Vanishes(NamedTuple):
    """The layer is dropped: its top is VIEW."""

    view: View


class Refuses(NamedTuple):
    """The layer does not accept the bottom. The words of the OBSTACLE follow the layer's name. BY_AXIS: it works along
    an axis, or on positions, that a sliding window does not have. MAKES_MAP: in the original, its top may be a map."""

    obstacle: Obstacle
    by_axis: bool = False
    makes_map: bool = False


class Clash(Enum):
    """Why a layer does not accept a map in place of a vector: its type, and what it does."""

    ALONG_SPACE = "({}) works along the spatial axes, whose extents grow with the input"
    APART = "({}) treats each of the {} positions of {!r} separately"
    BY_POSITION = "({}) reads {!r} position by position, but in the converted net it is stored channel by channel"
    COMPARES = "({}) compares all values of an item of {!r}, at all positions"
    FIXED_MAP = "({}) resizes to a fixed size"
    FIXED_SHAPE = "({}) reshapes to a fixed size"
    GIVES_TWO = "({} with out_max_val) gives index and value, but for each position it can give only one of them"
    LARGEST = "({}) takes the largest value of all positions"
    LOST_AXES = "({}) works on axes of {!r} that do not exist in the converted net"
    LOST_AXES_OF = "({}) works on axes of {!r} ({}) that do not exist in the converted net"
    MAPS = "({}) joins {}"
    MIXTURE = "({}) joins {}, which becomes a map, with {}, which does not"
    OFF_AXIS = "({}) works along axis {} of {!r} ({}), which is not the channel axis of the map {} that replaces it"
    OPERAND = "({}) has a parameter blob along axes of {!r}"
    OTHER_ORDER = "({}) pools over axes whose order changes"
    OUTPUT = "({}) makes an output of the net with another order of values than the map"
    REORDERS = "({}) reorders axes that do not exist in the converted net"
    SHAPE = "({}) reshapes to the fixed size {}"
    SUMS = "({}) sums over all positions, and a larger input has more positions"
    UNKNOWN = "({}) is not known to accept a map instead of a vector"
    UNKNOWN_SHAPE = "({}) produces a blob of unknown shape"


def refuses(
    why: Clash, *about: str | int | tuple[int, ...] | Obstacle, by_axis: bool = False, makes_map: bool = False
) -> Refuses:
    """The refusal for the reason WHY, with the names and numbers that it is ABOUT."""
    return Refuses(Obstacle(why, about), by_axis, makes_map)


Outcome: TypeAlias = Passes | Vanishes | Refuses


class Place(NamedTuple):
    """A layer, the views of its bottoms (None for one that is no map), and the shapes of its tops in the original."""

    node: "Node"
    views: tuple[View | None, ...]
    tops: tuple[Shape | Unknown, ...]

    @property
    def type(self) -> str:
        """The layer's type."""
        return self.node.type

    @property
    def view(self) -> View:
        """The view of the first bottom, for rules that know that it is not None."""
        view = self.views[0]
        assert view is not None
        return view

    def passes(self, view: View, *changes: FieldChange) -> Passes:
        """The outcome in which the first top has VIEW, under its own name, and further tops have none."""
        return Passes((view._replace(blob=self.node.tops[0]), *(None for _ in self.node.tops[1:])), changes)

    def change(self, message: str, field: str, value: int) -> FieldChange:
        """The edit that sets FIELD of MESSAGE."""
        return FieldChange(message, field, value)

    def along(self, axis: int, view: View, message: str, field: str = "axis") -> tuple[FieldChange, ...]:
        """The edit that sets FIELD of MESSAGE to AXIS of the map, if it has another value."""
        value, axes = getattr(getattr(self.node.layer, message), field), len(view.shape)
        return () if -axes <= value < axes and value % axes == axis else (self.change(message, field, axis),)


def off_axis(place: Place, view: View, axis: int) -> Refuses:
    """The refusal of a layer that works along AXIS of the original, which is not the channel axis of the map."""
    name = place.node.bottoms[place.views.index(view)].name
    return refuses(Clash.OFF_AXIS, place.type, axis, name, view.axes, view.shape, by_axis=True)


def apart(place: Place, view: View, axis: int) -> Refuses:
    """The refusal of a layer that has a separate value for each place along AXIS of the original."""
    if view.positions == 1 or len(view.axes) > 2:
        return off_axis(place, view, axis)
    name = place.node.bottoms[0].name
    return refuses(Clash.APART, place.type, view.spatial, name, by_axis=True)


def along_space(place: Place) -> Refuses:
    """The refusal of a layer that works along the spatial axes."""
    return refuses(Clash.ALONG_SPACE, place.type, by_axis=True)


def mixture(place: Place) -> Refuses:
    """The refusal of a layer whose bottoms are not maps of one kind."""
    named = list(zip(place.node.bottoms, place.views, strict=True))
    if any(view is None for _, view in named):
        stays = ", ".join(repr(blob.name) for blob, view in named if view is None)
        dense = ", ".join(repr(blob.name) for blob, view in named if view is not None)
        return refuses(Clash.MIXTURE, place.type, dense, stays)
    maps = [f"{blob.name!r} (map {show(view.shape)}, before {show(view.axes)})" for blob, view in named if view]
    return refuses(Clash.MAPS, place.type, " and ".join(maps))


FollowsRule: TypeAlias = Callable[[Place], Outcome]
"""What a layer does when at least one of its bottoms is a view."""


# ---- What most layers do ----


def unknown(place: Place) -> Outcome:
    """The rule of types without one. A layer whose tops are single numbers, or that has no tops, is treated as a
    loss."""
    if all(shape == () for shape in place.tops):
        return counts(place)
    return refuses(Clash.UNKNOWN, place.type, makes_map=True)


def one_by_one(place: Place) -> Outcome:
    """Each value of a top depends on the values at the same place of the bottoms."""
    first = place.views[0]
    if first is None or any(not alike(first, view) for view in place.views):
        return mixture(place)
    if not _keep_shape(place, first):
        return unknown(place)
    return Passes(tuple(first._replace(blob=top) for top in place.node.tops))


def alike(one: View, other: View | None) -> bool:
    """Whether two views have the same shape, order and axes."""
    return other is not None and one._replace(blob=other.blob) == other


def _keep_shape(place: Place, view: View) -> bool:
    """Whether the first top has the axes of VIEW, or unknown axes. A type may use a rule that does not fit its
    shape."""
    return not place.tops or isinstance(place.tops[0], Unknown) or place.tops[0] == view.axes


def channelwise(place: Place) -> Outcome:
    """The layer treats each place along axis 1 separately, and all values at that place alike."""
    if not _keep_shape(place, place.view):
        return unknown(place)
    return place.passes(place.view) if place.view.runs_over_channels(1) else apart(place, place.view, 1)


def slides(place: Place) -> Outcome:
    """The layer makes a map from a map. It stays where its bottoms are the same maps as in the original."""
    for blob, view in zip(place.node.bottoms, place.views, strict=True):
        if view is None or not view.is_map:
            if view is None:
                return refuses(Clash.LOST_AXES, place.type, blob.name, makes_map=True)
            return refuses(Clash.LOST_AXES_OF, place.type, blob.name, view.axes, makes_map=True)
    return Passes(tuple(map_of(blob, top) for blob, top in zip(place.node.tops, place.tops, strict=True)))


def counts(place: Place, *changes: FieldChange) -> Outcome:
    """The layer reads all values of its bottoms in their order, and its tops do not change."""
    for blob, view in zip(place.node.bottoms, place.views, strict=True):
        if view is not None and view.is_reordered:
            return refuses(Clash.BY_POSITION, place.type, blob.name)
    return Passes((None,) * len(place.node.tops), changes)


def loss(place: Place, *changes: FieldChange) -> Outcome:
    """A loss: a number, and as a further top the scores from which it is computed."""
    result, view = counts(place, *changes), place.views[0]
    if isinstance(result, Refuses) or view is None:
        return result
    tops = enumerate(place.node.tops)
    return Passes(tuple(view._replace(blob=top) if position else None for position, top in tops), changes)
