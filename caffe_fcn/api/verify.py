"""The library: what `Net.verify` is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from caffe_fcn.api.options import several
from caffe_fcn.engines.options import EngineOptions
from caffe_fcn.engines.protocol import Array
from caffe_fcn.engines.registry import engine
from caffe_fcn.verify.options import PROOFS
from caffe_fcn.verify.verify import VerifySettings


def verify_settings(
    use: EngineOptions,
    *,
    proofs: str | Sequence[str],
    samples: int,
    windows: int,
    seed: int,
    pictures: Sequence[Array],
    tolerance: float | None,
) -> VerifySettings:
    """What is proven, and how. Raises ValueError for numbers and words that are none."""
    wanted = several(proofs)
    if not set(wanted) <= set(PROOFS):
        raise ValueError(f"proofs: expected some of {', '.join(PROOFS)}, found {proofs!r}")
    if samples < 1 or windows < 1 or seed < 0:
        raise ValueError(f"samples, windows, seed: expected at least 1, 1 and 0, found {samples}, {windows}, {seed}")
    if tolerance is not None and not 0 <= tolerance <= 1:
        raise ValueError(f"tolerance: expected a number from 0 to 1, found {tolerance}")
    return VerifySettings(
        engine=engine(use, brief=True),
        samples=samples,
        windows=windows,
        seed=seed,
        pictures=tuple(pictures),
        tolerance=tolerance,
        proofs=wanted,
    )
