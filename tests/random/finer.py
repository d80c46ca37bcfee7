"""Random nets with a finer map, and with other channels of the image, held against numpy.

The cells of the coarse map are every n-th cell of the finer one. Where nothing pads, the cells between them are the
coarse map of the image without its first rows and columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Result
from caffe_fcn.net.geometry import infer_geometry
from caffe_fcn.passes.atrous import atrous
from caffe_fcn.passes.channels import change_channels
from caffe_fcn.passes.conversion import Settings, converted
from caffe_fcn.passes.fold import fold
from caffe_fcn.schema import Message
from tests.random.basics import Array, ImpossibleError
from tests.random.coordinates import places
from tests.random.files import blobs_of
from tests.random.images import image_net
from tests.random.nets import RandomNet
from tests.random.running import Answer, Weights, answers, before, in_phase, run, unread
from tests.random.sliding import step_of
from tests.random.trials import Case
from tests.random.windows import window

_LARGEST = 80
"""Pixels, along an axis of a larger image."""


# ---- À trous ----


def strided(seed: int) -> RandomNet:
    """The net of SEED: a classifier of images, mostly without poolings between strides."""
    return image_net(seed, plain=seed % 4 > 0)


def finer(model: Model, net: RandomNet, draw: np.random.Generator) -> list[Result]:
    """MODEL, converted, with a finer map; of every third net folded before, or behind."""
    results = [fold(model)] if net.seed % 6 == 0 else []
    results += converted(results[-1].model if results else model, Settings())
    made = results[-1].model
    strides = [each.stride for each in infer_geometry(made.graph, made.shapes[made.phase]).values() if each]
    most = int(max((max(each) for each in strides), default=1))
    smaller = [each for each in range(1, most) if most % each == 0]
    if not smaller:
        raise SurgeryError("no stride to take")
    results.append(atrous(made, (int(draw.choice(smaller)),)))
    return [*results, fold(results[-1].model)] if net.seed % 6 == 3 else results


def check_finer(case: Case) -> Iterator[str]:
    """What is wrong with the finer map of CASE."""
    coarse = case.written("coarse", converted(case.opened(), Settings())[-1].model)
    nets = [(in_phase(net), blobs_of(stored, case.net.weights)) for net, stored in (coarse.read(), case.made.read())]
    (image, value), *_ = case.net.inputs.items()
    for more in (0, step_of(nets[0][0])):  # at other sizes, other windows are partial
        shape = (*value.shape[:2], *(size + more for size in value.shape[2:]))
        if max(shape) > _LARGEST:
            continue
        fed = np.random.default_rng((case.net.seed, more)).standard_normal(shape)
        try:
            expected = answers(*nets[0], {image: fed}, unread(nets[0][0]))
        except ImpossibleError:
            continue
        found = run(*nets[1], {image: fed})
        for name in expected:
            other = name if name in found else unread(nets[1][0])[0]
            steps = [places(layers, image).get(blob) for (layers, _), blob in zip(nets, (name, other), strict=True)]
            if steps[0] is None or steps[1] is None:
                continue
            by = [int(a[1] / b[1]) for a, b in zip(*steps, strict=True)]
            yield from _cells(name, expected[name], found[other][:, :, :: by[0], :: by[1]])
            if not any(_pads(layer) for layer in nets[0][0]):
                yield from _between(nets[0], image, fed, name, found[other], by, steps[1])


def _cells(name: str, expected: Answer, found: Array) -> Iterator[str]:
    """Where FOUND differs from EXPECTED, as far as both reach."""
    high, wide = (min(pair) for pair in zip(expected.clean.shape[2:], found.shape[2:], strict=True))
    if min(high, wide) + 1 < min(expected.clean.shape[2:]):
        yield f"finer: {name!r} has {found.shape} cells in the places of {expected.clean.shape}"
    gap = np.where(expected.unsure, 0, 1)[:, :, :high, :wide]
    gap = gap * abs(found[:, :, :high, :wide] - expected.clean[:, :, :high, :wide]) / expected.limit
    if gap.max(initial=0) > 1:
        yield f"finer: {name!r} is off by {gap.max():.3g}"


def _between(
    net: tuple[Sequence[Message], Weights],
    image: str,
    fed: Array,
    name: str,
    found: Array,
    by: Sequence[int],
    where: Sequence[tuple[object, object]],
) -> Iterator[str]:
    pixels = [int(step) for _, step in where]  # type: ignore[call-overload]
    for cell in product(*(range(0, each, max(1, each // 2)) for each in by)):
        try:
            moved = fed[:, :, cell[0] * pixels[0] :, cell[1] * pixels[1] :]
            expected = answers(*net, {image: moved}, [name])[name]
        except ImpossibleError:
            continue
        yield from _cells(f"{name} between", expected, found[:, :, cell[0] :: by[0], cell[1] :: by[1]])


def _pads(layer: Message) -> bool:
    if layer.type in ("LRN", "MVN", "Im2col", "SPP", "Crop") or layer.pooling_param.global_pooling:
        return True
    found = window(layer)
    return found is not None and any(found[2])


# ---- Channels ----


def other_channels(model: Model, net: RandomNet, draw: np.random.Generator) -> list[Result]:
    """MODEL with more channels of its image, or grey; of every third net converted before, or folded behind."""
    channels = next(iter(net.inputs.values())).shape[1]
    first = converted(model, Settings()) if net.seed % 3 == 0 else []
    wanted = 1 if channels == 3 and draw.random() < 0.7 else channels + int(draw.integers(1, 3))
    results = [*first, change_channels(first[-1].model if first else model, wanted)]
    return [*results, fold(results[-1].model)] if net.seed % 3 == 1 else results


def check_channels(case: Case) -> Iterator[str]:
    """What is wrong with the channels of CASE."""
    message, stored = case.made.read()
    old, new = in_phase(case.net.net), in_phase(message)
    shapes = case.results[-1].model.shapes["TEST"].blobs
    graph = case.results[-1].model.graph
    fed, seen = {}, {}
    for name, value in case.net.inputs.items():
        wanted = shapes[next(blob for blob in graph.producer if blob.name == name and blob.version == 0)]
        assert isinstance(wanted, tuple)
        fed[name] = case.draw.standard_normal(wanted)
        channels = value.shape[1]
        seen[name] = fed[name][:, :channels] if wanted[1] >= channels else np.repeat(fed[name], channels, 1)
    expected = answers(old, case.net.weights, seen, unread(old))
    found = run(new, blobs_of(stored, case.net.weights), fed)
    ends = [found[name] for name in unread(new)]
    for name, answer in expected.items():
        if not any(layer.type in ("Convolution", "InnerProduct") for layer in before(old, name)):
            continue  # the picture itself, value by value, has other channels
        gap = min((answer.gap(end) for end in ends if end.size == answer.clean.size), default=float("inf"))
        if gap > 1:
            yield f"channels: {name!r} is off by {gap:.3g}"
