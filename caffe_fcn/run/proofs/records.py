"""What the proofs find, as data: numbers, names and reasons, and nothing of how they are told.

The one idea: a proof that could not be carried out is no proof. So there are three ends, and only one of them
is a yes.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from caffe_fcn.net.geometry import Reason
from caffe_fcn.net.shapes import Shape


class Status(Enum):
    """How a proof ended."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_SHOWN = "not shown"


class WeightsProof(NamedTuple):
    """The parameter blobs held against each other: how many BLOBS of how many LAYERS, with how many VALUES.

    RESHAPED blobs have another shape, of which TRANSPOSED and REORDERED hold their values in another order.
    UNTRAINED layers have no blobs in either file; FOREIGN ones are in the weights alone. NOT_SHOWN says why nothing
    could be compared.
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
    not_shown: str = ""

    @property
    def status(self) -> Status:
        """Whether every blob is the original's."""
        return Status.FAILS if self.failures else Status.NOT_SHOWN if self.not_shown else Status.HOLDS


class Difference(NamedTuple):
    """How far two outputs are apart: the largest difference, ABSOLUTE and RELATIVE to the scale of the original's,
    and how much of that is ALLOWED. The top class AGREES in so many of CELLS; both are 0 where there are no classes.
    """

    absolute: float
    relative: float
    allowed: float
    agrees: int
    cells: int

    @property
    def small(self) -> bool:
        """Whether rounding explains it."""
        return self.relative <= self.allowed and self.agrees == self.cells


class OutputPair(NamedTuple):
    """An output of the original, and what it is called in the twin."""

    name: str
    twin: str


class SameSize(NamedTuple):
    """An output of both nets at the nominal input; DIFFERENCE is None where the two cannot be compared."""

    output: OutputPair
    difference: Difference | None
    failure: str


class SameSizeProof(NamedTuple):
    """Both nets on the same inputs of the nominal size: SAMPLES at random from SEED, and GIVEN ones."""

    inputs: dict[str, Shape]
    samples: int
    given: int
    seed: int
    outputs: tuple[SameSize, ...]
    failures: tuple[str, ...]

    @property
    def status(self) -> Status:
        """Whether all outputs agree."""
        return Status.FAILS if self.failures or any(each.failure for each in self.outputs) else Status.HOLDS


class Dense(NamedTuple):
    """An output of the twin on a larger input, window for window.

    CROPS is how far it is from the original on the crops of the picture. Where REASONS keep the map from being a
    sliding window exactly, FEATURES is how far it is from the original's last layers on the windows of the maps
    that its first layers make of the whole picture; that must be nothing but rounding. NOT_SHOWN says why there is
    nothing to compare.
    """

    output: OutputPair
    status: Status
    stride: tuple[float, ...]
    window: tuple[int, ...]
    reasons: tuple[Reason, ...]
    crops: Difference | None
    features: Difference | None
    explanation: str


class DenseProof(NamedTuple):
    """The twin on one larger input, held against the original on SAMPLED of the WINDOWS in it."""

    input: Shape
    step: tuple[int, ...]
    windows: int
    sampled: int
    outputs: tuple[Dense, ...]
    not_shown: str

    @property
    def status(self) -> Status:
        """Whether all outputs are what they should be; one that could not be looked at keeps that from being said."""
        found = {each.status for each in self.outputs}
        if Status.FAILS in found:
            return Status.FAILS
        return Status.NOT_SHOWN if self.not_shown or Status.NOT_SHOWN in found or not found else Status.HOLDS


class Verification(NamedTuple):
    """All that was proven; None for what was not asked for. NOTES are on the two nets and their weights."""

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

    @property
    def statuses(self) -> dict[str, Status]:
        """How each proof ended that was asked for, by its name."""
        proofs = {"weights": self.weights_proof, "same size": self.same_size, "dense": self.dense}
        return {name: proof.status for name, proof in proofs.items() if proof is not None}

    @property
    def holds(self) -> bool:
        """Whether all that was asked for is proven."""
        return set(self.statuses.values()) == {Status.HOLDS}
