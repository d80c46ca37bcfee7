"""A layer whose bottoms are views, and what it can do with them: the words in which the rules of this package speak."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, TypeAlias

from caffe_fcn.net.graph import Node
from caffe_fcn.net.shapes import Shape, Unknown, show
from caffe_fcn.surgery.edits import SetParameter
from caffe_fcn.surgery.views import View


class Passes(NamedTuple):
    """The layer stays. TOPS has a view for each top that is one as well, and None for one that is not, as a loss.
    CHANGES is what the layer itself needs for that."""

    tops: tuple[View | None, ...]
    changes: tuple[SetParameter, ...] = ()


class Vanishes(NamedTuple):
    """The twin does without the layer: its top is VIEW."""

    view: View


class Refuses(NamedTuple):
    """The layer cannot take the bottom; REASON reads after the layer's name. BY_AXIS: because it works along an axis,
    or on positions, that a sliding window does not have. MAKES_MAP: in the original, its top may be a map again."""

    reason: str
    by_axis: bool = False
    makes_map: bool = False


Outcome: TypeAlias = Passes | Vanishes | Refuses


class Place(NamedTuple):
    """A layer, the views of its bottoms (None for one that is no map), and the shapes of its tops in the original."""

    node: Node
    views: tuple[View | None, ...]
    tops: tuple[Shape | Unknown, ...]

    @property
    def type(self) -> str:
        """The layer's type."""
        return self.node.type

    @property
    def view(self) -> View:
        """The view of the first bottom, where that cannot be None: it is the only one, or a rule has looked."""
        view = self.views[0]
        assert view is not None
        return view

    def passes(self, view: View, *changes: SetParameter) -> Passes:
        """The first top is VIEW under the top's name; further tops are none."""
        return Passes((replace(view, blob=self.node.tops[0]), *(None for _ in self.node.tops[1:])), changes)

    def change(self, message: str, field: str, value: int) -> SetParameter:
        """The edit that sets FIELD of MESSAGE."""
        return SetParameter(self.node.index, self.node.name, message, field, value)

    def along(self, axis: int, view: View, message: str, field: str = "axis") -> tuple[SetParameter, ...]:
        """The edit that makes FIELD of MESSAGE the AXIS of the twin's map, if it does not say so already."""
        value, axes = getattr(getattr(self.node.layer, message), field), len(view.shape)
        return () if -axes <= value < axes and value % axes == axis else (self.change(message, field, axis),)


def off_axis(place: Place, view: View, axis: int) -> Refuses:
    """The layer works along AXIS of the original, which is not the channels of the twin."""
    name = place.node.bottoms[place.views.index(view)].name
    return Refuses(
        f"({place.type}) works along axis {axis} of {name!r} ({show(view.axes)}), which does not run over the channels "
        f"of the map {show(view.shape)} in its place",
        by_axis=True,
    )


def apart(place: Place, view: View, axis: int) -> Refuses:
    """The layer has a value of its own for each place along AXIS of the original."""
    if view.positions == 1 or len(view.axes) > 2:
        return off_axis(place, view, axis)
    name = place.node.bottoms[0].name
    reason = f"({place.type}) treats each of the {show(view.spatial)} positions of {name!r} on its own"
    return Refuses(reason, by_axis=True)


def along_space(place: Place) -> Refuses:
    """The layer works along the spatial axes."""
    return Refuses(f"({place.type}) works along the spatial axes, which are longer on a larger input", by_axis=True)


def mixture(place: Place) -> Refuses:
    """The bottoms are not maps of one kind."""
    named = list(zip(place.node.bottoms, place.views, strict=True))
    if any(view is None for _, view in named):
        stays = ", ".join(repr(blob.name) for blob, view in named if view is None)
        dense = ", ".join(repr(blob.name) for blob, view in named if view is not None)
        return Refuses(f"({place.type}) joins {dense}, which becomes a map, with {stays}, which does not")
    maps = [f"{blob.name!r} (map {show(view.shape)}, before {show(view.axes)})" for blob, view in named if view]
    return Refuses(f"({place.type}) joins {' and '.join(maps)}")
