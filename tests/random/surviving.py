"""Mutants of a twin held against `verify`: which of them it takes for the twin although they answer otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from caffe_fcn.errors import CaffeFcnError
from caffe_fcn.run.proofs.records import Verification
from tests.random.basics import Array
from tests.random.files import Files, blobs_of, verdict
from tests.random.mutants import mutants, renamed, same_answers
from tests.random.nets import RandomNet


def survivors(
    original: Files, twin: Files, about: RandomNet, feeds: Sequence[dict[str, Array]], many: int
) -> tuple[int, list[str]]:
    """How many mutants of TWIN were verified, MANY at most, and what is wrong with the verdicts on them, and on TWIN
    with other names for its blobs.

    ABOUT is the original, and FEEDS are what goes into TWIN."""
    net, weights = twin.read()
    faults = []
    again = _verdict(original, twin.write(renamed(net), weights))
    if again is None or not again.holds:
        faults.append("mutant: with other names for its blobs it fails")
    found = mutants(net, weights, np.random.default_rng((about.seed, 9)), many)
    for mutant in found:
        seen = _verdict(original, twin.write(mutant.net, mutant.weights))
        if seen is None or not seen.holds:
            continue
        before, after = (blobs_of(each, about.weights) for each in (weights, mutant.weights))
        if not same_answers(net, mutant.net, before, after, feeds):
            faults.append(f"mutant: survives: {mutant.what}")
    return len(found), faults


def _verdict(original: Files, twin: Files) -> Verification | None:
    """The verdict on TWIN; None where verify refuses to give one."""
    with ExitStack() as stack:
        try:
            return verdict(original.opened(stack), twin.opened(stack))
        except CaffeFcnError:
            return None
