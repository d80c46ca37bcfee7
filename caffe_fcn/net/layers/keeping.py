"""Which channels of the tops are left where only some channels of the bottoms are.

A layer that loses outputs leaves its readers fewer channels. `KeptChannels` says which ones along which axis. A rule
of a layer type gives what is left of its tops; types without a rule are refused behind a layer that was reduced.
"""

# Annotations are objects here and not text, which NamedTuple would have to compile when the program starts.

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple, TypeAlias

from caffe_fcn.net.layers.shape import Shape, joined_axis
from caffe_fcn.schema import Message


class KeptChannels(NamedTuple):
    """Of the EXTENT of a blob along AXIS the PLACES that are left, in ascending order."""

    axis: int
    extent: int
    places: tuple[int, ...]

    def of(self, shape: Shape) -> Shape:
        """SHAPE with what is left."""
        return (*shape[: self.axis], len(self.places), *shape[self.axis + 1 :])


class Blobs(NamedTuple):
    """The old shapes of the bottoms and of the first top of a layer, and what is left of each bottom, None for all."""

    bottoms: Sequence[Shape]
    top: Shape
    kept: Sequence[KeptChannels | None]


class Unlike(NamedTuple):
    """The bottoms of a layer, by position, that do not keep the same channels, although they have to."""

    first: int
    second: int


KeepsRule: TypeAlias = Callable[[Message, Blobs], KeptChannels | Unlike | None]
"""What is left of each top: None for all of it."""


def same_channels(_layer: Message, blobs: Blobs) -> KeptChannels | Unlike | None:
    """Each channel of a top is made for that channel of the first bottom."""
    return blobs.kept[0]


def all_alike(_layer: Message, blobs: Blobs) -> KeptChannels | Unlike | None:
    """All bottoms keep the same channels; a scalar has none."""
    for position, (shape, kept) in enumerate(zip(blobs.bottoms, blobs.kept, strict=True)):
        if shape and kept != blobs.kept[0]:
            return Unlike(0, position)
    return blobs.kept[0]


def no_channels(_layer: Message, _blobs: Blobs) -> KeptChannels | Unlike | None:
    """The top does not depend on the channels of the bottoms."""
    return None


def with_operand(axis: Callable[[Message], int]) -> KeepsRule:
    """A second bottom lies along the axes of the first one from AXIS on."""

    def rule(layer: Message, blobs: Blobs) -> KeptChannels | Unlike | None:
        kept = blobs.kept[0]
        if len(blobs.bottoms) > 1:
            start = axis(layer) % len(blobs.bottoms[0]) if blobs.bottoms[1] else 0
            inside = kept is not None and start <= kept.axis < start + len(blobs.bottoms[1])
            if blobs.kept[1] != (kept._replace(axis=kept.axis - start) if kept and inside else None):
                return Unlike(0, 1)
        return kept

    return rule


def joined(layer: Message, blobs: Blobs) -> KeptChannels | Unlike | None:
    """The bottoms of a Concat lie one behind the other, and so does what is left of them."""
    axis = joined_axis(layer, blobs.bottoms[0])
    if any(kept and kept.axis != axis for kept in blobs.kept):
        return all_alike(layer, blobs)
    places: list[int] = []
    start = 0
    for shape, kept in zip(blobs.bottoms, blobs.kept, strict=True):
        places += [start + place for place in (kept.places if kept else range(shape[axis]))]
        start += shape[axis]
    return KeptChannels(axis, start, tuple(places)) if len(places) < start else None


def in_order(order: Callable[[Message, int], tuple[int, ...]]) -> KeepsRule:
    """The axes of the bottom in ORDER."""

    def rule(layer: Message, blobs: Blobs) -> KeptChannels | Unlike | None:
        kept = blobs.kept[0]
        return kept and kept._replace(axis=order(layer, len(blobs.bottoms[0])).index(kept.axis))

    return rule


def flattened(_layer: Message, blobs: Blobs) -> KeptChannels | Unlike | None:
    """The values get other axes in their order: the axis that is cut stays, or becomes part of a longer one. Where it
    is divided, nothing can be said, and the first bottom is unlike itself."""
    kept, bottom, top = blobs.kept[0], blobs.bottoms[0], blobs.top
    if kept is None:
        return None
    for axis, extent in enumerate(top):
        before = prod(top[:axis])
        for first in range(kept.axis + 1):
            for last in range(kept.axis, len(bottom)):
                if before == prod(bottom[:first]) and extent == prod(bottom[first : last + 1]):
                    places = spread(kept, prod(bottom[first : kept.axis]), prod(bottom[kept.axis + 1 : last + 1]))
                    return KeptChannels(axis, extent, places)
    return Unlike(0, 0)


def spread(kept: KeptChannels, outer: int, inner: int) -> tuple[int, ...]:
    """The places of what is KEPT where its axis lies between OUTER and INNER others, all of them one axis."""
    return tuple(
        (block * kept.extent + place) * inner + value
        for block in range(outer)
        for place in kept.places
        for value in range(inner)
    )
