"""The models that come with the project: their sizes are those of the papers and of the published weights."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf import text_format

from caffe_fcn import schema
from caffe_fcn.net.graph import build_graph
from caffe_fcn.net.shapes import infer_shapes
from caffe_fcn.net.upgrade import needs_upgrade
from tests.paths import ROOT

MODELS = ROOT / "models"
PARAMETERS = {
    "lenet": 431_080,
    "alexnet": 60_965_224,
    "vgg16": 138_357_544,
    "googlenet": 6_998_552,
}
CLASSES = {"lenet": 10, "alexnet": 1000, "vgg16": 1000, "googlenet": 1000}
MAPS: dict[str, dict[str, tuple[int, ...]]] = {
    "lenet": {
        "data": (1, 28, 28),
        "conv1": (20, 24, 24),
        "pool1": (20, 12, 12),
        "conv2": (50, 8, 8),
        "pool2": (50, 4, 4),
    },
    "alexnet": {
        "data": (3, 227, 227),
        "conv1": (96, 55, 55),
        "pool1": (96, 27, 27),
        "conv2": (256, 27, 27),
        "pool2": (256, 13, 13),
        "conv3": (384, 13, 13),
        "conv4": (384, 13, 13),
        "conv5": (256, 13, 13),
        "pool5": (256, 6, 6),
        "fc6": (4096,),
        "fc7": (4096,),
    },
    "vgg16": {
        "data": (3, 224, 224),
        "conv1_2": (64, 224, 224),
        "pool1": (64, 112, 112),
        "pool2": (128, 56, 56),
        "pool3": (256, 28, 28),
        "pool4": (512, 14, 14),
        "conv5_3": (512, 14, 14),
        "pool5": (512, 7, 7),
        "fc6": (4096,),
        "fc7": (4096,),
    },
    # table 1 of the paper, "output size"
    "googlenet": {
        "data": (3, 224, 224),
        "conv1/7x7_s2": (64, 112, 112),
        "pool1/3x3_s2": (64, 56, 56),
        "conv2/3x3": (192, 56, 56),
        "pool2/3x3_s2": (192, 28, 28),
        "inception_3a/output": (256, 28, 28),
        "inception_3b/output": (480, 28, 28),
        "pool3/3x3_s2": (480, 14, 14),
        "inception_4a/output": (512, 14, 14),
        "inception_4b/output": (512, 14, 14),
        "inception_4c/output": (512, 14, 14),
        "inception_4d/output": (528, 14, 14),
        "inception_4e/output": (832, 14, 14),
        "pool4/3x3_s2": (832, 7, 7),
        "inception_5a/output": (832, 7, 7),
        "inception_5b/output": (1024, 7, 7),
        "pool5/7x7_s1": (1024, 1, 1),
    },
}
CLASSIFIERS = {
    "lenet": {"ip1": ((500, 800), (500,)), "ip2": ((10, 500), (10,))},
    "alexnet": {"fc6": ((4096, 9216), (4096,)), "fc7": ((4096, 4096), (4096,)), "fc8": ((1000, 4096), (1000,))},
    "vgg16": {"fc6": ((4096, 25088), (4096,)), "fc7": ((4096, 4096), (4096,)), "fc8": ((1000, 4096), (1000,))},
    "googlenet": {"loss3/classifier": ((1000, 1024), (1000,))},
}


def load(name: str) -> Any:
    return text_format.Parse((MODELS / f"{name}.prototxt").read_text(encoding="ascii"), schema.NetParameter())


def test_every_model_is_tested() -> None:
    assert {path.stem for path in MODELS.glob("*.prototxt")} == PARAMETERS.keys()


@pytest.mark.parametrize("name", PARAMETERS)
def test_model_is_in_the_current_format(name: str) -> None:
    net = load(name)
    assert not needs_upgrade(net)
    assert len({layer.name for layer in net.layer}) == len(net.layer), "weights are found by name"


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_add_up_to_the_published_total(name: str) -> None:
    graph = build_graph(load(name))
    shapes = infer_shapes(graph)
    assert sum(math.prod(shape) for params in shapes.params.values() for shape in params) == PARAMETERS[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_maps_have_the_published_sizes(name: str) -> None:
    graph = build_graph(load(name))
    shapes = infer_shapes(graph)
    found = {blob.name: shape for blob, shape in shapes.blobs.items()}
    assert {blob: found[blob] for blob in MAPS[name]} == {blob: (1, *size) for blob, size in MAPS[name].items()}
    assert {blob.name: found[blob.name] for blob in graph.outputs} == {"prob": (1, CLASSES[name])}


@pytest.mark.parametrize("name", PARAMETERS)
def test_weights_of_the_classifier(name: str) -> None:
    graph = build_graph(load(name))
    shapes = infer_shapes(graph)
    found = {node.name: shapes.params[node.index] for node in graph.nodes if node.type == "InnerProduct"}
    assert found == CLASSIFIERS[name]
