"""A map with a cell at every N-th pixel holds, at each, what the net gives for the picture from there on."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import caffe_fcn
from caffe_fcn.errors import CaffeFcnError, EngineError, PictureError, ShapeError
from caffe_fcn.net.geometry import exactness_of
from caffe_fcn.predict import stitching
from caffe_fcn.predict.images.picture import Box, Picture, open_picture, picture_of
from caffe_fcn.predict.means import Mean
from caffe_fcn.predict.picture_net import PictureNet
from caffe_fcn.predict.preparing import check_settings
from caffe_fcn.predict.preprocessing import Preprocessing
from caffe_fcn.predict.run import Level, PicturePlan, RunSettings, carry_out, plan
from tests.engines.nets import net_of
from tests.passes.nets import conv, data, fc, layer
from tests.paths import ROOT
from tests.predict.test_tiling import SIZES, model_of, nets, picture

DIGITS = ROOT / "models" / "digits"
pytest.importorskip("onnxruntime")

POOL = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
PADDED = data(shape="1 1 16 16") + conv("a", "data", 2, 3, "pad: 1 stride: 2") + layer("p", "Pooling", "a", params=POOL)
PADDED += conv("score", "p", 2, 2)
UNEVEN = data(shape="1 1 16 16") + conv("score", "data", 2, 3).replace(
    "kernel_size: 3", "kernel_size: 3 stride_h: 4 stride_w: 2"
)


def looked(model: PictureNet, found: Picture, stack: ExitStack, **how: Any) -> tuple[PicturePlan, list[Level]]:
    """The plan for a picture, and the map of each output of MODEL."""
    chosen = RunSettings(how.pop("steps", Preprocessing()), None, **how)
    check_settings(model, chosen)
    work = plan(model, found, chosen)
    return work, [result.levels[0] for result in carry_out(model, work, chosen, stack).results]


def behind(found: Picture, row: int, column: int) -> Picture:
    """FOUND without so many rows and columns."""
    return picture_of(found.read(Box(row, column, *found.size)), 1)


def check(model: PictureNet, found: Picture, every: tuple[int, int], **how: Any) -> Level:
    """That each cell of the finer map is the cell of the map of the picture that begins at its pixel."""
    with ExitStack() as stack:
        _, (fine,) = looked(model, found, stack, stride=every, **how)
        _, (coarse,) = looked(model, found, stack)
        steps = [
            int(axis.stride / each) for axis, each in zip((coarse.cells.rows, coarse.cells.columns), every, strict=True)
        ]
        scores = np.array(fine.scores.values())
        for down in range(steps[0]):
            for across in range(steps[1]):
                part = scores[:, down :: steps[0], across :: steps[1]]
                if not part.size:
                    continue
                _, (shifted,) = looked(model, behind(found, down * every[0], across * every[1]), stack)
                np.testing.assert_array_equal(part, shifted.scores.values()[:, : part.shape[1], : part.shape[2]])
        for axis, one, each, step in zip(fine.cells, coarse.cells, every, steps, strict=True):
            assert (int(axis.stride), axis.offset, axis.size) == (each, one.offset, one.size)
            assert axis.cells > (one.cells - 2) * step
            assert step == 1 or [axis.window_of(cell * step) for cell in range(axis.cells // step)] == [
                one.window_of(cell) for cell in range(axis.cells // step)
            ]
        return fine


# ---- The digits ----


@pytest.mark.thorough
def test_the_digits_are_read_at_every_pixel() -> None:
    """All 41,001 windows of the demo's picture, by the converted net and by the classifier itself."""
    net, weights = DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel"
    with caffe_fcn.open(net, weights) as classifier, classifier.convolutionalize() as converted:
        found = converted.run(DIGITS / "scattered.png", scale=1 / 255, stride=1)
        (dense,) = found.maps
        pixels = open_picture(DIGITS / "scattered.png", 1).read(Box(0, 0, 192, 256))[:, :, 0].astype(np.float32) / 255
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (20, 20)).reshape(-1, 1, 20, 20)
        session = classifier.load()
        parts = [session.run({"data": windows[first : first + 1000]})["prob"] for first in range(0, len(windows), 1000)]
    assert len(windows) == 41_001 and dense.scores.shape == (11, 173, 237)
    assert (dense.stride, dense.exactness, dense.window(172, 236)) == ((1, 1), "everywhere", (172, 236, 192, 256))
    np.testing.assert_allclose(dense.scores.reshape(11, -1).T, np.concatenate(parts), atol=1e-5)
    (part,) = found.answer.plan.parts
    assert (part.shifts, part.tiles, len(part.batches)) == (16, 16, 4)  # of two sizes along each axis


# ---- Any net ----


@pytest.mark.parametrize("size", [(40, 37), (41, 50), (16, 19)])
@pytest.mark.parametrize("every", [(1, 1), (2, 2), (4, 4), (1, 4)])
def test_a_net_that_pads(tmp_path: Path, size: tuple[int, int], every: tuple[int, int]) -> None:
    with model_of(PADDED, tmp_path) as model:
        fine = check(model, picture(tmp_path, size), every)
        assert exactness_of(fine.cells.reasons).value == "away from borders"
        assert fine.shifts == 16 // (every[0] * every[1])


def test_strides_that_differ(tmp_path: Path) -> None:
    with model_of(UNEVEN, tmp_path) as model:
        assert check(model, picture(tmp_path, (30, 31)), (2, 1)).shifts == 4
        with pytest.raises(EngineError) as caught:
            check(model, picture(tmp_path, (30, 31)), (4, 4))
        told = "net.prototxt: stride=4: expected a divisor of 4×2, the stride of the map 'score': "
        assert str(caught.value) == told + "1, 2, 4 down, 1, 2 across"


def test_tiles_and_batches_make_the_same_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with model_of(PADDED, tmp_path) as model, ExitStack() as stack:
        found = picture(tmp_path, (70, 61))
        whole = np.array(looked(model, found, stack, stride=(1, 1))[1][0].scores.values())
        work, (level,) = looked(model, found, stack, stride=(1, 1), tile=32)
        assert level.tiles > 16 * 4 and level.shifts == 16 and work.runs < level.tiles
        np.testing.assert_array_equal(level.scores.values(), whole)
    with (
        model_of(data(shape="1 1 9 9") + conv("score", "data", 2, 3, "stride: 3"), tmp_path) as model,
        ExitStack() as stack,
    ):
        runs, maps = [], []
        for most in (1, 8 * model.bytes_per_pixel * 9 * 9, 1 << 30):
            monkeypatch.setattr(stitching, "COMFORTABLE", most)
            work, (level,) = looked(model, picture(tmp_path, (11, 11)), stack, stride=(1, 1))
            runs.append(work.runs)
            maps.append(np.array(level.scores.values()))
        assert runs == [9, 2, 1] and all((each == maps[0]).all() for each in maps)


def test_the_smallest_picture_has_one_cell(tmp_path: Path) -> None:
    with model_of(data(shape="1 1 9 9") + conv("score", "data", 2, 5, "stride: 3"), tmp_path) as model:
        fine = check(model, picture(tmp_path, (5, 6)), (1, 1))
        assert fine.scores.shape == (2, 1, 2) and fine.shifts == 2


DECODER = (
    data(shape="1 1 48 48")
    + layer("p", "Pooling", "data", params="pooling_param { kernel_size: 8 stride: 8 }")
    + layer("q", "Pooling", "p", params="pooling_param { kernel_size: 2 stride: 2 }")
    + layer("d", "Deconvolution", "q", params="convolution_param { num_output: 1 kernel_size: 2 stride: 2 }")
    + layer("score", "Eltwise", "d p")
)
"""It accepts 41 to 48 pixels, but not 40: then the map that was halved and doubled is larger than the other one."""


@pytest.mark.parametrize(("size", "told"), [((41, 48), "height"), ((48, 47), "width"), ((48, 48), "")])
def test_no_cell_of_the_picture_is_lost(tmp_path: Path, size: tuple[int, int], told: str) -> None:
    with model_of(DECODER, tmp_path) as model, ExitStack() as stack:
        _, (coarse,) = looked(model, picture(tmp_path, size), stack)
        assert coarse.scores.shape == (1, 6, 6)
        if not told:
            _, (fine,) = looked(model, picture(tmp_path, size), stack, stride=(1, 1))
            assert fine.scores.shape[1] > 5 * 8
            return
        with pytest.raises(EngineError) as caught:
            looked(model, picture(tmp_path, size), stack, stride=(1, 1))
    assert f"stride=1: expected at least 48 pixels along the {told}" in str(caught.value)
    assert f"found {min(size)}" in str(caught.value)


def test_a_mean_image_stays_where_it_is(tmp_path: Path) -> None:
    """Each pixel of a shifted picture loses the mean of its own place."""
    image = np.arange(30 * 31, dtype=np.float32).reshape(1, 30, 31)
    with model_of(UNEVEN, tmp_path) as model, ExitStack() as stack:
        found = picture(tmp_path, (30, 31))
        _, (level,) = looked(model, found, stack, stride=(1, 1), steps=Preprocessing(Mean("mean", image)))
        less = picture_of(found.read(Box(0, 0, 30, 31)).astype(np.float32) - np.moveaxis(image, 0, 2), 1)
        _, (plain,) = looked(model, less, stack, stride=(1, 1))
        np.testing.assert_array_equal(level.scores.values(), plain.scores.values())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (PADDED + layer("m", "MVN", "score"), 'because layer "m" reads the whole map'),
        (PADDED + fc("f", "score", 2), "but `stride` needs a map"),
        (PADDED.replace("stride: 2", "stride: 3", 1), "the stride of the map 'score': 1, 2, 3, 6"),
        (
            PADDED.replace("score", "s")
            + layer(
                "score", "Deconvolution", "s", params="convolution_param { num_output: 2 kernel_size: 16 stride: 8 }"
            ),
            "expected a divisor of 0.5, the stride of the map 'score': none, it is no whole number",
        ),
        (PADDED + conv("other", "p", 2, 1), "the cells of its maps are at different positions; choose one map"),
    ],
    ids=["nowhere", "no map", "no divisor", "half a pixel", "several"],
)
def test_what_cannot_be(tmp_path: Path, text: str, told: str) -> None:
    with model_of(text, tmp_path) as model, ExitStack() as stack, pytest.raises(CaffeFcnError) as caught:
        looked(model, picture(tmp_path, (40, 40)), stack, stride=(4, 4))
    assert told in str(caught.value)


@pytest.mark.thorough
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(nets(), SIZES, SIZES, st.data())
def test_each_cell_is_that_of_a_shifted_picture(
    tmp_path_factory: pytest.TempPathFactory, text: str, high: int, wide: int, draw: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("net")
    try:
        net_of(text)
    except ShapeError:
        assume(False)
    with model_of(text, directory) as model:
        size = max(high, model.smallest[0]), max(wide, model.smallest[1])
        assume(model.fixed is None and model.takes(size))
        strides = [axis.stride for axis in model.cells(model.outputs[0], size)]
        assume(all(each.denominator == 1 for each in strides))
        every = [draw.draw(st.sampled_from([n for n in range(1, int(each) + 1) if each % n == 0])) for each in strides]
        try:
            check(model, picture(directory, size), (every[0], every[1]))
        except (EngineError, PictureError, ShapeError) as error:
            assume("stride" not in str(error) and "does not suit" not in str(error))
            raise
