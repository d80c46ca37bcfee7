"""The settings of a verification: what the user decides, and the engine."""

from __future__ import annotations

from dataclasses import dataclass, field

from caffe_fcn.engines.onnxruntime import OnnxRuntime
from caffe_fcn.engines.protocol import Engine
from caffe_fcn.verify.options import VerifyOptions


@dataclass(frozen=True, kw_only=True)
class VerifySettings(VerifyOptions):
    """What the user decides, and the ENGINE that runs the nets."""

    engine: Engine = field(default_factory=OnnxRuntime)
