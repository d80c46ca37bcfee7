"""Scores of segmentations, against scikit-learn's confusion matrix and the formulas of the paper on FCNs."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import caffe_fcn
from caffe_fcn.engines.protocol import Array
from caffe_fcn.errors import PictureError
from caffe_fcn.predict import scoring
from caffe_fcn.predict.scoring import SegmentationScore

CLASSES, VOID = 5, 255


def png(path: Path, values: Any, mode: str = "P") -> None:
    """VALUES as an indexed or grey PNG."""
    array = np.asarray(values)
    image = Image.fromarray(array.astype(np.uint8 if mode in ("P", "L") else np.uint16))
    if mode == "P":
        image.putpalette([*range(256)] * 3)
    image.save(path)


def folders(path: Path, images: int, seed: int = 0) -> tuple[Array, Array]:
    """Folders `labels` and `predictions` in PATH with random IMAGES, of sizes of their own; all their values."""
    random = np.random.default_rng(seed)
    everything = []
    for kind in ("labels", "predictions"):
        (path / kind).mkdir()
    for number in range(images):
        shape = random.integers(1, 40, 2)
        label, prediction = random.integers(0, CLASSES - 1, (2, *shape))
        label[random.random(shape) < 0.1] = VOID
        agree = (random.random(shape) < 0.6) & (label != VOID)
        prediction[agree] = label[agree]
        png(path / "labels" / f"{number}.png", label)
        if number % 2:
            np.save(path / "predictions" / f"{number}.npy", prediction.astype(np.float32)[None])
        else:
            png(path / "predictions" / f"{number}.png", prediction)
        everything.append((label.ravel(), prediction.ravel()))
    labels, predictions = (np.concatenate(each) for each in zip(*everything, strict=True))
    return labels, predictions


def scored(path: Path, **options: Any) -> SegmentationScore:
    return caffe_fcn.score(path / "labels", path / "predictions", **options)


@pytest.mark.thorough
def test_scikit_learn_finds_the_same(tmp_path: Path) -> None:
    """One of the classes is nowhere, and another one is predicted only."""
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed; the extra dev has it")
    labels, predictions = folders(tmp_path, 20)
    found = scored(tmp_path, classes=CLASSES, ignore=VOID)
    counts = labels != VOID
    true, predicted = labels[counts], predictions[counts]
    expected = metrics.confusion_matrix(true, predicted, labels=range(CLASSES))
    assert np.array_equal(found.confusion, expected) and found.confusion.dtype == np.int64
    assert (found.images, found.pixels, found.ignored) == (20, counts.sum(), (~counts).sum())
    assert found.overall_accuracy == pytest.approx(metrics.accuracy_score(true, predicted))
    assert found.mean_accuracy == pytest.approx(metrics.balanced_accuracy_score(true, predicted))
    there = range(CLASSES - 1)
    assert found.mean_iu == pytest.approx(metrics.jaccard_score(true, predicted, labels=there, average="macro"))
    weighted = metrics.jaccard_score(true, predicted, labels=there, average="weighted")
    assert found.frequency_weighted_iu == pytest.approx(weighted)
    assert found.accuracy[-1] is None and found.iu[-1] is None


def test_the_formulas_of_the_paper(tmp_path: Path) -> None:
    """The matrix [[3, 1, 0], [0, 2, 2], [0, 0, 0]]: the last class is predicted only."""
    np.save(tmp_path / "a.npy", np.array([[0, 0, 0, 0], [1, 1, 1, 1]]))
    np.save(tmp_path / "b.npy", np.array([[0, 0, 0, 1], [1, 1, 2, 2]], np.uint8))
    found = caffe_fcn.score(tmp_path / "a.npy", tmp_path / "b.npy")
    assert found.confusion.tolist() == [[3, 1, 0], [0, 2, 2], [0, 0, 0]]
    assert found.accuracy == (3 / 4, 2 / 4, None) and found.iu == (3 / 4, 2 / 5, 0)
    assert found.overall_accuracy == 5 / 8
    assert found.mean_accuracy == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert found.mean_iu == pytest.approx((3 / 4 + 2 / 5 + 0) / 3)
    assert found.frequency_weighted_iu == pytest.approx((4 * 3 / 4 + 4 * 2 / 5) / 8)
    assert repr(found) == "<SegmentationScore of 1 images: mean IU 0.3833>"


def test_the_number_of_classes_grows_with_what_is_found(tmp_path: Path) -> None:
    labels, predictions = folders(tmp_path, 5)
    found = scored(tmp_path, ignore=[VOID])
    assert len(found.confusion) == max(labels[labels != VOID].max(), predictions[labels != VOID].max()) + 1
    fixed = scored(tmp_path, ignore=VOID, classes=CLASSES)
    assert np.array_equal(found.confusion, fixed.confusion[: CLASSES - 1, : CLASSES - 1])
    assert (found.mean_iu, found.iu) == (fixed.mean_iu, fixed.iu[:-1])


def test_large_images_are_counted_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders(tmp_path, 6)
    whole = scored(tmp_path, ignore=VOID, classes=CLASSES)
    monkeypatch.setattr(scoring, "_BLOCK", 50)
    assert np.array_equal(scored(tmp_path, ignore=VOID, classes=CLASSES).confusion, whole.confusion)


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    def peak(images: int) -> int:
        path = tmp_path / str(images)
        for kind in ("labels", "predictions"):
            (path / kind).mkdir(parents=True)
            for number in range(images):
                np.save(path / kind / f"{number}.npy", np.zeros((200, 200), np.uint8))
        tracemalloc.start()
        scored(path, classes=CLASSES)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(24) < peak(4) + (1 << 18)


def test_names_say_how_many_classes_there_are(tmp_path: Path) -> None:
    folders(tmp_path, 2)
    (tmp_path / "names.txt").write_text("background\naeroplane\nbicycle\nbird\nboat\n")
    found = scored(tmp_path, names=tmp_path / "names.txt", ignore=VOID)
    assert found.names[1] == "aeroplane" and len(found.confusion) == CLASSES
    with pytest.raises(PictureError, match="expected the names of 21 classes, one in each line, found 5"):
        scored(tmp_path, names=tmp_path / "names.txt", classes=21)


# ---- Label images ----


@pytest.mark.parametrize("mode", ["P", "L", "I;16"])
def test_the_pixels_of_a_png_are_class_numbers(tmp_path: Path, mode: str) -> None:
    """Of a palette, the index counts and not the colour; 16 bits hold more classes."""
    values = np.array([[0, 1], [2, 300 if mode == "I;16" else 3]])
    png(tmp_path / "a.png", values, mode)
    np.save(tmp_path / "b.npy", values)
    found = caffe_fcn.score(tmp_path / "a.png", tmp_path / "b.npy")
    assert found.overall_accuracy == 1 and len(found.confusion) == values.max() + 1


def test_truth_values_are_two_classes(tmp_path: Path) -> None:
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    np.save(tmp_path / "b.npy", np.array([[True, True]]))
    assert caffe_fcn.score(tmp_path / "a.png", tmp_path / "b.npy").confusion.tolist() == [[0, 1], [0, 1]]


BAD: list[tuple[Any, str]] = [
    (np.zeros((2, 3, 2)), "expected H×W class numbers, found 2×3×2"),
    (np.zeros(3), "expected H×W class numbers, found 3"),
    (np.full((2, 2), 0.5), "expected whole numbers, found float64 with other values"),
    (np.full((2, 2), np.nan), "expected whole numbers"),
    (np.full((2, 2), 2**40), "expected whole numbers"),
    (np.full((2, 2), 2**63, np.uint64), "expected whole numbers"),
    (np.full((2, 2), -1), "row 0, column 0: expected a class from 0 to 4, found -1"),
    (np.array([[0, 0], [0, 5]]), "row 1, column 1: expected a class from 0 to 4, found 5"),
    (np.zeros((2, 3), int), "b.npy: expected 2×2 pixels, as in .*a.npy, found 2×3"),
    (np.array([[None]]), "expected numbers, found Python objects"),
]


@pytest.mark.parametrize(("values", "expected"), BAD)
def test_what_is_no_prediction_is_refused(tmp_path: Path, values: Any, expected: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 2), int))
    np.save(tmp_path / "b.npy", values, allow_pickle=True)
    with pytest.raises(PictureError, match=expected) as error:
        caffe_fcn.score(tmp_path / "a.npy", tmp_path / "b.npy", classes=5)
    assert "\n" not in str(error.value)


def test_colours_are_no_class_numbers(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (2, 2)).save(tmp_path / name)
    with pytest.raises(PictureError, match=r"expected an indexed or a grey PNG.*found colours \(RGB\)"):
        caffe_fcn.score(tmp_path / "a.png", tmp_path / "b.png")
    Image.new("L", (2, 2)).save(tmp_path / "a.png", format="JPEG")
    with pytest.raises(PictureError, match="expected a picture"):
        caffe_fcn.score(tmp_path / "a.png", tmp_path / "b.png")


def test_labels_of_no_class_are_told_with_the_way_round(tmp_path: Path) -> None:
    png(tmp_path / "a.png", [[0, 1], [VOID, 1]])
    png(tmp_path / "b.png", [[0, 1], [1, 1]])
    with pytest.raises(
        PictureError, match=r"row 1, column 0.*found 255, which marks .*; leave such pixels out with ignore=255"
    ):
        caffe_fcn.score(tmp_path / "a.png", tmp_path / "b.png", classes=2)
    with pytest.raises(PictureError, match=r"ignore=255, or say how many classes there are with `classes`"):
        caffe_fcn.score(tmp_path / "a.png", tmp_path / "b.png")
    assert caffe_fcn.score(tmp_path / "a.png", tmp_path / "b.png", ignore=255).pixels == 3
    assert caffe_fcn.score(tmp_path / "a.png", tmp_path / "b.png", classes=256).pixels == 4
    png(tmp_path / "b.png", [[VOID, 1], [1, 1]])
    for classes, expected in ((2, "a class from 0 to 1"), (None, "a class")):
        told = rf"b\.png: row 0, .*: expected {expected}, found 255, .*; a net made by `Net\.segment\(.*` labels every"
        with pytest.raises(PictureError, match=told):
            caffe_fcn.score(tmp_path / "a.png", tmp_path / "b.png", classes=classes, ignore=255)
    assert caffe_fcn.score(tmp_path / "b.png", tmp_path / "a.png", classes=256).pixels == 4
    with pytest.raises(PictureError, match="expected pixels to compare, found only ignored labels"):
        caffe_fcn.score(tmp_path / "a.png", tmp_path / "b.png", ignore=[0, 1, 255])


def test_a_folder_without_its_partner(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    png(tmp_path / "b.png", [[0]])
    for names in (("a", "missing"), ("missing", "a"), ("missing", "b.png")):
        with pytest.raises(FileNotFoundError, match="missing"):
            caffe_fcn.score(*(tmp_path / name for name in names))
    with pytest.raises(PictureError, match="expected a folder, because the other one is a folder, found a file"):
        caffe_fcn.score(tmp_path / "a", tmp_path / "b.png")


def test_a_number_of_classes_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="classes: expected 2 to 4096, found 1"):
        scored(tmp_path, classes=1)


# ---- Folders ----


def test_images_without_a_partner_are_named(tmp_path: Path) -> None:
    folders(tmp_path, 5)
    for number in (0, 1, 2, 4):
        next((tmp_path / "predictions").glob(f"{number}.*")).unlink()
    message = (
        r"predictions: expected an image for each one in the other folder, found none for '0', '1', '2' and 1 more"
    )
    with pytest.raises(PictureError, match=message):
        scored(tmp_path)
    png(tmp_path / "predictions" / "7.png", [[0]])
    for number in range(5):
        (tmp_path / "labels" / f"{number}.png").unlink()
    png(tmp_path / "labels" / "7.png", [[0]])
    with pytest.raises(PictureError, match=r"labels: expected .* found none for '3'"):
        scored(tmp_path)


def test_folders_that_do_not_fit(tmp_path: Path) -> None:
    folders(tmp_path, 1)
    (tmp_path / "predictions" / "readme.txt").write_text("not an image")
    scored(tmp_path, ignore=VOID)
    with pytest.raises(PictureError, match="expected a folder, because the other one is a folder, found a file"):
        caffe_fcn.score(tmp_path / "labels", tmp_path / "predictions" / "0.png")
    np.save(tmp_path / "predictions" / "0.npy", [[0]])
    with pytest.raises(PictureError, match=r"expected one label image for '0', found 0\.npy and 0\.png"):
        scored(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PictureError, match="expected a folder with label images, found none"):
        caffe_fcn.score(tmp_path / "empty", tmp_path / "predictions")
    with pytest.raises(FileNotFoundError):
        caffe_fcn.score(tmp_path / "nothing.png", tmp_path / "nothing.png")
