"""Rewrite Caffe classifiers as fully convolutional networks, without Caffe.

The library is in `caffe_fcn.api`, and loaded when a name of it is asked for, so that `import caffe_fcn` and
`caffe-fcn --help` cost next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from caffe_fcn.api import (
        BlobRecord,
        CaffeFcnError,
        CaffemodelError,
        EngineError,
        ExtraError,
        LayerRecord,
        LeftAlone,
        LoweringError,
        NetError,
        OutputError,
        PictureError,
        PrototxtError,
        Session,
        Shape,
        ShapeError,
        SourceNet,
        Status,
        SurgeryError,
        ToConvolution,
        Unknown,
        Verification,
        VerificationError,
        WeightFile,
        WeightsError,
    )
    from caffe_fcn.api.benchmark import Benchmark, benchmark
    from caffe_fcn.api.convert import Conversion, ConvertOptions, convert, convolutionalize
    from caffe_fcn.api.export import Export, ExportOptions, export
    from caffe_fcn.api.inspect import NetShapes, infer_shapes
    from caffe_fcn.api.load import load
    from caffe_fcn.api.opening import open_weights, read_net
    from caffe_fcn.api.options import SelectionOptions
    from caffe_fcn.api.run import Best, DenseMap, Prediction, PredictOptions, Predictor, predictor
    from caffe_fcn.api.verify import VerifyOptions, verify

__all__ = [
    "Benchmark",
    "Best",
    "BlobRecord",
    "CaffeFcnError",
    "CaffemodelError",
    "Conversion",
    "ConvertOptions",
    "DenseMap",
    "EngineError",
    "Export",
    "ExportOptions",
    "ExtraError",
    "LayerRecord",
    "LeftAlone",
    "LoweringError",
    "NetError",
    "NetShapes",
    "OutputError",
    "PictureError",
    "PredictOptions",
    "Prediction",
    "Predictor",
    "PrototxtError",
    "SelectionOptions",
    "Session",
    "Shape",
    "ShapeError",
    "SourceNet",
    "Status",
    "SurgeryError",
    "ToConvolution",
    "Unknown",
    "Verification",
    "VerificationError",
    "VerifyOptions",
    "WeightFile",
    "WeightsError",
    "__version__",
    "benchmark",
    "convert",
    "convolutionalize",
    "export",
    "infer_shapes",
    "load",
    "open_weights",
    "predictor",
    "read_net",
    "verify",
]


if not TYPE_CHECKING:  # a type checker is to miss the names that there are not

    def __getattr__(name: str) -> Any:
        """A name of the library, loaded when it is first asked for."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from caffe_fcn import api

        return getattr(api, name)


def __dir__() -> list[str]:
    return __all__
