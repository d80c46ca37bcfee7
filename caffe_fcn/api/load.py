"""The library: nets loaded into an engine, to be run on arrays."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from caffe_fcn.api.arguments import check_arguments, check_models, check_options
from caffe_fcn.api.options import SelectionOptions, checked_threads, selection_of, several
from caffe_fcn.engines.options import EngineOptions
from caffe_fcn.engines.protocol import Session
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.source import SourceNet

if sys.version_info >= (3, 11):
    from typing import Unpack
elif TYPE_CHECKING:
    from typing_extensions import Unpack


def load(
    net: SourceNet,
    weights: WeightFile,
    engine: Literal["onnxruntime", "opencv", "openvino", "caffe"] = "onnxruntime",
    threads: int | None = None,
    *,
    blobs: str | Sequence[str] = (),
    low_memory: bool = False,
    **options: Unpack[SelectionOptions],
) -> Session:
    """NET with WEIGHTS, ready to run any number of times; the weights may be closed afterwards.

    The session's `run` takes the inputs by name, float arrays N×C×H×W, and returns the outputs by name, or those of
    BLOBS that are asked for. Where the net takes any size H×W, it may differ from run to run. With LOW_MEMORY, and
    where memory is short, onnxruntime uses large weights where they lie, which takes less memory and more time. OPTIONS
    are `SelectionOptions`. Raises LoweringError or EngineError for a net that the engine cannot run, or would run
    otherwise than Caffe does; WeightsError where weights are another net's or hold NaN; ExtraError where the
    engine is not installed.
    """
    from caffe_fcn.engines.nets import one_net
    from caffe_fcn.engines.registry import engine as engine_called
    from caffe_fcn.onnx.finite import check_finite

    check_models("load", net=net, weights=weights)
    check_arguments("load", engine=engine, threads=threads, blobs=blobs, low_memory=low_memory)
    check_options("load", options, SelectionOptions, more=["engine", "threads", "blobs", "low_memory"])
    selection, _ = selection_of(options)
    chosen = engine_called(EngineOptions(engine, checked_threads(threads), low_memory))
    found, held, _ = one_net(net, weights, selection)
    check_finite(held, found.graph)
    return chosen.load(found, held, outputs=several(blobs))
