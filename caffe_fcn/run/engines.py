"""The engines by name, and whether they can be had."""

from __future__ import annotations

from collections.abc import Callable

from caffe_fcn.errors import EngineError
from caffe_fcn.run.engine import Engine


def _onnxruntime(threads: int | None) -> Engine:
    from caffe_fcn.run.onnxruntime import OnnxRuntime, onnxruntime

    onnxruntime()
    return OnnxRuntime(threads)


def _opencv(threads: int | None) -> Engine:
    from caffe_fcn.run.opencv import OpenCv, opencv

    opencv()
    return OpenCv(threads)


def _caffe(threads: int | None) -> Engine:
    from caffe_fcn.run.pycaffe import PyCaffe, pycaffe

    pycaffe()
    return PyCaffe(threads)


ENGINES: dict[str, Callable[[int | None], Engine]] = {
    "onnxruntime": _onnxruntime,
    "opencv": _opencv,
    "caffe": _caffe,
}
"""Name to what makes the engine, the default first."""


def engine(name: str, threads: int | None = None) -> Engine:
    """The engine called NAME, on so many THREADS. Raises EngineError for a name that is none, ExtraError where a
    package is not installed."""
    if name not in ENGINES:
        raise EngineError(f"expected an engine out of {', '.join(ENGINES)}, found {name!r}")
    return ENGINES[name](threads)
