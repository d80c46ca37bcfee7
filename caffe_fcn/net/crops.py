"""Handles Crop layers without an offset.

In the V1 format only forks that computed the offset from the geometry of the net had a Crop, so the offset is computed
there. In the current format, a Crop without `crop_param` may have been written for those forks or for BVLC Caffe, which
uses 0: the user must choose.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from caffe_fcn.display import printable
from caffe_fcn.errors import NetError, ShapeError
from caffe_fcn.net.geometry.crops import Reading, Trouble, gives_no_offset, read_crops, told, with_offsets
from caffe_fcn.net.graph import Graph, build_graph
from caffe_fcn.net.options import Selection
from caffe_fcn.net.selection import graphs
from caffe_fcn.net.shapes import Shapes, Unknown, infer_shapes
from caffe_fcn.net.source import SourceNet
from caffe_fcn.schema import Message
from caffe_fcn.wording import Option, advise, option

BOTH = "BVLC Caffe uses 0; forks before 2016 compute it from the geometry of the net: "
"""The meaning of a missing offset, before the number."""


def _without_auto() -> str:
    """What the user can do if the geometry gives no offset for a Crop, so that "auto" is refused."""
    return f"use 0 with {option('crop_offset', 'zero')}, or write the offset in crop_param"


def settled(source: SourceNet, selection: Selection, *, strict: bool = True) -> tuple[SourceNet, list[str]]:
    """SOURCE with offsets in its Crop layers, and notes on them. The offsets are 0 if SELECTION says so; they follow
    from the geometry if SELECTION or the format of the file says so; else the net does not change.

    Raises NetError where the geometry gives no offset; if not STRICT, only where SELECTION asks for it.
    """
    zero = selection.crop_offset == "zero"
    if not any(gives_no_offset(layer) for layer in source.net.layer) or not (zero or is_automatic(source, selection)):
        return source, []
    phases = [(graph, _shapes(graph, selection)) for graph in graphs(source, selection).values()]
    strict = strict or selection.crop_offset == "auto"
    net, notes = _zeroed(source.net, phases) if zero else computed(source.net, phases, strict=strict)
    return replace(source, net=net), notes


def computed(net: Message, phases: Iterable[tuple[Graph, Shapes]], *, strict: bool = True) -> tuple[Message, list[str]]:
    """NET with offsets from its geometry in all PHASES in the Crop layers without one, and notes on them.

    Raises NetError where the geometry gives none; if not STRICT, such layers stay unchanged.
    """
    readings = _agreed([read_crops(*phase) for phase in phases])
    wrong = [each for each in readings if each.trouble is not None]
    if wrong and strict:
        source = next(graph.source for graph, _ in phases)
        raise NetError(
            f"the geometry of the net gives no offset for a Crop: {_told(wrong)}",
            source=source,
            hint=advise(
                "give the offset in crop_param, or use 0 as BVLC Caffe does, with ", Option("crop_offset", "zero")
            ),
        )
    good = [each for each in readings if each.trouble is None]
    notes = [f"offsets of Crop layers, computed from the geometry of the net: {_told(good)}"] if good else []
    return with_offsets(net, good), notes


def _zeroed(net: Message, phases: Iterable[tuple[Graph, Shapes]]) -> tuple[Message, list[str]]:
    """NET with the offset 0 in Crop layers without one, if its geometry in one of PHASES gives another offset, and
    notes on them."""
    readings = [each for each in _agreed([read_crops(*phase) for phase in phases]) if not each.is_zero]
    names = ", ".join(f'"{printable(each.name)}"' for each in readings)
    notes = [f"offset 0 in Crop layers, from {option('crop_offset', 'zero')}: {names}"] if readings else []
    return with_offsets(net, [each._replace(offsets=(0,)) for each in readings]), notes


def settled_inside(net: Message, name: str, selection: Selection) -> tuple[Message, list[str]]:
    """The same as `settled` for NET, which was inside the weights NAME, where types of forks in V1 are unknown."""
    if selection.crop_offset is None or not any(gives_no_offset(layer) for layer in net.layer):
        return net, []
    graph = build_graph(
        net, phase=selection.phase or "TEST", stages=selection.stages, level=selection.level, source=name
    )
    phases = [(graph, _shapes(graph, selection))]
    return _zeroed(net, phases) if selection.crop_offset == "zero" else computed(net, phases)


def is_automatic(source: SourceNet, selection: Selection) -> bool:
    """Whether the geometry decides on the Crop layers of SOURCE without an offset."""
    return selection.crop_offset == "auto" or (selection.crop_offset is None and source.format != "V2")


def _shapes(graph: Graph, selection: Selection) -> Shapes:
    """The shapes of GRAPH; empty if they are impossible with crops at offset 0."""
    try:
        return infer_shapes(graph, given={name: shape for name, shape in selection.given.items() if graph.latest(name)})
    except ShapeError:
        return Shapes({blob: Unknown("type", "", blob.name, "") for blob in graph.producer}, {}, ())


def _agreed(phases: Iterable[Sequence[Reading]]) -> list[Reading]:
    """The readings of all PHASES of a net together, each layer once; a layer in several must have one offset."""
    found: dict[int, Reading] = {}
    for reading in (reading for readings in phases for reading in readings):
        first = found.setdefault(reading.layer, reading)
        if (first.offsets, first.trouble) != (reading.offsets, reading.trouble):
            numbers = tuple(dict.fromkeys((*_numbers(first), *_numbers(reading))))
            found[reading.layer] = first._replace(offsets=(), trouble=Trouble.PHASES, numbers=numbers)
    return list(found.values())


def _numbers(reading: Reading) -> tuple[tuple[Fraction, ...], ...]:
    return reading.numbers or (tuple(map(Fraction, reading.offsets)),)


def undecided(graph: Graph, shapes: Shapes) -> list[Reading]:
    """The readings of the Crop layers of GRAPH for which the geometry gives another offset than BVLC Caffe uses, if the
    user has not decided between the two."""
    readings = () if graph.crops_at_zero else read_crops(graph, shapes)
    return [each for each in readings if not each.is_zero and each.trouble is not Trouble.UNCONNECTED]


def notes(nets: Mapping[str, tuple[Graph, Shapes]]) -> list[str]:
    """A note on Crop layers with an undecided offset in any phase of a net."""
    readings = _agreed([undecided(*net) for net in nets.values()])
    if not readings:
        return []
    all_readings = _agreed([read_crops(*net) for net in nets.values()])
    impossible = any(each.trouble is not None for each in all_readings)
    way = _without_auto() if impossible else f"choose one with {option('crop_offset')}"
    return [f"{_both(readings)}; {way}"]


def notes_on(source: SourceNet, selection: Selection) -> list[str]:
    """The same for SOURCE; no notes if it cannot be built."""
    if not any(gives_no_offset(layer) for layer in source.net.layer):
        return []
    try:
        found = graphs(source, selection)
    except NetError:
        return []
    return notes({phase: (graph, _shapes(graph, selection)) for phase, graph in found.items()})


def refusal(graph: Graph, shapes: Shapes) -> str | None:
    """Why GRAPH cannot be run before the user decides on the offsets of its Crop layers, and how; None if it can."""
    readings = undecided(graph, shapes)
    if not readings:
        return None
    if any(each.trouble is not None for each in read_crops(graph, shapes)):
        return f"{_both(readings)}; {_without_auto()}"
    ways = " or ".join(option("crop_offset", each) for each in ("auto", "zero"))
    return f"{_both(readings)}; choose one with {ways}"


def _both(readings: Sequence[Reading]) -> str:
    many = "a Crop layer has no offset" if len(readings) == 1 else f"{len(readings)} Crop layers have no offset"
    return f"{many}: {BOTH}{_told(readings)}"


def _told(readings: Sequence[Reading]) -> str:
    """READINGS in words, each with the name of its layer, and with its top if the name is not unique."""
    several = len({each.name for each in readings}) < len(readings)
    tops = [f' ("{printable(each.top)}")' if several else "" for each in readings]
    return ", ".join(f'"{printable(each.name)}"{top} {told(each)}' for each, top in zip(readings, tops, strict=True))
