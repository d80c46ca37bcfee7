"""A converted net proven to be its original's twin.

The one idea: three proofs of which each sees what the others cannot. The weights are the original's (but the text
might wire them otherwise); at the nominal size the answers are (but a larger input might be seen in other windows);
and on a larger input every window gets the original's answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from caffe_fcn.errors import CaffeFcnError, NetError, ShapeError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.selection import ANY_NET, Selection
from caffe_fcn.net.shapes import Shape
from caffe_fcn.net.source import SourceNet
from caffe_fcn.run.engine import Array, Engine, Net
from caffe_fcn.run.onnx.scope import choose_scope
from caffe_fcn.run.onnxruntime import OnnxRuntime
from caffe_fcn.run.proofs.dense import prove_dense
from caffe_fcn.run.proofs.items import Runner
from caffe_fcn.run.proofs.records import DenseProof, SameSizeProof, Status, Verification, WeightsProof
from caffe_fcn.run.proofs.same_size import Output, Party, outputs, prove_same_size
from caffe_fcn.run.proofs.weights import Side, prove_weights
from caffe_fcn.surgery.meeting import meet

WEIGHTS, SAME_SIZE, DENSE = PROOFS = ("weights", "same-size", "dense")
"""The names of the proofs."""


@dataclass(frozen=True)
class Options:
    """What the user decides: how many SAMPLES and WINDOWS, drawn from SEED, which PICTURES (N×C×spatial) beside
    them, the relative TOLERANCE in place of what the arithmetic gives, and which PROOFS."""

    engine: Engine = field(default_factory=OnnxRuntime)
    samples: int = 8
    windows: int = 16
    seed: int = 0
    pictures: Sequence[Array] = ()
    tolerance: float | None = None
    proofs: tuple[str, ...] = PROOFS


@dataclass(frozen=True)
class Model:
    """A net and its weights."""

    source: SourceNet
    weights: WeightFile


def verify(
    original: Model, twin: Model, selection: Selection = ANY_NET, options: Options | None = None
) -> Verification:
    """Prove that TWIN is what becomes of ORIGINAL when it is made fully convolutional.

    SELECTION says which of the nets in the files is meant; answers are compared in its phase, by default in phase
    TEST. What does not hold is a value; raised is CaffeFcnError for files that cannot be compared at all, such as
    nets that the engine cannot run or weights that hold NaN.
    """
    work = _Work(original, twin, selection, options or Options())
    wanted = work.options.proofs
    weights = work.weights() if WEIGHTS in wanted else None
    try:
        same_size = work.same_size() if SAME_SIZE in wanted else None
        dense = work.dense() if DENSE in wanted else None
    except CaffeFcnError as error:
        if weights is None or weights.status is not Status.FAILS:
            raise
        work.misfit = f"the two cannot be run: {error}"  # no wonder, with the weights as they are
        same_size = work.same_size() if SAME_SIZE in wanted else None
        dense = work.dense() if DENSE in wanted else None
    return Verification(
        original.source.name,
        original.weights.path,
        twin.source.name,
        twin.weights.path,
        work.options.engine.name,
        work.phase,
        work.options.tolerance,
        weights,
        same_size,
        dense,
        tuple(work.notes),
    )


class _Work:
    """Both nets, made ready as far as the proofs need them.

    MISFIT is what keeps the twin from being looked at, "" if nothing does.
    """

    def __init__(self, original: Model, twin: Model, selection: Selection, options: Options) -> None:
        self.options, self.misfit = options, ""
        self.runner = Runner(options.engine)
        self.original = _side(original, selection)
        self.notes = dict.fromkeys(self.original.notes)
        self.phase = next(iter(self.original.graphs))
        given = {name: shape for phase in self.original.graphs for name, shape in _fed(self.original, phase).items()}
        try:
            self.twin = _side(twin, selection, given)
        except ShapeError as error:
            self.misfit = f"the twin does not take the nominal input: {error}"
            return
        self.notes.update(dict.fromkeys(self.twin.notes))
        if self.phase not in self.twin.graphs:
            raise NetError(f"{twin.source.name}: has no net in phase {self.phase}, as {original.source.name} has")

    def weights(self) -> WeightsProof:
        """The first proof."""
        if self.misfit:
            return WeightsProof(0, 0, 0, 0, (), (), (), (), (), self.misfit)
        return prove_weights(self.original, self.twin)

    def same_size(self) -> SameSizeProof:
        """The second proof."""
        options = self.options
        if self.misfit:
            return SameSizeProof({}, 0, 0, options.seed, (), (self.misfit,))
        return prove_same_size(
            self.runner,
            *self.parties,
            self.outputs,
            samples=options.samples,
            seed=options.seed,
            pictures=options.pictures,
        )

    def dense(self) -> DenseProof:
        """The third proof."""
        options = self.options
        if self.misfit:
            return DenseProof((), (), 0, 0, (), self.misfit)
        return prove_dense(self.runner, *self.parties, self.outputs[0], windows=options.windows, seed=options.seed)

    @cached_property
    def parties(self) -> tuple[Party, Party]:
        """Both nets, as they are run."""
        return self._party(self.original), self._party(self.twin)

    @cached_property
    def outputs(self) -> tuple[list[Output], list[str]]:
        """The outputs of both in pairs."""
        original, twin = self.parties
        return outputs(original.scope, twin.scope, self.options.tolerance)

    def _party(self, side: Side) -> Party:
        graph, shapes = side.graphs[self.phase], side.shapes[self.phase]
        scope = choose_scope(graph, shapes)
        fed: dict[str, Shape] = {}
        for blob in scope.inputs:
            shape = shapes.blobs[blob]
            if not isinstance(shape, tuple) or not shape:
                raise ShapeError(f"{graph.source}: the shape of {blob.name!r} is not known; give it with --input-shape")
            fed[blob.name] = shape
        return Party(Net(graph, shapes), side.weights, scope, fed)


def _side(model: Model, selection: Selection, fed: Mapping[str, Shape] | None = None) -> Side:
    """MODEL in each phase. FED are the shapes of the inputs of the net that it is held against."""
    found = meet(model.source, model.weights, _known(model.source, selection), fed=fed)
    return Side(found.weights or model.weights, found.graphs, found.shapes, found.notes)


def _known(source: SourceNet, selection: Selection) -> Selection:
    """SELECTION without shapes of blobs that the net, whose blobs may have other names, does not have."""
    names = {*source.net.input, *(top for layer in source.net.layer for top in layer.top)}
    return selection._replace(given={name: shape for name, shape in selection.given.items() if name in names})


def _fed(side: Side, phase: str) -> dict[str, Shape]:
    """The shapes of what comes into the net in PHASE."""
    known = side.shapes[phase].blobs
    sources = [blob for node in side.graphs[phase].nodes if not node.bottoms for blob in node.tops]
    return {blob.name: shape for blob in sources if isinstance(shape := known[blob], tuple)}
