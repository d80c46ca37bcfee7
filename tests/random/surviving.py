"""Mutants of a twin held against `verify`: which of them it takes for the twin although they answer otherwise."""

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
    """How many mutants were VERIFIED, how many of them are HARMLESS, so that verify takes them for the twin and is
    right, and the FAULTS of its verdicts. All others it caught."""

    verified: int
    harmless: int
    faults: list[str]


def survivors(original: Files, twin: Files, about: RandomNet, feeds: Sequence[dict[str, Array]], many: int) -> Verified:
    """The verdicts on MANY mutants of TWIN, or fewer, and on TWIN with other names for its blobs.

    ABOUT is the original, and FEEDS are what goes into TWIN."""
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
    """The verdict on TWIN; None where verify refuses to give one."""
    with ExitStack() as stack:
        try:
            return verdict(original.opened(stack), twin.opened(stack))
        except CaffeFcnError:
            return None
