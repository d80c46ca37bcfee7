"""The engines by name, and whether they can be had."""

from __future__ import annotations

from collections.abc import Callable

from caffe_fcn.errors import EngineError
from caffe_fcn.run.engine import Engine
from caffe_fcn.wording import option


def _onnxruntime(threads: int | None, gpu: bool) -> Engine:
    from caffe_fcn.run.onnxruntime import OnnxRuntime, gpu_provider, onnxruntime

    onnxruntime()
    return OnnxRuntime(threads, provider=gpu_provider() if gpu else None)


def _opencv(threads: int | None, gpu: bool) -> Engine:
    from caffe_fcn.run.opencv import OpenCv, opencv

    _refuse_gpu("opencv", gpu)
    opencv()
    return OpenCv(threads)


def _openvino(threads: int | None, gpu: bool) -> Engine:
    from caffe_fcn.run.openvino import OpenVino, openvino

    _refuse_gpu("openvino", gpu)
    openvino()
    return OpenVino(threads)


def _caffe(threads: int | None, gpu: bool) -> Engine:
    from caffe_fcn.run.pycaffe import PyCaffe

    _refuse_gpu("caffe", gpu)
    made = PyCaffe(threads)
    made.check()
    return made


def _refuse_gpu(name: str, gpu: bool) -> None:
    if gpu:
        raise EngineError(
            f"the engine {name} runs on the CPU only here; "
            f"use {option('engine', 'onnxruntime')}, "
            f"or leave {option('gpu')} out"
        )


ENGINES: dict[str, Callable[[int | None, bool], Engine]] = {
    "onnxruntime": _onnxruntime,
    "opencv": _opencv,
    "openvino": _openvino,
    "caffe": _caffe,
}
"""Name to what makes the engine, the default first."""


def engine(name: str, threads: int | None = None, *, gpu: bool = False) -> Engine:
    """The engine called NAME, on so many THREADS, or on the GPU. Raises EngineError for a name that is none and where
    there is no GPU, ExtraError where a package is not installed."""
    if name not in ENGINES:
        raise EngineError(f"expected an engine out of {', '.join(ENGINES)}, found {name!r}")
    return ENGINES[name](threads, gpu)
