"""Peaks of maps with windows, of maps of pixels, and of maps whose cells see the whole picture."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

import caffe_fcn
from caffe_fcn.net.exactness import Cause, Reason
from caffe_fcn.net.geometry import AxisGeometry, CellPhase
from caffe_fcn.net.graph import Blob
from caffe_fcn.predict.cells import CellAxis, Cells
from caffe_fcn.predict.maps import Map
from caffe_fcn.predict.maxima import local_maxima
from caffe_fcn.predict.options import PeakOptions
from caffe_fcn.predict.outputs import Holds, NetOutput
from caffe_fcn.predict.peaks import Peaks, find_peaks
from caffe_fcn.predict.run import BlobResult, Level
from tests.paths import ROOT

DIGITS = ROOT / "models" / "digits"
WHOLE = Reason(Cause.WHOLE_MAP, "pool", whole=True)


def axis(cells: int, window: int, stride: int, factor: Fraction = Fraction(1), start: int = 0) -> CellAxis:
    """CELLS with a window of WINDOW pixels each, STRIDE pixels apart, on a picture that the net sees larger by
    1 / FACTOR."""
    size = (cells - 1) * stride + window
    return CellAxis(int(size * factor), cells, AxisGeometry((CellPhase(0, window - 1),), stride, size), factor, start)


def whole(cells: int, stride: int) -> CellAxis:
    """CELLS that see all pixels, STRIDE pixels apart."""
    sees = AxisGeometry((CellPhase(0, stride - 1, (WHOLE,)),), stride, cells * stride)
    assert sees.window is None
    return CellAxis(cells * stride, cells, sees)


def peaks(*levels: tuple[NDArray[np.float32], Cells], threshold: float | None = None, nms: float = 0.3) -> Peaks:
    """The peaks of all classes in maps, each with its cells."""
    made = []
    for number, (scores, cells) in enumerate(levels):
        held = Map((len(scores), *cells.shape))
        held.write(0, 0, scores.reshape(-1, *cells.shape))
        made.append(Level(float(number + 1), cells, held, 1))
    classes = levels[0][0].shape[0]
    output = NetOutput(Blob("prob", 0), (1, classes, 1, 1), Holds.CLASSES)
    return find_peaks(BlobResult(output, tuple(made)), range(classes), PeakOptions(threshold=threshold, nms=nms))


def test_equal_scores_are_kept_from_the_top_left_on() -> None:
    scores = np.zeros((2, 3, 9), np.float32)
    scores[:, 1, [1, 3, 5]] = 0.75
    cells = Cells(axis(3, 20, 4), axis(9, 20, 4))
    found = peaks((scores, cells))
    assert [(each.label, each.row, each.column) for each in found] == [(0, 1, 1), (0, 1, 5), (1, 1, 1), (1, 1, 5)]
    assert (found.before, len(found)) == (6, 4) and not found.of_regions
    assert next(iter(found)).box == (4, 4, 24, 24)
    assert len(peaks((scores, cells), nms=1)) == 6 and len(peaks((scores, cells), threshold=0.75)) == 0


def test_boxes_of_all_scales_compete() -> None:
    small, large = np.zeros((1, 5, 5), np.float32), np.zeros((1, 14, 14), np.float32)
    small[0, 2, 2], large[0, 6, 6], large[0, 13, 13] = 0.8, 0.9, 0.7
    once = Cells(axis(5, 8, 4), axis(5, 8, 4))
    twice = Cells(axis(14, 8, 4, Fraction(24, 60)), axis(14, 8, 4, Fraction(24, 60)))
    found = [*peaks((small, once), (large, twice), nms=0.1)]
    assert [(each.level, each.score) for each in found] == [(1, np.float32(0.9)), (1, np.float32(0.7))]
    assert len(peaks((small, once), (large, twice), nms=0.9)) == 3


def test_a_map_of_pixels_has_regions_at_every_scale_and_in_a_crop() -> None:
    scores = np.zeros((1, 12, 12), np.float32)
    scores[0, 4:8, 2:6] = 0.6
    scores[0, 5, 3] = 0.7
    pixels = Cells(*(CellAxis(12, 12, AxisGeometry((CellPhase(-9, 9),), 1, 12), start=30) for _ in range(2)))
    (found,) = peaks((scores, pixels))
    assert (found.row, found.column, found.box) == (5, 3, (34, 32, 38, 36))
    padded = Cells(*(CellAxis(32, 32, AxisGeometry((CellPhase(-9, 9),), 1, 32)) for _ in range(2)))
    (found,) = peaks((scores, padded.cut((12, 12)).scaled((24, 24))))
    assert found.box == (8, 4, 16, 12) and padded.cut((12, 12)).scaled((24, 24)).drawn.rows.offset == Fraction(1, 2)
    half = Cells(*(each._replace(size=6, factor=Fraction(1, 2), start=0) for each in pixels))
    (found,) = peaks((scores, half))
    assert (found.row, found.column, found.box) == (5, 3, (2, 1, 4, 3))


def test_cells_that_see_everything_have_regions_and_those_of_strips_have_windows() -> None:
    scores = np.zeros((1, 4, 6), np.float32)
    scores[0, 1, 1:3], scores[0, 3, 5] = (0.9, 0.8), 0.6
    found = peaks((scores, Cells(whole(4, 8), whole(6, 8))))
    assert found.of_regions and [each.box for each in found] == [(8, 8, 16, 24), (24, 40, 32, 48)]
    found = peaks((scores, Cells(whole(4, 8), axis(6, 8, 8))))
    assert not found.of_regions and [each.box for each in found] == [(0, 8, 32, 16), (0, 40, 32, 48)]


def test_a_coarse_map_with_an_answer_at_each_pixel_has_windows() -> None:
    """Of a net that pads, run on shifted pictures: it has as many cells as the picture has pixels."""
    cells = Cells(*(CellAxis(8, 8, AxisGeometry((CellPhase(-1, 1),), 1, 8)) for _ in range(2)))
    held = Map((1, 8, 8))
    held.write(0, 0, np.pad(np.ones((1, 1, 1), np.float32), ((0, 0), (3, 4), (3, 4))))
    output = NetOutput(Blob("prob", 0), (1, 1, 8, 8), Holds.CLASSES)
    for shifts, box in ((4, (2, 2, 5, 5)), (1, (3, 3, 4, 4))):
        result = BlobResult(output, (Level(1, cells, held, 1, shifts),))
        assert [each.box for each in find_peaks(result, [0], PeakOptions())] == [box]


@pytest.mark.thorough
def test_opencv_finds_the_same_boxes_on_a_real_map() -> None:
    """With a low threshold, so that there is much to suppress. Windows of 20×20 pixels overlap by (20 - a)·(20 - b)
    pixels, and no such IOU is 0.3001."""
    cv2 = pytest.importorskip("cv2")
    pytest.importorskip("onnxruntime")
    with caffe_fcn.open(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel") as net:
        dense = net.convolutionalize()
        seen = dense.run(DIGITS / "scattered.png", scale=1 / 255, labels=DIGITS / "labels.txt", stride=2)
    found, before = seen.peaks(threshold=1e-4, nms=0.3001), 0
    for label in range(10):
        all_ = local_maxima(seen.scores[label], 1e-4)
        order = np.argsort(-all_.scores, kind="stable")
        places = [(int(all_.rows[each]), int(all_.columns[each])) for each in order]
        boxes = [(2 * column, 2 * row, 20, 20) for row, column in places]
        kept = cv2.dnn.NMSBoxes(boxes, all_.scores[order].tolist(), 0.0, 0.3001)
        assert [(each.row, each.column) for each in found if each.label == label] == [places[each] for each in kept]
        before += len(places)
    assert 14 < len(found) < before


@pytest.mark.thorough
def test_many_classes_of_a_large_map_take_no_long_time() -> None:
    random = np.random.default_rng(0)
    scores = np.repeat(random.random((4, 200, 205), np.float32), 25, 0)
    start = time.process_time()
    found = peaks((scores, Cells(axis(200, 355, 32), axis(205, 355, 32))), threshold=0.995)
    assert time.process_time() - start < 3 and len(found) > 10_000
