"""Options that say what runs a net, and with what."""

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
    """What runs a net."""

    engine: str = option_field(DEFAULT_ENGINE, "What runs the net.")
    threads: int | None = option_field(None, "Threads of the engine.", "as many as it takes")
    low_memory: bool = option_field(
        False,
        "Use large weights where they lie in onnxruntime, which takes less memory and more time.",
        "for few and small pictures, and where memory is short",
    )
    gpu: bool = option_field(False, "Run on the GPU, or not at all.")
