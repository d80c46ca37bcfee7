"""A whole net in numpy: the layers of one phase, one after the other.

How far rounding may carry an answer is measured and not estimated. A second run multiplies all values by
1 plus noise of a few units in the last place of single precision; an engine that computes the same net differs from
the clean run about as much as that run does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from caffe_fcn.schema import Message
from tests.random.basics import Array
from tests.random.caffe import forward

Weights = Mapping[str, Sequence[Array]]

_NOISE = 2.0**-23
_TRAIN_ONLY = {"Accuracy", "Silence", "SoftmaxWithLoss"}


def in_phase(net: Message, phase: int = 1) -> list[Message]:
    """The layers of NET in a PHASE, by default TEST, that have bottoms; losses and measures are left out."""
    return [
        layer
        for layer in net.layer
        if layer.bottom
        and layer.type not in _TRAIN_ONLY
        and (not layer.include or any(rule.phase == phase for rule in layer.include))
    ]


def run(
    layers: Iterable[Message], weights: Weights, values: Mapping[str, Array], noise: np.random.Generator | None = None
) -> dict[str, Array]:
    """All blobs, by name, that LAYERS with WEIGHTS make of VALUES, which are among them; with NOISE if given."""
    known = {name: value.astype(np.float64) for name, value in values.items()}
    for layer in layers:
        blobs = [blob.astype(np.float64) for blob in weights.get(layer.name, ())]
        made = forward(layer, [known[bottom] for bottom in layer.bottom], blobs)
        if noise is not None:
            made = [value * (1 + _NOISE * noise.standard_normal(value.shape)) for value in made]
        known.update(zip(layer.top, made, strict=True))
    return known


def unread(layers: Iterable[Message]) -> list[str]:
    """The blobs that LAYERS make last, and that none of them reads."""
    found: dict[str, None] = {}
    for layer in layers:
        for name in layer.bottom:
            found.pop(name, None)
        found.update(dict.fromkeys(layer.top))
    return list(found)


def before(layers: Sequence[Message], blob: str) -> list[Message]:
    """Those of LAYERS that BLOB depends on."""
    wanted, found = {blob}, []
    for layer in reversed(layers):
        if not wanted.isdisjoint(layer.top):
            wanted.update(layer.bottom)
            found.append(layer)
    return found[::-1]


class Answer:
    """What a net should answer in one blob: the CLEAN values, and NOISY ones."""

    def __init__(self, clean: Array, noisy: Sequence[Array]) -> None:
        self.clean = clean
        self.scale = float(np.max(abs(clean), initial=0.1))
        gaps = [abs(each - clean) for each in noisy]
        self.unsure = np.any([gap > 1e-3 * self.scale for gap in gaps], axis=0)
        small = np.where(self.unsure, 0, np.max(gaps, axis=0))
        self.limit = 60 * float(small.max(initial=0)) + 4e-6 * self.scale

    def gap(self, found: Array) -> float:
        """How far FOUND is from it, where 1 is what rounding explains."""
        if found.size != self.clean.size or not np.isfinite(found).all():
            return float("inf")
        return float(self.gaps(found).max(initial=0))

    def gaps(self, found: Array) -> Array:
        """How far each value of FOUND is from it, in the same measure."""
        distance: Array = np.where(self.unsure, 0, abs(found.reshape(self.clean.shape) - self.clean))
        return distance / self.limit


def answers(
    layers: Sequence[Message], weights: Weights, values: Mapping[str, Array], names: Iterable[str], seed: int = 0
) -> dict[str, Answer]:
    """What LAYERS with WEIGHTS should make of VALUES in the blobs NAMES."""
    clean = run(layers, weights, values)
    noisy = [run(layers, weights, values, np.random.default_rng((seed, each))) for each in range(3)]
    return {name: Answer(clean[name], [each[name] for each in noisy]) for name in names}
