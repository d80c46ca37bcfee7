"""The layout: nothing lies on anything else, every edge goes down and around boxes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fcn.diagram.drawing import Curve, NetDrawing, PlacedBox, drawing_of
from caffe_fcn.diagram.records import Diagram
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


def crossed(curve: Curve, drawing: NetDrawing) -> list[PlacedBox]:
    """The boxes that CURVE crosses, with their labels; a piece lies in the rectangle between its ends."""
    found = []
    for at, placed in enumerate(drawing.boxes):
        for one, other in pairwise(curve.points):
            left, right = min(one.x, other.x), max(one.x, other.x)
            inside = (placed.x < right and left < placed.x + placed.measure.width) or (
                left == right and placed.x < left < placed.x + placed.measure.width
            )
            down = one.y < placed.y + placed.measure.reach and placed.y < other.y
            if inside and down and at != curve.wire.source:
                found.append(placed)
    return found


def check(drawing: NetDrawing) -> None:
    for at, one in enumerate(drawing.boxes):
        assert one.x >= 0 and one.x + one.measure.width <= drawing.width
        assert one.y >= 0 and one.y + one.measure.reach <= drawing.height
        assert [other for other in drawing.boxes[at + 1 :] if overlap(one, other)] == []
    assert len(drawing.curves) == len(drawing.diagram.wires)
    for curve in drawing.curves:
        assert all(one.y <= other.y for one, other in pairwise(curve.points))
        source, target = drawing.boxes[curve.wire.source], drawing.boxes[curve.wire.target]
        port = source.measure.ports[curve.wire.position]
        assert curve.points[0] == (source.x + source.measure.width // 2 + port.shift, source.y + source.measure.height)
        assert curve.points[-1] == (target.x + target.measure.width // 2, target.y)
        assert crossed(curve, drawing) == []


@settings(max_examples=60, deadline=None)
@given(diagrams())
def test_nothing_overlaps_and_edges_go_around_boxes(diagram: Diagram) -> None:
    drawing = drawing_of(diagram)
    check(drawing)
    assert drawing == drawing_of(diagram)


def test_a_chain_is_straight() -> None:
    drawing = drawing_of(made_of(6, {(at, at + 1) for at in range(5)}))
    assert {curve.points[0].x for curve in drawing.curves} == {curve.points[-1].x for curve in drawing.curves}
    assert len({point.x for curve in drawing.curves for point in curve.points}) == 1


def test_a_shortcut_leaves_the_main_way_straight() -> None:
    drawing = drawing_of(made_of(5, {(0, 1), (1, 2), (2, 3), (3, 4), (0, 3)}))
    main = [curve for curve in drawing.curves if curve.wire.target == curve.wire.source + 1]
    assert len({point.x for curve in main for point in curve.points}) == 1
    check(drawing)


@pytest.mark.thorough
def test_many_layers_take_seconds() -> None:
    wires = {(at, at + 1) for at in range(4999)} | {(at, at + 4) for at in range(0, 4990, 3)}
    assert drawing_of(made_of(5000, wires)).height > 100_000
