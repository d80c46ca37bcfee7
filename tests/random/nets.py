"""Random nets, each the same for the same seed: a text, weights, and inputs of the nominal size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path

import numpy as np
from google.protobuf import text_format

from caffe_fcn.passes.conversion import Settings
from caffe_fcn.passes.convolutionalize import Options
from caffe_fcn.passes.convolutionalize.naming import Naming
from caffe_fcn.schema import Message
from tests.random import maps, scores
from tests.random.basics import Array, ImpossibleError
from tests.random.draft import Draft
from tests.random.formats import Form, chosen, text_of, weights_of
from tests.random.maps import Step
from tests.random.running import run
from tests.random.training import for_training

EARLY: dict[Step, float] = {
    maps.convolution: 8,
    maps.pooling: 5,
    maps.activation: 5,
    maps.batch_norm: 1.5,
    maps.scale: 1,
    maps.lrn: 1,
    scores.residual: 1,
    scores.branches: 1,
    scores.gate: 0.7,
    scores.slice_: 0.4,
    scores.concat: 0.6,
    scores.eltwise: 0.5,
    maps.deconvolution: 0.4,
    maps.prelu: 0.7,
    maps.bias: 0.3,
    maps.normalize: 0.2,
    maps.mvn: 0.2,
    maps.im2col: 0.15,
    scores.tile: 0.2,
    scores.permute: 0.2,
    scores.reshape: 0.2,
    scores.softmax: 0.2,
    maps.crop: 0.2,
    maps.shuffle_channel: 0.15,
    maps.spp: 0.1,
    maps.factor: 0.2,
    scores.reduction: 0.05,
    scores.argmax: 0.05,
}
"""Steps before the classifier, and how often each is taken."""

FOLDING: dict[Step, float] = {maps.batch_norm: 8, maps.scale: 6, maps.bias: 3}
"""Steps that are taken more often where nets are to be folded."""

LATE: dict[Step, float] = {
    scores.classifier: 4,
    scores.inner_product: 4,
    maps.activation: 4,
    scores.softmax: 2,
    scores.heads: 0.8,
    scores.branches: 1,
    scores.concat: 1,
    scores.eltwise: 0.8,
    scores.slice_: 0.8,
    scores.reshape: 0.8,
    scores.flatten: 1,
    scores.permute: 0.4,
    maps.global_pooling: 0.7,
    maps.batch_norm: 0.6,
    maps.scale: 0.6,
    maps.prelu: 0.6,
    maps.bias: 0.3,
    scores.argmax: 0.4,
    scores.reduction: 0.3,
    scores.tile: 0.2,
    scores.squeeze: 0.2,
    scores.tied: 0.4,
    maps.factor: 0.3,
    maps.convolution: 0.5,
    maps.deconvolution: 0.2,
}
"""Steps from the classifier on."""


@dataclass(frozen=True)
class RandomNet:
    """A net, its weights by layer, and its inputs by name, of the nominal size."""

    seed: int
    net: Message
    weights: dict[str, list[Array]]
    inputs: dict[str, Array]
    form: Form
    settings: Settings

    @property
    def text(self) -> str:
        """The net as a prototxt."""
        return text_format.MessageToString(text_of(self.net, self.form), as_utf8=True)

    def write(self, directory: Path) -> tuple[Path, Path]:
        """Write it to DIRECTORY, and say where."""
        net, weights = directory / "net.prototxt", directory / "net.caffemodel"
        net.write_text(self.text, encoding="utf-8")
        weights.write_bytes(weights_of(self.net, self.weights, self.form).SerializeToString())
        return net, weights


def random_net(seed: int, *, folding: bool = False, cutting: bool = False, training: bool = False) -> RandomNet:
    """The net of SEED; if FOLDING, with more layers that scale and shift, if CUTTING, with a classifier of two maps, if
    TRAINING, one that trains wherever it has scores."""
    more, classifier = FOLDING if folding else {}, scores.grids if cutting else scores.classifier
    for attempt in range(100):
        d = Draft(np.random.default_rng((seed, attempt)), odd_names=False)
        try:
            _grow(d, more, classifier, 1 if training else 0.2)
        except ImpossibleError:
            continue
        return RandomNet(seed, d.net, d.weights, d.inputs, chosen(d.net, d.random), _settings(d))
    raise AssertionError(f"seed {seed} makes no net")


def _settings(d: Draft) -> Settings:
    """What is asked of the conversion, mostly nothing."""
    naming = Naming(d.pick(["-conv", "", "_fcn"], [8, 1, 1]))
    names = [layer.name for layer in d.net.layer if layer.type == "InnerProduct"]
    skip = (escape(d.pick(names)),) if names and d.chance(0.05) else ()
    only = (escape(d.pick(names)),) if names and d.chance(0.05) else ()
    return Settings(options=Options(naming, only, skip, keep_global_pooling=d.chance(0.05)))


def _grow(d: Draft, more: dict[Step, float], classifier: Step, training: float) -> None:
    d._odd = d.chance(0.15)
    batch = d.pick([1, 2, 3], [6, 3, 1])
    axes = d.pick([2, 1, 3], [20, 1, 1])
    size = [d.whole(5, {1: 20, 2: 13, 3: 6}[axes]) for _ in range(axes)]
    if d.chance(0.5):
        size = size[:1] * axes
    d.input([batch, d.whole(1, 4), *size])
    if d.chance(0.08):
        d.input([batch, d.whole(1, 4), *size] if d.chance(0.7) else [batch, d.whole(2, 5)], "second")
    _take(d, EARLY | more, d.whole(0, 6))
    for _ in range(8):
        if d.attempt(classifier, _blob(d)):
            break
    _take(d, LATE | more, d.whole(0, 5))
    if not d.weights:
        raise ImpossibleError("a file without weights")
    for blob in d.unread:
        if np.ptp(d.values[blob]) < 1e-4:
            raise ImpossibleError("an answer that never moves")
    _check_growth(d)
    if d.chance(training):
        for_training(d)
    _choose_input(d)


def _check_growth(d: Draft) -> None:
    """Raise ImpossibleError where pixels would make answers that single precision cannot hold."""
    try:
        made = run(d.net.layer[len(d.inputs) :], d.weights, {name: 1000 * value for name, value in d.inputs.items()})
    except FloatingPointError as error:
        raise ImpossibleError("grows too fast") from error
    if not all(np.isfinite(value).all() and np.max(abs(value)) < 1e12 for value in made.values()):
        raise ImpossibleError("grows too fast")


def _take(d: Draft, table: dict[Step, float], many: int) -> None:
    kinds, weights = list(table), list(table.values())
    for _ in range(many):
        for _ in range(10):
            if d.attempt(d.pick(kinds, weights), _blob(d)):
                break


def _blob(d: Draft) -> str:
    """Mostly the newest blob, else any."""
    names: Sequence[str] = d.unread
    return d.pick(list(d.values)) if not names or d.chance(0.15) else names[-1] if d.chance(0.7) else d.pick(names)


def _choose_input(d: Draft) -> None:
    """Write the inputs as nets before 2015 did, now and then."""
    layers = [layer for layer in d.net.layer if layer.type == "Input"]
    if not d.chance(0.15) or any(layer.include for layer in layers):
        return
    short = all(len(layer.input_param.shape[0].dim) == 4 for layer in layers) and d.chance(0.5)
    for layer in layers:
        d.net.input.append(layer.top[0])
        if short:
            d.net.input_dim.extend(layer.input_param.shape[0].dim)
        else:
            d.net.input_shape.add(dim=layer.input_param.shape[0].dim)
    kept = [layer for layer in d.net.layer if layer.type != "Input"]
    del d.net.layer[:]
    d.net.layer.extend(kept)
