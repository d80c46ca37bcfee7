"""The golden nets, and what becomes of them."""

from __future__ import annotations

import json
from typing import Any

from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import open_model
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.passes.planning import Plan, planned
from caffe_fcn.passes.segment.changes import AddHead
from caffe_fcn.passes.segment_options import SegmentOptions
from caffe_fcn.passes.segmentation import Segmentation
from caffe_fcn.report.segment import head_of
from caffe_fcn.schema import Message
from tests.passes.nets import conv, data, fc, layer, model_of
from tests.paths import GOLDEN

SEGMENTS = GOLDEN / "segments"
INDEX: dict[str, Any] = json.loads((SEGMENTS / "index.json").read_text())
NETS = [name for name in INDEX if name != "published"]

VGG = (
    data(shape="1 3 96 96")
    + conv("conv1", "data", 4, 3, "pad: 1")
    + layer("pool1", "Pooling", "conv1", params="pooling_param { kernel_size: 2 stride: 2 }")
    + conv("conv2", "pool1", 6, 3, "pad: 1")
    + layer("pool2", "Pooling", "conv2", params="pooling_param { kernel_size: 2 stride: 2 }")
    + conv("conv3", "pool2", 8, 3, "pad: 1")
    + layer("pool3", "Pooling", "conv3", params="pooling_param { kernel_size: 2 stride: 2 }")
    + fc("fc6", "pool3", 10)
    + layer("relu6", "ReLU", "fc6", "fc6")
    + fc("fc8", "fc6", 5)
    + layer("prob", "Softmax", "fc8")
)
"""A small net of the kind of VGG-16, with the strides 2, 4 and 8."""


def golden(name: str, *, weights: bool = True, selection: Selection = ANY_NET) -> Model:
    """The golden classifier NAME."""
    folder = SEGMENTS / name
    return open_model(str(folder / "net.prototxt"), str(folder / "net.caffemodel") if weights else None, selection)


class Segmented(Plan):
    """A plan of a segmentation."""

    __slots__ = ()

    @property
    def head(self) -> AddHead:
        return head_of(self)


def segmented(net: str | Model, **options: Any) -> Segmented:
    """What becomes of NET, a text or a model; by default with two classes."""
    if "keep_classifier" not in options:
        options.setdefault("classes", 2)
    asked = Segmentation(SegmentOptions(**options))
    model = model_of(net) if isinstance(net, str) else net
    return Segmented(*planned(model, asked.passes, resized=True))


def layers_of(plan: Segmented) -> dict[str, Message]:
    """The layers of the new net by name, as its text says."""
    return {each.name: each for each in plan.net.layer}
