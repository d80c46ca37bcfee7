"""The scattered picture: a dozen and more digits of the held-out part on a noisy ground, and the truth about it.

The truth is drawn first, as a list of digits and boxes, and both files follow from it. A dense
map is judged by the same list: the cell nearest to a digit names it, cells far from all say background.

    python models/digits/picture.py --output DIR [--seed N]
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from forward import Array
from numpy.typing import NDArray
from PIL import Image
from samples import BACKGROUND, FIELD, Picture, Samples, lay, load_samples

from caffe_fcn.files.atomic import OutputFiles
from caffe_fcn.net.geometry import Geometry

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT = 256, 192
COUNT = 14
SEED = 1
CLOSE = 5
"""So many of the digits stand close to another one, their boxes GAP pixels apart at most."""

GAP = 3
MARGIN = 4
"""From the edge of the picture to a box, so that a window whose middle is near the digit's fits in."""

FAR = 12.0
"""Pixels from the middle of a cell's window to that of the nearest digit, beyond which it must be background."""


class Placed(NamedTuple):
    """A digit on a picture: its class, the upper left pixel of its box, and its number in the data set."""

    digit: int
    left: int
    top: int
    sample: int

    @property
    def center(self) -> tuple[float, float]:
        """The middle of the box, x and y, where the middle of the upper left pixel of the picture is 0, 0."""
        return self.left + (FIELD - 1) / 2, self.top + (FIELD - 1) / 2


class Verdict(NamedTuple):
    """How a dense map compares with the truth."""

    found: list[bool]
    """For each digit, whether the nearest cell has its class on top, with a probability above one half."""
    weakest: float
    """The lowest probability of the right class at such a cell."""
    far: int
    """How many cells are far from all digits."""
    dark: int
    """How many of these have background on top."""


def scatter(samples: Samples, random: np.random.Generator) -> list[Placed]:
    """Digits for a picture, drawn from SAMPLES: each class, then more at random; no sample twice, no two boxes
    overlapping."""
    order = [*random.permutation(10), *random.integers(10, size=COUNT - 10)]
    unused = np.ones(len(samples.labels), dtype=np.bool_)
    placed: list[Placed] = []
    for number, digit in enumerate(order):
        index = random.choice(np.flatnonzero((samples.labels == digit) & unused))
        unused[index] = False
        left, top = _free_place(placed, number >= COUNT - CLOSE, random)
        placed.append(Placed(int(digit), left, top, int(samples.numbers[index])))
    return placed


def _free_place(placed: list[Placed], close: bool, random: np.random.Generator) -> tuple[int, int]:
    """An upper left pixel for one more box: CLOSE to one that is there, or to none."""
    least, most = (FIELD + 1, FIELD + GAP) if close else (FIELD + GAP + 5, max(WIDTH, HEIGHT))
    while True:
        left = int(random.integers(MARGIN, WIDTH - FIELD - MARGIN + 1))
        top = int(random.integers(MARGIN, HEIGHT - FIELD - MARGIN + 1))
        distances = [max(abs(left - other.left), abs(top - other.top)) for other in placed]
        if least <= min(distances, default=most) <= most:
            return left, top


def draw(placed: list[Placed], samples: Samples, ground: NDArray[np.float64]) -> Picture:
    """The digits PLACED, which are among SAMPLES, in full ink on GROUND, H×W."""
    canvas = ground.copy()
    rows = {int(number): row for row, number in enumerate(samples.numbers)}
    for digit in placed:
        lay(canvas, samples.images[rows[digit.sample]].astype(np.float64), digit.left, digit.top)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def draw_ground(random: np.random.Generator) -> NDArray[np.float64]:
    """A ground of 0 to about 35, H×W: brighter towards the lower right, with faint noise."""
    slope = np.linspace(0, 10, WIDTH) + np.linspace(0, 10, HEIGHT)[:, None]
    return np.clip(slope + random.normal(0, 4, size=slope.shape), 0, 255)


def to_png(picture: Picture) -> bytes:
    """PICTURE, H×W, as an 8-bit grey PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def describe(placed: list[Placed], image: str) -> str:
    """The truth about the picture IMAGE as JSON, one digit a line."""
    digits = [
        {"digit": d.digit, "center": d.center, "box": (d.left, d.top, FIELD, FIELD), "sample": d.sample} for d in placed
    ]
    lines = ",\n".join(f"  {json.dumps(digit)}" for digit in digits)
    head = json.dumps({"image": image, "width": WIDTH, "height": HEIGHT})
    return f'{head[:-1]}, "digits": [\n{lines}\n]}}\n'


def read_picture(directory: Path = HERE) -> tuple[Picture, list[Placed]]:
    """The scattered picture in DIRECTORY, H×W, and the digits on it."""
    truth = json.loads((directory / "scattered.json").read_text(encoding="utf-8"))
    with Image.open(directory / truth["image"]) as image:
        picture = np.asarray(image)
    return picture, [Placed(d["digit"], d["box"][0], d["box"][1], d["sample"]) for d in truth["digits"]]


def cell_centers(geometry: Geometry, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The middles of the windows of a map of SHAPE, H×W: y of each row, x of each column, in pixels."""
    axes = zip(geometry.offset, geometry.stride, shape, strict=True)
    y, x = (np.arange(size, dtype=np.float64) * float(stride) + float(first) for first, stride, size in axes)
    return y, x


def judge(probabilities: Array, geometry: Geometry, placed: list[Placed]) -> Verdict:
    """Compare a map of PROBABILITIES, 11×H×W, whose cells lie as GEOMETRY says, with the digits PLACED."""
    y, x = cell_centers(geometry, probabilities.shape[1:])
    top = probabilities.argmax(axis=0)
    nearest_digit = np.full(top.shape, np.inf)
    found, strength = [], []
    for digit in placed:
        distance = np.hypot(y[:, None] - digit.center[1], x - digit.center[0])
        cell = np.unravel_index(distance.argmin(), distance.shape)
        nearest_digit = np.minimum(nearest_digit, distance)
        strength.append(float(probabilities[(digit.digit, *cell)]))
        found.append(bool(top[cell] == digit.digit) and strength[-1] > 0.5)
    far = nearest_digit > FAR
    return Verdict(found, min(strength, default=1.0), int(far.sum()), int((top[far] == BACKGROUND).sum()))


def main() -> None:
    """Draw a scattered picture, PNG, and the truth about it, JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where both files go")
    parser.add_argument("--seed", type=int, default=SEED, help=f"which picture: one seed, one picture (default {SEED})")
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)
    _, held_out = load_samples()
    placed = scatter(held_out, random)
    picture = draw(placed, held_out, draw_ground(random))
    image = arguments.output / "scattered.png"
    with OutputFiles() as files:
        files.add(image, overwrite=True).write(to_png(picture))
        files.add(image.with_suffix(".json"), overwrite=True).write(describe(placed, image.name).encode())
        files.commit()
    print(f"{len(placed)} digits on {WIDTH} x {HEIGHT} pixels in {arguments.output}")


if __name__ == "__main__":
    main()
