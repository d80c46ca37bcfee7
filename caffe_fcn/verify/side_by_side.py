"""Runs two nets on the same inputs and measures how far their blobs are apart, and how far rounding moves them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from math import prod
from typing import Any, NamedTuple

from caffe_fcn.engines.onnxruntime import OnnxRuntime, onnxruntime
from caffe_fcn.engines.protocol import Array, Engine, ShapedNet
from caffe_fcn.errors import ExtraError, LoweringError, ShapeError
from caffe_fcn.net.graph import Blob, Graph
from caffe_fcn.net.shapes import Shape, infer_shapes
from caffe_fcn.verify.bisection import BlobGap
from caffe_fcn.verify.blobs import pair_blobs
from caffe_fcn.verify.counterparts import Counterpart, counterparts
from caffe_fcn.verify.differences import difference, worst
from caffe_fcn.verify.items import answers_items, finite
from caffe_fcn.verify.outputs import Party, compared_within, judged, names_of
from caffe_fcn.verify.rounding import coarsened, explained
from caffe_fcn.verify.same_size import DEVIATIONS, draw, input_names
from caffe_fcn.verify.streaming import Stream, spread

_VALUES = 1 << 25
"""Of the random inputs so many are used that all blobs of a net have no more values; at least one of each size. A blob
has many values, so few inputs show a difference."""

_ENDLESS = 1e30
"""How far rounding moves a blob that it makes infinite."""


class Measured(NamedTuple):
    """A blob of the new net held against its counterpart BY."""

    by: Blob
    gap: BlobGap


class SideBySide:
    """The nets ORIGINAL and TWIN on SAMPLES random inputs from SEED at most, and on PICTURES; ENGINES run them. If
    FINER, maps of the new net may have cells between those of the original. LAYERS: names of layers of the original in
    the new net, where they are known to differ."""

    def __init__(
        self,
        original: Party,
        twin: Party,
        engines: tuple[Engine, Engine],
        *,
        samples: int,
        seed: int,
        pictures: Sequence[Array],
        finer: bool,
        layers: Mapping[str, str],
    ) -> None:
        self.original, self.twin, self.engines = original, twin, engines
        self.names = input_names(original, twin)
        self.inputs = _fed(original, twin, self.names)
        self.pairs = pair_blobs(original.scope, twin.scope, self.names, layers)
        self._spreads = spread(original.scope, self.inputs), spread(twin.scope, self._renamed(self.inputs))
        ours, theirs = self._spreads
        few = max(len(DEVIATIONS), _VALUES // max(1, _size(ours.net)))
        self.sample = draw(self.inputs, min(samples, few), seed, pictures, whole=True)
        self._values = {name: list(values) for name, values in self.sample.items.values.items()}
        self.compared = counterparts((original.scope, ours), (twin.scope, theirs), self.pairs, finer=finer)
        """The blobs of the new net that are compared, in the order of the net, with their counterparts."""

    def compare(self) -> dict[Blob, list[Measured]]:
        """How far the blobs of the new net are from each of their counterparts; no difference is allowed yet. Raises
        what the engines raise, and EngineError if a value of the original is not finite."""
        ours, theirs = self._spreads
        every = [each for several in self.compared.values() for each in several]
        wanted = [name for each in every for name in names_of([each.output])]
        before = Stream(self.engines[0], ours.net, self.original.weights, self._values, wanted)
        wanted = [theirs.names[blob] for blob in self.compared]
        after = Stream(self.engines[1], theirs.net, self.twin.weights, self._renamed(self._values), wanted)
        found: dict[Blob, list[Measured]] = {}
        for blob, several in self.compared.items():
            values = after.take(theirs.names[blob])
            found[blob] = [Measured(each.by, _measure(each, before, values, ours.net.graph)) for each in several]
        return found

    def rounded(self, factor: float, blobs: Collection[Blob]) -> dict[Blob, float]:
        """The difference that rounding to multiples of FACTOR explains in BLOBS of the original. Raises what the engine
        raises."""
        engine = self.engines[0]
        if not isinstance(engine, OnnxRuntime):  # what rounding does is a property of the net, whatever runs it
            with suppress(ExtraError, LoweringError):
                onnxruntime()
                return self._rounded(OnnxRuntime(low_memory=True), factor, blobs)
        return self._rounded(engine, factor, blobs)

    def _rounded(self, engine: Engine, factor: float, blobs: Collection[Blob]) -> dict[Blob, float]:
        ours = self._spreads[0]
        coarse = coarsened(ours.scope, self.inputs, factor)
        by = {blob: judged(ours.scope, Blob(ours.names[blob], 0))[0] for blob in blobs}
        wanted = [each.name for each in by.values()]
        clean = Stream(engine, ours.net, self.original.weights, self._values, wanted)
        wanted = [coarse.names[name] for name in wanted]
        rough = Stream(engine, coarse.net, self.original.weights, self._values, wanted)
        found = {}
        for blob, each in by.items():
            softmax = ours.net.graph.producer[each].type == "Softmax"
            items = zip(clean.take(each.name), rough.take(coarse.names[each.name]), strict=True)
            found[blob] = explained(max(_moved(one, other, softmax=softmax) for one, other in items))
        return found

    def _renamed(self, fed: Mapping[str, Any]) -> dict[str, Any]:
        return {self.names[name]: each for name, each in fed.items()}


def _fed(original: Party, twin: Party, names: Mapping[str, str]) -> Mapping[str, Shape]:
    """The shapes of the inputs: of one item of the batch, if both nets give an answer to each."""
    if answers_items(original.scope, original.inputs):
        single = {name: (1, *shape[1:]) for name, shape in original.inputs.items()}
        with suppress(ShapeError):
            infer_shapes(original.scope.graph, given=single)
            infer_shapes(twin.scope.graph, given={names[name]: shape for name, shape in single.items()})
            return single
    return original.inputs


def _size(net: ShapedNet) -> int:
    """The number of values in all blobs of NET."""
    return sum(prod(shape) for shape in net.shapes.blobs.values() if isinstance(shape, tuple))


def _measure(counterpart: Counterpart, before: Stream, after: Sequence[Array], graph: Graph) -> BlobGap:
    """How far AFTER, the values of a blob of the new net, is from its COUNTERPART in GRAPH."""
    import numpy as np

    output = counterpart.output
    values = {name: before.take(name) for name in names_of([output])}
    answers, bases = values[output.blob.name], values[output.judged.name]
    for array in (*answers, *bases):
        finite(output.pair.name, array, graph)
    gap = BlobGap(output.pair, answers[0].shape, after[0].shape)
    found = [counterpart.of_original(array) for array in after]
    if any(one.size != other.size for one, other in zip(answers, found, strict=True)):
        return gap
    if not all(np.isfinite(array).all() for array in found):
        return gap._replace(finite=False)
    items = zip(answers, bases, found, strict=True)
    return gap._replace(difference=worst(compared_within(output, *each, 0.0) for each in items))


def _moved(clean: Array, rough: Array, *, softmax: bool) -> float:
    """How far ROUGH is from CLEAN, relative to its scale."""
    import numpy as np

    return difference(clean, rough, 0.0, softmax=softmax).relative if np.isfinite(rough).all() else _ENDLESS
