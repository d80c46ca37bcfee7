"""Trains the digits net, writes its caffemodel, and measures what the shipped one can do.

The prototxt is the only description of the net. Layers and sizes are read from it, trained by
`forward` and `backward`, and written back as the message that was read, with blobs: a caffemodel.

    python models/digits/train.py                      # train, about three minutes; writes to build/digits
    python models/digits/train.py --output DIR         # the same, to another place
    python models/digits/train.py --evaluate           # no training: measure the shipped weights
    python models/digits/train.py --evaluate OTHER.caffemodel
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from math import cos, pi, prod, sqrt
from pathlib import Path

import numpy as np
from backward import gradients
from forward import Model, Params, load, predict
from picture import Placed, Verdict, judge, read_picture
from samples import Picture, Samples, centred, draw_windows, load_samples, to_input

import caffe_fcn
from caffe_fcn import schema
from caffe_fcn.files.atomic import OutputFiles
from caffe_fcn.net.geometry import Geometry, infer_geometry
from caffe_fcn.net.graph import build_graph
from caffe_fcn.net.shapes import infer_shapes
from caffe_fcn.net.source import read_net

HERE = Path(__file__).resolve().parent
NET = HERE / "digits.prototxt"
WEIGHTS = HERE / "digits.caffemodel"
OUTPUT = HERE.parent.parent / "build" / "digits"

STEPS = 4000
BATCH = 128
RATE = 2e-3
"""The learning rate at the first step; it falls to nothing by half a cosine."""

DECAY = 1e-4
"""Weight decay: this part of a weight goes at every step, times the learning rate over RATE."""


class Adam:
    """Adam's method (Kingma and Ba, 2015, algorithm 1) for one model, with weight decay beside the gradient."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._means = {name: [np.zeros_like(blob) for blob in blobs] for name, blobs in model.params.items()}
        self._squares = {name: [np.zeros_like(blob) for blob in blobs] for name, blobs in model.params.items()}
        self._step = 0

    def update(self, found: dict[str, Params], rate: float) -> None:
        """Move the parameters, in place, against the gradients FOUND."""
        self._step += 1
        scale = rate * sqrt(1 - 0.999**self._step) / (1 - 0.9**self._step)
        for name, blobs in found.items():
            for position, gradient in enumerate(blobs):
                blob = self._model.params[name][position]
                mean, square = self._means[name][position], self._squares[name][position]
                mean += np.float32(0.1) * (gradient - mean)
                square += np.float32(0.001) * (gradient * gradient - square)
                if blob.ndim > 1:
                    blob *= np.float32(1 - DECAY * rate / RATE)
                blob -= np.float32(scale) * mean / (np.sqrt(square) + np.float32(1e-8))


def new_model(net: str | os.PathLike[str], random: np.random.Generator) -> Model:
    """The prototxt NET with weights to begin with: normal, scaled to the values that a cell sums (He et al., 2015),
    and biases of zero."""
    source = read_net(net)
    graph = build_graph(source.net, source=source.name)
    shapes = infer_shapes(graph).params
    params: dict[str, Params] = {}
    for node in graph.nodes:
        if shapes[node.index]:
            weights, bias = shapes[node.index]
            spread = sqrt(2 / prod(weights[1:]))
            params[node.name] = [
                random.normal(0, spread, size=weights).astype(np.float32),
                np.zeros(bias, dtype=np.float32),
            ]
    return Model(graph, params)


def window_size(model: Model) -> int:
    """The width and height of the windows that MODEL takes."""
    shape = infer_shapes(model.graph).blobs[model.graph.nodes[0].tops[0]]
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[1] != 1 or shape[2] != shape[3]:
        raise ValueError(f"{model.graph.source}: expected an input of 1 x 1 x S x S, found {shape}")
    return shape[-1]


def train(
    samples: Samples,
    *,
    net: str | os.PathLike[str] = NET,
    steps: int = STEPS,
    batch: int = BATCH,
    seed: int = 0,
    report: Callable[[str], None] = print,
) -> tuple[Model, list[float]]:
    """A model of the prototxt NET trained on windows of SAMPLES, and the loss at each step.

    One SEED gives one model, with one version of numpy and the library that multiplies its matrices.
    """
    random = np.random.default_rng(seed)
    model = new_model(net, random)
    size = window_size(model)
    optimizer = Adam(model)
    losses: list[float] = []
    for step in range(steps):
        windows, targets = draw_windows(samples, batch, size, random)
        loss, found = gradients(model, to_input(windows), targets)
        optimizer.update(found, RATE * (1 + cos(pi * step / steps)) / 2)
        losses.append(loss)
        if (step + 1) % 500 == 0:
            report(f"step {step + 1:,} of {steps:,}: loss {np.mean(losses[-500:]):.4f}")
    return model, losses


def write(model: Model, net: str | os.PathLike[str], path: str | os.PathLike[str]) -> int:
    """Write the parameters of MODEL, which the prototxt NET describes, as the caffemodel PATH; the bytes written.

    Raises OutputError where the file cannot be written.
    """
    message = schema.message_class("NetParameter")()
    message.CopyFrom(read_net(net).net)
    for layer in message.layer:
        for values in model.params.get(layer.name, ()):
            blob = layer.blobs.add()
            blob.shape.dim.extend(values.shape)
            blob.data.extend(values.ravel().tolist())
    data: bytes = message.SerializeToString(deterministic=True)
    with OutputFiles() as files:
        files.add(path, overwrite=True).write(data)
        files.commit()
    return len(data)


def score(model: Model, held_out: Samples) -> int:
    """How many of the samples HELD_OUT the MODEL names rightly, each at the middle of a window on black ground.
    Background on top is wrong."""
    windows = centred(held_out, window_size(model))
    return int((predict(model, to_input(windows)).argmax(axis=1) == held_out.labels).sum())


def converted(net: str | os.PathLike[str], weights: str | os.PathLike[str]) -> tuple[Model, Geometry]:
    """NET and WEIGHTS as `caffe-fcn convert` makes them fully convolutional, and how the cells of the output lie."""
    with tempfile.TemporaryDirectory() as directory:
        twin, twin_weights = Path(directory, "fcn.prototxt"), Path(directory, "fcn.caffemodel")
        caffe_fcn.convert(net, weights, twin, twin_weights)
        model = load(twin, twin_weights)
    geometry = infer_geometry(model.graph, infer_shapes(model.graph))[model.graph.outputs[0]]
    if geometry is None:
        raise ValueError(f"{net}: the output of the converted net is no map")
    return model, geometry


def look(model: Model, geometry: Geometry, picture: Picture, placed: list[Placed]) -> Verdict:
    """Run the converted MODEL on the whole PICTURE, H×W, and judge the map by the digits PLACED on it."""
    return judge(predict(model, to_input(picture[None]))[0], geometry, placed)


def evaluate(weights: str | os.PathLike[str]) -> None:
    """Print what the net with WEIGHTS makes of the held-out part and of the scattered picture."""
    _, held_out = load_samples()
    right, total = score(load(NET, weights), held_out), len(held_out.labels)
    print(f"held-out digits, at the middle of a window: {right} of {total} right, {right / total:.2%}")
    picture, placed = read_picture()
    verdict = look(*converted(NET, weights), picture, placed)
    print(
        f"scattered digits, by the converted net: {sum(verdict.found)} of {len(placed)} right, "
        f"probability {verdict.weakest:.3f} at least; {verdict.dark} of {verdict.far} cells far from them background"
    )


def main() -> None:
    """Train the digits net and measure it, or measure the shipped one."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--evaluate",
        nargs="?",
        const=WEIGHTS,
        type=Path,
        metavar="CAFFEMODEL",
        help="do not train; measure these weights (default: the shipped ones)",
    )
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, metavar="DIR", help=f"where digits.caffemodel goes (default: {OUTPUT})"
    )
    parser.add_argument("--steps", type=int, default=STEPS, help=f"how long to train (default {STEPS})")
    parser.add_argument("--seed", type=int, default=0, help="which random numbers (default 0)")
    arguments = parser.parse_args()
    if arguments.evaluate is not None:
        evaluate(arguments.evaluate)
        return
    samples, _ = load_samples()
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "digits.caffemodel"
    model, _ = train(samples, steps=arguments.steps, seed=arguments.seed)
    print(f"{path}: {write(model, NET, path):,} bytes")
    evaluate(path)


if __name__ == "__main__":
    main()
