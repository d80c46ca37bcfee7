"""Random nets of which a layer keeps every n-th filter: held against the old net in numpy.

Which channels are gone is found without the pass: the old net is run again with other values in the filters that go,
and channels that change are theirs. Where the old net reads zeros there, in the layers that sum up inputs, it has to
answer as the new one, without these channels. Nets whose layers mix channels in other ways are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from caffe_fcn.errors import CaffeFcnError
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import open_model
from caffe_fcn.model.passing import Result
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.windows import linear_param
from caffe_fcn.net.options import Selection
from caffe_fcn.passes.reduce import Amount, reduce
from caffe_fcn.passes.reducing import retrace
from caffe_fcn.schema import Message
from tests.random.basics import Array
from tests.random.caffe import forward
from tests.random.files import Files, blobs_of
from tests.random.nets import RandomNet, random_net
from tests.random.running import Weights, in_phase, run
from tests.random.trials import Case

_TEST = Selection(phase="TEST")
_MIXING = frozenset({"LRN", "MVN", "Normalize", "Softmax"})
"""Types that the pass leaves as they are, and that mix channels."""

_VARIANTS = 6
"""With how many other filters the old net is run, until all channels that are theirs have changed."""

_ROUNDING = 1e-9


def reducible(seed: int) -> RandomNet:
    """The net of SEED."""
    return random_net(seed, folding=seed % 2 == 0)


def reduced(model: Model, net: RandomNet, draw: np.random.Generator) -> list[Result]:
    """MODEL with one layer reduced."""
    return [_asked(model, net.seed)[2]]


def check(case: Case) -> Iterator[str]:
    """What is wrong with the reduced net of CASE."""
    model = case.opened()
    name, step, result = _asked(model, case.net.seed)
    again = retrace(model, open_model(str(case.made.net), str(case.made.weights), _TEST))
    if again is None or again.model.params != result.model.params:
        yield f"retrace: not seen in the net: {name}"
    elif not any(layer.type in _MIXING for layer in model.net.layer):
        yield from _compare(case.net, case.made, name, step)


def _asked(model: Model, seed: int) -> tuple[str, int, Result]:
    """A layer of MODEL that can be reduced, of how many filters one is kept, and what came of it. Raises CaffeFcnError
    where none can, that of the last."""
    draw = np.random.default_rng((seed, 17))
    nodes = [node for node in model.graph.nodes if row_of(node.type).linear]
    error = CaffeFcnError("no layer to reduce")
    for place in draw.permutation(len(nodes)):
        total = int(linear_param(nodes[place].layer).num_output)
        for step in (each for each in (3, 2, 5) if total % each == 0):
            try:
                made = reduce(model, {nodes[place].name: Amount(total // step)}, cut_outputs=True)
            except CaffeFcnError as refused:
                error = refused
            else:
                return nodes[place].name, step, made
    raise error


def _compare(net: RandomNet, made: Files, name: str, step: int) -> list[str]:
    """Where numpy finds other values in the new net than expected."""
    message, weights = made.read()
    layers = in_phase(net.net)
    draw = np.random.default_rng((net.seed, 19))
    fed = {each: draw.standard_normal(value.shape) for each, value in net.inputs.items()}
    expected, gone = _without(layers, net.weights, fed, name, step)
    found = run(in_phase(message), blobs_of(weights, net.weights), fed)
    rims = next(_has_rims(layer) for layer in layers if layer.name == name)
    faults = []
    for top in dict.fromkeys(top for layer in layers for top in layer.top if top in found):
        answer = _left(expected[top], gone[top], found[top].shape)
        if answer.shape != found[top].shape and (rims or not gone[top].any()):
            continue  # the filters make the same of every input, such as zeros
        if answer.shape != found[top].shape or not np.allclose(answer, found[top], rtol=1e-4, atol=1e-4):
            faults.append(f"passes: {top!r} is another: {answer.shape}, {found[top].shape}")
    return faults


def _has_rims(layer: Message) -> bool:
    """Whether all filters of LAYER make zeros of padding, of which it cannot be told whose they are."""
    param = linear_param(layer)
    return layer.type != "InnerProduct" and not param.bias_term and any((*param.pad, param.pad_h, param.pad_w))


def _left(whole: Array, gone: Array, shape: tuple[int, ...]) -> Array:
    """WHOLE without what is GONE along the axis in which SHAPE differs."""
    axes = [axis for axis, (one, other) in enumerate(zip(whole.shape, shape, strict=True)) if one != other]
    if len(axes) != 1:
        return whole
    kept = ~gone.any(axis=tuple(axis for axis in range(gone.ndim) if axis != axes[0]))
    return whole.compress(kept, axes[0])


def _without(
    layers: list[Message], weights: Weights, fed: Mapping[str, Array], name: str, step: int
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The blobs of the old net that reads zeros where the filters of the layer NAME are gone, and where in them values
    are gone: those that are others in one of several nets with other values in these filters."""
    clean, others = dict(fed), [dict(fed) for _ in range(_VARIANTS)]
    gone = {blob: np.zeros(value.shape, bool) for blob, value in fed.items()}
    for layer in layers:
        blobs = [np.asarray(blob, float) for blob in weights.get(layer.name, ())]
        sums = row_of(layer.type).linear and not _depthwise(layer, clean[layer.bottom[0]])
        masked = [np.where(gone[bottom], 0, clean[bottom]) for bottom in layer.bottom]
        bottoms = [masked if sums else [known[bottom] for bottom in layer.bottom] for known in (clean, *others)]
        made = forward(layer, bottoms[0], blobs)
        variants: list[list[Array]] = []
        for variant, each in enumerate(bottoms[1:]):
            values = _other_filters(layer, blobs, step, variant) if layer.name == name else blobs
            variants.append(forward(layer, each, values))
        for place, top in enumerate(layer.top):
            gone[top] = np.any([_apart(made[place], each[place]) for each in variants], axis=0)
            for known, tops in zip((clean, *others), (made, *variants), strict=True):
                known[top] = tops[place]
    return clean, gone


def _apart(one: Array, other: Array) -> Array:
    """Where ONE and OTHER are farther apart than products that are added up in another order."""
    apart: Array = abs(one - other) > _ROUNDING * (1 + abs(one))
    return apart


def _depthwise(layer: Message, bottom: Array) -> bool:
    return layer.type != "InnerProduct" and bool(linear_param(layer).group == bottom.shape[1] > 1)


def _other_filters(layer: Message, blobs: list[Array], step: int, variant: int) -> list[Array]:
    """BLOBS of LAYER with other values in all filters but every STEP-th: of two VARIANTS one adds what the other takes
    away, so that not both make values below zero."""
    draw, sign = np.random.default_rng((23, variant // 2)), 1 - 2 * (variant % 2)
    changed = [blob.copy() for blob in blobs]
    turned = layer.type == "Deconvolution" or layer.inner_product_param.transpose
    by_output = changed[0].swapaxes(0, 1) if turned else changed[0]
    for values in (by_output, *(bias.reshape(-1) for bias in changed[1:])):
        goes = np.arange(len(values)) % step != 0
        values[goes] += sign * draw.uniform(-30, 30, values[goes].shape)
    return changed
