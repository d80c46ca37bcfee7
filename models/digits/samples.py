"""The handwritten digits, which of them are held out, and the windows that a net is trained on.

A window is what stands at its middle. A digit there makes it that digit; a digit further off,
halves of two, or nothing but ground make it background, so that between digits a map stays dark. On the way
from the one to the other it is a share of both, and never another digit.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

Picture: TypeAlias = NDArray[np.uint8]
"""Grey pixels, H×W or N×H×W: 0 is the ground, 255 is full ink."""

FIELD = 16
"""The width and height in pixels of the square that holds a digit: its 8×8 values, enlarged twofold."""

BACKGROUND = 10
"""The class of windows without a digit at their middle, behind the ten digits."""

HELD_OUT = 5
"""Of each class every fifth sample is held out, in the order of the data set."""

CLASSES = BACKGROUND + 1

WHOLE, NONE = 3, 6
"""A digit whose middle is at most WHOLE pixels from the window's, by either axis, is all that the window is; from
NONE pixels on it counts for nothing. In between its share falls evenly, and the rest is background."""

_WINDOWS = ((0.45, 0, WHOLE), (0.2, WHOLE + 1, NONE - 1), (0.25, NONE, None))
"""The share of the windows that have their first digit from so many pixels off the middle to so many, None as far
off as it is in sight; all other windows are empty."""

_NEIGHBOURS = 4
"""How often, at most, a place for one more digit is tried."""


_Place: TypeAlias = tuple[int, int]
"""The middle of a digit, seen from the middle of the window: x, y in pixels."""


class Samples(NamedTuple):
    """Digits as they are drawn on a picture, N×16×16, with labels 0..9 and their numbers in the data set."""

    images: Picture
    labels: NDArray[np.int64]
    numbers: NDArray[np.int64]

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Samples:
        """Those at the indices, or under the mask, CHOSEN."""
        return Samples(self.images[chosen], self.labels[chosen], self.numbers[chosen])


def load_samples() -> tuple[Samples, Samples]:
    """The digits to train on and those held out."""
    data = load_digits()
    labels = data.target.astype(np.int64)
    samples = Samples(enlarge(data.images), labels, np.arange(len(labels)))
    rank = np.zeros(len(labels), dtype=np.int64)  # of a sample in its class
    for label in range(10):
        chosen = labels == label
        rank[chosen] = np.arange(chosen.sum())
    held_out = rank % HELD_OUT == HELD_OUT - 1
    return samples.take(~held_out), samples.take(held_out)


def enlarge(images: NDArray[np.float64]) -> Picture:
    """IMAGES, N×8×8 of 0..16, as pictures of N×16×16 pixels: twice as large, bilinear, edges repeated."""
    size = images.shape[1]
    places = np.clip((np.arange(2 * size) + 0.5) / 2 - 0.5, 0, size - 1)
    weights = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(size)))
    pixels: Picture = np.rint(weights @ images @ weights.T * (255 / 16)).astype(np.uint8)
    return pixels


def to_input(pictures: Picture) -> NDArray[np.float32]:
    """PICTURES, N×H×W, as the net takes them: N×1×H×W, pixels times 1/255."""
    return pictures[:, None].astype(np.float32) * np.float32(1 / 255)


def centred(samples: Samples, size: int) -> Picture:
    """Windows N×SIZE×SIZE with each sample at the middle of a black ground."""
    before = (size - FIELD) // 2
    after = size - FIELD - before
    return np.pad(samples.images, ((0, 0), (before, after), (before, after)))


def lay(ground: NDArray[np.float64], ink: NDArray[np.float64], left: int, top: int) -> None:
    """Lay the INK of a digit, 0..255, on GROUND, its upper left pixel at LEFT, TOP; what falls beside is cut off."""
    high, wide = ground.shape
    x, y = max(0, left), max(0, top)
    part = ink[y - top : high - top, x - left : wide - left]
    under = ground[y : top + len(ink), x : left + ink.shape[1]]
    under += part * (1 - under / 255)


def draw_windows(
    samples: Samples, count: int, size: int, random: np.random.Generator
) -> tuple[Picture, NDArray[np.float32]]:
    """COUNT windows to train on, COUNT×SIZE×SIZE, made of SAMPLES, and what each class's probability should be:
    COUNT×11."""
    drawn = [_draw_window(samples, size, random) for _ in range(count)]
    targets = np.zeros((count, CLASSES), dtype=np.float32)
    for target, (_, label, share) in zip(targets, drawn, strict=True):
        target[label] += share
        target[BACKGROUND] += 1 - share
    return np.stack([window for window, _, _ in drawn]), targets


def _draw_window(samples: Samples, size: int, random: np.random.Generator) -> tuple[Picture, int, float]:
    """A window, the class of its first digit, and that digit's share in what the window is."""
    ground = _ground(size, random)
    places = _places((size + FIELD) // 2 - 1, random)
    chosen = random.integers(len(samples.labels), size=len(places))
    for (x, y), index in zip(places, chosen, strict=True):
        ink = samples.images[index] * random.uniform(0.7, 1)
        lay(ground, ink, x + (size - FIELD) // 2, y + (size - FIELD) // 2)
    label = int(samples.labels[chosen[0]]) if places else BACKGROUND
    return _finish(ground, random), label, _share(_distance(places[0], (0, 0))) if places else 0.0


def _share(distance: int) -> float:
    """How much of a window a digit so many pixels off its middle is."""
    return min(1.0, max(0.0, (NONE - distance) / (NONE - WHOLE)))


def _places(reach: int, random: np.random.Generator) -> list[_Place]:
    """Where the digits of a window stand, none over another; all but the first count for nothing. One more than
    REACH pixels off would be out of sight."""
    kind = random.random()
    for share, least, most in _WINDOWS:
        if kind < share:
            places = [_between(least, reach if most is None else most, random)]
            break
        kind -= share
    else:
        return []
    for _ in range(random.integers(_NEIGHBOURS + 1)):
        place = _between(NONE, reach, random)
        if all(_distance(place, other) >= FIELD for other in places):
            places.append(place)
    return places


def _distance(one: _Place, other: _Place) -> int:
    return max(abs(one[0] - other[0]), abs(one[1] - other[1]))


def _between(least: int, most: int, random: np.random.Generator) -> _Place:
    """Any place that is LEAST to MOST pixels off the middle."""
    while True:
        x, y = random.integers(-most, most + 1, size=2)
        if _distance((x, y), (0, 0)) >= least:
            return int(x), int(y)


def _ground(size: int, random: np.random.Generator) -> NDArray[np.float64]:
    """A dark ground, a little brighter towards one side."""
    slope = np.linspace(-1, 1, size)
    x, y = random.uniform(-4, 4, size=2)
    ground: NDArray[np.float64] = np.clip(random.uniform(0, 30) + x * slope + y * slope[:, None], 0, 255)
    return ground


def _finish(ground: NDArray[np.float64], random: np.random.Generator) -> Picture:
    """GROUND with a little noise, as pixels."""
    noise = random.normal(0, random.uniform(0, 10), size=ground.shape)
    return np.clip(np.rint(ground + noise), 0, 255).astype(np.uint8)
