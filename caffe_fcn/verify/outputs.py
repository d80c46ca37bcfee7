"""What the proofs compare: the two nets as they are run, and their outputs in pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from caffe_fcn.compare.numbering import number_both
from caffe_fcn.engines.protocol import Array, ShapedNet
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.graph import Blob
from caffe_fcn.net.shapes import Shape
from caffe_fcn.onnx.scope import Scope
from caffe_fcn.passes.convolutionalize.pooling import is_global
from caffe_fcn.verify.differences import chosen, difference
from caffe_fcn.verify.identity import Stored, identify
from caffe_fcn.verify.items import Items, Runner
from caffe_fcn.verify.limits import Limits
from caffe_fcn.verify.records import Difference, OutputPair

ALL = 0
"""Used instead of an axis: all values of an item."""


class Party(NamedTuple):
    """One of the two nets: its weights, the part of it that runs, and its inputs at the nominal size."""

    net: ShapedNet
    weights: WeightFile
    scope: Scope
    inputs: dict[str, Shape]

    def run(self, runner: Runner, items: Items, names: Sequence[str]) -> dict[str, Array]:
        """The blobs NAMES of the net for ITEMS."""
        return runner.run(self.net, self.weights, items, names)


class ComparedOutput(NamedTuple):
    """An output of the original, its blob, and its counterpart in the new net.

    Where it says at which places values are the greatest (ArgMax), the values themselves are JUDGED, along AXIS,
    counted from the last one, or ALL of an item; in other cases JUDGED is the blob itself, and AXIS None. SOFTMAX:
    whether the judged values are probabilities. IDENTICAL: whether the same layers with the same blobs make it in both
    nets. CONVERTED: whether the layers that make it differ in more than their blobs. Of the cells of the new net's map
    EVERY so manieth along each axis is one of the original's; without it all are.
    """

    pair: OutputPair
    blob: Blob
    twin: Blob
    judged: Blob
    axis: int | None
    softmax: bool
    identical: bool
    converted: bool
    every: Shape = ()

    def of_original(self, values: Array) -> Array:
        """Of VALUES of the new net, whose last axes are cells, those that the original has as well."""
        if max(self.every, default=1) == 1:
            return values
        places: Any = (..., *(slice(None, None, step) for step in self.every))
        found: Array = values[places]
        return found


def names_of(outputs: Sequence[ComparedOutput]) -> list[str]:
    """The names of the blobs of the original that are needed to compare OUTPUTS."""
    return list(dict.fromkeys(name for each in outputs for name in (each.blob.name, each.judged.name)))


def compared(
    output: ComparedOutput, answers: Array, judged: Array, found: Array, limits: Limits, *, alike: bool = True
) -> Difference:
    """The difference between FOUND and ANSWERS, the original's OUTPUT; for indices, between their values in JUDGED.
    ALIKE: the two should be equal, so LIMITS are widened while they do not explain the difference."""
    while True:
        made = compared_within(output, answers, judged, found, limits[output.pair.name])
        if made.small or not alike or not limits.widened(made.relative):
            return made


def compared_within(output: ComparedOutput, answers: Array, judged: Array, found: Array, limit: float) -> Difference:
    """The same with one LIMIT."""
    found = found.reshape(answers.shape)
    if output.axis is None:
        return difference(answers, found, limit, softmax=output.softmax)
    if output.axis == ALL:
        found = found.reshape(-1, answers.shape[-1])
        return chosen(judged.reshape(len(found), -1), found, -1, limit, softmax=output.softmax)
    return chosen(judged, found, output.axis, limit, softmax=output.softmax)


class Pairs(NamedTuple):
    """The OUTPUTS of both nets in pairs, FAILURES about outputs without a counterpart, and the SHARED blobs of the new
    net, which the same layers make in the original, apart from parameter blobs."""

    outputs: Sequence[ComparedOutput]
    failures: Sequence[str]
    shared: frozenset[Blob]
    values: tuple[Mapping[Blob, int], Mapping[Blob, int]]
    """The numbers of the blobs of both nets; equal numbers mean equal values."""
    windowed: frozenset[str]
    """The layers of the original, by name, for which the new net has other windows: global poolings that became
    windows, and layers whose windows have other steps."""


def pair_outputs(original: Scope, twin: Scope, stored: tuple[Stored, Stored]) -> Pairs:
    """The outputs of both nets in pairs. STORED gives the keys of their parameter blobs."""
    ours, theirs = number_both(original.graph, twin.graph)
    before, after = identify((original.graph, original.shapes, stored[0]), (twin.graph, twin.shapes, stored[1]))
    there: dict[int, list[Blob]] = {}
    for blob in twin.outputs:
        there.setdefault(theirs.blobs[blob], []).append(blob)
    found, failures = [], []
    for blob in original.outputs:
        alike = there.get(ours.blobs[blob])
        if not alike:
            failures.append(f"the converted net has no output for {blob.name!r}")
            continue
        other = alike.pop(next((place for place, each in enumerate(alike) if each.name == blob.name), 0))
        by, axis = judged(original, blob)
        found.append(
            ComparedOutput(
                OutputPair(blob.name, other.name),
                blob,
                other,
                by,
                axis,
                softmax=original.graph.producer[by].type == "Softmax",
                identical=before.values[blob] == after.values[other],
                converted=before.structure[blob] != after.structure[other],
            )
        )
    failures += [
        f"the output {blob.name!r} of the converted net matches no output of the original"
        for left in there.values()
        for blob in left
    ]
    failures += _exchanged(found)
    known = set(before.structure.values())
    shared = frozenset(blob for blob, number in after.structure.items() if number in known)
    windowed = frozenset(
        node.name
        for number, node in ours.layers.items()
        if is_global(node) and number in theirs.layers and not is_global(theirs.layers[number])
    )
    return Pairs(found, failures, shared, (before.values, after.values), windowed)


def _exchanged(outputs: Sequence[ComparedOutput]) -> Iterator[str]:
    """A line for each output of the new net with the name of another output of the original: a program that asks for it
    by name would get the wrong one. A name that only one of the nets has does no harm."""
    named = {output.twin.name: output for output in outputs}
    for output in outputs:
        other = named.get(output.blob.name)
        if other is not None and other.blob.name != output.blob.name:
            yield f"the output {output.blob.name!r} of the converted net matches {other.blob.name!r} of the original"


def judged(scope: Scope, blob: Blob) -> tuple[Blob, int | None]:
    """The blob by which BLOB is judged, and along which axis: indices are judged by the values there."""
    node = scope.graph.producer[blob]
    param = node.layer.argmax_param
    if node.type != "ArgMax" or param.out_max_val or not node.bottoms:
        return blob, None
    behind = node.bottoms[0]
    shape, maker = scope.shapes.blobs[behind], scope.graph.producer[behind]
    hidden = Blob(behind.name, behind.version + 1) in scope.graph.producer
    if not isinstance(shape, tuple) or not maker.bottoms or hidden:
        return blob, None
    axis = param.axis % max(1, len(shape))
    if param.HasField("axis"):
        return (behind, axis - len(shape)) if axis else (blob, None)
    return behind, ALL
