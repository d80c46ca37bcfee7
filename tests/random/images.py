"""Random classifiers of images: stages that halve the map, or nearly so, and scores at the end."""

from __future__ import annotations

from itertools import count

import numpy as np

from caffe_fcn.passes.conversion import Settings
from tests.random import maps, scores
from tests.random.basics import ImpossibleError, need
from tests.random.draft import Draft
from tests.random.formats import chosen
from tests.random.maps import Step
from tests.random.nets import RandomNet

_STAGE: dict[Step, float] = {
    maps.convolution: 5,
    maps.activation: 4,
    maps.batch_norm: 2,
    maps.scale: 1,
    maps.prelu: 0.5,
    maps.lrn: 0.7,
    scores.residual: 1,
    scores.branches: 0.7,
    scores.eltwise: 0.5,
    scores.concat: 0.4,
}

_WILD = frozenset({"Exp", "Log", "Power"})


def image_net(seed: int, *, plain: bool = False) -> RandomNet:
    """The classifier of SEED; if PLAIN, without layers that may hinder a finer map: its windows are convolutions."""
    for attempt in count():
        d = Draft(np.random.default_rng((seed, attempt, 29)), odd_names=False)
        try:
            _grow(d, plain)
        except ImpossibleError:
            continue
        return RandomNet(seed, d.net, d.weights, d.inputs, chosen(d.net, d.random), Settings())
    raise AssertionError


def _grow(d: Draft, plain: bool) -> None:
    d._odd = d.chance(0.1)
    high = d.whole(12, 30)
    wide = high if d.chance(0.6) else d.whole(12, 30)
    blob = d.input([d.pick([1, 2]), d.pick([1, 2, 3]), high, wide])
    kinds, weights = list(_STAGE), list(_STAGE.values())
    for stage in range(d.whole(1, 3)):
        steps: list[Step] = [maps.convolution] if stage == 0 or d.chance(0.5) else []
        steps += [d.pick(kinds, weights) for _ in range(d.whole(0, 3))]
        for step in steps:
            blob = _on(d, step, blob)
        blob = _on(d, _strided if plain and d.chance(0.7) else _halved, blob)
    need(len(d.shape(blob)) == 4 and max(d.shape(blob)[2:]) < 9, "no small map")
    if d.chance(0.5):
        blob = _on(d, scores.inner_product, blob)
        blob = _on(d, maps.activation, blob)
    elif d.chance(0.2):
        blob = _on(d, maps.global_pooling, blob)
    blob = scores.inner_product(d, blob, d.whole(2, 5))[0]
    need(len(d.shape(blob)) == 2 and float(np.ptp(d.values[blob])) > 1e-3, "no scores")
    if d.chance(0.6):
        d.add("Softmax", [blob])


def _on(d: Draft, step: Step, blob: str) -> str:
    made = d.attempt(_tame, step, blob)
    return made[0] if made and len(d.shape(made[0])) == len(d.shape(blob)) else blob


def _tame(d: Draft, step: Step, blob: str) -> list[str]:
    """What STEP makes, if that is finite for any image."""
    many = len(d.net.layer)
    made = step(d, blob)
    need(_WILD.isdisjoint(layer.type for layer in d.net.layer[many:]), "it may overflow")
    return made


def _halved(d: Draft, blob: str) -> list[str]:
    if d.chance(0.25):
        return _strided(d, blob)
    kernel = d.pick([2, 3])
    return d.add("Pooling", [blob], pool=d.pick(["MAX", "AVE"]), kernel_size=kernel, stride=2, pad=d.pick([0, 0, 1]))


def _strided(d: Draft, blob: str) -> list[str]:
    outputs, kernel = d.whole(2, 5), d.whole(1, 4)
    blobs = [d.spread(outputs, d.shape(blob)[1], kernel, kernel), d.spread(outputs)]
    stride, pad = d.pick([2, 2, 3]), d.pick([0, 0, 1])
    return d.add(
        "Convolution", [blob], blobs=blobs, num_output=outputs, kernel_size=[kernel], stride=[stride], pad=[pad]
    )
