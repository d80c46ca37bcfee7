"""Computes the offset of a Crop without one from the geometry of the net, as forks of Caffe before 2016 did.

The offset is the cell of the first bottom at which the first cell of the second bottom lies. BVLC Caffe uses 0 instead.
A `Crop` without `crop_param` may mean either, so if the two differ, the user must decide.
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
"""The first axis that a Crop cuts by default, which is the first spatial one."""


class Trouble(Enum):
    """Why the geometry gives no offset."""

    UNCONNECTED = "unconnected"
    """The bottoms have no common origin."""
    STRIDES = "strides"
    """The bottoms have different strides; the numbers are the strides of the first in strides of the second."""
    WAYS = "ways"
    """Several paths lead to a bottom and do not agree; the numbers are the offsets by each path."""
    FRACTION = "fraction"
    NEGATIVE = "negative"
    TOO_LARGE = "too large"
    """The second bottom ends beyond the first; the numbers are the offsets."""
    PHASES = "phases"
    """The offset differs between the phases of the net; the numbers are the offsets in each."""


class Reading(NamedTuple):
    """The result for a Crop without an offset. LAYER is its `Node.index`, TOP its top. OFFSETS: along each spatial
    axis; or TROUBLE: why there are none, with the NUMBERS that show it, each along all axes."""

    layer: int
    name: str
    top: str
    offsets: Shape = ()
    trouble: Trouble | None = None
    numbers: tuple[tuple[Fraction, ...], ...] = ()

    @property
    def is_zero(self) -> bool:
        """Whether the offset is 0, as in BVLC Caffe."""
        return self.trouble is None and not any(self.offsets)


def gives_no_offset(layer: Message) -> bool:
    """Whether LAYER is a Crop whose offset forks before 2016 computed."""
    return layer.type == "Crop" and not layer.HasField("crop_param")


def read_crops(graph: Graph, shapes: Shapes) -> tuple[Reading, ...]:
    """The readings of all Crop layers of GRAPH without an offset. Earlier crops have the offsets of their readings."""
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
    """Where the cells of a second map lie in those of a first, along each axis: the first cell at OFFSETS, and then
    every STRIDES cells. SCALE: the size of a cell of the first in the common ORIGIN."""

    strides: tuple[Fraction, ...]
    offsets: tuple[Fraction, ...]
    scale: tuple[Fraction, ...]
    origin: Blob


def offsets_between(first: Places, second: Places) -> tuple[Offset, ...]:
    """Where the cells of a map with the places SECOND lie in those of a map with the places FIRST, for each common
    origin and each path from there. Paths that do not agree are used only if there are no others."""
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
    """NET with the offsets of READINGS in its Crop layers; a single number if all axes have the same."""
    changed = type(net)()
    changed.CopyFrom(net)
    for reading in readings:
        offsets: Sequence[int] = reading.offsets[:1] if len(set(reading.offsets)) == 1 else reading.offsets
        changed.layer[reading.layer].crop_param.offset[:] = offsets
    return changed


# ---- Words ----


def told(reading: Reading) -> str:
    """READING in words: the offset, or why there is none."""
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
    """VALUES in words; one number if all are equal."""
    return "×".join(map(str, values[:1] if len(set(values)) == 1 else values))
