"""The engines by name. An engine is imported when it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from caffe_fcn.engines.options import EngineOptions
from caffe_fcn.engines.protocol import Engine
from caffe_fcn.errors import EngineError
from caffe_fcn.wording import Option, advise


def _onnxruntime(use: EngineOptions) -> Engine:
    from caffe_fcn.engines.onnxruntime import (  # here, because one engine is loaded
        OnnxRuntime,
        gpu_provider,
        onnxruntime,
    )

    onnxruntime()
    return OnnxRuntime(use.threads, provider=gpu_provider() if use.gpu else None, low_memory=use.low_memory)


def _opencv(use: EngineOptions) -> Engine:
    from caffe_fcn.engines.opencv import OpenCv, opencv  # here, because one engine is loaded

    _refuse_others("opencv", use)
    opencv()
    return OpenCv(use.threads)


def _openvino(use: EngineOptions) -> Engine:
    from caffe_fcn.engines.openvino import OpenVino, openvino  # here, because one engine is loaded

    _refuse_others("openvino", use)
    openvino()
    return OpenVino(use.threads)


def _caffe(use: EngineOptions) -> Engine:
    from caffe_fcn.engines.pycaffe import PyCaffe  # here, because one engine is loaded

    _refuse_others("caffe", use)
    made = PyCaffe(use.threads)
    made.check()
    return made


def _refuse_others(name: str, use: EngineOptions) -> None:
    """Raise EngineError if the engine NAME gets options in USE that only onnxruntime supports."""
    for asked, flag, reason in (
        (use.gpu, "gpu", "runs only on the CPU"),
        (use.low_memory, "low_memory", "has no setting for less memory"),
    ):
        if asked:
            raise EngineError(
                f"the engine {name} {reason}",
                hint=advise("use ", Option("engine", "onnxruntime"), ", or leave ", Option(flag), " out"),
            )


ENGINES: dict[str, Callable[[EngineOptions], Engine]] = {
    "onnxruntime": _onnxruntime,
    "opencv": _opencv,
    "openvino": _openvino,
    "caffe": _caffe,
}
"""The function that makes each engine, by name, the default first."""


def engine(use: EngineOptions, *, brief: bool = False) -> Engine:
    """Return the engine in USE. BRIEF: there are so few runs that preparing large weights would take longer than it
    saves.

    Raises EngineError for an unknown name and if there is no GPU, ExtraError if a package is not installed."""
    if use.engine not in ENGINES:
        raise EngineError(expected=f"an engine, one of {', '.join(ENGINES)}", found=f"{use.engine!r}")
    if brief and use.engine == EngineOptions.engine:
        use = replace(use, low_memory=True)
    return ENGINES[use.engine](use)
