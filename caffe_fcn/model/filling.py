"""Determines the values of layers for which the file has no weights: shared blobs, and blobs that a filler makes.

Caffe gives such a layer the blobs that it shares with another layer, and fills the others when it builds the net. If
the net names a filler that gives the same values each time (constant, bilinear), these are used like stored weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from math import ceil, prod
from typing import NamedTuple

from caffe_fcn import schema
from caffe_fcn.display import some
from caffe_fcn.errors import WeightsError
from caffe_fcn.files.blobs import BlobRecord, repeated
from caffe_fcn.files.caffemodel import LayerRecord, WeightFile
from caffe_fcn.files.source import Span
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.fillers import BIAS
from caffe_fcn.net.shapes import Shape, Shapes
from caffe_fcn.schema import Message

_CONSTANT, _BILINEAR = "constant", "bilinear"
_RANDOM = frozenset("gaussian msra positive_unitball uniform xavier".split())
_BILINEAR_AXES = 4
_SHOWN = 4


class Lack(Enum):
    """Why a blob that is not in the weights has no known values."""

    RANDOM = "random"
    """Its filler gives random values."""
    UNWRITTEN = "unwritten"
    """The net names no filler for it."""
    UNKNOWN = "unknown"
    """BVLC Caffe does not have its filler."""
    UNSUITABLE = "unsuitable"
    """Its filler does not support a blob of this shape, and Caffe refuses the net."""


class Filling(NamedTuple):
    """How a net fills a blob: the type of the filler, and the values, or why they are unknown."""

    filler: str
    values: BlobRecord | Lack


class Supply(NamedTuple):
    """The blobs of a layer for which the file has no weights: those that it shares and those that are filled. FILLERS:
    the types of the fillers. LACK: why there are no blobs."""

    node: Node
    blobs: tuple[BlobRecord, ...]
    fillers: tuple[str, ...]
    lack: Lack | None = None

    @property
    def reason(self) -> str:
        """Why the layer has the values that it has, or none, as the end of a clause about one or more layers."""
        filler = ", ".join(self.fillers)
        return {
            None: f"filled by the net ({filler})",
            Lack.RANDOM: f"filled by the net with random values ({filler})",
            Lack.UNWRITTEN: "without a filler in the net",
            Lack.UNKNOWN: f"with an unknown filler ({filler})",
            Lack.UNSUITABLE: f"with a filler that needs a square kernel over two axes ({filler})",
        }[self.lack]


def supplies(weights: WeightFile, graphs: Iterable[tuple[Graph, Shapes]]) -> tuple[Supply, ...]:
    """The supplies of the layers that have parameters but no blobs in WEIGHTS, in all phases of the net."""
    held = weights.held
    both = list(graphs)
    shared: dict[str, BlobRecord] = {}
    for node in (node for graph, _ in both for node in graph.nodes):
        for param, blob in zip(node.layer.param, held.get(node.name, ()), strict=False):
            if param.name:
                shared.setdefault(param.name, blob)
    found: dict[str, Supply] = {}
    for graph, shapes in both:
        for node in graph.nodes:
            params = shapes.params.get(node.index, ()) if node.index >= 0 else ()
            if params and node.name not in held and node.name not in found:
                found[node.name] = _supply(node, params, shared)
    return tuple(found.values())


def _supply(node: Node, params: Sequence[Shape], shared: dict[str, BlobRecord]) -> Supply:
    """The supply of NODE. SHARED: blobs by the name of their `param`; filled blobs are added to it."""
    blobs: list[BlobRecord] = []
    fillers: dict[str, None] = {}
    for position, shape in enumerate(params):
        name = node.layer.param[position].name if position < len(node.layer.param) else ""
        blob = shared.get(name) if name else None
        if blob is None or blob.count != prod(shape):
            filling = fill(node.layer, params, position)
            if isinstance(filling.values, Lack):
                return Supply(node, (), (filling.filler,) if filling.filler else (), filling.values)
            blob = filling.values
            fillers[filling.filler] = None
            if name:
                shared.setdefault(name, blob)
        blobs.append(blob)
    return Supply(node, tuple(blobs), tuple(fillers))


def fill(layer: Message, params: Sequence[Shape], position: int) -> Filling:
    """How Caffe fills blob POSITION of LAYER (filler.hpp). PARAMS: the shapes of the blobs of LAYER."""
    filler = _filler(layer, params, position)
    if filler is None:
        return Filling("", Lack.UNWRITTEN)
    shape, kind = params[position], str(filler.type)
    if kind == _CONSTANT:
        return Filling(kind, repeated(shape, (float(filler.value),)))
    if kind == _BILINEAR:
        square = len(shape) == _BILINEAR_AXES and shape[2] == shape[3] > 0
        return Filling(kind, repeated(shape, bilinear_kernel(shape[3])) if square else Lack.UNSUITABLE)
    return Filling(kind, Lack.RANDOM if kind in _RANDOM else Lack.UNKNOWN)


def _filler(layer: Message, params: Sequence[Shape], position: int) -> Message | None:
    """The filler that the net names for blob POSITION; for a bias without one, Caffe's default. None if there is
    none."""
    paths = row_of(layer.type).fillers(layer, params)
    if position >= len(paths):
        return None
    field, _, name = paths[position].partition(".")
    param = getattr(layer, field)
    if param.HasField(name):
        return getattr(param, name)
    return schema.FillerParameter() if position and name == BIAS else None


def bilinear_kernel(size: int) -> tuple[float, ...]:
    """The SIZE×SIZE kernel of BilinearFiller, row by row; all channels have the same."""
    factor = ceil(size / 2)
    centre = (size - 1) / (2 * factor)
    line = [1 - abs(place / factor - centre) for place in range(size)]
    return tuple(high * wide for high in line for wide in line)


def _differs_by_version(supply: Supply) -> bool:
    """Whether Caffe before October 2017 fills the bilinear kernel differently."""
    sizes = [blob.shape[3] for blob in supply.blobs if len(blob.shape) == _BILINEAR_AXES]
    return _BILINEAR in supply.fillers and any(size - 1 != 2 * (f := ceil(size / 2)) - 1 - f % 2 for size in sizes)


def notes(weights: WeightFile, found: Sequence[Supply]) -> Iterator[str]:
    """The notes on layers that are filled."""
    filled = [each for each in found if each.fillers and each.lack is None]
    if filled:
        told = some([f"{each.node.name} ({', '.join(each.fillers)})" for each in filled], _SHOWN)
        yield f"{weights.path} holds no weights for {told}; the values are those of the fillers in the net"
    old = [each.node.name for each in filled if _differs_by_version(each)]
    if old:
        yield f"BVLC Caffe before October 2017 fills the bilinear kernels of {some(old, _SHOWN)} with other values"


def words_of(found: Iterable[Supply]) -> str:
    """The layers FOUND, and why each has the values that it has, or none; layers of one reason together."""
    alike: dict[str, list[str]] = {}
    for each in found:
        alike.setdefault(each.reason, []).append(repr(each.node.name))
    told = [f"layer{'s' * (len(names) > 1)} {some(names, _SHOWN)}, {reason}" for reason, names in alike.items()]
    return some(told, _SHOWN, "; ")


def refuse_lacking(weights: WeightFile, nodes: Iterable[tuple[Node, Sequence[Shape]]]) -> None:
    """Raise WeightsError where WEIGHTS, completed, lack values for one of NODES, each with its parameter shapes."""
    held = {record.name for record in weights.layers if record.blobs}
    found = [_supply(node, params, {}) for node, params in nodes if params and node.name not in held]
    if found:
        raise WeightsError(
            f"holds no weights for {words_of(found)}", source=weights.path, hint="give weights that have these layers"
        )


def completed(weights: WeightFile, found: Iterable[Supply]) -> WeightFile:
    """WEIGHTS, with a record for each layer whose blobs are all shared, or filled with known values."""
    end = Span(weights.size, weights.size)
    more = []
    for supply in found:
        if supply.lack is None:
            header = schema.LayerParameter(name=supply.node.name, type=supply.node.type)
            raw = header.SerializeToString()
            more.append(LayerRecord(supply.node.name, "V2", header, supply.blobs, end, raw))
    if not more:
        return weights
    return WeightFile(weights.source, (*weights.layers, *more), weights.net_header, weights.raw)
