"""Runs a net and the new net on the engine and compares both with numpy, at the nominal size and on a larger input."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, cast

import numpy as np

from caffe_fcn import schema
from caffe_fcn.engines.onnxruntime import OnnxRuntime, OnnxRuntimeSession
from caffe_fcn.engines.protocol import ShapedNet
from caffe_fcn.errors import CaffeFcnError
from caffe_fcn.model.changes import Change, DropLayer, RenameLayer, Rewire
from caffe_fcn.model.opening import NetAndWeights
from caffe_fcn.net.geometry import Exactness, Inner, exactness_of, infer_geometry, inner_cells
from caffe_fcn.net.graph import build_graph
from caffe_fcn.net.shapes import Shape, infer_shapes
from caffe_fcn.passes.convolutionalize.changes import ToConvolution, WindowPooling
from caffe_fcn.schema import Message
from tests.random.basics import Array
from tests.random.nets import RandomNet
from tests.random.running import Answer, Weights, answers, in_phase, run
from tests.random.sliding import MANY, Sliding, behind, cells, sliding

_SAMPLES = 2


class Loaded:
    """A NET and its WEIGHTS as generated, and as the engine has loaded them from the files of MODEL."""

    def __init__(self, model: NetAndWeights, net: Message, weights: Weights) -> None:
        graph = build_graph(model.source.net)
        self.session: OnnxRuntimeSession = OnnxRuntime(1).load(ShapedNet(graph, infer_shapes(graph)), model.weights)
        scope = self.session.lowered.scope
        self.graph = scope.graph
        self.shapes = {blob.name: shape for blob, shape in scope.shapes.blobs.items() if isinstance(shape, tuple)}
        self.all_layers = list(model.source.net.layer)
        self.layers = in_phase(net)
        self.layers += _contained(net, self.layers, self.session.outputs)
        self.weights = weights

    def exactness(self, sizes: Mapping[str, Shape], step: int) -> dict[str, Exactness | None]:
        """Return where each blob is exact, by its name, at the nominal size and at SIZES, which are MANY times STEP
        larger.

        The value is None if the blob is not a map, or if the map grows in another way, so that it has no cell for each
        window.
        """
        shapes = [infer_shapes(self.graph, given=given) for given in ({}, sizes)]
        both = [infer_geometry(self.graph, each) for each in shapes]
        found: dict[str, Exactness | None] = {}
        for blob in both[0]:
            places: list[Any] = [known[blob] for known in both]
            if None in places:
                found[blob.name] = None
                continue
            small, large = (cast(Shape, each.blobs[blob]) for each in shapes)
            grown = [Fraction(more - less, MANY) for less, more in zip(small[2:], large[2:], strict=True)]
            fits = all(each * stride == step for each, stride in zip(grown, places[0].stride, strict=True))
            reasons = [reason for place in places for reason in place.reasons]
            found[blob.name] = exactness_of(reasons) if fits else None
        return found


def _contained(net: Message, layers: Sequence[Message], outputs: Sequence[str]) -> list[Message]:
    """Return the Softmax in a loss whose output is made by none of LAYERS, if it is among OUTPUTS."""
    more = set(outputs) - {top for layer in layers for top in layer.top}
    losses = [layer for layer in net.layer if layer.type == "SoftmaxWithLoss"]
    return [
        schema.LayerParameter(name=loss.name, type="Softmax", bottom=loss.bottom[:1], top=[name])
        for name, loss in zip(sorted(more), losses, strict=False)
    ]


@dataclass(frozen=True)
class Pair:
    """The original NET, both loaded nets, and the EDITS between them."""

    net: RandomNet
    original: Loaded
    twin: Loaded
    edits: Sequence[Change]

    @cached_property
    def changed(self) -> set[str]:
        """Return the layers of the original that differ in the new net, or that a layer of the new net no longer reads;
        layers without an effect are left out."""
        edits = [edit for edit in self.edits if isinstance(edit, (ToConvolution, WindowPooling, DropLayer))]
        return {edit.layer for edit in edits if edit.layer not in self.idle} | self._passed_by() - self.idle

    def _passed_by(self) -> set[str]:
        """Return the layers between the bottom of a layer in the original and its bottom in the new net."""
        tops = {old: new for edit in self.edits if isinstance(edit, Rewire) for old, new in edit.tops.items()}
        layers, found = self.original.all_layers, set[str]()
        for edit in self.edits:
            for blob, other in edit.bottoms.items() if isinstance(edit, Rewire) else ():
                end, way = _maker(layers[: edit.index], blob), []
                while tops.get(blob, blob) != other and end is not None and layers[end].bottom:
                    way.append(layers[end].name)
                    blob = layers[end].bottom[0]
                    end = _maker(layers[:end], blob)
                found |= set(way if tops.get(blob, blob) == other else ())
        return found

    @cached_property
    def idle(self) -> set[str]:
        """Return the layers that the new net lacks, and that did not change a blob of the nominal size, whatever its
        values. On a larger blob they may have an effect that the new net lacks, for example a Permute of axes of 1."""
        gone = {edit.layer for edit in self.edits if isinstance(edit, DropLayer)}
        values = run(self.original.layers, self.original.weights, self.net.inputs)
        found = set()
        for layer in self.original.layers:
            if layer.name in gone and len(layer.bottom) == len(layer.top) == 1:
                (bottom,), (top,) = layer.bottom, layer.top
                numbered = np.arange(values[bottom].size, dtype=float).reshape(values[bottom].shape)
                if np.array_equal(run([layer], {}, {bottom: numbered})[top], numbered):
                    found.add(layer.name)
        return found

    @cached_property
    def inner(self) -> dict[str, Inner]:
        """Return the cells of the new net's nominal maps that are claimed to equal the original's answer for a
        window."""
        renamed = {edit.layer: edit.name for edit in self.edits if isinstance(edit, RenameLayer)}
        late = {renamed.get(name, name) for name in behind(self.original.layers, self.changed)}
        graph, shapes = self.twin.graph, infer_shapes(self.twin.graph)
        found = inner_cells(graph, shapes, infer_geometry(graph, shapes), lambda node: node.name in late)
        return {blob.name: inner for blob, inner in found.items()}

    @property
    def names(self) -> dict[str, str]:
        """Return the name of each output of the original in the new net, by the edits."""
        layers = self.original.all_layers
        renamed = {old: new for edit in self.edits if isinstance(edit, Rewire) for old, new in edit.tops.items()}
        gone = {edit.layer for edit in self.edits if isinstance(edit, DropLayer)}
        made = {}
        for name in self.original.session.outputs:
            blob, end = name, len(layers)
            while (maker := _maker(layers[:end], blob)) is not None and layers[maker].name in gone:
                blob, end = layers[maker].bottom[0], maker
            made[name] = renamed.get(blob, blob)
        return made

    def feeds(self) -> list[dict[str, Array]]:
        """Return inputs of the nominal size, with growing values."""
        draws = [np.random.default_rng((self.net.seed, 7, sample)) for sample in range(_SAMPLES)]
        return [
            {
                name: draw.standard_normal(self.net.inputs[name].shape) * 3**sample
                for name in self.original.session.inputs
            }
            for sample, draw in enumerate(draws)
        ]

    def windows(self, starts: Collection[str]) -> Sliding | str:
        """Return a larger input, and the outputs of numpy for its windows; the layers in STARTS, and all after them,
        see one window at a time. Or return why there is none."""
        layers, fed = [self._without_idle(layer) for layer in self.original.layers], list(self.original.session.inputs)
        return sliding(layers, self.original.weights, self.net, fed, starts, list(self.names))

    def _without_idle(self, layer: Message) -> Message:
        passing = schema.LayerParameter(name=layer.name, type="Split", bottom=layer.bottom, top=layer.top)
        return passing if layer.name in self.idle else layer


def _maker(layers: Sequence[Message], blob: str) -> int | None:
    """Return the index of the last of LAYERS that makes BLOB."""
    return next((place for place in reversed(range(len(layers))) if blob in layers[place].top), None)


def misfits(net: RandomNet, model: NetAndWeights) -> list[str]:
    """Return the blobs of NET whose inferred shapes differ from those in numpy."""
    made = run(in_phase(net.net), net.weights, net.inputs)
    shapes = infer_shapes(build_graph(model.source.net))
    inferred = {blob.name: shape for blob, shape in shapes.blobs.items() if blob.name in made}
    return [
        f"shapes: {name!r} is {values.shape}, inferred as {inferred[name]}"
        for name, values in made.items()
        if inferred[name] != values.shape
    ]


def same_size(pair: Pair) -> list[str]:
    """Return the faults at the nominal size, where both nets are compared with the original in numpy."""
    faults = []
    for fed in pair.feeds():
        expected = answers(pair.original.layers, pair.original.weights, fed, pair.names)
        ours, theirs = pair.original.session.run(fed), pair.twin.session.run(fed)
        for name, other in pair.names.items():
            if (gap := expected[name].gap(ours[name])) > 1:
                faults.append(f"lowering: {name!r} of the original is off by {gap:.3g}")
            if other not in theirs:
                faults.append(f"convert: {name!r} should be {other!r}, the twin puts out {sorted(theirs)}")
            elif (gap := expected[name].gap(theirs[other])) > 1:
                faults.append(f"convert: {other!r} of the twin is off by {gap:.3g} at the nominal size")
        if faults:
            break
    return faults


def larger(pair: Pair) -> tuple[str, list[str]]:
    """Return how far the new net could be compared with the original on each window of a larger input, and the faults.

    Maps that are exact everywhere must equal the answers for the crops. Maps that are exact away from borders must
    equal the last layers on the windows of the maps, in the cells that see no border of these windows. Maps that are
    exact nowhere may equal either or none.
    """
    made = pair.windows(pair.changed) if pair.changed else "nothing converted"
    if isinstance(made, str):
        return made, []
    try:
        maps = pair.twin.session.run(made.fed)
    except CaffeFcnError as error:
        return f"the twin does not take it: {error}", []
    expected = answers(pair.twin.layers, pair.twin.weights, made.fed, pair.names.values())
    exact = pair.twin.exactness({name: values.shape for name, values in made.fed.items()}, made.step)
    crops = pair.windows([layer.name for layer in pair.original.layers])
    assert not isinstance(crops, str)
    faults, told = [], {"equal"}
    for name, other in pair.names.items():
        if (off := expected[other].gap(maps[other])) > 1:
            faults.append(f"lowering: {other!r} of the twin is off by {off:.3g} on a larger input")
        nominal = pair.twin.shapes[other]
        gap = _gap(made, name, maps[other], nominal, pair.inner.get(other))
        if gap is None or (gap > 1 and exact[other] is None):
            told.add("an output is no map")
        elif gap > 1 and exact[other] is Exactness.NOWHERE:
            told.add("exact nowhere")
        elif gap > 1:
            faults.append(f"dense: {other!r}, exact {exact[other]}, is off by {gap:.3g} in a window")
        elif exact[other] is Exactness.EVERYWHERE and (off := _gap(crops, name, maps[other], nominal) or 0) > 1:
            faults.append(f"geometry: {other!r}, exact {exact[other]}, is off by {off:.3g} on a crop")
        elif exact[other] is not None and pair.inner[other].lost:
            told.add("exact nowhere, by its borders")
    return "; ".join(sorted(told - {"equal"}) or told), faults


def _gap(made: Sliding, name: str, values: Array, nominal: Shape, inner: Inner | None = None) -> float | None:
    """Return the largest difference of VALUES from the answers NAME for the windows, in the INNER cells; None if
    VALUES, of the NOMINAL shape at the nominal size, are not a map."""
    worst = 0.0
    for place, answer in made.windows:
        found = cells(nominal, values, place)
        if found is None:
            return None
        worst = max(worst, answer[name].gap(found) if inner is None else _inside(answer[name], found, inner))
    return worst


def _inside(answer: Answer, found: Array, inner: Inner) -> float:
    """Return the largest difference of FOUND, a part of a map, from ANSWER in its INNER cells."""
    if answer.gap(found) == float("inf"):
        return float("inf")
    gaps = answer.gaps(found).reshape(found.shape)[(slice(None), slice(None), *inner.slices)]
    return float(gaps.max(initial=0))
