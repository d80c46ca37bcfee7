"""Errors as data, and the sentence that is made of them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from google.protobuf import text_format

from caffe_fcn import schema
from caffe_fcn.errors import NetError, PictureError, PrototxtError, ShapeError, TextPlace, WeightsError, located
from caffe_fcn.files import prototxt
from caffe_fcn.net.graph import build_graph
from caffe_fcn.net.shapes import infer_shapes
from caffe_fcn.net.upgrade import upgrade
from caffe_fcn.wording import Option


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"expected": "a", "found": "b"}, "expected a, found b"),
        ({"source": "f", "expected": "a", "found": "b", "hint": "try c"}, "f: expected a, found b; try c"),
        ({"source": "f", "layer": "x", "expected": "a", "found": "b"}, 'f: layer "x": expected a, found b'),
        ({"layer": "x", "layer_type": "ReLU", "expected": "a", "found": "b"}, 'layer "x" (ReLU): expected a, found b'),
        ({"source": "f", "place": 7, "expected": "a", "found": "b"}, "f: offset 7: expected a, found b"),
        ({"place": 7, "layer": "x", "expected": "a", "found": "b"}, 'offset 7 (layer "x"): expected a, found b'),
        ({"layer": "x", "place": "blob 1", "expected": "a", "found": "b"}, 'layer "x", blob 1: expected a, found b'),
        ({"source": "f", "place": TextPlace(3, 4), "expected": "a", "found": "b"}, "f:3:4: expected a, found b"),
        ({"source": "f", "place": TextPlace(3), "expected": "a", "found": "b"}, "f:3: expected a, found b"),
        ({"place": Option("tile", 3), "expected": "a", "found": "b"}, "tile=3: expected a, found b"),
        ({"source": "m.npy", "role": "mean", "expected": "a", "found": "b"}, "mean m.npy: expected a, found b"),
        ({"told": "layer x is odd", "layer": "x", "expected": "a", "found": "b"}, "layer x is odd"),
        (
            {"layer": "a\x1b\n" + "b" * 200, "expected": "a", "found": "b"},
            f'layer "a??{"b" * 96}…": expected a, found b',
        ),
    ],
)
def test_the_sentence_of_an_error(fields: dict[str, Any], told: str) -> None:
    assert str(WeightsError(**fields)) == told


def test_what_is_known_only_later_is_added() -> None:
    with pytest.raises(ShapeError) as caught, located(source="f", layer="x", layer_type="ReLU", index=3):
        raise ShapeError("it has no bottom")
    error = caught.value
    assert str(error) == 'f: layer "x" (ReLU): it has no bottom'
    assert (error.source, error.layer, error.layer_type, error.index) == ("f", "x", "ReLU", 3)
    error.locate(source="g", layer="y", index=4)
    assert (error.source, error.layer, error.index) == ("f", "x", 3)
    assert error.within("f") == 'layer "x" (ReLU): it has no bottom' and error.within("g") == str(error)


def test_an_excerpt_ends_the_message() -> None:
    with pytest.raises(PrototxtError) as caught:
        prototxt.parse("layer {\n  name: }\n", "n.prototxt")
    error = caught.value
    assert str(error) == "n.prototxt:2:9: expected a value, found '}'\n    name: }\n          ^"
    assert error.line == "n.prototxt:2:9: expected a value, found '}'"
    assert (error.source, error.place, error.expected, error.found) == ("n.prototxt", (2, 9), "a value", "'}'")


def test_an_error_can_be_copied_and_sent_to_another_process() -> None:
    error = PictureError(source="p", expected="a", found="b", hint="c")
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert str(other) == str(error) and vars(other) == vars(error)


@pytest.mark.parametrize(
    ("text", "layer"),
    [
        ('layer { name: "r" type: "ReLU" bottom: "x" top: "y" }', "r"),
        ('input: "x" input_shape { dim: 1 } layer { name: "c" type: "Convolution" bottom: "x" top: "y" }', "c"),
    ],
)
def test_the_layer_at_fault_is_named(text: str, layer: str) -> None:
    net = text_format.Parse(text, schema.NetParameter())
    with pytest.raises((NetError, ShapeError)) as caught:
        infer_shapes(build_graph(upgrade(net), source="n"))
    assert (caught.value.source, caught.value.layer) == ("n", layer) and caught.value.index is not None
