"""Makes two nets ready for their proofs, and carries out each proof that is asked for.

What several proofs need, such as the pairs of outputs, is made once, when it is first needed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TypeVar

from caffe_fcn.engines.options import EngineOptions
from caffe_fcn.engines.registry import engine as engine_called
from caffe_fcn.errors import CaffeFcnError, ExtraError, NetError, PictureError, ShapeError, WeightsError
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import NetAndWeights
from caffe_fcn.model.passing import Claim
from caffe_fcn.net.graph import Node
from caffe_fcn.net.options import Selection
from caffe_fcn.net.selection import as_written
from caffe_fcn.onnx.finite import check_finite
from caffe_fcn.onnx.scope import Scope
from caffe_fcn.passes.folding import lacks_layers
from caffe_fcn.verify.apart import alike
from caffe_fcn.verify.applicability import inapplicable
from caffe_fcn.verify.bisect import BisectSettings, bisect
from caffe_fcn.verify.bisection import Bisection
from caffe_fcn.verify.cause import LayerCause
from caffe_fcn.verify.dense import prove_dense
from caffe_fcn.verify.finer import with_finer_maps
from caffe_fcn.verify.identity import Stored
from caffe_fcn.verify.items import Runner, answers_items
from caffe_fcn.verify.layers import compare_layers
from caffe_fcn.verify.meeting import differing_inputs, fed_to, met, party_of, scope_of, side_of_files
from caffe_fcn.verify.outputs import Pairs, Party, pair_outputs
from caffe_fcn.verify.records import DenseProof, SameSize, SameSizeProof, Status, WeightsProof
from caffe_fcn.verify.refusals import (
    little_in_common,
    refuse_other_crops,
    refuse_swapped,
    seem_swapped,
)
from caffe_fcn.verify.remainder import remainders, seen_from_the_input
from caffe_fcn.verify.retracing import Retraced, new_functions, of_the_original, retraced, side_of
from caffe_fcn.verify.same_size import draw, prove_same_size
from caffe_fcn.verify.scene import SceneSettings
from caffe_fcn.verify.settings import VerifySettings
from caffe_fcn.verify.weights import Side, prove_weights
from caffe_fcn.wording import option

Proof = TypeVar("Proof", SameSizeProof, DenseProof, Bisection)


class Work:
    """Both nets, made ready as far as the proofs need them.

    MISFIT is what keeps the new net from being looked at, "" if nothing does; REFUSED is what Caffe would not load of
    it. COMPARED is what the new net stands for: the original, folded or cut where the new net is. CHECKED is what its
    layers and weights are held against: the same, with the steps of windows that the new net has.
    """

    def __init__(
        self, original: NetAndWeights, twin: NetAndWeights, selection: Selection, options: VerifySettings
    ) -> None:
        self.options, self.misfit = options, ""
        self.refused: tuple[str, ...] = ()
        self.claim = Claim.SAME_BITS
        self.runner = Runner(options.engine)
        self.before = before = met(original, selection)
        self.own, self.own_fault = _at_own_input(twin, selection)
        self.original = self.compared = self.checked = side_of_files(before, original)
        self.notes = dict.fromkeys(self.original.notes)
        self.phase = next(iter(self.original.graphs))
        self._built = self.own
        try:
            found = met(
                twin,
                selection,
                {phase: fed_to(self.original, phase) for phase in self.original.graphs},
                lenient=True,
            )
        except ShapeError as error:
            self.misfit = f"the converted net does not accept the nominal input: {error}"
            return
        self.twin = side_of_files(found, twin)
        self._built = self.own or found
        self._follow(found)
        self._judge(found)
        self.notes.update(dict.fromkeys(self.twin.notes))
        if self.phase not in self.twin.graphs:
            raise NetError(
                f"has no net in phase {self.phase}, but {original.source.name} has one", source=twin.source.name
            )

    def _follow(self, found: Model) -> None:
        """Take the original through the passes that the new net shows, which is FOUND."""
        before = self.before
        made = Retraced(before, before, self.claim) if found.misfit else retraced(before, found, same=True)
        self.claim = made.claim
        if made.values is not before:
            self.compared, self.twin = alike(side_of(made.values, before, self.original), self.twin)
            if made.claim is Claim.SAME_BITS and not self._original_has_outputs():
                self.original = self.compared  # the losses that become outputs are in phase TRAIN only
        else:
            self.original, self.twin = alike(self.original, self.twin)
            self.compared = self.original
            if seem_swapped(before, found) and not self.strange:
                self.notes[
                    "the nets seem to be swapped: the first looks like one made of the second; give the original first"
                ] = None
            if len(before.graphs) > 1 and lacks_layers(before, found) and not self.strange:
                self.notes[
                    "the second net lacks layers that scale and shift; if it was folded, it is one for phase TEST: "
                    f"compare it with {option('phase', 'TEST')}"
                ] = None
        self.checked = self.compared
        if made.steps is not made.values:
            self.checked, self.twin = alike(side_of(made.steps, before, self.original), self.twin)
            self.notes[
                "the map is finer; at the nominal size its cells at the places of the original's are compared"
            ] = None

    def _judge(self, found: Model) -> None:
        """Find what Caffe would not load of the new net, which is FOUND, and what keeps it from being compared. Raises
        NetError if the nets cannot be compared at all."""
        before = self.before
        refuse_other_crops(self.original, self.twin)
        self.refused = tuple(
            f"{each}, which Caffe refuses"
            for name, each in found.fit.other_axes.items()
            if name not in before.fit.other_axes  # else the original's own fault
        )
        refuse_swapped(before, found)
        if found.misfit and self.own and (inputs := differing_inputs(before, self.own)):
            self.refused, self.misfit = inputs, "the converted net does not accept the nominal input"
        elif found.misfit:
            self.refused, self.misfit = (str(found.misfit),), "the weights of the converted net do not fit its prototxt"
        elif self.own is None:
            told = f"Caffe cannot load the converted net with the input in its own prototxt: {self.own_fault}"
            self.refused += (told,)

    @cached_property
    def strange(self) -> str:
        """A note if the nets have little in common; else nothing."""
        return little_in_common(self.before, self._built) if self._built else ""

    @property
    def advice(self) -> tuple[str, ...]:
        """The note for a new net that has little in common with the original, or seems to compute a new function on
        purpose; empty for another."""
        if self.strange:
            return (self.strange,)
        made = new_functions(self.before, self.own) if self.own else []
        if not made:
            return ()
        by, proves = " and ".join(map(str, made)), option("claim", "new-function")
        return (f"the converted net seems to be made by {by}, which changes the answers; {proves} proves such a net",)

    @cached_property
    def weights(self) -> WeightsProof:
        """The first proof."""
        if self.misfit:
            nothing = WeightsProof(0, 0, 0, 0, (), (), (), (), self.refused)
            if not self.refused:
                return nothing._replace(not_shown=self.misfit)
            return nothing._replace(fields=compare_layers(self.checked, self.twin))
        fields = compare_layers(self.checked, self.twin)
        proof = prove_weights(self.checked, self.twin)
        return proof._replace(fields=fields, failures=(*self.refused, *proof.failures))

    def same_size(self) -> SameSizeProof:
        """The second proof."""
        options = self.options
        nothing = SameSizeProof({}, 0, 0, options.seed, (), ())
        if self.misfit:
            return nothing._replace(failures=(self.misfit,))
        found, failures = self.outputs.outputs, self.outputs.failures
        if found and not failures and all(output.identical for output in found):
            return nothing._replace(outputs=tuple(SameSize(output.pair, identical=True) for output in found))

        def prove(original: Party, twin: Party, pairs: Pairs) -> SameSizeProof:
            whole = not answers_items(original.scope, original.inputs)
            pictures = options.pictures if pairs is self.outputs else ()
            sample = draw(original.inputs, options.samples, options.seed, pictures, whole=whole)
            return prove_same_size(self.runner, original, twin, pairs, sample, options.tolerance)

        proof = self._carried_out(prove, nothing._replace(failures=tuple(failures)))
        if proof.not_shown and self.diverged:
            return proof._replace(failures=(*proof.failures, self.diverged), not_shown="")
        return proof

    def dense(self) -> DenseProof:
        """The third proof."""
        nothing = DenseProof((), (), 0, 0, (), "")
        if self.misfit:
            return nothing._replace(not_shown=self.misfit)
        reason, exempt = inapplicable(scope_of(self.compared, self.phase), self.scopes[1], self.pairs)
        if reason is not None:
            return nothing._replace(inapplicable=reason)
        view = SceneSettings(self.options.windows, self.options.seed, self.options.tolerance)

        def prove(original: Party, twin: Party, pairs: Pairs) -> DenseProof:
            found = prove_dense(self.runner, original, twin, pairs, exempt, view)
            return found if pairs is self.outputs else seen_from_the_input(found, self.scopes[1], twin)

        proof = self._carried_out(prove, nothing)
        unknown = proof.status is Status.NOT_SHOWN
        return nothing._replace(not_shown=self.diverged) if unknown and self.diverged else proof

    def bisection(self) -> Bisection:
        """All blobs of both nets compared, in place of the proofs."""
        options = self.options
        nothing = Bisection({}, 0, 0, options.seed)
        if self.misfit:
            return nothing._replace(not_shown=self.refused[0] if self.refused else self.misfit)
        first = options.original_engine
        before = options.engine if first is None else engine_called(EngineOptions(engine=first), brief=True)
        engines = (before, options.engine)
        settings = BisectSettings(
            engines, options.samples, options.seed, options.pictures, options.tolerance, self.finer
        )
        cause = LayerCause(self.checked, self.twin, self.phase)
        return self._attempt(lambda: bisect(*self.parties, cause, settings), nothing)

    def _carried_out(self, prove: Callable[[Party, Party, Pairs], Proof], nothing: Proof) -> Proof:
        """What PROVE finds of both nets, or, where they cannot be run, of the parts of them that differ. NOTHING is a
        proof without anything in it."""
        found = self._attempt(lambda: prove(*self.parties, self.outputs), nothing)
        if found.status is Status.NOT_SHOWN and self.remainders is not None:
            original, twin = self.remainders
            pairs = self._pairs(original.scope, twin.scope)
            again = self._attempt(lambda: prove(original, twin, pairs), nothing)
            if again.status is Status.HOLDS or (found.not_shown and again.status is Status.FAILS):
                fed = ", ".join(map(repr, original.inputs))
                self.notes[f"compared from {fed} on; before it, both nets are the same"] = None
                return again
        return found

    def _attempt(self, prove: Callable[[], Proof], nothing: Proof) -> Proof:
        """What PROVE finds, or NOTHING and why that cannot be told."""
        try:
            return prove()
        except (ExtraError, PictureError):
            raise
        except CaffeFcnError as error:
            return nothing._replace(not_shown=str(error))

    @cached_property
    def diverged(self) -> str:
        """Where weights of the new net are not finite, if those of the original are; else nothing."""
        ours, theirs = (_not_finite(side, self.phase) for side in (self.original, self.twin))
        return "" if ours else theirs

    @cached_property
    def remainders(self) -> tuple[Party, Party] | None:
        """The parts of both nets that differ."""
        return remainders((self.original, self.scopes[0]), (self.twin, self.scopes[1]), self.outputs)

    @cached_property
    def scopes(self) -> tuple[Scope, Scope]:
        """What of both nets their outputs need; all of them where nothing is left without losses and measures."""
        return scope_of(self.original, self.phase), scope_of(self.twin, self.phase)

    @cached_property
    def parties(self) -> tuple[Party, Party]:
        """Both nets, as they are run."""
        return party_of(self.original, self.phase), party_of(self.twin, self.phase)

    @cached_property
    def pairs(self) -> Pairs:
        """The outputs of the net that is compared and of the new net in pairs."""
        compared = scope_of(self.compared, self.phase)
        found = pair_outputs(compared, self.scopes[1], self._stored(self.compared))
        return with_finer_maps(found, compared, self.scopes[1]) if self.finer else found

    def _original_has_outputs(self) -> bool:
        """Whether the original itself has outputs of the net that is compared."""
        ours, theirs = (scope_of(side, self.phase).outputs for side in (self.original, self.compared))
        return not {blob.name for blob in ours}.isdisjoint(blob.name for blob in theirs)

    @property
    def finer(self) -> bool:
        """Whether windows of the new net have other steps than those of the original."""
        return self.checked is not self.compared

    @cached_property
    def outputs(self) -> Pairs:
        """The outputs of both nets in pairs."""
        return self.pairs if self.compared is self.original else self._pairs(*self.scopes)

    def _pairs(self, original: Scope, twin: Scope) -> Pairs:
        """The outputs of ORIGINAL and TWIN, the two nets or parts of them, in pairs."""
        stored = self._stored(self.original)
        if self.compared is self.original:
            found = pair_outputs(original, twin, stored)
            return with_finer_maps(found, original, twin) if self.finer else found
        return of_the_original(self.pairs, original, twin, stored)

    def _stored(self, original: Side) -> tuple[Stored, Stored]:
        """What tells the parameter blobs of a layer of ORIGINAL, folded or not, and of one of the new net, from those
        of others."""
        unchanged = dict(self.weights.unchanged)
        held = {name for side in (original, self.twin) for name in side.tensors}

        def stored(twin: bool, node: Node) -> object:
            shapes = (self.twin if twin else original).shapes[self.phase]
            if node.name not in held and not shapes.params.get(node.index):
                return None
            return unchanged.get(node.name, ("of the twin", node.name)) if twin else node.name

        return partial(stored, False), partial(stored, True)


def _not_finite(side: Side, phase: str) -> str:
    """Where weights of SIDE are not finite; nothing if all are."""
    try:
        check_finite(side.weights, side.graphs[phase])
    except WeightsError as error:
        return str(error)
    return ""


def _at_own_input(twin: NetAndWeights, selection: Selection) -> tuple[Model | None, str]:
    """The model of TWIN as it is written, which is before it is fed anything; None, and why Caffe does not load it,
    where it does not."""
    try:
        found = met(twin, as_written(twin.source, selection), lenient=True)
    except ShapeError as error:
        return None, str(error)
    return (found, "") if found.misfit is None else (None, str(found.misfit))
