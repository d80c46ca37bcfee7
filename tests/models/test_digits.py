"""The digits model: what its README states is what the shipped files do, and what trains it still learns."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from caffe_fcn.files.weights import open_weights
from caffe_fcn.net.geometry import Exactness, Geometry
from caffe_fcn.net.source import read_net
from tests.paths import ROOT

DIGITS = ROOT / "models" / "digits"
sys.path.insert(0, str(DIGITS))  # its programs import one another as a user's would

from backward import gradients  # noqa: E402
from forward import Model, load, predict  # noqa: E402
from picture import cell_centers, draw, judge, read_picture  # noqa: E402
from samples import BACKGROUND, CLASSES, centred, draw_windows, enlarge, load_samples, to_input  # noqa: E402
from train import converted, evaluate, score, train, window_size, write  # noqa: E402

NET, WEIGHTS = DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel"
PAGE = (DIGITS / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def twin() -> tuple[Model, Geometry]:
    return converted(NET, WEIGHTS)


@pytest.mark.thorough
def test_the_page_states_what_the_script_measures(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(WEIGHTS)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 and all(f"    {line}\n" in PAGE for line in printed)
    assert score(load(NET, WEIGHTS), load_samples()[1]) / len(load_samples()[1].labels) > 0.98


def test_the_weights_are_small_and_the_net_s_own() -> None:
    assert WEIGHTS.stat().st_size < 1_000_000
    named = {layer.name for layer in read_net(NET).net.layer}
    with open_weights(WEIGHTS) as weights:
        assert {record.name for record in weights.layers} == named
        assert sum(blob.count for record in weights.layers for blob in record.blobs) == 33_867
    assert len((DIGITS / "labels.txt").read_text().splitlines()) == BACKGROUND + 1


def test_no_window_is_cut_and_nothing_pads(twin: tuple[Model, Geometry]) -> None:
    geometry = twin[1]
    assert geometry.exactness is Exactness.EVERYWHERE
    assert (geometry.window, [int(stride) for stride in geometry.stride]) == ((20, 20), [4, 4])


def test_every_digit_lights_up_and_the_ground_is_dark(twin: tuple[Model, Geometry]) -> None:
    picture, placed = read_picture()
    verdict = judge(predict(twin[0], to_input(picture[None]))[0], twin[1], placed)
    assert len(placed) >= 12 and {digit.digit for digit in placed} == set(range(10))
    assert all(verdict.found) and verdict.weakest > 0.5
    assert verdict.far > 2000 and verdict.dark == verdict.far


def test_what_lights_up_is_the_digit_that_stands_there(twin: tuple[Model, Geometry]) -> None:
    picture, placed = read_picture()
    dense = predict(twin[0], to_input(picture[None]))[0]
    y, x = cell_centers(twin[1], dense.shape[1:])
    distances = [np.hypot(y[:, None] - d.center[1], x - d.center[0]) for d in placed]
    nearest = np.array([d.digit for d in placed])[np.argmin(distances, axis=0)]
    top = dense.argmax(axis=0)
    lit = top != BACKGROUND
    assert lit.sum() >= 4 * len(placed) and (top[lit] == nearest[lit]).all()


def test_an_empty_picture_stays_dark(twin: tuple[Model, Geometry]) -> None:
    probabilities = predict(twin[0], to_input(np.zeros((1, 100, 140), dtype=np.uint8)))[0]
    assert (probabilities.argmax(axis=0) == BACKGROUND).all()


@pytest.mark.thorough
def test_the_dense_map_is_the_classifier_on_every_window(twin: tuple[Model, Geometry]) -> None:
    picture, _ = read_picture()
    dense = predict(twin[0], to_input(picture[None]))[0]
    windows = np.lib.stride_tricks.sliding_window_view(picture, (20, 20))[::4, ::4]
    alone = predict(load(NET, WEIGHTS), to_input(windows.reshape(-1, 20, 20)))
    assert dense.shape == (CLASSES, 44, 60)
    np.testing.assert_allclose(dense, alone.T.reshape(dense.shape), atol=1e-5)


def test_the_picture_and_the_truth_belong_together() -> None:
    truth = json.loads((DIGITS / "scattered.json").read_text())
    with Image.open(DIGITS / truth["image"]) as image:
        assert (image.mode, image.size) == ("L", (truth["width"], truth["height"]))
    picture, placed = read_picture()
    held_out = load_samples()[1]
    assert {digit.sample for digit in placed} <= set(held_out.numbers.tolist())
    black = draw(placed, held_out, np.zeros(picture.shape))
    assert np.abs(picture[black > 128].astype(int) - black[black > 128]).max() < 40
    for digit, entry in zip(placed, truth["digits"], strict=True):
        assert list(digit.center) == entry["center"]
        inside = picture[digit.top : digit.top + 16, digit.left : digit.left + 16]
        assert inside.max() > 200


def test_no_sample_is_both_trained_on_and_held_out() -> None:
    trained, held_out = load_samples()
    assert not set(trained.numbers) & set(held_out.numbers)
    assert len(trained.numbers) + len(held_out.numbers) == 1797 and len(held_out.numbers) == 355


def test_the_digits_are_enlarged_as_the_page_says() -> None:
    values = np.random.default_rng(0).integers(17, size=(3, 8, 8)).astype(np.float64)
    for small, large in zip(values, enlarge(values), strict=True):
        by_pillow = Image.fromarray((small * 255 / 16).astype(np.float32)).resize((16, 16), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(large, np.asarray(by_pillow), atol=0.51)


def test_a_window_s_targets_are_one_digit_and_background() -> None:
    _, targets = draw_windows(load_samples()[0], 400, 20, np.random.default_rng(0))
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    assert ((targets[:, :BACKGROUND] > 0).sum(axis=1) <= 1).all()
    shares = np.unique(targets[:, BACKGROUND].round(3))
    np.testing.assert_allclose(shares, [0, 0.333, 0.667, 1], atol=1e-6)


@pytest.mark.thorough
def test_the_gradients_are_the_slopes_of_the_loss() -> None:
    random = np.random.default_rng(0)
    trained = load(NET, WEIGHTS)
    model = Model(trained.graph, {n: [blob.astype(np.float64) for blob in p] for n, p in trained.params.items()})
    windows, targets = draw_windows(load_samples()[0], 6, 20, random)
    images: Any = to_input(windows).astype(np.float64)  # in single precision the slopes would drown in rounding
    _, found = gradients(model, images, targets)
    for name, blobs in model.params.items():
        for blob, slope in zip(blobs, found[name], strict=True):
            place = np.unravel_index(np.abs(slope).argmax(), slope.shape)
            losses = []
            for step in (1e-5, -1e-5):
                blob[place] += step
                losses.append(gradients(model, images, targets)[0])
                blob[place] -= step
            assert slope[place] == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-3)


@pytest.mark.thorough
def test_training_learns_and_writes_what_it_learned(tmp_path: Path) -> None:
    samples, _ = load_samples()
    model, losses = train(samples, steps=100, batch=8, report=lambda line: None)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    write(model, NET, tmp_path / "w.caffemodel")
    windows, _ = draw_windows(samples, 4, window_size(model), np.random.default_rng(1))
    again = predict(load(NET, tmp_path / "w.caffemodel"), to_input(windows))
    np.testing.assert_allclose(again, predict(model, to_input(windows)), atol=1e-6)


@pytest.mark.thorough
def test_the_middle_of_a_window_decides(twin: tuple[Model, Geometry]) -> None:
    _, held_out = load_samples()
    windows = centred(held_out, 20)[:50]
    shifted = np.roll(windows, 9, axis=2)
    shifted[:, :, :9] = 0
    model = load(NET, WEIGHTS)
    background = (predict(model, to_input(shifted)).argmax(axis=1) == BACKGROUND).mean()
    assert background > 0.95 > 0.05 > (predict(model, to_input(windows)).argmax(axis=1) == BACKGROUND).mean()


def test_the_page_says_how_large_the_net_is() -> None:
    assert re.search(r"33,867 parameters, 136 kB", PAGE)
