"""The library: load a net into an engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.options import given, several
from caffe_fcn.engines.nets import one_net
from caffe_fcn.engines.options import DEFAULT_ENGINE, EngineOptions
from caffe_fcn.engines.protocol import Session
from caffe_fcn.engines.registry import engine as engine_called
from caffe_fcn.onnx.finite import check_finite
from caffe_fcn.predict.options import RunOptions

if TYPE_CHECKING:
    from caffe_fcn.api.net import Net


@checked(RunOptions, EngineOptions)
def load(
    self: Net,
    engine: Literal["onnxruntime", "opencv", "openvino", "caffe"] = DEFAULT_ENGINE,
    threads: int | None = EngineOptions.threads,
    *,
    blobs: str | Sequence[str] = RunOptions.blobs,
    low_memory: bool = EngineOptions.low_memory,
) -> Session:
    """Load the net into an engine, to run it any number of times on arrays.

    `run` of the session takes the inputs by name, float arrays N×C×H×W, and returns the outputs, or the blobs
    BLOBS, by name. If the net accepts any size H×W, the size may differ from run to run. Raises LoweringError or
    EngineError if the engine cannot run the net as Caffe does; WeightsError if weights contain NaN; ExtraError if
    the engine is not installed.
    """
    chosen = engine_called(given(EngineOptions, locals()))
    files = self._runnable()
    found = one_net(files.source, files.weights, self.model.selection)
    check_finite(found.weights, found.net.graph)
    return chosen.load(found.net, found.weights, outputs=several(blobs))
