"""Random nets whose pictures get other channels: held against the old ones in numpy.

With more channels, whatever these hold, and with one in place of three equal ones, all outputs are as before.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from caffe_fcn.errors import CaffeFcnError
from caffe_fcn.model.writing import write_model
from caffe_fcn.passes.alone import alone
from caffe_fcn.passes.channels import change_channels
from tests.random.files import Files, blobs_of
from tests.random.nets import RandomNet, random_net
from tests.random.reductions import opened
from tests.random.running import in_phase, run

_COLOUR = 3


@dataclass
class Rewidened:
    """What came of the net of SEED: why it was REFUSED, and all FAULTS."""

    seed: int
    refused: str = ""
    faults: list[str] = field(default_factory=list)


def widenings_of(seeds: range) -> list[Rewidened]:
    """What comes of the nets of SEEDS; every other one of three channels becomes grey."""
    return [_changed(random_net(seed)) for seed in seeds]


def _changed(net: RandomNet) -> Rewidened:
    found = Rewidened(net.seed)
    pictures = [name for name, value in net.inputs.items() if value.ndim > 2]
    if len(pictures) != 1:
        return Rewidened(net.seed, refused="not one picture")
    old = net.inputs[pictures[0]].shape[1]
    channels = 1 if old == _COLOUR and net.seed % 2 else old + 2
    with tempfile.TemporaryDirectory(prefix="caffe-fcn-random-") as directory:
        files = net.write(Path(directory))
        made = Files(Path(directory) / "new.prototxt", Path(directory) / "new.caffemodel")
        try:
            new = change_channels(alone(opened(Files(*files))).model, channels).model
        except CaffeFcnError as error:
            found.refused = error.message
            return found
        write_model(new, str(made.net), str(made.weights))
        found.faults += _compare(net, made, pictures[0], channels)
    return found


def _compare(net: RandomNet, made: Files, picture: str, channels: int) -> list[str]:
    message, weights = made.read()
    draw = np.random.default_rng((net.seed, 29))
    before = {name: draw.standard_normal(value.shape) for name, value in net.inputs.items()}
    values = before[picture]
    if channels == 1:
        before[picture] = values[:, :1].repeat(values.shape[1], axis=1)
        after = values[:, :1]
    else:
        more = draw.standard_normal((len(values), channels - values.shape[1], *values.shape[2:]))
        after = np.concatenate([values, more], axis=1)
    expected = run(in_phase(net.net), net.weights, before)
    found = run(in_phase(message), blobs_of(weights, net.weights), {**before, picture: after})
    read = {bottom for layer in in_phase(message) for bottom in layer.bottom}
    ends = [top for layer in in_phase(message) for top in layer.top if top not in read]
    close = {top: np.allclose(expected[top], found[top], rtol=1e-3, atol=1e-4) for top in ends}
    return [f"passes: {top!r} is another" for top, same in close.items() if not same]
