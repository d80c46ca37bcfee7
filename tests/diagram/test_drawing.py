"""The layout: nothing lies on anything else, every edge goes down and around boxes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fcn.diagram.drawing import NetDrawing, PlacedBox, drawing_of
from caffe_fcn.diagram.lines import HEAD, Line, Point
from caffe_fcn.diagram.records import Diagram, Wire
from tests.diagram.nets import made_of


@st.composite
def diagrams(draw: st.DrawFn) -> Diagram:
    boxes = draw(st.integers(1, 16))
    pairs = st.tuples(st.integers(0, boxes - 1), st.integers(0, boxes - 1)).filter(lambda pair: pair[0] < pair[1])
    wires = draw(st.sets(pairs, max_size=30)) if boxes > 1 else set()
    return made_of(boxes, wires, draw(st.sampled_from([1, 1, 1, 2, 9])))


def overlap(one: PlacedBox, other: PlacedBox) -> bool:
    """Whether two boxes overlap, with the labels below them."""
    return (
        one.x < other.x + other.measure.width
        and other.x < one.x + one.measure.width
        and one.y < other.y + other.measure.reach
        and other.y < one.y + one.measure.reach
    )


def crossed(line: Line, drawing: NetDrawing) -> list[PlacedBox]:
    """The boxes that LINE crosses, with their labels; a piece lies in the rectangle between its ends."""
    found = []
    for at, placed in enumerate(drawing.boxes):
        for one, other in line.pieces:
            left, right = sorted((one.x, other.x))
            beside = right <= placed.x or placed.x + placed.measure.width <= left
            apart = other.y <= placed.y or placed.y + placed.measure.reach <= one.y
            if not beside and not apart and at != line.source:
                found.append(placed)
    return found


def check(drawing: NetDrawing) -> None:
    for at, one in enumerate(drawing.boxes):
        assert one.x >= 0 and one.x + one.measure.width <= drawing.width
        assert one.y >= 0 and one.y + one.measure.reach <= drawing.height
        assert [other for other in drawing.boxes[at + 1 :] if overlap(one, other)] == []
    wires = [Wire(line.source, line.position, target) for line in drawing.lines for target, _ in line.heads]
    assert sorted(wires) == sorted(drawing.diagram.wires)
    for line in drawing.lines:
        source = drawing.boxes[line.source]
        port = source.measure.ports[line.position]
        x, y = source.x + source.measure.width // 2 + port.shift, source.y + source.measure.height
        assert line.pieces[0][0] == (x, y)
        assert all(one.y <= other.y for one, other in line.pieces)
        for target, head in line.heads:
            box = drawing.boxes[target]
            assert head == (box.x + box.measure.width // 2, box.y)
            assert ends_at(line, head)
        assert crossed(line, drawing) == []


def ends_at(line: Line, head: Point) -> bool:
    """Whether a way along the pieces of LINE leads from its port to HEAD."""
    at = head._replace(y=head.y - HEAD.y + 1)
    while at != line.pieces[0][0]:
        above = [
            one for one, other in line.pieces if other == at or (one.x == other.x == at.x and one.y < at.y < other.y)
        ]
        if not above:
            return False
        at = above[0]
    return True


@pytest.mark.thorough
@settings(max_examples=60, deadline=None)
@given(diagrams())
def test_nothing_overlaps_and_edges_go_around_boxes(diagram: Diagram) -> None:
    drawing = drawing_of(diagram)
    check(drawing)
    assert drawing == drawing_of(diagram)


def test_a_chain_is_straight() -> None:
    drawing = drawing_of(made_of(6, {(at, at + 1) for at in range(5)}))
    assert len({point.x for line in drawing.lines for piece in line.pieces for point in piece}) == 1


def test_a_shortcut_leaves_the_main_way_straight() -> None:
    drawing = drawing_of(made_of(5, {(0, 1), (1, 2), (2, 3), (3, 4), (0, 3)}))
    assert len({box.x + box.measure.width // 2 for box in drawing.boxes}) == 1
    check(drawing)


def test_a_box_lies_below_the_middle_of_one_with_several_ports() -> None:
    diagram = made_of(6, {(at, at + 1) for at in range(5)}, 2)
    wires = [Wire(at, 0, at + 1) for at in range(5)] + [Wire(0, 1, 4)]
    drawing = drawing_of(diagram._replace(wires=wires))
    assert len({box.x + box.measure.width // 2 for box in drawing.boxes}) == 1
    check(drawing)


@pytest.mark.thorough
def test_many_layers_take_seconds() -> None:
    far = {(0, at) for at in range(2, 2000)} | {(at, 1999) for at in range(1998)}
    wires = {(at, at + 1) for at in range(1999)} | far
    drawing = drawing_of(made_of(2000, wires))
    assert drawing.height > 100_000
    assert len(drawing.lines) == 2000
    words = sum(len(placed.measure.remarks) for placed in drawing.boxes)
    assert 0 < words < len(far)  # the longest edges are words in their boxes
    assert sum(len(line.pieces) for line in drawing.lines) < 20_000
