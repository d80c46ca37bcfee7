"""The library: converted nets proven."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from caffe_fcn.api.arguments import check_models, check_options
from caffe_fcn.api.options import SelectionOptions, checked_threads, selection_of, several
from caffe_fcn.engines.options import EngineOptions
from caffe_fcn.engines.protocol import Array
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.source import SourceNet
from caffe_fcn.proofs.records import Verification

if sys.version_info >= (3, 11):
    from typing import Unpack
elif TYPE_CHECKING:
    from typing_extensions import Unpack
if TYPE_CHECKING:
    from caffe_fcn.proofs.verify import VerifySettings


class VerifyOptions(SelectionOptions, total=False):
    """The options of `caffe-fcn verify`, as keywords, beside those of `SelectionOptions`."""

    proofs: str | Sequence[str]
    """The proofs to carry out, of "weights", "same-size" and "dense"; all by default."""
    samples: int
    """How many random inputs both nets are given, 8 by default."""
    windows: int
    """How many windows of the larger input are looked at, 16 by default."""
    seed: int
    """Of what is random, 0 by default."""
    pictures: Sequence[Array]
    """Inputs to compare on as well, C×H×W or several N×C×H×W, as they are fed."""
    tolerance: float | None
    """The difference allowed, relative to the largest score, a Softmax compared by the logarithms of what it gives; by
    default what rounding does to this net, as measured."""
    engine: Literal["onnxruntime", "opencv", "openvino", "caffe"]
    """What runs the nets, onnxruntime by default."""
    threads: int | None
    """The threads of the engine, by default as many as it takes."""


def verify(
    net: SourceNet,
    weights: WeightFile,
    fcn: SourceNet,
    fcn_weights: WeightFile,
    **options: Unpack[VerifyOptions],
) -> Verification:
    """Prove that FCN with FCN_WEIGHTS is what becomes of NET with WEIGHTS when it is made fully convolutional.

    Three proofs: the weights, and the fields of the layers, are the original's; at the nominal input both nets give
    the same answers; on a larger one each cell of the map is the original's answer on the window there. What does not
    hold, could not be carried out or does not apply is in the `Verification`, whose `holds` is True only if every proof
    holds or does not apply. OPTIONS are `VerifyOptions`. Raises CaffeFcnError for files that cannot be compared at all:
    WeightsError where weights hold NaN, ExtraError where the engine is needed and not installed.
    """
    from caffe_fcn.proofs.verify import NetAndWeights
    from caffe_fcn.proofs.verify import verify as prove

    check_models("verify", net=net, weights=weights, fcn=fcn, fcn_weights=fcn_weights)
    check_options("verify", options, VerifyOptions)
    selection, others = selection_of(options)
    settings = _proving(**others)
    return prove(NetAndWeights(net, weights), NetAndWeights(fcn, fcn_weights), selection, settings)


def _proving(
    *,
    proofs: str | Sequence[str] = (),
    samples: int = 8,
    windows: int = 16,
    seed: int = 0,
    pictures: Sequence[Array] = (),
    tolerance: float | None = None,
    engine: str = "onnxruntime",
    threads: int | None = None,
) -> VerifySettings:
    from caffe_fcn.engines.registry import engine as engine_called
    from caffe_fcn.proofs.options import PROOFS
    from caffe_fcn.proofs.verify import VerifySettings

    wanted = several(proofs) or PROOFS
    if not set(wanted) <= set(PROOFS):
        raise ValueError(f"proofs: expected some of {', '.join(PROOFS)}, found {proofs!r}")
    if samples < 1 or windows < 1 or seed < 0:
        raise ValueError(f"samples, windows, seed: expected at least 1, 1 and 0, found {samples}, {windows}, {seed}")
    if tolerance is not None and not 0 <= tolerance <= 1:
        raise ValueError(f"tolerance: expected a number from 0 to 1, found {tolerance}")
    return VerifySettings(
        engine=engine_called(EngineOptions(engine, checked_threads(threads)), brief=True),
        samples=samples,
        windows=windows,
        seed=seed,
        pictures=tuple(pictures),
        tolerance=tolerance,
        proofs=wanted,
    )
