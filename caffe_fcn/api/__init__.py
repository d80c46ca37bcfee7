"""The Python library. It does what the command line does. Import all names from `caffe_fcn`.

    import caffe_fcn

    model = caffe_fcn.open("deploy.prototxt", "net.caffemodel")
    fcn = model.convolutionalize(input_size=(451, 451))
    print(fcn.text_diff("deploy_fcn.prototxt"))
    print(fcn.verify(model).holds)
    fcn.save("deploy_fcn.prototxt", "net_fcn.caffemodel")
    fcn.export("net.onnx")
    found = fcn.run("picture.png", mean=(104, 117, 123))
    print(found.top(3))
    found.heat_map(281).save("cats.png")

A caffemodel contains its net, so `open("net.caffemodel")` needs no prototxt. Shapes are tuples in Caffe's order,
N×C×H×W.

What a command does to a net is a method of `Net` with the same options; that of `convert` is `Net.convolutionalize`.
`check` and `diff` are functions, because they also take files that cannot be opened. `convert` is also a function, from
files to files.

Errors:

- `CaffeFcnError`: the model cannot be processed. The message is one line: what is wrong, where, and what to do next.
  This includes what depends on the net, such as an unknown blob name.
- `CaffemodelError`: a file with weights cannot be read. It is a `CaffeFcnError`.
- `OSError`: another file cannot be read: a prototxt, a picture, a mean, labels.
- `TypeError`: an argument has the wrong type.
- `ValueError`: an option has an unknown value, a number is out of range, or a file name has the wrong ending.
"""

from __future__ import annotations

from caffe_fcn.api.answers import Best, ChannelRange, ClassArea, ClassRank, DenseMap, NamedValue, Peak
from caffe_fcn.api.benchmark import Benchmark
from caffe_fcn.api.check import check
from caffe_fcn.api.convert import convert
from caffe_fcn.api.diff import NetDifference, diff
from caffe_fcn.api.draw import DrawnNet
from caffe_fcn.api.export import Export
from caffe_fcn.api.inspect import NetInspection
from caffe_fcn.api.net import Net
from caffe_fcn.api.opening import open, open_weights
from caffe_fcn.api.prediction import Prediction
from caffe_fcn.api.report import SavedReport
from caffe_fcn.api.score import score
from caffe_fcn.api.shapes import NetShapes
from caffe_fcn.compare.orders import Reordering
from caffe_fcn.compare.records import BlobDiff, ChangedField, ChangedShape, LayerDiff, LayerMatch
from caffe_fcn.compare.values import Deviation, Sameness
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
from caffe_fcn.net.problems import Problem
from caffe_fcn.net.shapes import Shape, Unknown
from caffe_fcn.passes.convolutionalize.changes import ToConvolution
from caffe_fcn.predict.scoring import SegmentationScore
from caffe_fcn.report.check import Checked
from caffe_fcn.verify.records import Status, Verification

__all__ = [
    "Benchmark",
    "Best",
    "BlobDiff",
    "BlobRecord",
    "CaffeFcnError",
    "CaffemodelError",
    "Change",
    "ChangedField",
    "ChangedShape",
    "ChannelRange",
    "Checked",
    "ClassArea",
    "ClassRank",
    "DenseMap",
    "Deviation",
    "DrawnNet",
    "EngineError",
    "Export",
    "ExtraError",
    "LayerDiff",
    "LayerMatch",
    "LayerRecord",
    "LeftAlone",
    "LoweringError",
    "NamedValue",
    "Net",
    "NetDifference",
    "NetError",
    "NetInspection",
    "NetShapes",
    "OutputError",
    "Peak",
    "PictureError",
    "Prediction",
    "Problem",
    "PrototxtError",
    "Reordering",
    "Sameness",
    "SavedReport",
    "SegmentationScore",
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
    "check",
    "convert",
    "diff",
    "open",
    "open_weights",
    "score",
]
