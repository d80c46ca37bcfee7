"""The library: what the command line does, for scripts. Everything here is imported from `caffe_fcn` itself.

    import caffe_fcn

    net = caffe_fcn.read_net("deploy.prototxt")
    with caffe_fcn.open_weights("net.caffemodel") as weights:
        conversion = caffe_fcn.convolutionalize(net, weights, input_size=(451, 451))
        print(conversion.diff("deploy_fcn.prototxt"))
        conversion.write("deploy_fcn.prototxt", "net_fcn.caffemodel")
        with caffe_fcn.open_weights("net_fcn.caffemodel") as fcn_weights:
            fcn = caffe_fcn.read_net("deploy_fcn.prototxt")
            print(caffe_fcn.verify(net, weights, fcn, fcn_weights).holds)
            caffe_fcn.export(fcn, fcn_weights, "net.onnx")
            predict = caffe_fcn.predictor(fcn, fcn_weights, mean=(104, 117, 123))
            print(predict("picture.png").top(3))

A caffemodel without its prototxt has its net inside: `read_net("net.caffemodel")` reads that, and `open_weights` its
weights. Shapes are tuples in Caffe's order, N×C×H×W. Whatever keeps a model from being processed is a `CaffeFcnError`
with one line that says what, where and what to do next. Where a file cannot be read, that is a `CaffemodelError` of
weights, and an `OSError` of all others: a prototxt, a picture, a mean, labels. An argument of another type is a
`TypeError`; a word that an option does not know, a number out of its range and a file name of another kind are a
`ValueError`. What depends on the net, such as a blob that it does not have, is a `CaffeFcnError`.
"""

from __future__ import annotations

from caffe_fcn.api.benchmark import Benchmark, benchmark
from caffe_fcn.api.convert import Conversion, ConvertOptions, convert, convolutionalize
from caffe_fcn.api.export import Export, ExportOptions, export
from caffe_fcn.api.inspect import NetShapes, infer_shapes
from caffe_fcn.api.load import load
from caffe_fcn.api.opening import open_weights, read_net
from caffe_fcn.api.options import SelectionOptions
from caffe_fcn.api.run import Best, DenseMap, Prediction, PredictOptions, Predictor, predictor
from caffe_fcn.api.verify import VerifyOptions, verify
from caffe_fcn.engines.protocol import Session
from caffe_fcn.errors import (
    CaffeFcnError,
    CaffemodelError,
    EngineError,
    ExtraError,
    LoweringError,
    NetError,
    OutputError,
    PictureError,
    PrototxtError,
    ShapeError,
    SurgeryError,
    VerificationError,
    WeightsError,
)
from caffe_fcn.files.blobs import (
    BlobRecord,
)
from caffe_fcn.files.caffemodel import (
    LayerRecord,
    WeightFile,
)
from caffe_fcn.model.changes import LeftAlone
from caffe_fcn.net.shapes import (
    Shape,
    Unknown,
)
from caffe_fcn.net.source import (
    SourceNet,
)
from caffe_fcn.passes.convolutionalize.changes import ToConvolution
from caffe_fcn.proofs.records import (
    Status,
    Verification,
)

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
