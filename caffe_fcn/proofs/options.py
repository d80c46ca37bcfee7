"""Options of the proofs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caffe_fcn.options import option_field

if TYPE_CHECKING:
    from caffe_fcn.engines.protocol import Array

WEIGHTS, SAME_SIZE, DENSE = PROOFS = ("weights", "same-size", "dense")
"""The proofs, in the order in which they are carried out."""


@dataclass(frozen=True)
class VerifyOptions:
    """What is proven, and how thoroughly."""

    proofs: tuple[str, ...] = option_field((), "Carry out this proof only: weights, same-size or dense.", "all")
    samples: int = option_field(8, "Random inputs that both nets are given.")
    windows: int = option_field(16, "Windows of the larger input that are looked at.")
    seed: int = option_field(0, "Seed of what is random.")
    pictures: Sequence[Array] = option_field(
        (), "Inputs to compare on as well, arrays C×H×W or N×C×H×W, as they are fed."
    )
    tolerance: float | None = option_field(
        None,
        "Difference allowed, relative to the largest score; of a Softmax, to that of its logarithms.",
        "what rounding does to this net, as measured",
    )


@dataclass(frozen=True)
class ProveOptions:
    """Whether what is written is proven first."""

    verify: bool = option_field(False, "Prove the result as `verify` does, and write it only if all proofs hold.")
