"""Non-maximum suppression, compared with OpenCV's, and with a plain one in fractions."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest

from caffe_fcn.predict.suppression import suppress

Boxes = list[list[int]]


def random_boxes(seed: int, many: int, span: int, most: int) -> Boxes:
    random = np.random.default_rng(seed)
    starts = random.integers(0, span, (many, 2))
    boxes: Boxes = np.concatenate([starts, starts + random.integers(1, most, (many, 2))], 1).tolist()
    return boxes


def iou(one: list[int], other: list[int]) -> Fraction:
    high = min(one[2], other[2]) - max(one[0], other[0])
    wide = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0, high) * max(0, wide)
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return Fraction(shared, max(1, sum(areas) - shared))


def plain(boxes: Boxes, limit: Fraction) -> list[int]:
    kept: list[int] = []
    for index, box in enumerate(boxes):
        if all(iou(box, boxes[other]) <= limit for other in kept):
            kept.append(index)
    return kept


@pytest.mark.parametrize("limit", ["0", "0.1", "0.25", "0.3", "0.5", "0.75", "0.9", "0.99", "1"])
@pytest.mark.parametrize(("span", "most"), [(60, 30), (20, 60), (200, 3)])
def test_boxes_are_compared_exactly(limit: str, span: int, most: int) -> None:
    boxes = random_boxes(span, 150, span, most)
    assert suppress(boxes, float(limit)) == plain(boxes, Fraction(limit))


def test_an_overlap_of_just_the_limit_is_kept() -> None:
    boxes = [[0, 0, 10, 13], [0, 7, 10, 20]]  # 60 of 200 pixels: 0.3, of which no binary number is
    assert suppress(boxes, 0.3) == [0, 1] and suppress(boxes, 0.299999) == [0]


def test_boxes_without_pixels() -> None:
    boxes = [[5, 5, 5, 9], [5, 5, 5, 9], [0, 0, 10, 10]]
    assert suppress(boxes, 0) == [0, 1, 2] and suppress([], 0.3) == []


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("limit", [0.0501, 0.3001, 0.5001, 0.8001])
def test_opencv_keeps_the_same_boxes(seed: int, limit: float) -> None:
    """Two boxes of these sizes cannot overlap by just the limit, which is in ten-thousandths: OpenCV rounds the overlap
    to single precision, so there it may decide the other way."""
    cv2 = pytest.importorskip("cv2")
    boxes = random_boxes(seed, 400, 300, 60)
    scores = np.sort(np.random.default_rng(seed).random(len(boxes)))[::-1]
    sides = [(left, top, right - left, bottom - top) for top, left, bottom, right in boxes]
    found = cv2.dnn.NMSBoxes(sides, scores.tolist(), 0.0, limit)
    assert suppress(boxes, limit) == sorted(map(int, found))


@pytest.mark.thorough
@pytest.mark.parametrize(("side", "limit"), [(20, 0.3), (400, 0.95)])
def test_many_boxes_take_no_time_by_their_square(side: int, limit: float) -> None:
    boxes = [[top, left, top + side, left + side] for top, left, *_ in random_boxes(1, 10_000, 900, 2)]
    start = time.process_time()
    kept = suppress(boxes, limit)
    assert time.process_time() - start < 5
    assert 100 < len(kept) < len(boxes)
