"""The library: what the command line does, for scripts. Everything here is imported from `caffe_fcn` itself.

    import caffe_fcn

    model = caffe_fcn.open("deploy.prototxt", "net.caffemodel")
    fcn = model.convolutionalize(input_size=(451, 451))
    print(fcn.diff("deploy_fcn.prototxt"))
    print(fcn.verify(model).holds)
    fcn.save("deploy_fcn.prototxt", "net_fcn.caffemodel")
    fcn.export("net.onnx")
    found = fcn.run("picture.png", mean=(104, 117, 123))
    print(found.top(3))
    found.heat_map(281).save("cats.png")

A caffemodel without its prototxt has its net inside: `open("net.caffemodel")` takes that. Shapes are tuples in Caffe's
order, N×C×H×W. Whatever keeps a model from being processed is a `CaffeFcnError` with one line that says what, where and
what to do next. Where a file cannot be read, that is a `CaffemodelError` of weights, and an `OSError` of all others: a
prototxt, a picture, a mean, labels. An argument of another type is a `TypeError`; a word that an option does not know,
a number out of its range and a file name of another kind are a `ValueError`. What depends on the net, such as a blob
that it does not have, is a `CaffeFcnError`.
"""

from __future__ import annotations

from caffe_fcn.api.benchmark import Benchmark
from caffe_fcn.api.convert import convert
from caffe_fcn.api.export import Export
from caffe_fcn.api.net import Net
from caffe_fcn.api.opening import open, open_weights
from caffe_fcn.api.run import Best, DenseMap, Prediction
from caffe_fcn.api.shapes import NetShapes
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
from caffe_fcn.files.blobs import BlobRecord
from caffe_fcn.files.caffemodel import LayerRecord, WeightFile
from caffe_fcn.model.changes import Change, LeftAlone
from caffe_fcn.net.shapes import Shape, Unknown
from caffe_fcn.passes.convolutionalize.changes import ToConvolution
from caffe_fcn.verify.records import Status, Verification

__all__ = [
    "Benchmark",
    "Best",
    "BlobRecord",
    "CaffeFcnError",
    "CaffemodelError",
    "Change",
    "DenseMap",
    "EngineError",
    "Export",
    "ExtraError",
    "LayerRecord",
    "LeftAlone",
    "LoweringError",
    "Net",
    "NetError",
    "NetShapes",
    "OutputError",
    "PictureError",
    "Prediction",
    "PrototxtError",
    "Session",
    "Shape",
    "ShapeError",
    "Status",
    "SurgeryError",
    "ToConvolution",
    "Unknown",
    "Verification",
    "VerificationError",
    "WeightFile",
    "WeightsError",
    "convert",
    "open",
    "open_weights",
]
