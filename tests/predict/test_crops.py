"""Pictures resized and cropped: the arithmetic of Caffe's tools, worked out here pixel by pixel."""

from __future__ import annotations

from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from caffe_fcn.errors import PictureError
from caffe_fcn.files import prototxt
from caffe_fcn.net.source import interpret
from caffe_fcn.predict import resizing
from caffe_fcn.predict.crops import Cropped, center, frame_of, ten
from caffe_fcn.predict.images.picture import Box, HeldPicture
from caffe_fcn.predict.means import whole
from caffe_fcn.predict.resizing import resampled, shorter_side
from tests.engines.nets import blobs_of, net_of, opened, weights_of
from tests.passes.nets import data, fc, layer

RANDOM = np.random.default_rng(3)
START = RANDOM.bit_generator.state


@pytest.fixture(autouse=True)
def _from_the_start() -> None:
    """The same numbers whichever tests ran before: some pixels lie between two bytes, and round either way."""
    RANDOM.bit_generator.state = START


def pixels(high: int, wide: int, kind: str = "u1") -> NDArray[Any]:
    return RANDOM.integers(0, 256, (high, wide, 3)).astype(kind)


def interpolated(array: NDArray[Any], high: int, wide: int) -> NDArray[Any]:
    """ARRAY brought to HIGH×WIDE, a pixel at a time: its centre among the centres of the old pixels, of which the four
    around it count by how near they are."""
    made = np.empty((high, wide, array.shape[2]))
    for row in range(high):
        for column in range(wide):
            y = min(max((row + 0.5) * array.shape[0] / high - 0.5, 0), array.shape[0] - 1)
            x = min(max((column + 0.5) * array.shape[1] / wide - 0.5, 0), array.shape[1] - 1)
            top, left = floor(y), floor(x)
            bottom, right = min(top + 1, array.shape[0] - 1), min(left + 1, array.shape[1] - 1)
            down, across = y - top, x - left
            upper = array[top, left] * (1 - across) + array[top, right] * across
            lower = array[bottom, left] * (1 - across) + array[bottom, right] * across
            made[row, column] = upper * (1 - down) + lower * down
    return made


SIZES = [((9, 12), (5, 7)), ((9, 12), (20, 31)), ((40, 30), (8, 3)), ((7, 7), (7, 14)), ((1, 5), (3, 2))]


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_the_four_nearest_pixels_count(old: tuple[int, int], new: tuple[int, int], monkeypatch: Any) -> None:
    monkeypatch.setattr(resizing, "_BAND", 50)  # a few rows at a time
    for kind in ("u1", "f4"):
        array = pixels(*old, kind)
        found = resampled(HeldPicture("x", array), new).read(Box(0, 0, *new))
        expected = interpolated(array.astype(float), *new)
        assert found.dtype == array.dtype and found.shape == expected.shape
        difference = abs(found - expected).max()
        assert difference <= (0.5 + 1e-3 if kind == "u1" else 1e-3)


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_opencv_differs_by_one_level_at_most(old: tuple[int, int], new: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    array = pixels(*old)
    found = resampled(HeldPicture("x", array), new).read(Box(0, 0, *new)).astype(int)
    assert abs(found - cv2.resize(array, new[::-1], interpolation=cv2.INTER_LINEAR)).max() <= 1


def test_the_shorter_side() -> None:
    assert shorter_side((300, 400), 256) == (256, 341) and shorter_side((400, 300), 256) == (341, 256)
    assert shorter_side((375, 500), 256) == (256, 341) and shorter_side((7, 7), 3) == (3, 3)
    assert shorter_side((2, 3), 1) == (1, 2)  # a half is rounded up


def test_too_many_pixels_are_not_made() -> None:
    with pytest.raises(PictureError, match=r"x: expected at most 99 pixels, found 10×10 after scaling"):
        resampled(HeldPicture("x", pixels(3, 3)), (10, 10), 99)


# ---- Crops ----


@pytest.mark.parametrize(
    ("size", "crop", "first"),
    [((256, 256), (227, 227), (14, 14)), ((256, 341), (224, 224), (16, 58)), ((9, 8), (4, 5), (2, 1))],
)
def test_the_centre_leaves_an_odd_pixel_at_the_end(
    size: tuple[int, int], crop: tuple[int, int], first: tuple[int, int]
) -> None:
    array = pixels(*size)
    found = center(HeldPicture("x", array), crop)
    (top, left), (high, wide) = first, crop
    np.testing.assert_array_equal(found.read(Box(0, 0, *crop)), array[top : top + high, left : left + wide])
    assert found.size == crop and frame_of(found).size == size and frame_of(found).window[:2] == first
    same = HeldPicture("x", array)
    assert center(same, size) is same and frame_of(same) == whole(size)


def test_ten_crops_in_the_order_of_pycaffe() -> None:
    array = pixels(9, 12)
    found = [each.read(Box(0, 0, 4, 6)) for each in ten(HeldPicture("x", array), (4, 6))]
    plain = [array[:4, :6], array[:4, 6:], array[5:, :6], array[5:, 6:], array[2:6, 3:9]]
    for each, expected in zip(found, [*plain, *(part[:, ::-1] for part in plain)], strict=True):
        np.testing.assert_array_equal(each, expected)


def test_parts_of_a_crop() -> None:
    array = pixels(9, 12)
    for mirrored in (False, True):
        crop = [each for each in ten(HeldPicture("x", array), (5, 7)) if frame_of(each).mirrored is mirrored][3]
        assert isinstance(crop, Cropped)
        everything = crop.read(Box(0, 0, 5, 7))
        for box, step in ((Box(1, 2, 4, 7), 1), (Box(0, 1, 5, 6), 2), (Box(2, 0, 3, 1), 3)):
            expected = everything[box.top : box.bottom : step, box.left : box.right : step]
            np.testing.assert_array_equal(crop.read(box, step), expected)


# ---- What the net is fed, and what comes of it ----

NET = data(shape="1 3 6 6") + fc("score", "data", 4) + layer("prob", "Softmax", "score")


def predicted(directory: Path, array: NDArray[Any], **options: Any) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """What the net NET makes of the picture ARRAY, in RGB, and its weights."""
    with weights_of(net_of(NET), directory / "w", 0.01) as weights:
        found = opened(interpret(prototxt.parse(NET, "net")), weights).run(array, **options)
    return found.blobs["prob"], blobs_of(directory / "w")["score"]


def answer(fed: NDArray[Any], weights: list[NDArray[Any]]) -> NDArray[Any]:
    """The probabilities for FED, C×H×W."""
    score = weights[0] @ fed.reshape(-1) + weights[1]
    powers = np.exp(score - score.max())
    found: NDArray[Any] = powers / powers.sum()
    return found


@pytest.mark.parametrize("kind", ["channels", "picture", "net"])
def test_resized_then_cropped_then_blue_first_then_minus_the_mean_then_scaled(tmp_path: Path, kind: str) -> None:
    """The answers for ten crops, averaged, of a net that knows nothing of crops; each step worked out here.

    A mean of the size of the picture is subtracted at the place of the crop and before that is mirrored, as in a data
    layer; one of the size of the net from each crop as it is, as in pycaffe.
    """
    array = pixels(17, 23)
    small = np.floor(interpolated(array.astype(float), 8, 11) + 0.5)
    image = RANDOM.normal(100, 20, {"channels": (3, 1, 1), "picture": (3, 8, 11), "net": (3, 6, 6)}[kind])
    np.save(tmp_path / "mean.npy", image)
    fed = []
    for mirrored in (False, True):
        for top, left in ((0, 0), (0, 5), (2, 0), (2, 5), (1, 2)):
            crop = small[top : top + 6, left : left + 6, ::-1].transpose(2, 0, 1)
            if kind == "picture":
                crop = crop - image[:, top : top + 6, left : left + 6]
            crop = crop[:, :, ::-1] if mirrored else crop
            fed.append((crop if kind == "picture" else crop - image) * 0.017)
    options = {"mean": tmp_path / "mean.npy", "scale": 0.017, "resize": 8}
    found, weights = predicted(tmp_path, array, crop="ten", **options)
    expected = np.mean([answer(each, weights) for each in fed], 0)
    np.testing.assert_allclose(found, expected[None], rtol=1e-4, atol=1e-6)
    assert abs(found - answer(fed[4], weights)).max() > 1e-3
    found, weights = predicted(tmp_path, array, crop="center", **options)
    np.testing.assert_allclose(found, answer(fed[4], weights)[None], rtol=1e-4, atol=1e-6)


def test_a_picture_of_the_size_of_the_net(tmp_path: Path) -> None:
    array = pixels(6, 6)
    plain, _ = predicted(tmp_path, array)
    np.testing.assert_array_equal(predicted(tmp_path, array, crop="center")[0], plain)
    mirrored, _ = predicted(tmp_path, array[:, ::-1])
    np.testing.assert_allclose(predicted(tmp_path, array, crop="ten")[0], (plain + mirrored) / 2, rtol=1e-5)
