"""Caffe's layers in numpy held against what the reference Caffe measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_fcn import schema
from tests.net.nets import read_net
from tests.net.reference import measured
from tests.paths import GOLDEN
from tests.random.caffe import RULES, forward

DIRECTORIES = [path.parent for path in sorted((GOLDEN / "layers").glob("*/io.npz"))]


def layer_in(directory: Path) -> schema.Message | None:
    """The one layer that is measured in DIRECTORY, if there is a rule for it."""
    layers = [layer for layer in read_net(directory / "net.prototxt").layer if layer.bottom]
    return layers[0] if len(layers) == 1 and layers[0].type in RULES else None


CASES = {path.name: layer for path in DIRECTORIES if (layer := layer_in(path)) is not None}


@pytest.mark.parametrize("name", CASES)
def test_a_rule_gives_what_caffe_measured(name: str) -> None:
    case, layer = measured(name), CASES[name]
    for top, values in zip(layer.top, forward(layer, case.bottoms, case.params), strict=True):
        assert values.shape == case.tops[top].shape
        np.testing.assert_allclose(values, case.tops[top], rtol=1e-4, atol=1e-5)


def test_most_measured_layers_have_a_rule() -> None:
    assert len(CASES) > 65
