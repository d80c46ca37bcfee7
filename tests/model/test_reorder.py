from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.model import reorder
from caffe_fcn.model.reorder import Reorder, reordered
from caffe_fcn.model.tensors import stored
from caffe_fcn.net.layers.views import Segment
from tests.files.encodings import ENCODINGS, layer, matrix, model

ROWS, SEGMENTS = 9, (Segment(3, 4, True), Segment(5, 1, False), Segment(2, 6, False), Segment(4, 2, True))
COLS = sum(segment.columns for segment in SEGMENTS)


def wanted(stored: np.ndarray, order: Reorder) -> np.ndarray:
    """The same by numpy, all at once."""
    rows = stored.reshape(order.cols, order.rows).T if order.transpose else stored.reshape(order.rows, order.cols)
    parts, start = [], 0
    for segment in order.segments or (Segment(order.cols, 1, False),):
        part = rows[:, start : start + segment.columns]
        if segment.channels_last:
            part = part.reshape(-1, segment.positions, segment.channels).transpose(0, 2, 1).reshape(part.shape)
        parts.append(part)
        start += segment.columns
    return np.concatenate(parts, axis=1)


@pytest.mark.thorough
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("segments", [(), SEGMENTS], ids=["as is", "segments"])
@pytest.mark.parametrize("panel", [1, 600, 1 << 20])
def test_reordered_equals_numpy(
    encoding: str,
    transpose: bool,
    segments: tuple[Segment, ...],
    panel: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reorder, "PANEL", panel)
    monkeypatch.setattr(reorder, "_STRIP", panel // 2)
    order = Reorder(ROWS, COLS, transpose, segments)
    held = matrix(COLS, ROWS) if transpose else matrix(ROWS, COLS)
    path = model(tmp_path / "m", layer("fc", [ENCODINGS[encoding](held)]))
    with open_caffemodel(path) as weights:
        strips = list(reordered(stored(weights.source, weights.layers[0].blobs[0]), order))
    assert (len(strips) > 1) == (panel < 1 << 20)
    np.testing.assert_array_equal(np.concatenate(strips).ravel(), wanted(held, order).ravel())


def test_nothing_to_reorder(tmp_path: Path) -> None:
    with open_caffemodel(model(tmp_path / "m", layer("fc", [b""]))) as weights:
        assert not list(reordered(stored(weights.source, weights.layers[0].blobs[0]), Reorder(0, 5, True)))


def test_segments_must_make_up_the_columns() -> None:
    with pytest.raises(ValueError, match="12 columns in a matrix of 13"):
        Reorder(2, 13, segments=(Segment(3, 4, True),))
