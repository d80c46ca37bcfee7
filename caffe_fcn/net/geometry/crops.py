"""The offset of a Crop that gives none, as forks of Caffe before 2016 computed it: from the geometry of the net.

The Crop is to lay its first bottom on its second: the first cell of the second lies at some cell of the first, and
that is the offset. BVLC Caffe takes 0 instead. Either may be meant by a `Crop` without `crop_param`, so that where
the two differ somebody has to decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from fractions import Fraction
from typing import NamedTuple

from caffe_fcn.net.geometry.coordinates import Places, places_of_top
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.shapes import Shape, Shapes
from caffe_fcn.schema import Message

_SPATIAL = 2
"""The first axis that a Crop cuts unless it says otherwise, and the first spatial one."""


class Trouble(Enum):
    """Why the geometry gives no offset."""

    UNCONNECTED = "unconnected"
    """The bottoms have no blob in common that both are mapped from."""
    STRIDES = "strides"
    """The cells of the bottoms are not equally far apart; the numbers are the steps of the first in steps of the
    second."""
    WAYS = "ways"
    """Several ways lead to a bottom, and do not agree; the numbers are the offsets by each."""
    FRACTION = "fraction"
    NEGATIVE = "negative"
    TOO_LARGE = "too large"
    """The second bottom does not end within the first; the numbers are the offsets."""
    PHASES = "phases"
    """The net has several phases, and the offset is not the same in them; the numbers are the offsets in each."""


class Reading(NamedTuple):
    """What the geometry says of a Crop without an offset, the LAYER by its `Node.index`, which makes the blob TOP: its
    OFFSETS along each spatial axis, or the TROUBLE and the NUMBERS that show it, each along all axes."""

    layer: int
    name: str
    top: str
    offsets: Shape = ()
    trouble: Trouble | None = None
    numbers: tuple[tuple[Fraction, ...], ...] = ()

    @property
    def is_zero(self) -> bool:
        """Whether it says what BVLC Caffe takes."""
        return self.trouble is None and not any(self.offsets)


def gives_no_offset(layer: Message) -> bool:
    """Whether LAYER is a Crop of which forks before 2016 computed the offset."""
    return layer.type == "Crop" and not layer.HasField("crop_param")


def read_crops(graph: Graph, shapes: Shapes) -> tuple[Reading, ...]:
    """What the geometry says of each Crop of GRAPH that gives no offset, those before it being cut as it says."""
    if not any(gives_no_offset(node.layer) for node in graph.nodes):
        return ()
    known: dict[Blob, Places] = {}
    readings = []
    for node in graph.nodes:
        offsets = None
        if gives_no_offset(node.layer) and len(node.bottoms) == _SPATIAL and len(node.tops) == 1:
            reading = _read(node, shapes, known)
            readings.append(reading)
            offsets = reading.offsets or None
        for position, blob in enumerate(node.tops):
            known[blob] = places_of_top(graph, node, position, shapes, known, offsets)
    return tuple(readings)


def _read(node: Node, shapes: Shapes, known: Mapping[Blob, Places]) -> Reading:
    found = Reading(node.index, node.name, node.tops[0].name)
    cropped, reference = (known[blob] for blob in node.bottoms)
    ways = offsets_between(cropped, reference)
    if not ways:
        return found._replace(trouble=Trouble.UNCONNECTED)
    strides = dict.fromkeys(tuple(1 / stride for stride in way.strides) for way in ways)
    if any(stride != 1 for each in strides for stride in each):
        return found._replace(trouble=Trouble.STRIDES, numbers=tuple(strides))
    offsets = tuple(dict.fromkeys(way.offsets for way in ways))
    found = found._replace(numbers=offsets)
    if len(offsets) > 1:
        return found._replace(trouble=Trouble.WAYS)
    if any(offset.denominator != 1 for offset in offsets[0]):
        return found._replace(trouble=Trouble.FRACTION)
    if min(offsets[0]) < 0:
        return found._replace(trouble=Trouble.NEGATIVE)
    first, second = (shapes.blobs[blob] for blob in node.bottoms)
    if isinstance(first, tuple) and isinstance(second, tuple):
        sizes = zip(first[_SPATIAL:], second[_SPATIAL:], offsets[0], strict=False)
        if any(size - offset < wanted for size, wanted, offset in sizes):
            return found._replace(trouble=Trouble.TOO_LARGE)
    return found._replace(offsets=tuple(map(int, offsets[0])), numbers=())


class Offset(NamedTuple):
    """Where the cells of a second map lie in those of a first, along each axis: its first cell at OFFSETS, and from
    there on every STRIDES cells. SCALE is how large cells of the first are in the ORIGIN of both."""

    strides: tuple[Fraction, ...]
    offsets: tuple[Fraction, ...]
    scale: tuple[Fraction, ...]
    origin: Blob


def offsets_between(first: Places, second: Places) -> tuple[Offset, ...]:
    """Where the cells of a map with the places SECOND lie in those of one with the places FIRST: by each origin that
    both have, and by each way from there. Ways of which some do not agree count only where there are no others."""
    found: list[tuple[Offset, ...]] = []
    for origin in first.keys() & second.keys():
        ways = {
            Offset(
                tuple(b.stride / a.stride for a, b in zip(one, other, strict=True)),
                tuple((b.offset - a.offset) / a.stride for a, b in zip(one, other, strict=True)),
                tuple(a.stride for a in one),
                origin,
            )
            for one in first[origin]
            for other in second[origin]
            if len(one) == len(other)
        }
        found.append(tuple(sorted(ways)))
    single = [ways for ways in found if len({(way.strides, way.offsets) for way in ways}) == 1]
    return tuple(way for ways in sorted(single or found) for way in ways)


def with_offsets(net: Message, readings: Iterable[Reading]) -> Message:
    """NET with the offsets of READINGS written into its Crop layers: one where all axes have the same."""
    changed = type(net)()
    changed.CopyFrom(net)
    for reading in readings:
        offsets: Sequence[int] = reading.offsets[:1] if len(set(reading.offsets)) == 1 else reading.offsets
        changed.layer[reading.layer].crop_param.offset[:] = offsets
    return changed


# ---- Words ----


def told(reading: Reading) -> str:
    """What the geometry says, in words: an offset, or why there is none."""
    if reading.trouble is None:
        return _numbers(tuple(map(Fraction, reading.offsets)))
    return _TROUBLES[reading.trouble].format(" and ".join(map(_numbers, reading.numbers)))


_TROUBLES = {
    Trouble.UNCONNECTED: "none, because no layers map cells of one bottom to cells of the other",
    Trouble.STRIDES: "none, because a step in the first bottom is {} steps in the second",
    Trouble.WAYS: "none, because the paths through the net give different offsets: {}",
    Trouble.FRACTION: "{}, which is not a whole number",
    Trouble.NEGATIVE: "{}, which is negative",
    Trouble.TOO_LARGE: "{}, at which the first bottom is too small for the second",
    Trouble.PHASES: "none, because the phases give different offsets: {}",
}


def _numbers(values: tuple[Fraction, ...]) -> str:
    """One number where it is the same along all axes."""
    return "×".join(map(str, values[:1] if len(set(values)) == 1 else values))
