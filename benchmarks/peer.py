"""Runs a converted net in another program, as the documentation of that program says, without caffe-fcn.

This script runs in a separate process, in an environment that needs only the package of that program. Its input and
output are those of `session.py`. The peer MATRICES multiplies two matrices instead, to show the limit of the machine.

    python benchmarks/peer.py PEER MODEL WEIGHTS N,C,H,W THREADS
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeAlias

Run: TypeAlias = "Callable[[Any], Any]"


def onnxruntime(model: str, _weights: str, threads: int) -> tuple[Run, str]:
    """The exported MODEL in onnxruntime, with its default options."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda picture: session.run(None, {name: picture})[0], onnxruntime.__version__


def openvino(model: str, _weights: str, threads: int) -> tuple[Run, str]:
    """The exported MODEL in OpenVINO, for one picture at a time, in single precision as all others."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    return lambda picture: compiled([picture])[0], openvino.__version__.partition("-")[0]


def opencv(model: str, weights: str, threads: int) -> tuple[Run, str]:
    """MODEL, a prototxt, with WEIGHTS in OpenCV's own reader of Caffe's files."""
    import cv2

    cv2.setNumThreads(threads)
    net = cv2.dnn.readNetFromCaffe(model, weights)

    def run(picture: Any) -> Any:
        net.setInput(picture)
        return net.forward()

    return run, cv2.__version__


def matrices(_model: str, _weights: str, _threads: int) -> tuple[Run, str]:
    """Two square matrices multiplied by numpy, the first being fed."""
    import numpy as np

    return lambda matrix: np.matmul(matrix, matrix), np.__version__


PEERS: dict[str, Callable[[str, str, int], tuple[Run, str]]] = {
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "opencv": opencv,
    "matrices": matrices,
}


def main() -> None:
    """Load, and run as long as lines come in."""
    peer, model, weights, shape, threads = sys.argv[1:]
    start = perf_counter()
    run, version = PEERS[peer](model, weights, int(threads))
    seconds = perf_counter() - start
    import numpy as np
    from measuring import tell

    picture = np.random.default_rng(0).random([int(extent) for extent in shape.split(",")], dtype=np.float32)
    tell(seconds, version=version)
    for _ in sys.stdin:
        start = perf_counter()
        made = run(picture)
        tell(perf_counter() - start, values=int(made.size))


if __name__ == "__main__":
    main()
