"""Random nets: a net equals itself in all formats, and one random change is told of the layer that has it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.compare.diff import compare
from caffe_fcn.compare.records import NetDiff
from caffe_fcn.compare.sides import open_side
from caffe_fcn.schema import Message
from tests.random.files import Files
from tests.random.mutants import mutants
from tests.random.nets import random_net


def diff(old: Files, new: Files) -> NetDiff:
    with ExitStack() as stack:
        sides = [open_side(stack, [str(path) for path in each]) for each in (old, new)]
        return compare(sides[0], sides[1])


def changed_layers(old: Message, new: Message) -> set[str] | None:
    """The names of the layers of OLD that are others in NEW, in which every layer is at its place; None if not."""
    if len(old.layer) != len(new.layer):
        return None
    return {one.name for one, other in zip(old.layer, new.layer, strict=True) if one != other}


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(6))
def test_a_random_change_is_told(tmp_path: Path, seed: int) -> None:
    net = random_net(seed)
    files = Files(*net.write(tmp_path))
    text, weights = files.read()
    if text.layers or weights.layers:  # the changes are made in the current format
        text, weights = net.net, schema.NetParameter()
        for name, blobs in net.weights.items():
            layer = weights.layer.add(name=name)
            for blob in blobs:
                layer.blobs.add(data=np.ravel(blob), shape={"dim": np.shape(blob)})
    base = files.write(text, weights)
    same = diff(files, base)
    assert same.equal, (same.differing, same.fields)
    plain = Files(base.net.rename(tmp_path / "base.prototxt"), base.weights.rename(tmp_path / "base.caffemodel"))
    for mutant in mutants(text, weights, np.random.default_rng(seed), 8):
        found = diff(plain, files.write(mutant.net, mutant.weights))
        told = {name for each in found.differing for name in (each.old, each.new)}
        expected = [changed_layers(*both) for both in ((text, mutant.net), (weights, mutant.weights))]
        if mutant.what.startswith("the name of"):
            assert expected[0] and expected[0] <= told, mutant.what
        elif None in expected:
            assert any(each.new is None for each in found.differing), mutant.what
        elif mutant.what.startswith("dilation of"):  # with a kernel of 1 it means nothing
            assert told <= (expected[0] or set()), mutant.what
        else:
            assert {name for names in expected for name in names or ()} == told, mutant.what
