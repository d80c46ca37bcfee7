"""Gives the map of a net a finer stride: the last strides go, and the layers behind them are dilated (à trous).

A map of stride s gets the stride gcd(s, N), so that the strides before N stay and those behind it go. Then the old
cells are every D-th cell of the new map, D = s / gcd(s, N). A layer that reads such a map must reach D times as far to
read the same cells, and computes the cells between from the same weights:

    stride' = stride · D / D',  dilation' = dilation · D,  pad' = pad · D,

where D' is that of its top. Only a Convolution or an Im2col can do that; a layer with any other window is refused
behind a stride that went: Caffe has no dilation for Pooling, and a dilated Deconvolution would add new cells to the old
ones. A Pooling can lose its own stride, unless its last window is partial: partial windows only come of strides, so the
finer map would lack that cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, ClassVar, NamedTuple

from caffe_fcn.errors import ShapeError, SurgeryError
from caffe_fcn.model.changes import Change, Decision
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim, Phase, Result, in_every_phase
from caffe_fcn.net.exactness import Cause, Exactness
from caffe_fcn.net.geometry import Geometry, infer_geometry
from caffe_fcn.net.geometry.inference import maps_of, ways_of
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.convolutions import DEPTHWISE
from caffe_fcn.net.layers.moves import KEEP
from caffe_fcn.net.layers.windows import SIDED_PADS, Windows, rounds_down
from caffe_fcn.net.shapes import Shape, Shapes, show
from caffe_fcn.schema import Message
from caffe_fcn.wording import Command, Hint, Option, advise

_CONVOLUTIONS = DEPTHWISE | {"Convolution", "Im2col"}
_POOLING = "Pooling"


@dataclass(frozen=True, repr=False)
class SetWindows(Change):
    """A layer slides its window in other steps, or one that is dilated."""

    type: str
    before: Windows
    after: Windows
    kind: ClassVar[str] = "atrous"
    param: ClassVar[str]
    """The field of the layer that holds the windows."""

    def apply(self, target: Message) -> None:
        param, old, new = getattr(target, self.param), self.before, self.after
        if new.stride != old.stride:
            _set(param, "stride", new.stride)
        if new.dilation != old.dilation:
            _set(param, "hole" if _given(param, "hole") else "dilation", new.dilation)
        if (new.before, new.after) == (old.before, old.after):
            return
        if any(getattr(param, name) for name in SIDED_PADS):
            for name, value in zip(SIDED_PADS, (*new.before, *new.after), strict=True):
                setattr(param, name, value)
        else:
            _set(param, "pad", new.before)

    def describe(self) -> str:
        told = [
            f"{name} {_short(was)} → {_short(now)}"
            for name, was, now in (
                ("stride", self.before.stride, self.after.stride),
                ("dilation", self.before.dilation, self.after.dilation),
                ("pad", self.before.before, self.after.before),
            )
            if was != now
        ]
        return ", ".join(told)

    def document(self) -> dict[str, Any]:
        after = self.after
        windows = {"stride": after.stride, "dilation": after.dilation, "pad": after.before}
        return {"layer": self.layer, "type": self.type, **{name: list(each) for name, each in windows.items()}}


@dataclass(frozen=True, repr=False)
class DilatedConvolution(SetWindows):
    """A convolution has another stride, or reads cells that are further apart."""

    param: ClassVar[str] = "convolution_param"
    said: ClassVar[tuple[str, ...]] = ("convolution_param",)


@dataclass(frozen=True, repr=False)
class FinerPooling(SetWindows):
    """A Pooling has another stride."""

    param: ClassVar[str] = "pooling_param"
    said: ClassVar[tuple[str, ...]] = ("pooling_param",)


def _short(values: Shape) -> str:
    return show(values[:1] if len(set(values)) == 1 else values)


def _given(param: Message, name: str) -> bool:
    return any(param.HasField(each) for each in (name, f"{name}_h", f"{name}_w"))


def _set(param: Message, name: str, values: Shape) -> None:
    """Set the field NAME of PARAM, or NAME_h and NAME_w where these are given, to VALUES, one for each axis."""
    if hasattr(param, f"{name}_h") and (param.HasField(f"{name}_h") or param.HasField(f"{name}_w")):
        setattr(param, f"{name}_h", values[0])
        setattr(param, f"{name}_w", values[1])
    elif hasattr(getattr(param, name), "append"):
        held = getattr(param, name)
        held[:] = values if len(held) > 1 or len(set(values)) > 1 else values[:1]
    elif len(set(values)) == 1:
        setattr(param, name, values[0])
    else:
        param.ClearField(name)
        setattr(param, f"{name}_h", values[0])
        setattr(param, f"{name}_w", values[1])


def atrous(model: Model, stride: Sequence[int]) -> Result:
    """MODEL with a map that has a cell at every STRIDE-th pixel along each axis.

    Raises SurgeryError, naming the layer and a way round, where STRIDE does not divide the stride of a map, and where
    Caffe has no layer that would give the old answers.
    """
    asked = tuple(stride)
    try:
        return in_every_phase(model, lambda phase: _decide(phase, asked), claim=Claim.SAME_BITS, verb="dilate")
    except ShapeError as error:
        told = f"the net with the finer map would be refused: {error.within(model.source.name)}"
        raise SurgeryError(told, layer=error.layer, index=error.index, hint=_way_round()) from error


def _way_round() -> Hint:
    return advise(
        Command("run", ("stride",)), " gives such answers from shifted pictures, where borders do not change them"
    )


class _MapLayer(NamedTuple):
    """A layer that reads maps in which the old cells are every WAS-th, and makes one in which they are every IS-th."""

    node: Node
    top: Shape
    maps: dict[Blob, Geometry]
    was: Shape
    now: Shape


def _decide(phase: Phase, stride: Shape) -> Decision:
    """What changes in one phase of a net. Raises SurgeryError."""
    graph, shapes = phase.graph, phase.shapes
    known = infer_geometry(graph, shapes)
    maps = {blob: found for blob, found in known.items() if found is not None}
    if len(set(stride)) == 1:
        stride = stride[:1] * max((len(found.stride) for found in maps.values()), default=1)
    if _is_as_fine(graph, maps, stride):
        return Decision(())
    every = {blob: _every(found, stride) for blob, found in maps.items()}
    changes: list[Change] = []
    notes: list[str] = []
    for node in graph.nodes:
        for position, blob in enumerate(node.tops[:1]):
            top = shapes.blobs[blob]
            read = maps_of(node, position, shapes, known, top) if isinstance(top, tuple) and blob in maps else {}
            was = {every[each] for each in read} or {every[each] for each in node.bottoms if each in every}
            now = every.get(blob)
            if not was or (now is None and row_of(node.type).judges):
                continue
            finest = max(was)
            if all(factor == 1 for each in (*was, now or ()) for factor in each):
                continue
            if now is None or len(was) > 1 or not isinstance(top, tuple):
                raise _refused(node, "does not slide a window over its input")
            change = _changed(graph, shapes, _MapLayer(node, top, read, finest, now))
            if change is not None:
                changes.append(change)
                notes += _rounding(node, change)
    return Decision(tuple(changes), notes=tuple(notes))


def _every(geometry: Geometry, stride: Shape) -> Shape:
    """Of the cells of a map with the finer stride every so manieth, along each axis, is one that there is now."""
    return tuple(
        int(each) // gcd(int(each), wanted) if each.denominator == 1 else 1
        for each, wanted in zip(geometry.stride, stride, strict=True)
    )


def _is_as_fine(graph: Graph, maps: dict[Blob, Geometry], stride: Shape) -> bool:
    """Whether all last maps of GRAPH have STRIDE or a finer one already. Raises SurgeryError unless STRIDE suits them:
    some must get it, or have it."""
    place = Option("stride", stride if len(set(stride)) > 1 else stride[0])
    axes = {len(found.stride) for found in maps.values()} - {len(stride)}
    if axes:
        raise SurgeryError(f"expected {axes.pop()} extents, one for each spatial axis", place=place)
    ends = {blob: maps[blob].stride for blob in maps if not _makes_map(graph, maps, blob)}
    divided = [all(each % wanted == 0 for each, wanted in zip(found, stride, strict=True)) for found in ends.values()]
    finer = [all(wanted % each == 0 for each, wanted in zip(found, stride, strict=True)) for found in ends.values()]
    if not any(divided) or not all(map(max, divided, finer)):
        found = ", ".join(f"{blob.name!r} {'×'.join(f'{float(s):g}' for s in each)}" for blob, each in ends.items())
        raise SurgeryError(f"expected a divisor of the stride of the map: {found or 'there is no map'}", place=place)
    return all(finer)


def _makes_map(graph: Graph, maps: dict[Blob, Geometry], blob: Blob) -> bool:
    return any(top in maps for node in graph.consumers.get(blob, ()) for top in node.tops)


def _changed(graph: Graph, shapes: Shapes, place: _MapLayer) -> SetWindows | None:
    """What becomes of a layer, if anything. Raises SurgeryError where Caffe has no such layer."""
    node, was, now = place.node, place.was, place.now
    ways = ways_of(graph, node, place.maps, shapes, place.top)
    bottom = next((shapes.blobs[each] for each in place.maps), None)
    if ways is None or not isinstance(bottom, tuple):
        raise _refused(node, "does not slide a window over its input")
    training = graph.phase == "TRAIN"  # where the statistics are those of the batch, and a finer map has others
    reasons = [reason for way in ways for reason in way.reasons if not (training and reason.cause is Cause.BATCH)]
    if any(reason.exactness is Exactness.NOWHERE for reason in reasons):
        raise _refused(node, "does not slide a window over its input")
    rule = row_of(node.type).windows
    if rule is None or node.type not in (*_CONVOLUTIONS, _POOLING):
        if was == now and all(way.move == KEEP for way, each in zip(ways, was, strict=True) if each > 1):
            return None
        raise _refused(node, "cannot be dilated")
    old = rule(node.layer, bottom)
    pools = node.type == _POOLING
    if pools and any(each > 1 and kernel > 1 for each, kernel in zip(was, old.kernel, strict=True)):
        raise _refused(node, "cannot be dilated")
    new = Windows(
        old.kernel,
        tuple(step * before // after for step, before, after in zip(old.stride, was, now, strict=True)),
        tuple(each * factor for each, factor in zip(old.before, was, strict=True)),
        tuple(each * factor for each, factor in zip(old.after, was, strict=True)),
        tuple(d * factor if k > 1 else d for d, factor, k in zip(old.dilation, was, old.kernel, strict=True)),
    )
    if new == old:
        return None
    _check_whole(node, old, bottom[2:], place.top[2:])
    return (FinerPooling if pools else DilatedConvolution)(node.index, node.name, node.type, old, new)


def _check_whole(node: Node, windows: Windows, sizes: Shape, made: Shape) -> None:
    """Raise SurgeryError where the last window is partial: of a Pooling, or one that is larger than the map."""
    axes = zip(windows.padded(sizes), windows.extent, windows.stride, made, strict=True)
    if any((many - 1) * stride + extent > size for size, extent, stride, many in axes):
        why = f"has a partial window at the end of {show(sizes)} cells, which would be missing without its stride"
        raise _error(node, why)


def _rounding(node: Node, change: SetWindows) -> Iterator[str]:
    """A note on a Pooling whose last window may be partial on inputs of another size."""
    if node.type == _POOLING and max(change.before.kernel) > 1 and not rounds_down(node.layer):
        yield (
            f"on inputs where the last window of {node.name!r} is partial, the finer map ends one cell of the old map "
            "earlier"
        )


def _refused(node: Node, why: str) -> SurgeryError:
    return _error(node, f"follows a stride that would be removed, and {why}")


def _error(node: Node, why: str) -> SurgeryError:
    told = f"layer {node.name!r} ({node.type}) {why}"
    return SurgeryError(told, layer=node.name, layer_type=node.type, index=node.index, hint=_way_round())
