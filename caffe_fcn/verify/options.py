"""The options of the proofs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from caffe_fcn.options import option_field

if TYPE_CHECKING:
    from caffe_fcn.engines.protocol import Array

WEIGHTS, SAME_SIZE, DENSE = PROOFS = ("weights", "same-size", "dense")
"""The proofs, in the order in which they are carried out."""
CLAIMS = ("auto", "same-bits", "same-function", "new-function")
"""What can be claimed of a net; auto: the nets show it."""


@dataclass(frozen=True)
class VerifyOptions:
    """What to prove, and how thoroughly."""

    claim: Literal["auto", "same-bits", "same-function", "new-function"] = option_field(
        "auto",
        "What to prove: the same weights, bit by bit; the same function within rounding; or, for a net with other "
        "answers, that Caffe accepts it, that its weights fit, that it runs, and which layers are untouched. auto: one "
        "of the first two, which follows from the nets; a net with other answers fails.",
    )
    proofs: tuple[str, ...] = option_field((), "Carry out only this proof: weights, same-size or dense.", "all")
    bisect: bool = option_field(
        False,
        "In place of the proofs, compare the nets blob by blob, and report the first layers whose inputs agree and "
        "whose output differs by more than rounding.",
    )
    original_engine: str | None = option_field(
        None,
        "With `bisect`, the engine that runs the original. A net compared with itself shows the layers that one engine "
        "computes otherwise.",
        "the same engine",
    )
    samples: int = option_field(8, "Number of random inputs for both nets.")
    windows: int = option_field(16, "Number of windows of the larger input to compare.")
    seed: int = option_field(0, "Seed of the random inputs.")
    pictures: Sequence[Array] = option_field(
        (), "More inputs to compare on, arrays N×C×H×W, C×H×W or, if C is 1, H×W, fed unchanged."
    )
    tolerance: float | None = option_field(
        None,
        "Allowed difference relative to the largest score; for a Softmax, to that of its logarithms.",
        "the measured effect of rounding on this net",
    )


@dataclass(frozen=True)
class ProveOptions:
    """Whether to prove a result before it is written."""

    verify: bool = option_field(False, "Prove the result as `verify` does; write it only if all proofs hold.")
