"""The second proof: at the nominal input the twin gives the original's answers.

The one idea: inputs at random, of two sizes of values, reach every weight of a net; what rounding does to the
answers is known beforehand, and nothing more is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from caffe_fcn.errors import EngineError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.graph import Blob
from caffe_fcn.net.shapes import Shape, show
from caffe_fcn.run.engine import Array, Net
from caffe_fcn.run.onnx.scope import Scope
from caffe_fcn.run.proofs.identity import Stored, identify
from caffe_fcn.run.proofs.items import Runner
from caffe_fcn.run.proofs.pairing import number_both
from caffe_fcn.run.proofs.records import Difference, OutputPair, SameSize, SameSizeProof
from caffe_fcn.run.proofs.rounding import additions, allowed, difference, worst

DEVIATIONS = (1.0, 64.0)
"""The standard deviations of random inputs, in turns: as of pictures scaled to about one, and of pixels."""


class Party(NamedTuple):
    """One of the two nets: its weights, the part of it that runs, and its inputs at the nominal size."""

    net: Net
    weights: WeightFile
    scope: Scope
    inputs: dict[str, Shape]

    def run(self, runner: Runner, items: Mapping[str, Array]) -> dict[str, Array]:
        """Its outputs for ITEMS."""
        return runner.run(self.net, self.weights, items)


class Output(NamedTuple):
    """An output of the original, its blob, its counterpart in the twin, and the difference that is ALLOWED."""

    pair: OutputPair
    blob: Blob
    twin: Blob
    allowed: float
    softmax: bool
    identical: bool
    """Whether the same layers with the same blobs make it."""
    converted: bool
    """Whether layers that make it differ in more than their blobs."""


def outputs(
    original: Scope, twin: Scope, stored: tuple[Stored, Stored], tolerance: float | None
) -> tuple[list[Output], list[str]]:
    """The outputs of both nets in pairs, and what has no partner, in words. STORED tells their blobs apart."""
    ours, theirs = number_both(original.graph, twin.graph)
    before, after = identify((original.graph, original.shapes, stored[0]), (twin.graph, twin.shapes, stored[1]))
    there: dict[int, list[Blob]] = {}
    for blob in twin.outputs:
        there.setdefault(theirs.blobs[blob], []).append(blob)
    depth = additions(original.graph, original.shapes)
    found, failures = [], []
    for blob in original.outputs:
        alike = there.get(ours.blobs[blob])
        if not alike:
            failures.append(f"the twin has no output that stands for {blob.name!r}")
            continue
        other = alike.pop(0)
        found.append(
            Output(
                OutputPair(blob.name, other.name),
                blob,
                other,
                allowed(depth[blob]) if tolerance is None else tolerance,
                softmax=original.graph.producer[blob].type == "Softmax",
                identical=before.values[blob] == after.values[other],
                converted=before.structure[blob] != after.structure[other],
            )
        )
    failures += [
        f"the twin's output {blob.name!r} stands for none of the original" for left in there.values() for blob in left
    ]
    return found, failures


def prove_same_size(
    runner: Runner, original: Party, twin: Party, pairs: tuple[Sequence[Output], Sequence[str]], sample: Sample
) -> SameSizeProof:
    """Run both nets on SAMPLE and compare. Raises what the engine raises."""
    names = _input_names(original, twin)
    ours = original.run(runner, sample.items)
    theirs = twin.run(runner, {names[name]: values for name, values in sample.items.items()})
    found = tuple(_compare(output, ours, theirs, sample.drawn) for output in pairs[0])
    return SameSizeProof(original.inputs, sample.drawn, sample.given, sample.seed, found, tuple(pairs[1]))


class Sample(NamedTuple):
    """What both nets are fed, by input, along axis 0: so many DRAWN at random from SEED, then those GIVEN."""

    items: dict[str, Array]
    drawn: int
    given: int
    seed: int


def _input_names(original: Party, twin: Party) -> Mapping[str, str]:
    """What the inputs of the original are called in the twin. Raises EngineError."""
    names, others = list(original.inputs), list(twin.inputs)
    if len(names) != len(others):
        raise EngineError(
            f"the original is fed {', '.join(names) or 'nothing'}, the twin {', '.join(others) or 'nothing'}"
        )
    return dict(zip(names, names if set(names) == set(others) else others, strict=True))


def draw(inputs: Mapping[str, Shape], samples: int, seed: int, pictures: Sequence[Array]) -> Sample:
    """SAMPLES inputs for a net with INPUTS, drawn at random from SEED, and PICTURES, each N×C×spatial or C×spatial.
    Raises EngineError for pictures that the net does not take."""
    import numpy as np

    random = np.random.default_rng(seed)
    scales = np.resize(np.array(DEVIATIONS, np.float32), samples)
    items: dict[str, Array] = {}
    for name, shape in inputs.items():
        drawn = random.standard_normal((samples, *shape[1:]), dtype=np.float32)
        items[name] = drawn * scales.reshape(-1, *[1] * (len(shape) - 1))
    if pictures and len(inputs) != 1:
        raise EngineError(f"pictures go into a net with one input, and this one has {len(inputs)}; leave them out")
    for name, shape in inputs.items():
        items[name] = np.concatenate([items[name], *(_several(picture, name, shape) for picture in pictures)])
    given = len(next(iter(items.values()))) - samples if items else 0
    return Sample(items, samples, given, seed)


def _several(picture: Array, name: str, shape: Shape) -> Array:
    """PICTURE as N×C×spatial for the input NAME of SHAPE; a single one may come without N, a grey one without C."""
    whole = picture
    if whole.ndim == len(shape) - 2 and shape[1] == 1:
        whole = whole[None]
    if whole.ndim == len(shape) - 1:
        whole = whole[None]
    if whole.shape[1:] != shape[1:]:
        found = show(tuple(map(int, picture.shape)))
        raise EngineError(f"input {name!r}: expected pictures of {show(shape[1:])}, found one of {found}; resize it")
    return whole


def group_by_group(output: Output, expected: Array, found: Array, samples: int) -> Difference:
    """How far FOUND is from what is EXPECTED, by the scale that the outputs have for inputs of one scale: a single
    one may be next to nothing by chance, and its error is not."""
    kinds = len(DEVIATIONS)
    groups = [slice(kind, samples, kinds) for kind in range(min(kinds, samples))] + [slice(samples, None)]
    pairs = [(expected[group], found[group]) for group in groups if len(expected[group])]
    return worst([difference(one, other, output.allowed, softmax=output.softmax) for one, other in pairs])


def _compare(output: Output, ours: Mapping[str, Array], theirs: Mapping[str, Array], samples: int) -> SameSize:
    name, twin = output.pair
    if output.identical:
        return SameSize(output.pair, identical=True)
    expected, found = ours[name], theirs[twin]
    if len(expected) != len(found) or expected.size != found.size:  # other axes may hold the same values
        shapes = f"{show(expected.shape[1:])}, found {show(found.shape[1:])}"
        return SameSize(output.pair, None, f"expected an answer of {shapes}")
    gap = group_by_group(output, expected, found.reshape(expected.shape), samples)
    return SameSize(output.pair, gap, "" if gap.small else "differs by more than rounding explains")
