"""The results of the proofs as data: numbers, names and reasons.

A proof holds, fails, could not be carried out, or does not apply. A proof that could not be carried out shows nothing.
One that does not apply would show something that the pair does not claim.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from caffe_fcn.model.passing import Claim, weakest
from caffe_fcn.net.geometry import Reason
from caffe_fcn.net.shapes import Shape

if TYPE_CHECKING:
    from caffe_fcn.verify.bisection import Bisection


class Status(Enum):
    """The result of a proof. NOT_SHOWN means that it could not be carried out."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_SHOWN = "not shown"
    DOES_NOT_APPLY = "does not apply"


class Exemption(Enum):
    """Why the dense proof does not apply."""

    SEVERAL_INPUTS = "several inputs"
    FIXED_SIZE = "fixed size"
    NOTHING_CONVERTED = "nothing converted"
    EXACT_NOWHERE = "exact nowhere"


class Inapplicable(NamedTuple):
    """Why the dense proof does not apply. NAMES: for SEVERAL_INPUTS the inputs, for FIXED_SIZE the layer because of
    which the new net accepts one size only. REASONS: for EXACT_NOWHERE, why answers depend on more than a window."""

    cause: Exemption
    names: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()


class FieldDifference(NamedTuple):
    """A field that affects what a layer computes and has another value in its counterpart TWIN. FIELD is its path in
    the layer's message, or the common meaning of several fields, such as the kernel."""

    layer: str
    twin: str
    field: str
    expected: str
    found: str


class WeightsProof(NamedTuple):
    """The comparison of the parameter blobs: the numbers of BLOBS, of LAYERS and of VALUES.

    RESHAPED blobs have another shape; of these, TRANSPOSED and REORDERED ones have another order of values. UNTRAINED
    layers have no blobs in either file; FOREIGN ones are only in the weights. FIELDS: the fields of layers that differ.
    NOT_SHOWN: why nothing could be compared. UNCHANGED: the layers whose blobs are equal in both, by the new name and
    the original's. COMPUTED: the layers whose values are computed from the original's, such as those that absorb folded
    layers. ROUNDED: how many of these values are rounded differently than here.
    """

    layers: int
    blobs: int
    values: int
    reshaped: int
    transposed: tuple[str, ...]
    reordered: tuple[str, ...]
    untrained: tuple[str, ...]
    foreign: tuple[str, ...]
    failures: tuple[str, ...]
    fields: tuple[FieldDifference, ...] = ()
    not_shown: str = ""
    unchanged: tuple[tuple[str, str], ...] = ()
    computed: tuple[str, ...] = ()
    rounded: int = 0

    @property
    def status(self) -> Status:
        """Whether every blob and every field equals the original's."""
        if self.failures or self.fields:
            return Status.FAILS
        return Status.NOT_SHOWN if self.not_shown else Status.HOLDS


class Difference(NamedTuple):
    """The difference between two outputs: the largest one, ABSOLUTE and RELATIVE to the scale of the original's, and
    the largest relative one that is ALLOWED. AGREES: in how many of CELLS the top class is the same; both are 0 without
    classes."""

    absolute: float
    relative: float
    allowed: float
    agrees: int
    cells: int

    @property
    def small(self) -> bool:
        """Whether the difference is at most the allowed one."""
        return self.relative <= self.allowed and self.agrees == self.cells


class OutputPair(NamedTuple):
    """The names of an output in the original and in the new net."""

    name: str
    twin: str


class SameSize(NamedTuple):
    """An output of both nets at the nominal input size. IDENTICAL: the same layers with the same blobs make it, so
    nothing had to be run. DIFFERENCE is None then, and where the two cannot be compared."""

    output: OutputPair
    difference: Difference | None = None
    failure: str = ""
    identical: bool = False


class SameSizeProof(NamedTuple):
    """Both nets on the same inputs of the nominal size: SAMPLES random ones from SEED, and GIVEN ones; none if nothing
    had to be run. NOT_SHOWN: why nothing could be compared."""

    inputs: dict[str, Shape]
    samples: int
    given: int
    seed: int
    outputs: tuple[SameSize, ...]
    failures: tuple[str, ...]
    not_shown: str = ""

    @property
    def status(self) -> Status:
        """Whether all outputs agree."""
        if self.failures or any(each.failure for each in self.outputs):
            return Status.FAILS
        return Status.NOT_SHOWN if self.not_shown or not self.outputs else Status.HOLDS


class Dense(NamedTuple):
    """An output of the new net on a larger input, compared window by window.

    CROPS: the difference to the original on the crops of the picture. If there are REASONS why the map is not exactly a
    sliding window, FEATURES is the difference to the original's last layers on windows of the maps that its first
    layers compute for the whole picture; only rounding may cause it. COMPARED: how many of the CELLS in each window are
    compared; the others see borders that the new map does not have. EXPLANATION: what is wrong, or why there is nothing
    to compare. INAPPLICABLE: why the proof does not apply. STRIDE and WINDOW are in pixels of the input. AHEAD: if the
    nets were compared from a later blob on, the reasons in the layers before it."""

    output: OutputPair
    status: Status
    explanation: str = ""
    stride: tuple[float, ...] = ()
    window: tuple[int | None, ...] = ()
    reasons: tuple[Reason, ...] = ()
    crops: Difference | None = None
    features: Difference | None = None
    inapplicable: Inapplicable | None = None
    cells: int = 0
    compared: int = 0
    ahead: tuple[Reason, ...] = ()

    @property
    def inexact(self) -> tuple[Reason, ...]:
        """Why the map is not exactly a sliding window over the input."""
        return tuple(dict.fromkeys((*self.ahead, *self.reasons)))


class DenseProof(NamedTuple):
    """The new net on a larger INPUT for its input BLOB, compared with the original on SAMPLED of the WINDOWS in it.
    INAPPLICABLE: why the proof does not apply to the pair. NOT_SHOWN: why it could not be carried out."""

    input: Shape
    step: tuple[int, ...]
    windows: int
    sampled: int
    outputs: tuple[Dense, ...]
    not_shown: str
    inapplicable: Inapplicable | None = None
    blob: str = ""

    @property
    def status(self) -> Status:
        """Whether all outputs are as expected; NOT_SHOWN if one of them could not be compared."""
        if self.inapplicable is not None:
            return Status.DOES_NOT_APPLY
        found = {each.status for each in self.outputs}
        if Status.FAILS in found:
            return Status.FAILS
        if self.not_shown or Status.NOT_SHOWN in found or not found:
            return Status.NOT_SHOWN
        return Status.HOLDS if Status.HOLDS in found else Status.DOES_NOT_APPLY


class Fate(Enum):
    """What became of a layer in a net that was made of its net."""

    UNTOUCHED = "untouched"
    """The same type, fields and parameter blobs, bit by bit."""
    CONVERTED = "converted"
    """A Convolution, or a pooling with a window, with the same parameters."""
    CHANGED = "changed"
    """Other fields or bottoms, or parameter blobs with other shapes or values."""
    REPLACED = "replaced"
    """A layer of another type, or with another name, reads the same blob."""
    NEW = "new"
    GONE = "gone"


class BlobDifference(NamedTuple):
    """A parameter blob, by its position, with another shape, or with so many other values. A shape is None if the layer
    has no such blob."""

    position: int
    expected: Shape | None
    found: Shape | None
    differing: int


class LayerFate(NamedTuple):
    """What became of `layer`, of `type`, in the new net: the layer `twin`, of `twin_type`. None if there is none.

    `identical`: it makes the same blobs for any input. `rewired`: it reads other blobs. `fields` and `blobs` differ;
    `known`: the new values are those that the pass computes from the original.
    """

    fate: Fate
    layer: str | None
    twin: str | None
    type: str | None
    twin_type: str | None
    identical: bool = False
    rewired: bool = False
    known: bool = False
    fields: tuple[FieldDifference, ...] = ()
    blobs: tuple[BlobDifference, ...] = ()

    @property
    def other_values(self) -> int:
        """How many values differ in parameter blobs with the same shapes."""
        return sum(each.differing for each in self.blobs)


class LayersProof(NamedTuple):
    """What became of all layers: those of the new net in order, then the layers that are gone.

    `unclaimed`: the layers that differ although the pass does not say so. If no pass is known, these are layers with
    other values in parameter blobs of the same shape.
    """

    layers: tuple[LayerFate, ...]
    unclaimed: tuple[LayerFate, ...] = ()
    not_shown: str = ""

    @property
    def status(self) -> Status:
        """Whether all layers that should be untouched are untouched."""
        if self.unclaimed:
            return Status.FAILS
        return Status.NOT_SHOWN if self.not_shown else Status.HOLDS


class Refusal(NamedTuple):
    """What BVLC Caffe refuses in the new net, as `check --strict` finds it. `layer` is None for the net itself.
    `inherited`: the original is refused for it as well."""

    layer: str | None
    line: int
    column: int
    message: str
    inherited: bool


class AcceptanceProof(NamedTuple):
    """The new net by the rules of BVLC Caffe. Refusals that are inherited from the original do not count."""

    refusals: tuple[Refusal, ...]

    @property
    def status(self) -> Status:
        """Whether Caffe accepts the new net."""
        return Status.HOLDS if all(each.inherited for each in self.refusals) else Status.FAILS


class FitProof(NamedTuple):
    """The new weights and the new net: `layers` have parameter blobs, with the shapes that the net gives them.
    `missing`: layers without weights, which are not missing in the original."""

    layers: int
    failures: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """Whether all weights are there and fit."""
        return Status.FAILS if self.failures or self.missing else Status.HOLDS


class RunProof(NamedTuple):
    """The new net run on random `inputs`: the `outputs` have the inferred shapes, and all values are finite. A shape is
    None if it is unknown."""

    inputs: dict[str, Shape]
    outputs: dict[str, Shape | None]
    seed: int
    failure: str = ""
    not_shown: str = ""

    @property
    def status(self) -> Status:
        """Whether the net runs."""
        if self.failure:
            return Status.FAILS
        return Status.NOT_SHOWN if self.not_shown else Status.HOLDS


class MapProof(NamedTuple):
    """A `blob` of the new net, of a `shape`, on random inputs: it has the values of the map that the pass names, of the
    converted original with the padding of the new net."""

    blob: str
    shape: Shape = ()
    difference: Difference | None = None
    not_shown: str = ""

    @property
    def status(self) -> Status:
        """Whether the values are the same, within rounding."""
        if self.difference is None:
            return Status.NOT_SHOWN
        return Status.HOLDS if self.difference.relative <= self.difference.allowed else Status.FAILS


class NewFunctionProofs(NamedTuple):
    """The proofs for a new net that computes another function than the original. `map` is None where no map of the new
    net is said to be one of another net."""

    acceptance: AcceptanceProof
    weights: FitProof
    layers: LayersProof
    run: RunProof
    map: MapProof | None = None


class Verification(NamedTuple):
    """The results of all proofs; a proof that was not requested is None. `engine` is "" if no net was run. `notes` are
    about the two nets and their weights. `claim` is what was to be proven; `asked` is the claim that the user wants,
    None for any claim. A `bisection` is in place of the proofs."""

    net: str
    weights: str
    fcn: str
    fcn_weights: str
    engine: str
    phase: str
    tolerance: float | None
    weights_proof: WeightsProof | None
    same_size: SameSizeProof | None
    dense: DenseProof | None
    notes: tuple[str, ...]
    claim: Claim
    new_function: NewFunctionProofs | None = None
    asked: Claim | None = None
    bisection: Bisection | None = None

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {status.value}" for name, status in self.statuses.items())
        against = (
            f" against {self.net}" if self.net != self.fcn else ""
        )  # a net that is not saved has no name of its own
        return f"<Verification of {self.fcn}{against}: {told}>"

    @property
    def statuses(self) -> dict[str, Status]:
        """The result of each requested proof, by name."""
        if self.new_function is not None:
            parts = self.new_function._asdict().items()
            return {name: proof.status for name, proof in parts if proof is not None}
        proofs = {
            "weights": self.weights_proof,
            "same size": self.same_size,
            "dense": self.dense,
            "blobs": self.bisection,
        }
        return {name: proof.status for name, proof in proofs.items() if proof is not None}

    @property
    def met(self) -> bool:
        """Whether the claim is the one that the user wants, or a stronger one."""
        return self.asked is None or weakest((self.claim, self.asked)) is self.asked

    @property
    def proven(self) -> bool:
        """Whether the whole claim is proven: `holds` is true, and the proof of the weights holds."""
        return self.holds and self.statuses.get("weights") is Status.HOLDS

    @property
    def holds(self) -> bool:
        """Whether each requested proof holds or does not apply, and at least one holds."""
        found = set(self.statuses.values())
        return self.met and Status.HOLDS in found and found <= {Status.HOLDS, Status.DOES_NOT_APPLY}
