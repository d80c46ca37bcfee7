"""Random nets folded: they answer as numpy says of the original, and fold and convert can be exchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_fcn.errors import CaffeFcnError
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import open_model
from caffe_fcn.model.writing import write_model
from caffe_fcn.net.options import Selection
from caffe_fcn.passes.alone import alone
from caffe_fcn.passes.convolutionalize import Options, convolutionalize
from caffe_fcn.passes.convolutionalize.naming import Naming
from caffe_fcn.passes.fold import fold
from caffe_fcn.proofs.verify import NetAndWeights
from tests.passes.test_fold import values
from tests.random.comparing import Loaded
from tests.random.nets import RandomNet, random_net
from tests.random.running import answers

pytestmark = pytest.mark.thorough

CHUNK = 20
KEEP = Options(Naming("", ()))


def opened(net: Path, weights: Path) -> Model:
    return open_model(str(net), str(weights), Selection(phase="TEST"))


def loaded(model: Model, net: RandomNet) -> Loaded:
    assert model.weights is not None
    return Loaded(NetAndWeights(model.source, model.weights), net.net, net.weights)


def gaps(net: RandomNet, directory: Path) -> dict[str, float]:
    """How far the outputs of NET are from what numpy makes of it after it was folded; 1 is what rounding explains."""
    made = directory / "folded.prototxt", directory / "folded.caffemodel"
    original = opened(*net.write(directory))
    write_model(fold(alone(original).model).model, str(made[0]), str(made[1]))
    before, session = loaded(original, net), loaded(opened(*made), net).session
    expected = answers(before.layers, before.weights, net.inputs, before.session.outputs)
    found = session.run({name: net.inputs[name] for name in session.inputs})
    return {name: expected[name].gap(found[name]) for name in before.session.outputs}


@pytest.mark.parametrize("first", [0, pytest.param(CHUNK, marks=pytest.mark.slow)])
def test_folded_nets_answer_as_before(first: int, tmp_path: Path) -> None:
    far = {}
    for seed in range(first, first + CHUNK):
        try:
            found = gaps(random_net(seed), tmp_path)
        except CaffeFcnError:  # a net that Caffe or the engine refuses
            continue
        far.update({(seed, name): gap for name, gap in found.items() if gap > 1})
        for path in tmp_path.iterdir():
            path.unlink()
    assert far == {}


@pytest.mark.parametrize("first", [0, 40, pytest.param(80, marks=pytest.mark.slow)])
def test_fold_and_convert_can_be_exchanged(first: int, tmp_path: Path) -> None:
    same = 0
    for seed in range(first, first + CHUNK):
        try:
            model = alone(opened(*random_net(seed).write(tmp_path))).model
            one = convolutionalize(fold(model).model, KEEP).model
        except CaffeFcnError:
            continue
        other = fold(convolutionalize(model, KEEP).model).model
        assert one.net == other.net and values(one) == values(other), seed
        same += 1
    assert same > CHUNK / 2
