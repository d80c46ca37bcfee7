"""Two nets side by side: marks, remarks, heights, and a legend."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fcn.diagram.comparing import comparison_of
from caffe_fcn.diagram.dot import dot_comparison
from caffe_fcn.diagram.drawing import comparison_drawing
from caffe_fcn.diagram.png import png_file
from caffe_fcn.diagram.records import Comparison, Diagram
from caffe_fcn.diagram.svg import svg_file
from caffe_fcn.net.shapes import infer_shapes
from tests.diagram.nets import made_of
from tests.diagram.test_drawing import check, diagrams
from tests.net.nets import data, graph_of, layer

CONV = "convolution_param {{ num_output: {} kernel_size: 3 }}"


def conv(name: str, outputs: int, bottom: str) -> str:
    return layer("Convolution", CONV.format(outputs), bottom, name, name)


OLD = (
    data(1, 3, 12, 12)
    + conv("one", 4, "data")
    + layer("ReLU", bottom="one", top="one", name="relu")
    + conv("two", 4, "one")
    + layer("InnerProduct", "inner_product_param { num_output: 5 }", "two", "fc", "fc")
    + layer("Softmax", bottom="fc", top="prob", name="prob")
)
NEW = (
    data(1, 3, 12, 12)
    + conv("one", 8, "data")
    + conv("two", 4, "one")
    + layer("Convolution", "convolution_param { num_output: 5 kernel_size: 8 }", "two", "fc-conv", "fc-conv")
    + layer("Softmax", bottom="fc-conv", top="prob", name="prob")
    + layer("ArgMax", bottom="prob", top="class", name="class")
)


def compared(old: str = OLD, new: str = NEW) -> Comparison:
    one, other = graph_of(old), graph_of(new)
    return comparison_of(one, infer_shapes(one), other, infer_shapes(other), ("old", "new"))


def test_what_differs_is_marked() -> None:
    both = compared()
    olds = {layer.name: layer for box in both.old.boxes for layer in box.layers}
    news = {layer.name: layer for box in both.new.boxes for layer in box.layers}
    marks = {name: olds[name].mark for name in ("data", "one", "relu", "two", "fc")}
    assert marks == {"data": "", "one": "changed", "relu": "gone", "two": "", "fc": "replaced"}
    marks = {name: news[name].mark for name in ("data", "one", "two", "fc-conv", "class")}
    assert marks == {"data": "", "one": "changed", "two": "", "fc-conv": "replaced", "class": "new"}
    assert news["one"].remarks == ("num_output 4 → 8", "shape was 1×4×10×10")
    assert news["one"].about[-2:] == news["one"].remarks
    assert news["fc-conv"].remarks == ("was fc (InnerProduct)", "shape was 1×5")
    assert olds["fc"].remarks == ("now fc-conv (Convolution)",)


def test_other_wiring_is_marked() -> None:
    text = data(1, 3, 12, 12) + conv("one", 3, "data") + conv("two", 3, "data")
    both = compared(text + conv("three", 4, "one"), text + conv("three", 4, "two"))
    assert both.new.boxes[3].layer.mark == "changed"
    assert both.new.boxes[3].layer.remarks == ("reads another blob",)


def test_equal_nets_have_no_marks() -> None:
    both = compared(OLD, OLD)
    assert {layer.mark for net in (both.old, both.new) for box in net.boxes for layer in box.layers} == {""}
    assert len(both.twins) == len(both.old.boxes)


def test_layers_that_belong_together_are_at_one_height() -> None:
    both = compared()
    drawing = comparison_drawing(both)
    check(drawing)
    first = len(both.old.boxes)
    assert [(drawing.boxes[old].y, old) for old, _ in both.twins] == [
        (drawing.boxes[first + new].y, old) for old, new in both.twins
    ]
    edge = max(each.x + each.measure.width for each in drawing.boxes[:first])
    assert all(each.x > edge for each in drawing.boxes[first:])


@pytest.mark.thorough
@settings(max_examples=30, deadline=None)
@given(diagrams(), st.integers(1, 3))
def test_every_edge_goes_down_in_both_nets(diagram: Diagram, step: int) -> None:
    twins = [(box, box) for box in range(0, len(diagram.boxes), step)]
    drawing = comparison_drawing(Comparison("both", diagram, diagram, twins))
    check(drawing)
    assert all(drawing.boxes[old].y == drawing.boxes[len(diagram.boxes) + new].y for old, new in twins)


def test_twins_in_another_order_are_drawn_too() -> None:
    chain = made_of(4, {(0, 1), (1, 2), (2, 3)})
    both = Comparison("both", chain, chain, [(0, 0), (1, 2), (2, 1), (3, 3)])
    check(comparison_drawing(both))


def test_the_legend_tells_the_marks_that_occur() -> None:
    heading = comparison_drawing(compared()).heading
    assert heading is not None
    assert [each.text for each in heading.entries if each.mark] == ["+ new", "- gone", "~ replaced", "~ changed"]
    assert [text for _, _, text in heading.captions] == ["old", "new"]


def test_marks_are_words_and_borders_in_every_format() -> None:
    both = compared()
    root = ElementTree.fromstring(svg_file(comparison_drawing(both)))
    classes = [element.get("class", "") for element in root.iter()]
    assert sum("mark-replaced" in each for each in classes) == 3  # two boxes, and the legend
    assert ".drawing .folded.mark-gone rect { stroke-width: 2px;" in "".join(root.itertext())  # they lie 4 apart
    assert sum("folded" in each and "mark-gone" in each for each in classes) == 1
    words = ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]
    assert {"+ new", "- ReLU", "~ replaced", "~ changed", "num_output 4 → 8"} <= set(words)
    dot = dot_comparison(both)
    assert "penwidth=3" in dot and "{ rank=same; an0; bn0; }" in dot and "with - ReLU" in dot


@pytest.mark.thorough
def test_a_comparison_can_be_painted() -> None:
    assert png_file(comparison_drawing(compared())).startswith(b"\x89PNG")
