"""What the numbers of a blob are: scores of classes where the net shows it, and else values."""

from __future__ import annotations

import pytest

from caffe_fcn.net.geometry import infer_geometry
from caffe_fcn.run.outputs import Holds, channels_of, holds
from tests.run.nets import net_of
from tests.surgery.nets import conv, data, fc, layer

IMAGE = data(shape="2 3 8 8") + data("label", "2")
FIVE = IMAGE + fc("fc", "data", 5)
ONE = IMAGE + fc("fc", "data", 1)
MAP = IMAGE + conv("map", "data", 5)
LINE = IMAGE + conv("map", "data", 1)


def reshape(name: str, bottom: str, dims: str) -> str:
    shape = " ".join(f"dim: {dim}" for dim in dims.split())
    return layer(name, "Reshape", bottom, params=f"reshape_param {{ shape {{ {shape} }} }}")


@pytest.mark.parametrize(
    ("text", "blob", "classes"),
    [
        (FIVE, "fc", True),
        (ONE, "fc", False),
        (MAP, "map", True),
        (LINE, "map", False),
        (FIVE + layer("prob", "Softmax", "fc"), "prob", True),
        (FIVE + layer("prob", "Softmax", "fc"), "fc", True),
        (ONE + layer("prob", "Sigmoid", "fc"), "prob", False),
        (FIVE + layer("norm", "Normalize", "fc"), "norm", False),
        (FIVE + layer("norm", "Normalize", "fc"), "fc", False),
        (MAP + layer("top", "ArgMax", "map", params="argmax_param { axis: 1 top_k: 2 }"), "top", False),
        (MAP + conv("more", "map", 5, 1), "map", False),
        (MAP + layer("relu", "ReLU", "map", "map") + conv("more", "map", 5, 1), "more", True),
        (FIVE + layer("loss", "EuclideanLoss", "fc label"), "fc", False),
        (FIVE + layer("loss", "HingeLoss", "fc label"), "fc", True),
        (FIVE + layer("loss", "SoftmaxWithLoss", "fc label"), "fc", True),
        (FIVE + layer("accuracy", "Accuracy", "fc label"), "fc", True),
        (FIVE + reshape("flat", "fc", "0 5 1 1"), "flat", True),
        (FIVE + reshape("flat", "fc", "0 5 1 1") + layer("prob", "Softmax", "flat"), "fc", True),
        (MAP + reshape("boxes", "map", "0 -1 5"), "boxes", False),
        (MAP + reshape("cube", "map", "0 5 1 6 6"), "cube", False),
        (FIVE + fc("box", "data", 4) + layer("prob", "Softmax", "fc"), "box", False),
        (FIVE + fc("box", "data", 4), "box", True),
        (FIVE + layer("sum", "Reduction", "fc", params="reduction_param { axis: 1 }"), "sum", False),
    ],
)
def test_what_a_blob_holds(text: str, blob: str, classes: bool) -> None:
    net = net_of(text)
    found = net.graph.latest(blob)
    assert found is not None
    shape = net.shapes.blobs[found]
    assert isinstance(shape, tuple)
    is_map = len(shape) == 4 and infer_geometry(net.graph, net.shapes).get(found) is not None
    expected = Holds.CLASSES if classes else Holds.VALUES
    assert holds(net.graph, net.graph.outputs, found, shape, is_map) is expected


def test_channels() -> None:
    assert [channels_of(shape) for shape in ((), (7,), (1, 5), (2, 3, 4, 4))] == [1, 7, 5, 3]
