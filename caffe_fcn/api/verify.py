"""The library: prove that a net is equivalent to another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.options import given
from caffe_fcn.engines.options import DEFAULT_ENGINE, EngineOptions
from caffe_fcn.engines.protocol import Array
from caffe_fcn.engines.registry import engine as engine_called
from caffe_fcn.verify.options import VerifyOptions
from caffe_fcn.verify.records import Verification
from caffe_fcn.verify.settings import VerifySettings
from caffe_fcn.verify.verify import verify as prove

if TYPE_CHECKING:
    from caffe_fcn.api.net import Net


@checked(VerifyOptions, EngineOptions)
def verify(
    self: Net,
    original: Net | str | os.PathLike[str],
    original_weights: str | os.PathLike[str] | None = None,
    *,
    claim: Literal["auto", "same-bits", "same-function", "new-function"] = VerifyOptions.claim,
    proofs: str | Sequence[str] = VerifyOptions.proofs,
    bisect: bool = VerifyOptions.bisect,
    original_engine: Literal["onnxruntime", "opencv", "openvino", "caffe"] | None = VerifyOptions.original_engine,  # type: ignore[assignment]
    samples: int = VerifyOptions.samples,
    windows: int = VerifyOptions.windows,
    seed: int = VerifyOptions.seed,
    pictures: Sequence[Array] = VerifyOptions.pictures,
    tolerance: float | None = VerifyOptions.tolerance,
    engine: Literal["onnxruntime", "opencv", "openvino", "caffe"] = DEFAULT_ENGINE,
    threads: int | None = EngineOptions.threads,
) -> Verification:
    """Prove that this net is equivalent to ORIGINAL, a net or a file, as `convolutionalize` and `fold` make it; or, for
    the claim *new-function*, what holds of a net with other answers.

    There are three proofs. *weights*: the weights and the fields of the layers are those of the original. *same
    size*: at the nominal input size both nets give the same answers. *dense*: on a larger input, each cell of the
    map is the answer of the original on its window. The `Verification` says which proofs hold, fail, could not be
    carried out or do not apply. Its `holds` is True if each proof holds or does not apply, and at least one holds.

    For a net that computes a new function there are four other proofs. *acceptance*: Caffe accepts the net. *weights*:
    all weights fit it. *layers*: what the pass did not change is untouched. *run*: the net runs, and its outputs have
    the inferred shapes. This claim has to be given for nets that were opened from files; a net that a method made of
    ORIGINAL itself is proven by the claim of that method.

    With BISECT the nets are compared blob by blob, in place of the proofs: `bisection` of the `Verification` has the
    first layers whose inputs agree and whose output differs by more than rounding, with the fields and the weights that
    differ. `holds` is True if all blobs agree. ORIGINAL_ENGINE runs the original then: a net compared with itself shows
    which layers an engine computes otherwise.

    Raises CaffeFcnError if the nets cannot be compared: WeightsError if weights contain NaN, ExtraError if the
    engine is needed and not installed.
    """
    if claim == "new-function" and (proofs or len(pictures)):
        raise ValueError("claim: 'new-function' has proofs of its own; expected neither proofs nor pictures with it")
    if bisect and (proofs or claim == "new-function"):
        raise ValueError("bisect: it is in place of the proofs; expected neither proofs nor the claim 'new-function'")
    if original_engine is not None and not bisect:
        raise ValueError("original_engine: it goes with bisect only")
    runner = engine_called(given(EngineOptions, locals()), brief=True)
    settings = VerifySettings(engine=runner, **vars(given(VerifyOptions, locals())))
    if isinstance(original, str | os.PathLike):
        with self._opened(original, original_weights) as other:
            return prove(other._runnable(), self._runnable(), self.model.selection, settings)
    if original_weights is not None:
        raise TypeError("verify: original_weights: expected none, because the original is a net that has them")
    plan = self._plan if settings.claim == "auto" and self._plan and self._plan.before is original.model else None
    results = plan.results if plan else ()
    return prove(original._runnable(), self._runnable(), self.model.selection, settings, results)
