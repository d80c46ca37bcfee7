"""Random nets folded before a conversion and after it: the same net, and the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_fcn.errors import CaffeFcnError
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import open_model
from caffe_fcn.net.options import Selection
from caffe_fcn.passes.alone import alone
from caffe_fcn.passes.convolutionalize import Options, convolutionalize
from caffe_fcn.passes.convolutionalize.naming import Naming
from caffe_fcn.passes.fold import fold
from tests.passes.test_fold import values
from tests.random.nets import random_net

pytestmark = pytest.mark.thorough

CHUNK = 20
KEEP = Options(Naming("", ()))


def opened(net: Path, weights: Path) -> Model:
    return open_model(str(net), str(weights), Selection(phase="TEST"))


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
