"""Random nets that train, as deploy nets: the answers are those of the TEST net in the file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from caffe_fcn import schema
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Result
from caffe_fcn.net.in_use import trains
from caffe_fcn.passes.conversion import Settings, converted
from caffe_fcn.passes.deploy_options import DeployOptions
from caffe_fcn.passes.deploying import deploying
from caffe_fcn.passes.fold import fold
from tests.random.basics import Array
from tests.random.caffe import softmax
from tests.random.files import blobs_of
from tests.random.nets import RandomNet, random_net
from tests.random.running import answers, in_phase, run, unread
from tests.random.trials import Case


def training(seed: int) -> RandomNet:
    """The net of SEED, mostly one that trains."""
    return random_net(seed, folding=seed % 2 == 0, training=seed % 8 > 0)


def deployed(model: Model, net: RandomNet, draw: np.random.Generator) -> list[Result]:
    """MODEL, a file with all its phases, as a deploy net; of every third net folded, and then converted."""
    results = [*deploying(model, DeployOptions(keep_heads=bool(draw.random() < 0.5), drop_dropout=net.seed % 3 == 0))]
    if net.seed % 3 == 1:
        results.append(fold(results[-1].model))
        results += converted(results[-1].model, Settings())
    return results


def check(case: Case) -> Iterator[str]:
    """What is wrong with the deploy net of CASE."""
    message, stored = case.made.read()
    if trains(case.results[-1].model.graph):
        yield "deploy: the net still trains"
    if case.net.seed % 3 != 1:
        there = {layer.name for layer in (*message.layer, *message.layers)}
        extra = {layer.name for layer in (*stored.layer, *stored.layers) if layer.blobs} - there
        if extra:
            yield f"deploy: weights of {sorted(extra)}, which the net lacks"
    old, new = in_phase(case.net.net), in_phase(message)
    fed = {name: case.draw.standard_normal(value.shape) for name, value in case.net.inputs.items()}
    expected = answers(old, case.net.weights, fed, unread(old))
    found = run(new, blobs_of(stored, case.net.weights), fed)
    ends = [found[name] for name in unread(new)]
    for name, answer in expected.items():
        if not any(
            answer.gap(end) <= 1 or _softmax(answer.clean, end) for end in ends if end.size == answer.clean.size
        ):
            yield f"deploy: no output is {name!r}"


def _softmax(scores: Array, end: Array) -> bool:
    """Whether END is the Softmax of SCORES."""
    if scores.ndim < 2:
        return False
    expected = softmax(schema.LayerParameter(), [scores], ())[0]
    return bool(np.allclose(expected, end.reshape(scores.shape), rtol=1e-4, atol=1e-5))
