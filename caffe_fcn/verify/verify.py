"""Proves that a rewritten net is equivalent to its original.

Three proofs cover different faults. The weights may be right but connected wrongly; the answers may agree at the
nominal size but not on a larger input; so the weights, the answers at the nominal size and the answers for windows of
a larger input are compared. Which claim is proven follows from the two nets: the same bits or, if the net is folded,
the same function within rounding. A net that is to compute a new function has proofs of its own (`new_function`).
"""

from __future__ import annotations

from collections.abc import Sequence

from caffe_fcn.model.opening import NetAndWeights
from caffe_fcn.model.passing import Claim, Result, weakest
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.selection import check_ignored
from caffe_fcn.verify.items import Runner
from caffe_fcn.verify.meeting import met, side_of_files
from caffe_fcn.verify.new_function import prove_new_function
from caffe_fcn.verify.options import DENSE, PROOFS, SAME_SIZE, WEIGHTS
from caffe_fcn.verify.records import Verification
from caffe_fcn.verify.refusals import refuse_unexplained
from caffe_fcn.verify.settings import VerifySettings
from caffe_fcn.verify.work import Work

_ASKED = {"auto": None, **{claim.name.lower().replace("_", "-"): claim for claim in Claim}}
"""The claims by the names that options have for them."""


def verify(
    original: NetAndWeights,
    twin: NetAndWeights,
    selection: Selection = ANY_NET,
    options: VerifySettings | None = None,
    results: Sequence[Result] = (),
) -> Verification:
    """Prove that TWIN is what becomes of ORIGINAL when it is made fully convolutional, folded, or both; or what can be
    proven of it if it is to compute a new function, as OPTIONS or the RESULTS of the passes that made it say. A net
    that only shows that it computes a new function is not equivalent, and a note says what it seems to be.

    SELECTION says which of the nets in the files is meant; answers are compared in its phase, by default in phase
    TEST. What does not hold, and what cannot be carried out, is a value; raised is CaffeFcnError for files that cannot
    be compared at all, such as weights that hold NaN.
    """
    check_ignored(selection, original.source, twin.source)
    options = options or VerifySettings()
    asked = _ASKED[options.claim]
    if Claim.NEW_FUNCTION in (asked, weakest(result.claim for result in results)):
        return _verify_new_function(original, twin, selection, options, results)
    work = Work(original, twin, selection, options)
    refuse_unexplained(work.original.graphs[work.phase])
    wanted = () if options.bisect else options.proofs or PROOFS
    bisection = work.bisection() if options.bisect else None
    same_size = work.same_size() if SAME_SIZE in wanted else None
    dense = work.dense() if DENSE in wanted else None
    found = Verification(
        original.source.name,
        original.weights.path,
        twin.source.name,
        twin.weights.path,
        options.engine.name if work.runner.used or (bisection and bisection.inputs) else "",
        work.phase,
        work.options.tolerance,
        work.weights if WEIGHTS in wanted else None,
        same_size,
        dense,
        tuple(work.notes),
        work.claim,
        asked=asked,
        bisection=bisection,
    )
    return found if found.holds else found._replace(notes=(*found.notes, *work.advice))


def _verify_new_function(
    original: NetAndWeights,
    twin: NetAndWeights,
    selection: Selection,
    options: VerifySettings,
    results: Sequence[Result],
) -> Verification:
    before, runner = met(original, selection), Runner(options.engine)
    side = side_of_files(before, original)
    proofs = prove_new_function(before, side, twin, selection, runner, seed=options.seed, results=results)
    return Verification(
        original.source.name,
        original.weights.path,
        twin.source.name,
        twin.weights.path,
        options.engine.name if runner.used else "",
        before.phase,
        None,
        None,
        None,
        None,
        before.notes,
        Claim.NEW_FUNCTION,
        proofs,
        _ASKED[options.claim],
    )
