"""Nets whose layers compute with NaN or infinity are refused by name, and never written."""

from __future__ import annotations

from collections.abc import Iterator
from math import nan
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

import caffe_fcn
from caffe_fcn import schema
from caffe_fcn.errors import CaffeFcnError, LoweringError
from caffe_fcn.files import prototxt
from caffe_fcn.files.textmessage import fields_of
from caffe_fcn.net.effects import readers_of
from caffe_fcn.net.source import SourceNet, interpret, read_net
from tests.engines.nets import opened
from tests.passes.nets import layer
from tests.paths import GOLDEN

UNUSED = {"moving_average_fraction", "dropout_ratio", "convolution_param.negative_slope"}
"""What layers do not compute with, as the golden nets are."""


def read(text: str) -> SourceNet:
    return interpret(prototxt.parse(text, "net.prototxt"))


def reals(message: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The paths of the numbers that MESSAGE, which is at PATH, may have."""
    for name, field in fields_of(message.DESCRIPTOR).items():
        if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE) and not schema.is_repeated(field):
            yield (*path, name)


def cases() -> dict[tuple[str, ...], Path]:
    """For each number that a layer type reads, a golden net with such a layer and weights."""
    found: dict[tuple[str, ...], Path] = {}
    params = [name for name in fields_of(schema.LayerParameter.DESCRIPTOR) if name.endswith("_param")]
    for weights in sorted((GOLDEN / "layers").glob("*/net.caffemodel")):
        for kind in {each.type for each in read_net(weights.parent / "net.prototxt").net.layer}:
            for param in (name for name in params if kind in readers_of(name)):
                for path in reals(getattr(schema.LayerParameter(), param), (param,)):
                    found.setdefault((kind, *path), weights)
    return found


CASES = cases()


@pytest.mark.parametrize("place", CASES, ids=".".join)
def test_a_number_that_is_none(place: tuple[str, ...], tmp_path: Path) -> None:
    """Each number that each type reads: refused by its name, or not used."""
    kind, *path = place
    net = read_net(CASES[place].parent / "net.prototxt").net
    target = next(each for each in net.layer if each.type == kind)
    for name in path[:-1]:
        target = getattr(target, name)
    setattr(target, path[-1], nan)
    with caffe_fcn.open_weights(CASES[place]) as weights:
        if UNUSED & {path[-1], ".".join(path)} or kind == "InnerProduct":
            opened(read(text_format.MessageToString(net)), weights).export(tmp_path / "net.onnx")
            return
        with pytest.raises(CaffeFcnError, match=rf"\({kind}\): ({'.'.join(path)} is nan, but must|base is nan)"):
            opened(read(text_format.MessageToString(net)), weights).export(tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_the_numbers_are_many() -> None:
    assert len(CASES) > 20


@pytest.mark.parametrize(
    ("kind", "params", "told"),
    [
        ("Power", "power_param { scale: -inf }", "power_param.scale is -inf"),
        ("Eltwise", "eltwise_param { coeff: 1e39 coeff: 1 }", "eltwise_param.coeff is inf"),
        ("Clip", "clip_param { min: nan max: 1 }", "clip_param.min is nan"),
        ("Clip", "clip_param { min: 0 max: inf }", ""),
        ("Dropout", "dropout_param { dropout_ratio: nan scale_train: false }", "dropout_param.dropout_ratio is nan"),
        ("Pooling", "pooling_param { kernel_size: 1 } power_param { scale: nan }", ""),
    ],
)
def test_infinite_numbers_too(kind: str, params: str, told: str, tmp_path: Path) -> None:
    text = 'input: "data" input_shape { dim: 1 dim: 2 dim: 4 dim: 4 }\n' + layer(
        "x", kind, "data data" if kind == "Eltwise" else "data", params=params
    )
    weights = CASES["BatchNorm", "batch_norm_param", "eps"]
    with caffe_fcn.open_weights(weights) as held:
        if not told:
            opened(read(text), held).export(tmp_path / "net.onnx")
            return
        with pytest.raises(LoweringError, match=rf'layer "x" \({kind}\): {told}, but must be a finite number'):
            opened(read(text), held).export(tmp_path / "net.onnx")
