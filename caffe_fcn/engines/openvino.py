"""The engine `openvino`: the net lowered to ONNX, run by OpenVINO on the CPU.

The model is that of the default engine, so the two engines differ only in arithmetic. If OpenVINO computes an operator
not as ONNX defines it, the operator is replaced after reading the model (`openvino_pooling.py`). The shapes of results
are compared with those in Caffe.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from caffe_fcn.engines.expected import Sizes, as_caffe_makes_it, counted
from caffe_fcn.engines.lowered import LoweredSession
from caffe_fcn.engines.openvino_pooling import mend_poolings
from caffe_fcn.engines.protocol import Array, ShapedNet, checked_inputs
from caffe_fcn.engines.temporary import written
from caffe_fcn.errors import EngineError, ExtraError, LoweringError, missing
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.interruption import uninterrupted
from caffe_fcn.onnx.lowering import Lowered, lower
from caffe_fcn.wording import Option, advise

_INSTALL = "pip install 'caffe-fcn[openvino]'"
_TELEMETRY = "openvino_telemetry"

_SETTINGS = {
    "INFERENCE_PRECISION_HINT": "f32",  # without it, a CPU with bfloat16 may compute in that type
    "PERFORMANCE_HINT": "LATENCY",
    "ENABLE_CPU_PINNING": False,  # several processes would run on the same cores
}


def openvino() -> Any:
    """Return the OpenVINO module. Raises ExtraError if it is not installed, or too old.

    Its import reports to its makers through a separate package, and keeps an identifier in the home directory. That
    package is hidden during the import; OpenVINO supports this.
    """
    hidden = _TELEMETRY not in sys.modules
    if hidden:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        with uninterrupted():
            import openvino
    except Exception as error:
        told = f"running a net with OpenVINO needs more packages: {_INSTALL}"
        raise missing(error, "openvino", told) from error
    finally:
        if hidden:
            del sys.modules[_TELEMETRY]
    if not hasattr(openvino, "opset14"):
        raise ExtraError(f"OpenVINO {openvino.__version__} is too old; expected 2025.0 or newer: {_INSTALL}")
    return openvino


class OpenVino:
    """The engine. THREADS is the number of threads for one operation; None for OpenVINO's default."""

    name = "openvino"

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads

    def load(self, net: ShapedNet, weights: WeightFile, *, outputs: Sequence[str] = ()) -> OpenVinoSession:
        """Load NET with WEIGHTS. Free axes of the net may have another length in each run.

        Raises LoweringError for layers that the ONNX exporter does not support, EngineError for a net that OpenVINO
        does not load, ExtraError if a package is not installed.
        """
        package = openvino()
        try:
            lowered = lower(net.graph, net.shapes, weights, outputs=outputs)
        except LoweringError as error:
            from caffe_fcn.engines.opencv_rules import or_opencv  # here, because most nets do not need it

            raise or_opencv(error) from error
        settings = {**_SETTINGS, "INFERENCE_NUM_THREADS": self.threads or 0}
        with written(lowered.graph, weights) as path, _failures_told(f"load {net.graph.source}"):
            core = package.Core()
            model = core.read_model(path)
            mend_poolings(model, package.opset14)
            compiled = core.compile_model(model, "CPU", settings)
        return OpenVinoSession(lowered, compiled)


@contextmanager
def _failures_told(what: str) -> Iterator[None]:
    """Turn errors of OpenVINO while it does WHAT into an EngineError."""
    try:
        yield
    except (RuntimeError, ValueError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise EngineError(
            f"OpenVINO cannot {what}: {reason}", hint=advise("use ", Option("engine", "onnxruntime"))
        ) from error


class OpenVinoSession(LoweredSession):
    """A net that OpenVINO has loaded."""

    name = "OpenVINO"

    def __init__(self, lowered: Lowered, compiled: Any) -> None:
        super().__init__(lowered)
        self._request = compiled.create_infer_request()
        self._sizes = Sizes(lowered.scope)
        self._counted = counted(lowered.scope.graph)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs for INPUTS."""
        arrays = checked_inputs(self.inputs, inputs)
        expected = self._sizes.outputs(arrays)
        feed = {place: arrays[name] for place, name in enumerate(self.lowered.inputs)}
        with _failures_told(f"run {self.lowered.scope.graph.source}"):
            made = self._request.infer(feed, share_inputs=True)
        return {
            blob.name: as_caffe_makes_it("OpenVINO", blob, made[place], shape, self._counted.get(blob))
            for place, (blob, shape) in enumerate(expected.items())
        }
