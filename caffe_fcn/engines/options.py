"""The options for the engine that runs a net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from caffe_fcn.options import option_field

EngineName: TypeAlias = Literal["onnxruntime", "opencv", "openvino", "caffe"]
DEFAULT_ENGINE: EngineName = "onnxruntime"
ENGINES: tuple[EngineName, ...] = ("onnxruntime", "opencv", "openvino", "caffe")
"""The engines, the default first."""


@dataclass(frozen=True)
class EngineOptions:
    """The choice of the engine, and its options."""

    engine: str = option_field(DEFAULT_ENGINE, "Engine that runs the net.")
    threads: int | None = option_field(None, "Number of threads of the engine.", "as many as it takes")
    low_memory: bool = option_field(
        False,
        "Do not repack large weights in onnxruntime: less memory, more time.",
        "for few and small pictures, and when memory is low",
    )
    gpu: bool = option_field(False, "Run on the GPU; fail without one.")
