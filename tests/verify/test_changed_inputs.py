"""Passes that change the input of a net, for each way in which a file can say what its input is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import caffe_fcn
from caffe_fcn.report.verify import lines
from tests.engines.nets import net_of, weights_of
from tests.passes.nets import conv, data, fc, layer

pytestmark = pytest.mark.thorough

BODY = conv("conv", "data", 4) + layer("relu", "ReLU", "conv", "conv")
BODY += layer("pool", "Pooling", "conv", params="pooling_param { kernel_size: 2 stride: 2 }")
BODY += fc("fc", "pool", 3) + layer("prob", "Softmax", "fc")
TYPES = {
    "Convolution": "CONVOLUTION",
    "ReLU": "RELU",
    "Pooling": "POOLING",
    "InnerProduct": "INNER_PRODUCT",
    "Softmax": "SOFTMAX",
}
V1 = re.sub(r'type: "(\w+)"', lambda found: f"type: {TYPES[found[1]]}", re.sub("^layer ", "layers ", BODY, flags=re.M))
FIELDS = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8\n'
INPUTS = {  # by what says it
    "layer": data(shape="1 3 8 8") + BODY,
    "input_dim": FIELDS + BODY,
    "input_shape": 'input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }\n' + BODY,
    "V1": FIELDS + V1,
    "called input": (FIELDS + BODY).replace('"data"', '"input"').replace('"conv"', '"input"'),
    "Data": layer("data", "Data", "", params="transform_param { crop_size: 8 }") + BODY,
}

Made = Callable[[caffe_fcn.Net], caffe_fcn.Net]
PASSES: dict[str, Made] = {
    "size": lambda net: net.convolutionalize(input_size=12),
    "channels": lambda net: net.convolutionalize(input_channels=4),
    "grey": lambda net: net.convolutionalize(input_channels=1),
    "both": lambda net: net.convolutionalize(input_size=12, input_channels=4),
    "segmented": lambda net: net.segment(2),
    "segmented, size": lambda net: net.segment(2, input_size=12),
    "segmented, channels": lambda net: net.segment(2, input_channels=4),
    "segmented, both": lambda net: net.segment(2, input_size=12, input_channels=4),
}


@pytest.mark.parametrize("name", INPUTS)
def test_a_changed_input_is_proven_as_the_pass_says_it(name: str, tmp_path: Path) -> None:
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    files[0].write_text(INPUTS[name])
    body = INPUTS["called input" if name == "called input" else "layer"]
    with weights_of(net_of(body), files[1]):
        pass
    with caffe_fcn.open(*files) as net:
        for change, make in PASSES.items():
            made = make(net)
            found = made.verify(net)
            assert found.holds, (change, *lines(found))
            if "both" not in change:
                continue
            made.save(tmp_path / "b.prototxt", tmp_path / "b.caffemodel", force=True)
            with caffe_fcn.open(tmp_path / "b.prototxt", tmp_path / "b.caffemodel") as written:
                assert written.verify(net, claim="new-function").holds, change
