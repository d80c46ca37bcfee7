"""Random nets, those that train among them, as deploy nets: accepted by check, and proven by `verify`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from caffe_fcn.model.opening import meet
from caffe_fcn.model.writing import write_model
from caffe_fcn.net.in_use import trains
from caffe_fcn.net.options import Selection
from caffe_fcn.net.problems import examine
from caffe_fcn.passes.deploy_options import DeployOptions
from caffe_fcn.passes.deploying import deploying
from tests.random.files import Files, verdict
from tests.random.nets import random_net

TEST = Selection(phase="TEST")
CHUNK = 10


@pytest.mark.thorough
@pytest.mark.parametrize("first", [0, *(pytest.param(each, marks=pytest.mark.slow) for each in range(10, 100, CHUNK))])
def test_deploy_nets_are_proven(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + CHUNK):
        directory = tmp_path / str(seed)
        directory.mkdir()
        files = Files(*random_net(seed).write(directory))
        made = Files(directory / "deploy.prototxt", directory / "deploy.caffemodel")
        with ExitStack() as stack:
            opened = files.opened(stack)
            options = DeployOptions(keep_heads=seed % 2 == 0, drop_dropout=seed % 3 == 0)
            *_, result = deploying(meet(opened.source, opened.weights, TEST), options)
            write_model(result.model, str(made.net), str(made.weights))
            assert not trains(result.model.graph), seed
            assert examine(made.net.read_bytes(), "deploy").errors == (), seed
            found = verdict(opened, made.opened(stack), TEST)
            assert found.holds and found.claim.value == "same bits", seed
