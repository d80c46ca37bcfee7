"""What the numbers of a blob are: scores of classes where the net shows it, and else values."""

from __future__ import annotations

import pytest

from caffe_fcn.net.geometry import infer_geometry
from caffe_fcn.predict.outputs import Holds, channels_of, holds
from tests.engines.nets import net_of
from tests.passes.nets import conv, data, fc, layer

IMAGE = data(shape="2 3 8 8") + data("label", "2")
FIVE = IMAGE + fc("fc", "data", 5)
ONE = IMAGE + fc("fc", "data", 1)
MAP = IMAGE + conv("map", "data", 5)
LINE = IMAGE + conv("map", "data", 1)


def reshape(name: str, bottom: str, dims: str) -> str:
    shape = " ".join(f"dim: {dim}" for dim in dims.split())
    return layer(name, "Reshape", bottom, params=f"reshape_param {{ shape {{ {shape} }} }}")


@pytest.mark.parametrize(
    ("text", "blob", "expected"),
    [
        (FIVE, "fc", "scores"),
        (ONE, "fc", "values"),
        (MAP, "map", "scores"),
        (LINE, "map", "values"),
        (FIVE + layer("prob", "Softmax", "fc"), "prob", "classes"),
        (FIVE + layer("prob", "Softmax", "fc"), "fc", "classes"),
        (ONE + layer("prob", "Sigmoid", "fc"), "prob", "values"),
        (FIVE + layer("norm", "Normalize", "fc"), "norm", "values"),
        (FIVE + layer("norm", "Normalize", "fc"), "fc", "values"),
        (MAP + layer("top", "ArgMax", "map", params="argmax_param { axis: 1 top_k: 2 }"), "top", "values"),
        (MAP + conv("more", "map", 5, 1), "map", "values"),
        (MAP + layer("relu", "ReLU", "map", "map") + conv("more", "map", 5, 1), "more", "scores"),
        (FIVE + layer("loss", "EuclideanLoss", "fc label"), "fc", "values"),
        (FIVE + layer("loss", "HingeLoss", "fc label"), "fc", "classes"),
        (FIVE + layer("loss", "SoftmaxWithLoss", "fc label"), "fc", "classes"),
        (FIVE + layer("accuracy", "Accuracy", "fc label"), "fc", "classes"),
        (FIVE + reshape("flat", "fc", "0 5 1 1"), "flat", "scores"),
        (FIVE + reshape("flat", "fc", "0 5 1 1") + layer("prob", "Softmax", "flat"), "fc", "classes"),
        (MAP + reshape("boxes", "map", "0 -1 5"), "boxes", "values"),
        (MAP + reshape("cube", "map", "0 5 1 6 6"), "cube", "values"),
        (FIVE + fc("box", "data", 4) + layer("prob", "Softmax", "fc"), "box", "values"),
        (FIVE + fc("box", "data", 4), "box", "scores"),
        (FIVE + layer("sum", "Reduction", "fc", params="reduction_param { axis: 1 }"), "sum", "values"),
    ],
)
def test_what_a_blob_holds(text: str, blob: str, expected: str) -> None:
    net = net_of(text)
    found = net.graph.latest(blob)
    assert found is not None
    shape = net.shapes.blobs[found]
    assert isinstance(shape, tuple)
    is_map = len(shape) == 4 and infer_geometry(net.graph, net.shapes).get(found) is not None
    assert holds(net.graph, net.graph.outputs, found, shape, is_map) is Holds(expected)


def test_channels() -> None:
    assert [channels_of(shape) for shape in ((), (7,), (1, 5), (2, 3, 4, 4))] == [1, 7, 5, 3]
