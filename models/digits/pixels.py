"""Makes a segmentation net of the digits classifier, and trains it: which digit each pixel belongs to.

`caffe-fcn segment` puts new scores in place of the classifier, adds those of a finer map, and brings both to the size
of the picture by Deconvolutions whose weights stay. Only the scores are trained here, on scattered digits. The
upsampling is linear and the same for each class: a score map S becomes the pixels R·S·Cᵀ with two small matrices, and
its gradient is Rᵀ·G·C.

    python models/digits/pixels.py                 # half a minute; writes to build/digits
    python models/digits/pixels.py --output DIR    # the same, to another place

It writes pixels.prototxt and pixels.caffemodel, and truth.png, the class of each pixel of the scattered picture.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from math import cos, pi
from pathlib import Path
from typing import NamedTuple

import numpy as np
from forward import Array, Model, Params, load
from numpy.typing import NDArray
from picture import HEIGHT, WIDTH, Placed, draw, draw_ground, read_picture, scatter, to_png
from samples import BACKGROUND, CLASSES, FIELD, Picture, Samples, load_samples, to_input
from train import NET, OUTPUT, WEIGHTS, Adam, write

import caffe_fcn
from caffe_fcn.files.atomic import OutputFiles
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.layers.windows import convolution_windows
from caffe_fcn.net.shapes import Shapes, infer_shapes

SKIP = "pool1"
"""The finer map that joins: a cell every two pixels, where the classifier's scores have one every four."""

INK = (64, 128)
"""A pixel of a digit is its own from the second value on, of 0..255. Below the first it is background; between them
nobody can tell, and it does not count."""
IGNORED = 255

PICTURES = 40
STEPS = 400
RATE = 0.05
"""The learning rate at the first step; it falls to nothing by half a cosine."""


class Head(NamedTuple):
    """A layer of scores, the blob that it reads, and the matrices that bring its map to the rows and columns of the
    picture: HEIGHT×h and WIDTH×w."""

    name: str
    features: str
    rows: Array
    columns: Array

    def up(self, scores: Array) -> Array:
        """SCORES K×h×w at every pixel: K×HEIGHT×WIDTH."""
        return _along_both(scores, self.rows, self.columns)

    def down(self, gradient: Array) -> Array:
        """The gradient of a map whose pixels have this GRADIENT."""
        return _along_both(gradient, self.rows.T, self.columns.T)


def _along_both(maps: Array, rows: Array, columns: Array) -> Array:
    """MAPS K×h×w with the matrices ROWS, H×h, and COLUMNS, W×w, along their axes: K×H×W. Two products of matrices,
    because numpy multiplies stacks of them slowly."""
    count, high, wide = maps.shape
    across = (maps.reshape(-1, wide) @ columns.T).reshape(count, high, -1).transpose(0, 2, 1)
    found = np.ascontiguousarray(across).reshape(-1, high) @ rows.T
    return np.ascontiguousarray(found.reshape(count, -1, len(rows)).transpose(0, 2, 1))


class Judged(NamedTuple):
    """How the labels of a picture compare with the truth."""

    right: int
    counted: int
    inked: int
    """How many of the pixels that belong to a digit have its class."""
    ink: int


def segmented(directory: Path) -> tuple[Path, Path]:
    """The untrained segmentation net and its weights, in DIRECTORY."""
    net, weights = directory / "pixels.prototxt", directory / "pixels_untrained.caffemodel"
    with caffe_fcn.open(NET, WEIGHTS) as classifier:
        classifier.segment(classes=CLASSES, skip=(SKIP,)).save(net, weights, force=True)
    return net, weights


def heads_of(model: Model) -> list[Head]:
    """The layers of MODEL that are trained, those between features and upsampling."""
    shapes = infer_shapes(model.graph, given={model.graph.nodes[0].tops[0].name: (1, 1, HEIGHT, WIDTH)})
    return [
        Head(node.name, node.bottoms[0].name, *(_upsampling(model, shapes, node, axis) for axis in (0, 1)))
        for node in model.graph.nodes
        if node.name.startswith("score_") and node.type == "Convolution"
    ]


def _upsampling(model: Model, shapes: Shapes, scoring: Node, axis: int) -> Array:
    """The matrix of all that comes behind the layer SCORING, along AXIS: 0 is height, 1 is width."""
    blob, matrix = scoring.tops[0], np.eye(_extent(shapes, scoring.tops[0], axis))
    while blob in model.graph.consumers:
        node = next(each for each in model.graph.consumers[blob] if each.bottoms[0] == blob or each.type == "Eltwise")
        blob = node.tops[0]
        size = _extent(shapes, blob, axis)
        if node.type == "Deconvolution":
            windows = convolution_windows(node.layer, 2)
            kernel = model.params[node.name][0][0, 0].astype(np.float64)
            line = kernel.sum(axis=1 - axis) / np.sqrt(kernel.sum())
            matrix = _spread(line, windows.stride[axis], size, len(matrix)) @ matrix
        elif node.type == "Crop":
            offsets = list(node.layer.crop_param.offset)
            first = offsets[min(axis, len(offsets) - 1)]
            matrix = matrix[first : first + size]
        elif node.type != "Eltwise":
            raise ValueError(f'layer "{node.name}": only upsampling can follow scores here, found {node.type}')
    return matrix.astype(np.float32)


def _spread(line: NDArray[np.float64], stride: int, size: int, count: int) -> NDArray[np.float64]:
    """What a Deconvolution with the kernel LINE does to COUNT cells: SIZE×COUNT."""
    matrix = np.zeros((size, count))
    for cell in range(count):
        matrix[cell * stride : cell * stride + len(line), cell] = line
    return matrix


def _extent(shapes: Shapes, blob: Blob, axis: int) -> int:
    shape = shapes.blobs[blob]
    if not isinstance(shape, tuple):
        raise ValueError(f'the shape of "{blob.name}" is not known')
    return shape[2 + axis]


def truth(placed: list[Placed], samples: Samples) -> Picture:
    """The class of each pixel of a picture with the digits PLACED, which are among SAMPLES: HEIGHT×WIDTH."""
    labels = np.full((HEIGHT, WIDTH), BACKGROUND, dtype=np.uint8)
    rows = {int(number): row for row, number in enumerate(samples.numbers)}
    for digit in placed:
        ink = samples.images[rows[digit.sample]]
        part = labels[digit.top : digit.top + FIELD, digit.left : digit.left + FIELD]
        part[ink >= INK[0]] = IGNORED
        part[ink >= INK[1]] = digit.digit
    return labels


def scattered(samples: Samples, random: np.random.Generator) -> tuple[Picture, Picture]:
    """A picture with digits of SAMPLES, and the class of each of its pixels."""
    placed = scatter(samples, random)
    return draw(placed, samples, draw_ground(random)), truth(placed, samples)


def train(
    net: Path,
    weights: Path,
    samples: Samples,
    *,
    pictures: int = PICTURES,
    steps: int = STEPS,
    seed: int = 0,
    report: Callable[[str], None] = print,
) -> Model:
    """The segmentation net NET with its WEIGHTS, and with scores trained on PICTURES of SAMPLES, one at each step."""
    random = np.random.default_rng(seed)
    model = load(net, weights)
    heads = heads_of(model)
    drawn = [scattered(samples, random) for _ in range(pictures)]
    with caffe_fcn.open(net, weights) as opened:
        session = opened.load(blobs=[head.features for head in heads])
        features = [session.run({"data": to_input(picture[None])}) for picture, _ in drawn]
    optimizer = Adam(Model(model.graph, {head.name: model.params[head.name] for head in heads}))
    losses: list[float] = []
    for step in range(steps):
        index = int(random.integers(pictures))
        loss, found = _gradients(model, heads, features[index], drawn[index][1])
        optimizer.update(found, RATE * (1 + cos(pi * step / steps)) / 2)
        losses.append(loss)
        if (step + 1) % 100 == 0:
            report(f"step {step + 1} of {steps}: loss {np.mean(losses[-100:]):.4f}")
    return model


def _gradients(
    model: Model, heads: list[Head], features: dict[str, Array], labels: Picture
) -> tuple[float, dict[str, Params]]:
    """The mean cross-entropy over the pixels that count, and its gradients by layer name."""
    inputs = [features[head.features][0] for head in heads]
    scores = np.zeros((CLASSES, HEIGHT, WIDTH), np.float32)
    for head, blob in zip(heads, inputs, strict=True):
        weight, bias = model.params[head.name]
        cells = weight.reshape(CLASSES, -1) @ blob.reshape(len(blob), -1) + bias[:, None]
        scores += head.up(cells.reshape(CLASSES, *blob.shape[1:]))
    powers = np.exp(scores - scores.max(axis=0))
    found = powers / powers.sum(axis=0)
    counted = labels != IGNORED
    wanted = np.where(counted, labels, 0)[None]
    loss = -np.log(np.maximum(np.take_along_axis(found, wanted, 0)[0][counted], 1e-12)).mean()
    gradient = found
    np.put_along_axis(gradient, wanted, np.take_along_axis(gradient, wanted, 0) - 1, 0)
    gradient *= (counted / counted.sum()).astype(np.float32)
    made: dict[str, Params] = {}
    for head, blob in zip(heads, inputs, strict=True):
        cells = head.down(gradient).reshape(CLASSES, -1)
        weight = cells @ blob.reshape(len(blob), -1).T
        shapes = [blob.shape for blob in model.params[head.name]]
        made[head.name] = [weight.reshape(shapes[0]), cells.sum(axis=1).reshape(shapes[1])]
    return float(loss), made


def judge(labels: NDArray[np.integer], wanted: Picture) -> Judged:
    """Compare LABELS, the class of each pixel, with those WANTED."""
    counted, inked = wanted != IGNORED, wanted < BACKGROUND
    right = labels == wanted
    return Judged(int(right[counted].sum()), int(counted.sum()), int(right[inked].sum()), int(inked.sum()))


def evaluate(net: Path, weights: Path) -> Judged:
    """What the net and its WEIGHTS make of the scattered picture, whose digits are held out."""
    _, held_out = load_samples()
    picture, placed = read_picture()
    with caffe_fcn.open(net, weights) as opened:
        found = opened.load().run({"data": to_input(picture[None])})
    (scores,) = found.values()
    return judge(scores[0].argmax(axis=0), truth(placed, held_out))


def main() -> None:
    """Make a segmentation net of the digits net, train its scores, and measure it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, metavar="DIR", help=f"where the files go (default: {OUTPUT})"
    )
    parser.add_argument("--steps", type=int, default=STEPS, help=f"how long to train (default {STEPS})")
    parser.add_argument("--seed", type=int, default=0, help="which random numbers (default 0)")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    samples, _ = load_samples()
    net, untrained = segmented(arguments.output)
    model = train(net, untrained, samples, steps=arguments.steps, seed=arguments.seed)
    path = arguments.output / "pixels.caffemodel"
    print(f"{path}: {write(model, net, path):,} bytes")
    _, held_out = load_samples()
    with OutputFiles() as files:
        files.add(arguments.output / "truth.png", overwrite=True).write(to_png(truth(read_picture()[1], held_out)))
        files.commit()
    judged = evaluate(net, path)
    print(
        f"scattered picture: {judged.right:,} of {judged.counted:,} pixels right, "
        f"{judged.inked:,} of {judged.ink:,} of those in digits"
    )


if __name__ == "__main__":
    main()
