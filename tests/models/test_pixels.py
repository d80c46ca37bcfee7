"""The segmentation net of the digits model, and its small trainer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe_fcn
from tests.models.test_digits import DIGITS, PAGE

from forward import Model, load  # isort: skip
from pixels import IGNORED, evaluate, heads_of, judge, main, segmented, train, truth  # isort: skip
from picture import HEIGHT, WIDTH, read_picture  # isort: skip
from samples import BACKGROUND, CLASSES, load_samples, to_input  # isort: skip
from train import write  # isort: skip


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return segmented(tmp_path_factory.mktemp("pixels"))


@pytest.mark.thorough
def test_the_matrices_are_the_layers(net: tuple[Path, Path], tmp_path: Path) -> None:
    """What the trainer multiplies is what the net computes, for scores that are not zero."""
    random = np.random.default_rng(0)
    model = load(*net)
    heads = heads_of(model)
    assert [head.name for head in heads] == ["score_fr", "score_pool1"]
    for head in heads:
        for blob in model.params[head.name]:
            blob[...] = random.normal(size=blob.shape)
    write_to = tmp_path / "random.caffemodel"
    write(model, net[0], write_to)
    picture, _ = read_picture()
    with caffe_fcn.open(net[0], write_to) as opened:
        blobs = opened.load(blobs=[*(head.features for head in heads), "score"]).run({"data": to_input(picture[None])})
    made = np.zeros((CLASSES, HEIGHT, WIDTH), np.float32)
    for head in heads:
        weight, bias = model.params[head.name]
        features = blobs[head.features][0]
        cells = np.tensordot(weight.reshape(CLASSES, -1), features, 1) + bias[:, None, None]
        made += head.up(cells)
    np.testing.assert_allclose(made, blobs["score"][0], atol=1e-4 * np.abs(made).max())


def test_a_gradient_goes_the_way_back(net: tuple[Path, Path]) -> None:
    """<up(s), g> = <s, down(g)>, for any s and g."""
    random = np.random.default_rng(1)
    for head in heads_of(load(*net)):
        scores = random.normal(size=(2, head.rows.shape[1], head.columns.shape[1])).astype(np.float32)
        gradient = random.normal(size=(2, HEIGHT, WIDTH)).astype(np.float32)
        assert np.vdot(head.up(scores), gradient) == pytest.approx(np.vdot(scores, head.down(gradient)), rel=1e-3)


def test_the_truth() -> None:
    _, held_out = load_samples()
    _, placed = read_picture()
    labels = truth(placed, held_out)
    assert labels.shape == (HEIGHT, WIDTH)
    assert {*np.unique(labels)} == {*range(10), BACKGROUND, IGNORED}
    judged = judge(np.full(labels.shape, BACKGROUND), labels)
    assert judged.right == judged.counted - judged.ink and not judged.inked


@pytest.mark.thorough
def test_training_learns(net: tuple[Path, Path], tmp_path: Path) -> None:
    samples, _ = load_samples()
    told: list[str] = []
    model = train(*net, samples, pictures=2, steps=6, report=told.append)
    assert isinstance(model, Model) and not told
    before, after = load(*net), model
    changed = {name for name in before.params if not all(map(np.array_equal, before.params[name], after.params[name]))}
    assert changed == {"score_fr", "score_pool1"}
    write(after, net[0], tmp_path / "after.caffemodel")
    begun, judged = evaluate(*net), evaluate(net[0], tmp_path / "after.caffemodel")
    assert begun.right < 0.01 * begun.counted and judged.right > 0.97 * judged.counted


@pytest.mark.slow
def test_the_page_states_what_the_trainer_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["pixels.py", "--output", str(tmp_path)])
    main()
    printed = capsys.readouterr().out.splitlines()[-1]
    judged = evaluate(tmp_path / "pixels.prototxt", tmp_path / "pixels.caffemodel")
    assert judged.right / judged.counted > 0.99 and judged.inked / judged.ink > 0.8
    assert printed.startswith("scattered picture: ") and "scattered picture: " in PAGE
    assert f"of {judged.counted:,} pixels right" in PAGE and DIGITS.exists()
