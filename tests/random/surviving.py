"""Checks mutants of a converted net: which of them `verify` accepts although their answers differ."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np

from caffe_fcn.errors import CaffeFcnError
from caffe_fcn.verify.records import Verification
from tests.random.basics import Array
from tests.random.files import Files, blobs_of, verdict
from tests.random.mutants import mutants, renamed, same_answers
from tests.random.nets import RandomNet


class Verified(NamedTuple):
    """How many mutants were VERIFIED, how many of them are HARMLESS, so that verify accepts them correctly, and the
    FAULTS of its verdicts. It refused all others."""

    verified: int
    harmless: int
    faults: list[str]


def survivors(original: Files, twin: Files, about: RandomNet, feeds: Sequence[dict[str, Array]], many: int) -> Verified:
    """Return the verdicts on MANY mutants of TWIN, or fewer, and on TWIN with other names for its blobs.

    TWIN is the converted net, ABOUT is the original, and FEEDS are the inputs of TWIN."""
    net, weights = twin.read()
    faults, harmless = [], 0
    again = _verdict(original, twin.write(renamed(net), weights))
    if again is None or not again.holds:
        faults.append("mutant: with other names for its blobs it fails")
    found = mutants(net, weights, np.random.default_rng((about.seed, 9)), many)
    for mutant in found:
        seen = _verdict(original, twin.write(mutant.net, mutant.weights))
        if seen is None or not seen.holds:
            continue
        before, after = (blobs_of(each, about.weights) for each in (weights, mutant.weights))
        if same_answers(net, mutant.net, before, after, feeds):
            harmless += 1
        else:
            faults.append(f"mutant: survives: {mutant.what}")
    return Verified(len(found), harmless, faults)


def _verdict(original: Files, twin: Files) -> Verification | None:
    """Return the verdict on the converted net TWIN; None if verify refuses to give one."""
    with ExitStack() as stack:
        try:
            return verdict(original.opened(stack), twin.opened(stack))
        except CaffeFcnError:
            return None
