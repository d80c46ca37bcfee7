"""Runs a net with onnxruntime, the default engine: the net is lowered to ONNX and run on the CPU or the GPU.

Weights are passed to onnxruntime in a temporary file beside the model. It maps the file into memory, so it does not
have to parse and copy a message. The file is removed when the session exists; the mapping stays valid.

onnxruntime repacks large weights, which makes convolutions about a quarter faster. While it loads them it needs up to
3.3 times the size of the model (the file, the copy and the largest weights once more). It uses the weights without
repacking, in at most twice the size, with `low_memory`, if less than four times the size is free (`memory`), and for so
few runs that repacking would take longer than it saves. LRN, which is slow there, becomes a convolution and square
roots.

The other settings were measured. The memory pattern is off: it costs up to a third more memory and saves no time. The
arena is on: without it each run takes an eighth longer. Spinning, denormals and the division of work among threads make
no difference, and neither do batches of tiles larger than 300 pixels a side. onnxruntime 1.29 and later report each
session to its makers; this is turned off, unless ORT_DISABLE_TELEMETRY is set.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from caffe_fcn.engines.expected import Sizes
from caffe_fcn.engines.lowered import LoweredSession
from caffe_fcn.engines.memory import free_memory
from caffe_fcn.engines.protocol import Array, ShapedNet, checked_inputs
from caffe_fcn.engines.temporary import written
from caffe_fcn.errors import EngineError, LoweringError, missing
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.interruption import uninterrupted
from caffe_fcn.net.shapes import show
from caffe_fcn.onnx.graph import OnnxGraph, Value
from caffe_fcn.onnx.lowering import Lowered, lower
from caffe_fcn.wording import Option, advise

_CPU = "CPUExecutionProvider"
_GPU = tuple(f"{name}ExecutionProvider" for name in ("CUDA", "ROCM", "MIGraphX", "Dml", "CoreML"))
"""The providers for GPUs, in order of preference."""

_ERRORS_ONLY = 3
"""The level of onnxruntime's logging."""

LEFT_IN_PLACE = 32 << 20
"""If there is little memory, weights of at least so many bytes are used without repacking. Repacked weights make a
convolution a quarter faster."""

LOADING = 4
"""The factor from the size of a net to the memory for loading it: the mapped file, the repacked weights, and the
largest of them once more. While it runs, it keeps them once."""


def onnxruntime() -> Any:
    """Return the onnxruntime module. Raises ExtraError if it is not installed.

    Version 1.29 and later report each session to its makers, and keep an identifier in the home directory and a file in
    the temporary directory. This is turned off, unless the environment sets it.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        with uninterrupted():  # an interrupted import would look like a missing package
            import onnxruntime  # type: ignore[import-untyped]
    except Exception as error:
        told = "running a net with onnxruntime needs more packages: pip install 'caffe-fcn[run]'"
        raise missing(error, "onnxruntime", told) from error
    return onnxruntime


def gpu_provider() -> str:
    """Return the provider for this machine's GPU, by onnxruntime's name. Raises EngineError if there is none."""
    there = onnxruntime().get_available_providers()
    found = next((name for name in _GPU if name in there), None)
    if found is None:
        raise EngineError(
            f"the installed onnxruntime has no GPU support ({', '.join(there)})",
            place=Option("gpu", True),
            hint=advise("pip install onnxruntime-gpu instead, or leave ", Option("gpu"), " out"),
        )
    return found


class OnnxRuntime:
    """The engine. THREADS is the number of threads for one operation; None for the number of cores. If FIXED, a net
    accepts only its nominal size. PROVIDER runs it instead of the CPU. If LOW_MEMORY, or if FREE returns too little
    memory, large weights are used without repacking, which is slower."""

    name = "onnxruntime"

    def __init__(
        self,
        threads: int | None = None,
        *,
        fixed: bool = False,
        provider: str | None = None,
        low_memory: bool = False,
        free: Callable[[], int | None] = free_memory,
    ) -> None:
        self.threads = threads
        self.fixed = fixed
        self.provider = provider
        self.low_memory = low_memory
        self.free = free

    def load(self, net: ShapedNet, weights: WeightFile, *, outputs: Sequence[str] = ()) -> OnnxRuntimeSession:
        """Load NET with WEIGHTS. Free axes of the net may have another length in each run.

        Raises LoweringError for layers that the ONNX exporter does not support, ExtraError if a package is not
        installed.
        """
        package = onnxruntime()
        try:
            lowered = lower(net.graph, net.shapes, weights, outputs=outputs, fixed=self.fixed, expand_lrn=True)
        except LoweringError as error:
            from caffe_fcn.engines.opencv_rules import or_opencv  # here, because most nets do not need it

            raise or_opencv(error) from error
        options = package.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = self.threads or 0
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # it takes a third more memory, and saves no time
        providers = [*([self.provider] if self.provider else []), _CPU]
        graph, loading = self._laid_out(lowered.graph), f"load {net.graph.source}"
        with written(graph, weights) as path, _failures_told(loading), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a provider that is not available; an error follows
            session = package.InferenceSession(path, options, providers)
        if self.provider and self.provider not in session.get_providers():  # it uses the CPU instead without a message
            raise EngineError(
                f"onnxruntime cannot use {self.provider} here",
                place=Option("gpu", True),
                hint=advise("install the GPU's driver and libraries, or leave ", Option("gpu"), " out"),
            )
        return OnnxRuntimeSession(lowered, session)

    def _laid_out(self, graph: OnnxGraph) -> OnnxGraph:
        """Return GRAPH, with its largest weights as inputs if there is little memory."""
        needed = LOADING * sum(constant.size for constant in graph.constants)
        short = self.low_memory or ((free := self.free()) is not None and free < needed)
        return _with_weights_in_place(graph) if short else graph


@contextmanager
def _failures_told(what: str) -> Iterator[None]:
    """Turn errors of onnxruntime while it does WHAT into an EngineError."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # type: ignore[import-untyped]

    found = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    kinds: tuple[type[Exception], ...] = (*found, RuntimeError, ValueError)  # it raises some of Python's own exceptions
    try:
        yield
    except kinds as error:
        reason = " ".join(str(error).split())
        raise EngineError(f"onnxruntime cannot {what}: {reason}") from error


def _with_weights_in_place(graph: OnnxGraph) -> OnnxGraph:
    """Return GRAPH with its largest weights as inputs with a default. onnxruntime does not repack inputs, because they
    are not constants."""
    weights = {node.inputs[1] for node in graph.nodes if node.op in ("Conv", "Gemm")}
    large = [each for each in graph.constants if each.name in weights and each.size >= LEFT_IN_PLACE]
    return graph._replace(inputs=(*graph.inputs, *(Value(each.name, each.dims) for each in large)))


class OnnxRuntimeSession(LoweredSession):
    """A net that onnxruntime has loaded."""

    name = "onnxruntime"

    def __init__(self, lowered: Lowered, session: Any) -> None:
        super().__init__(lowered)
        self._session = session
        self._sizes = Sizes(lowered.scope)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs for INPUTS."""
        arrays = checked_inputs(self.inputs, inputs)
        expected = self._sizes.outputs(arrays)
        names = [value.name for value in self.lowered.graph.outputs]
        feed = {value.name: arrays[name] for name, value in self.lowered.inputs.items()}
        with _failures_told(f"run {self.lowered.scope.graph.source}"):
            made = self._session.run(names, feed)
        blobs = self.lowered.scope.outputs
        for blob, array in zip(blobs, made, strict=True):
            if array.shape != expected[blob]:
                raise EngineError(
                    f"onnxruntime computes {blob.name!r} with the shape {show(array.shape)}, but in Caffe it "
                    f"is {show(expected[blob])}",
                    hint="this is a defect of caffe-fcn, please report it with the prototxt",
                )
        return {blob.name: array for blob, array in zip(blobs, made, strict=True)}
