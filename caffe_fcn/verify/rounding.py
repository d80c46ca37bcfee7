"""Measures how much rounding changes the answers of a net: the difference allowed between two equivalent nets.

The original runs once more, with rounding errors that are large enough to be measured. Single
precision rounds every result to 24 bits. In the *coarse* net each blob is rounded to 24 - s bits, by layers of Caffe's
own, so that every engine runs it: with c = (2^s + 1)·x, the value c - (c - x) is x in 24 - s bits (Veltkamp's
splitting). Two places are rounded in each layer:

- its result, as the arithmetic does. A sum of K terms of one sign is off by about sqrt(K)/3 roundings of its value.
- what goes into it. K terms of both signs, whose sum may be next to nothing, leave an error of about sqrt(K/6)
  roundings of each term, which the result does not show any more: cancellation.

Functions that are computed by way of numbers around one, a Sigmoid, are rounded there as well: what they make may be
next to nothing, and is off by a rounding of one.

So s is the logarithm of that many roundings, and of GAIN. Whatever the layers do with such errors (a product adds
relative errors, a power multiplies them, a difference, a logarithm or a division by a small deviation magnifies them, a
Sigmoid damps them), the coarse net does with errors that are GAIN times as large. How far it is from the original,
divided by GAIN, is what rounding does to the original; _SURE times that is allowed between it and its new net. How
often that is measured is said in `limits`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from math import ceil, log2, sqrt
from typing import NamedTuple

from caffe_fcn import schema
from caffe_fcn.engines.onnxruntime import OnnxRuntime, onnxruntime
from caffe_fcn.engines.protocol import Array, ShapedNet
from caffe_fcn.errors import ExtraError, LoweringError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shape
from caffe_fcn.onnx.scope import Scope
from caffe_fcn.schema import Message
from caffe_fcn.verify.differences import difference
from caffe_fcn.verify.items import Items, Runner
from caffe_fcn.verify.limits import FACTORS, Limits
from caffe_fcn.verify.outputs import ComparedOutput, Party
from caffe_fcn.verify.parts import assemble
from caffe_fcn.verify.terms import terms
from caffe_fcn.wording import command

_BITS = 6
GAIN = 2.0**_BITS
"""How much larger the errors are than those of single precision. Large enough that the errors of running the coarse
net do not count beside them, and small enough that they act as small errors do."""

_SURE = 32.0
"""How many times the difference measured is allowed: both nets round, each in its own order, and the largest of a few
differences is no bound. In 1,063 comparisons of random nets the new net's was at most six times as large, and once
17."""

_ENOUGH, _FEWEST = 512, 2
"""At first, so many values of each group are enough, of so many items at least."""

_LEAST = 16 * 2.0**-24
"""Allowed in any case: a few roundings of the answer itself."""


def too_coarse() -> str:
    """Why answers are not compared that rounding moves too far."""
    way = command("verify", "tolerance")
    return f"rounding alone changes the answers too much for a comparison; {way} compares them anyway"


_MOST_BITS = 18
"""So many bits are rounded away at most: six are left."""


class Answered(NamedTuple):
    """ITEMS, what the original ANSWERS to them, by blob, and GROUPS of their places that have a scale of their own."""

    items: Items
    answers: Mapping[str, Array]
    groups: Sequence[Sequence[int]]


def allowances(runner: Runner, original: Party, outputs: Sequence[ComparedOutput], known: Answered) -> Limits:
    """The difference, relative to its scale, that rounding explains in each of OUTPUTS of ORIGINAL, whose answers are
    KNOWN. It is measured on the first items of each group if these have many values, and on all of them later."""

    def measure(factor: float) -> Mapping[str, float]:
        coarse = coarsened(original.scope, original.inputs, factor)
        names = {output.judged.name: coarse.names[output.judged.name] for output in outputs}
        values = min((known.answers[name][0].size for name in names), default=0)
        few = max(_FEWEST, ceil(_ENOUGH / max(1, values))) if factor == FACTORS[0] else None
        groups = [list(group)[:few] for group in known.groups]
        places = [place for group in groups for place in group]
        rough = _run(runner, coarse.net, original.weights, known.items.part(places), list(names.values()))

        def apart(output: ComparedOutput, group: list[int]) -> float:
            clean, other = known.answers[output.judged.name][group], rough[names[output.judged.name]]
            found = other[[places.index(place) for place in group]]
            return difference(clean, found, 0.0, softmax=output.softmax).relative

        measured = {output.pair.name: max(apart(output, group) for group in groups) for output in outputs}
        return {name: explained(most) for name, most in measured.items()}

    return Limits(measure)


def explained(coarse: float) -> float:
    """The relative difference that rounding explains where the COARSE net is so far from the original."""
    return max(_LEAST, _SURE * coarse / GAIN)


def fixed(outputs: Sequence[ComparedOutput], tolerance: float) -> Limits:
    """TOLERANCE in place of what rounding explains in OUTPUTS."""
    return Limits(lambda _: dict.fromkeys((output.pair.name for output in outputs), tolerance))


def _run(
    runner: Runner, net: ShapedNet, weights: WeightFile, items: Items, outputs: Sequence[str]
) -> Mapping[str, Array]:
    """What the coarse NET makes of ITEMS: in onnxruntime, where it is installed and has all layers of NET, else by
    RUNNER. OpenCV joins layers, and then other results are rounded; what rounding does is a property of the net,
    whatever runs it."""
    if not isinstance(runner.engine, OnnxRuntime):
        with suppress(ExtraError, LoweringError):
            onnxruntime()
            return Runner(OnnxRuntime()).run(net, weights, items, outputs)
    return runner.run(net, weights, items, outputs)


class Coarse(NamedTuple):
    """The coarse NET, and what the blobs of the original are called in it, the last version of each."""

    net: ShapedNet
    names: Mapping[str, str]


def coarsened(scope: Scope, fed: Mapping[str, Shape], factor: float = 1.0) -> Coarse:
    """The net of SCOPE, fed blobs of the shapes FED, rounded coarsely, to multiples of FACTOR. Raises NetError or
    ShapeError."""
    taken = [*fed, *(node.name for node in scope.graph.nodes)]
    new = "r" * (1 + max(map(len, taken), default=0))  # longer than any name, and so none
    names = {blob: f"{new} {place}" for place, blob in enumerate(scope.graph.producer)}
    names |= {blob: blob.name for blob in scope.inputs}
    layers: list[tuple[Message, Node | None]] = []
    lost: dict[Blob, int] = {}
    for place, node in enumerate(scope.graph.nodes):
        if not any(top in scope.inputs for top in node.tops):
            made = _rounded(node, scope, names, f"{new} of {place}", factor, lost)
            layers += ((layer, node if layer.name == node.name else None) for layer in made)
    return Coarse(assemble(layers, fed, scope.graph), {blob.name: name for blob, name in names.items()})


def _rounded(
    node: Node, scope: Scope, names: Mapping[Blob, str], new: str, factor: float, lost: dict[Blob, int]
) -> Iterator[Message]:
    """NODE with its bottoms and tops rounded, to multiples of FACTOR. NEW begins the names of blobs that are added.
    LOST are the bits that blobs are without already: to round them away once more changes nothing, and is left out."""
    count = terms(node, scope.shapes)
    inside, outside = _bits(sqrt(count / 6)), _bits(sqrt(count) / 3)
    row, layer = row_of(node.type), schema.LayerParameter()
    layer.CopyFrom(node.layer)
    for place, blob in enumerate(node.bottoms):
        layer.bottom[place] = names[blob]
        if place < _first(row.index_bottoms, node.bottoms) and lost.get(blob, 0) < inside:
            layer.bottom[place] = f"{new} in {place}"
            yield from _rounding(names[blob], layer.bottom[place], inside, factor)
    passed = min((max(lost.get(blob, 0), inside) for blob in node.bottoms), default=0) if _passes(node) else 0
    after: list[Message] = []
    for place, blob in enumerate(node.tops):
        layer.top[place] = names[blob]
        if place < _first(row.index_tops, node.tops):
            lost[blob] = max(passed, outside)
            if passed >= outside:
                continue
            made = layer.top[place] = f"{new} out {place}"
            if row.near_one:
                by = names[node.bottoms[0]] if row.near_one == "factor" else None
                after += _shifted(made, f"{made} far", by, factor)
                made = f"{made} far"
            after += _rounding(made, names[blob], outside, factor)
    yield layer
    yield from after


def _first(index: int | None, blobs: Sequence[Blob]) -> int:
    """At which of BLOBS those begin that hold places and not values, from INDEX on."""
    return len(blobs) if index is None else index


def _passes(node: Node) -> bool:
    """Whether every value that NODE makes is one of a bottom, or 0."""
    row = row_of(node.type)
    return row.picks(node.layer) or row.unchanging(node.layer)


def _bits(roundings: float) -> int:
    """How many bits are to be rounded away for so many ROUNDINGS."""
    return min(_MOST_BITS, _BITS + round(log2(max(1.0, roundings))))


def _shifted(bottom: str, top: str, by: str | None, factor: float) -> Iterator[Message]:
    """Layers that round the sum of the blob BOTTOM and the blob BY, or one, and take BY away again."""
    sums = (f"{top} sum", f"{top} rounded")
    for sign, below, above in ((1, bottom, sums[0]), (-1, sums[1], top)):
        if by is None:
            made = schema.LayerParameter(name=above, type="Power", bottom=[below], top=[above])
            made.power_param.shift = sign
        else:
            made = schema.LayerParameter(name=above, type="Eltwise", bottom=[below, by], top=[above])
            made.eltwise_param.coeff.extend((1, sign))
        yield made
        if sign > 0:
            yield from _rounding(*sums, _BITS, factor)


def _rounding(bottom: str, top: str, bits: int, factor: float) -> Iterator[Message]:
    """Layers that round the blob BOTTOM to 24 - BITS bits, as a multiple of FACTOR."""
    large, rest = f"{top} large", f"{top} rest"
    made = schema.LayerParameter(name=large, type="Power", bottom=[bottom], top=[large])
    made.power_param.scale = (2.0**bits + 1) / factor
    yield made
    for whole, part, left, by in ((large, bottom, rest, (1, -1 / factor)), (large, rest, top, (factor, -factor))):
        made = schema.LayerParameter(name=left, type="Eltwise", bottom=[whole, part], top=[left])
        made.eltwise_param.coeff.extend(by)
        yield made
