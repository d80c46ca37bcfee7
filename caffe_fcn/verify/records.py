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
    from caffe_fcn.verify.new_function_records import NewFunctionProofs


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
