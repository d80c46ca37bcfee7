"""Computes the answers of a net for each window of a larger input: the expected values of a dense map.

The layers before the first one that the conversion changed see the whole input, as in the converted net. All following
layers are run for each window separately, on the windows of the maps. Without padding, this is the whole net on crops
of the input.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np

from caffe_fcn.schema import Message
from tests.random.basics import Array, ImpossibleError
from tests.random.nets import RandomNet
from tests.random.running import Answer, Weights, run

MANY = 2
"""The number of windows after the first, along each axis."""
_MOST = 30_000
"""The maximum number of values of a larger input."""


class Sliding(NamedTuple):
    """A larger input FED, and the answers to WINDOWS of it by their position, 0 to MANY along each axis, STEP pixels
    apart."""

    fed: Mapping[str, Array]
    windows: Sequence[tuple[tuple[int, ...], Mapping[str, Answer]]]
    step: int


def step_of(layers: Sequence[Message]) -> int:
    """Return a multiple of all strides of LAYERS together."""
    step = 1
    for layer in layers:
        strides = [1]
        if layer.type in ("Convolution", "Im2col"):
            param = layer.convolution_param
            strides = [*param.stride, param.stride_h or 1, param.stride_w or 1]
        if layer.type == "Pooling":
            strides = [layer.pooling_param.stride, layer.pooling_param.stride_h or 1, layer.pooling_param.stride_w or 1]
        step *= int(np.lcm.reduce(strides)) if strides else 1
    return step


def sliding(
    layers: Sequence[Message],
    weights: Weights,
    random: RandomNet,
    inputs: Sequence[str],
    starts: Collection[str],
    outputs: Sequence[str],
) -> Sliding | str:
    """Return the answers of LAYERS in OUTPUTS for windows of a larger input; the layers in STARTS, and all after them,
    see one window at a time. Or return why there are none."""
    step = step_of(layers)
    axes = max(random.inputs[name].ndim for name in inputs) - 2
    larger = {name: _grown(random.inputs[name].shape, axes, MANY * step) for name in inputs}
    if axes < 1:
        return "no map goes in"
    if max(map(prod, larger.values())) > _MOST:
        return "too large"
    draw = np.random.default_rng((random.seed, 8))
    nominal = {name: random.inputs[name] for name in inputs}
    everything = {name: draw.standard_normal(shape) for name, shape in larger.items()}
    trunk, head = _parts(layers, starts)
    try:
        small = run(trunk, weights, nominal)
        large = [run(trunk, weights, everything)]
        large += [run(trunk, weights, everything, np.random.default_rng(each)) for each in range(3)]
    except ImpossibleError as error:
        return f"the first layers do not take a larger input: {error}"
    needed = {bottom for layer in head for bottom in layer.bottom} | set(outputs)
    windows = []
    for place in _places(axes):
        crossing: list[dict[str, Array]] = []
        for number, values in enumerate(large):
            cut = {}
            for name in needed & small.keys():
                window = _window(values[name], small[name].shape, place)
                if window is None:
                    return f"{name!r} does not grow with the input"
                cut[name] = window
            noise = np.random.default_rng((number, *place)) if number else None
            crossing.append(run(head, weights, cut, noise))
        windows.append(
            (place, {name: Answer(crossing[0][name], [each[name] for each in crossing[1:]]) for name in outputs})
        )
    return Sliding(everything, windows, step)


def _grown(shape: Sequence[int], axes: int, more: int) -> tuple[int, ...]:
    """Return SHAPE with MORE more cells along each of its spatial axes, if it has AXES axes."""
    return (*shape[:2], *(extent + more for extent in shape[2:])) if len(shape) == 2 + axes else tuple(shape)


def _parts(layers: Sequence[Message], starts: Collection[str]) -> tuple[list[Message], list[Message]]:
    """Return the LAYERS before those in STARTS, and these with all after them."""
    trunk: list[Message] = []
    head: list[Message] = []
    behind: set[str] = set()
    for layer in layers:
        late = layer.name in starts or not behind.isdisjoint(layer.bottom)
        (head if late else trunk).append(layer)
        behind = behind | set(layer.top) if late else behind - set(layer.top)
    return trunk, head


def _places(axes: int) -> list[tuple[int, ...]]:
    every = list(product(range(MANY + 1), repeat=axes))
    return every if len(every) <= 3 else [every[0], every[-1], every[1], every[len(every) // 2]]


def _window(values: Array, nominal: Sequence[int], place: Sequence[int]) -> Array | None:
    """Return the window at PLACE of VALUES, of the NOMINAL shape; all of a blob that does not grow; None if it cannot
    be cut."""
    if values.shape == tuple(nominal):
        return values
    if values.ndim != 2 + len(place) or values.shape[:2] != tuple(nominal[:2]):
        return None
    return _cut(values, nominal[2:], place)


def behind(layers: Sequence[Message], starts: Collection[str]) -> set[str]:
    """Return the names of the layers in STARTS, and of all LAYERS after them."""
    return {layer.name for layer in _parts(layers, starts)[1]}


def cells(nominal: Sequence[int], values: Array, place: Sequence[int]) -> Array | None:
    """Return the cells in VALUES, a map of the new net with the NOMINAL shape at the nominal size, that correspond to
    the original's answer for the window at PLACE; None if VALUES are not such a map."""
    return _cut(values, nominal[2:], place) if values.ndim == 2 + len(place) == len(nominal) else None


def _cut(values: Array, inner: Sequence[int], place: Sequence[int]) -> Array | None:
    cut = []
    for at, extent, small in zip(place, values.shape[2:], inner, strict=True):
        if (extent - small) % MANY:
            return None
        start = at * (extent - small) // MANY
        cut.append(slice(start, start + small))
    return values[(slice(None), slice(None), *cut)]
