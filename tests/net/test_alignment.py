"""Layers that join maps whose cells do not lie on each other: which, how far apart, and what would align them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from caffe_fcn.net.geometry.alignment import Misaligned, misaligned, told
from caffe_fcn.net.options import Selection
from caffe_fcn.net.problems import Severity, examine
from caffe_fcn.net.shapes import infer_shapes
from tests.net.nets import data, graph_of, layer
from tests.paths import CASES, CORPUS


def apart(text: str) -> dict[str, str]:
    """What is told of the layers of the net TEXT that join maps beside each other, by name."""
    graph = graph_of(text)
    return {each.name: told(each) for each in misaligned(graph, infer_shapes(graph))}


def conv(name: str, bottom: str, more: str = "kernel_size: 3") -> str:
    return layer("Convolution", f"convolution_param {{ num_output: 4 {more} }}", bottom, name, name)


def pool(name: str, bottom: str, more: str) -> str:
    return layer("Pooling", f"pooling_param {{ {more} }}", bottom, name, name)


PICTURE = data(1, 4, 20, 20)
TWO = PICTURE + conv("a", "data", "kernel_size: 3 stride: 2 pad: 1") + pool("b", "data", "kernel_size: 2 stride: 2")
"""Two maps of stride 2, half a pixel beside each other."""
BESIDE = 'the cells of "{}" and "{}" do not coincide: they are {} apart'


@pytest.mark.parametrize(
    "kind", ["Eltwise", "Concat", "Scale scale_param { axis: 0 }", "Bias bias_param { axis: 0 }", "Mul", "Add"]
)
def test_joins(kind: str) -> None:
    name, _, params = kind.partition(" ")
    assert apart(TWO + layer(name, params, "a b", "c", "c")) == {"c": BESIDE.format("a", "b", "0.5 pixels")}
    assert apart(TWO + layer(name, params, "b a", "c", "c")) == {"c": BESIDE.format("b", "a", "0.5 pixels")}


def test_a_gate_joins_the_two_maps() -> None:
    text = TWO + pool("all", "data", "global_pooling: true") + layer("Axpy", "", "all a b", "c", "c")
    assert apart(text) == {"c": BESIDE.format("a", "b", "0.5 pixels")}


def test_maps_that_lie_on_each_other() -> None:
    text = PICTURE + conv("a", "data", "kernel_size: 3 pad: 1") + conv("b", "data", "kernel_size: 5 pad: 2")
    assert apart(text + layer("Concat", "", "a b data", "c", "c") + layer("Eltwise", "", "a data", "d", "d")) == {}


def test_axes_may_be_apart_by_themselves() -> None:
    text = PICTURE + conv("a", "data", "kernel_h: 3 kernel_w: 1")
    graph = graph_of(text + layer("Crop", "crop_param { offset: 0 }", "data a", "cut", "cut"))
    (found,) = misaligned(graph, infer_shapes(graph))
    assert found == Misaligned(
        2, "cut", "Crop", "cut", "a", (Fraction(1), Fraction(0)), ((Fraction(1),) * 2,) * 2, None, (1, 0)
    )
    assert told(found) == BESIDE.format("cut", "a", "1×0 pixels") + "; they coincide with an offset of 1×0"


def test_a_crop_tells_the_offset_that_aligns_it() -> None:
    text = PICTURE + conv("a", "data", "kernel_size: 1 pad: 5")
    crop = layer("Crop", "crop_param { axis: 2 offset: 2 }", "a data", "c", "c")
    assert apart(text + crop) == {"c": BESIDE.format("c", "data", "3 pixels") + "; they coincide with an offset of 5"}
    assert apart(text + crop.replace("offset: 2", "offset: 5")) == {}


def test_cells_that_are_not_equally_far_apart() -> None:
    text = PICTURE + pool("half", "data", "kernel_size: 2 stride: 2")
    text += layer("Crop", "crop_param { offset: 4 }", "data half", "cut", "cut")
    found = apart(text + layer("Eltwise", "", "cut half", "c", "c"))
    steps = 'the cells do not coincide: the cells of "cut" are 1 and those of "half" 2 pixels apart'
    assert found == {"cut": steps}


def test_a_crop_and_the_join_that_it_is_for_are_one_finding() -> None:
    text = PICTURE + conv("a", "data", "kernel_size: 3") + layer("Crop", "crop_param { offset: 0 }", "data a", "c", "c")
    text += layer("Eltwise", "", "c a", "sum", "sum") + layer("Concat", "", "a c", "both", "both")
    assert apart(text).keys() == {"c"}
    other = conv("b", "data", "kernel_size: 3") + layer("Eltwise", "", "c b", "last", "last")
    assert apart(text + other).keys() == {"c", "last"}


def test_what_a_join_does_is_not_told_of_all_that_follow() -> None:
    text = TWO + layer("Eltwise", "", "a b", "c", "c") + conv("d", "c", "kernel_size: 1")
    assert apart(text + layer("Eltwise", "", "c d", "e", "e") + layer("Eltwise", "", "e a", "f", "f")).keys() == {"c"}


def test_labels_lie_on_the_picture_that_they_are_as_large_as() -> None:
    text = PICTURE + data(1, 1, 20, 20, name="label") + conv("a", "data", "kernel_size: 1 pad: 3")
    text += layer("Crop", "crop_param { offset: 1 }", "a data", "score", "score")
    loss = layer("SoftmaxWithLoss", "", "score label", "loss", "loss")
    assert apart(text + loss)["loss"] == BESIDE.format("score", "label", "2 pixels")
    assert apart(text.replace("offset: 1", "offset: 3") + loss) == {}
    small = PICTURE + data(1, 1, 10, 10, name="label") + pool("score", "data", "kernel_size: 2 stride: 2")
    assert apart(small + loss) == {}, "nobody says where they lie"


def test_answers_for_whole_pictures_are_no_maps() -> None:
    text = PICTURE + pool("a", "data", "global_pooling: true") + conv("b", "data", "kernel_size: 20")
    assert apart(text + layer("Eltwise", "", "a b", "c", "c")) == {}


def test_an_origin_within_the_net_has_cells_and_no_pixels() -> None:
    text = PICTURE + layer("Flip", "", "data", "mirrored", "mirrored") + conv("a", "mirrored")
    text += layer("Crop", "crop_param { offset: 0 }", "mirrored a", "c", "c")
    assert apart(text) == {"c": BESIDE.format("c", "a", '1 cell of "mirrored"') + "; they coincide with an offset of 1"}


def test_it_is_information_even_where_it_is_strict() -> None:
    text = (TWO + layer("Eltwise", "", "a b", "c", "c")).encode()
    found = examine(text, "net.prototxt").strictly()
    assert not found.errors and [each.severity for each in found.notes] == [Severity.INFORMATION]
    assert found.notes[0].message == f'layer "c" (Eltwise): {BESIDE.format("a", "b", "0.5 pixels")}'


def test_a_crop_that_is_decided_is_held_against_the_geometry() -> None:
    text = (CASES / "hed_crop.prototxt").read_bytes()
    zero = examine(text, "net.prototxt", Selection(crop_offset="zero"))
    assert [each.line for each in zero.notes] == [10, 13, 14]
    assert "10 pixels apart; they coincide with an offset of 10" in zero.notes[0].message
    assert "1 pixel apart" in zero.notes[2].message
    assert examine(text, "net.prototxt", Selection(crop_offset="auto")).notes == ()


@pytest.mark.thorough
@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus of real nets is not there")
def test_well_known_nets() -> None:
    paths = {
        "3e2e0b8a": set(),  # FCN-8s of 2015, as it was meant
        "b06e7515": {"score"},  # published again with its offsets written, of which one is 34 instead of 31
        "e942bbba": {"concat0_1"},  # ENet joins a convolution that pads with a pooling that does not
    }
    for prefix, expected in paths.items():
        (path,) = CORPUS.rglob(f"{prefix}-*.prototxt")
        assert apart(path.read_text()).keys() == expected
