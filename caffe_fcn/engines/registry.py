"""The engines by name, and whether they can be had."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from caffe_fcn.engines.protocol import Engine
from caffe_fcn.errors import EngineError
from caffe_fcn.wording import option


class Resources(NamedTuple):
    """What an engine may use: so many THREADS, or as many as it takes; the GPU; with LOW_MEMORY less memory, at the
    price of time; BRIEF says that so little is run that preparing large weights would take longer than it saves."""

    threads: int | None = None
    gpu: bool = False
    low_memory: bool = False
    brief: bool = False


def _onnxruntime(use: Resources) -> Engine:
    from caffe_fcn.engines.onnxruntime import OnnxRuntime, gpu_provider, onnxruntime

    onnxruntime()
    return OnnxRuntime(
        use.threads, provider=gpu_provider() if use.gpu else None, low_memory=use.low_memory or use.brief
    )


def _opencv(use: Resources) -> Engine:
    from caffe_fcn.engines.opencv import OpenCv, opencv

    _refuse_others("opencv", use)
    opencv()
    return OpenCv(use.threads)


def _openvino(use: Resources) -> Engine:
    from caffe_fcn.engines.openvino import OpenVino, openvino

    _refuse_others("openvino", use)
    openvino()
    return OpenVino(use.threads)


def _caffe(use: Resources) -> Engine:
    from caffe_fcn.engines.pycaffe import PyCaffe

    _refuse_others("caffe", use)
    made = PyCaffe(use.threads)
    made.check()
    return made


def _refuse_others(name: str, use: Resources) -> None:
    """Raise EngineError where the engine NAME is to USE what only onnxruntime can."""
    for asked, flag, reason in (
        (use.gpu, "gpu", "runs on the CPU only here"),
        (use.low_memory, "low_memory", "has no setting for less memory"),
    ):
        if asked:
            raise EngineError(
                f"the engine {name} {reason}; use {option('engine', 'onnxruntime')}, or leave {option(flag)} out"
            )


ENGINES: dict[str, Callable[[Resources], Engine]] = {
    "onnxruntime": _onnxruntime,
    "opencv": _opencv,
    "openvino": _openvino,
    "caffe": _caffe,
}
"""Name to what makes the engine, the default first."""


def engine(
    name: str, threads: int | None = None, *, gpu: bool = False, low_memory: bool = False, brief: bool = False
) -> Engine:
    """The engine called NAME, on so many THREADS, or on the GPU; with LOW_MEMORY it takes less memory and more time.
    BRIEF is as in `Resources`.
    Raises EngineError for a name that is none and where there is no GPU, ExtraError where a package is not
    installed."""
    if name not in ENGINES:
        raise EngineError(f"expected an engine out of {', '.join(ENGINES)}, found {name!r}")
    return ENGINES[name](Resources(threads, gpu, low_memory, brief))
