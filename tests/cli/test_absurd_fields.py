"""Layers of every type with absurd fields, in every command: whatever a model says, it is no defect of the program.

Each net of `tests/golden/layers` is changed at random, by a seed of its own, so that a failing one comes again.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor

from caffe_fcn import schema
from caffe_fcn.net.source import read_net
from caffe_fcn.schema import Message
from tests.cli.conftest import CommandLine
from tests.paths import GOLDEN

LAYERS = sorted(path for path in (GOLDEN / "layers").iterdir() if path.is_dir())
SEEDS = 2
NET, WEIGHTS = "net.prototxt", "net.caffemodel"
COMMANDS = (
    f"inspect {NET} {WEIGHTS} --json",
    f"check {NET}",
    f"convert {NET} {WEIGHTS} --dry-run -q",
    f"export {NET} {WEIGHTS} -o net.onnx --force",
    f"run {NET} {WEIGHTS} x.npy",
    f"verify {NET} {WEIGHTS} {NET} {WEIGHTS}",
)
_INT, _REAL = [0, -1, -7, 3, 100, 2**31 - 1, -(2**31)], [0.0, -1.0, float("nan"), float("inf"), 1e38, 1e-45]
_VALUES: dict[int, list[Any]] = {
    FieldDescriptor.CPPTYPE_INT32: _INT,
    FieldDescriptor.CPPTYPE_UINT32: [0, 1, 7, 1000, 2**32 - 1],
    FieldDescriptor.CPPTYPE_INT64: [0, -1, 2**62],
    FieldDescriptor.CPPTYPE_UINT64: [0, 2**63],
    FieldDescriptor.CPPTYPE_FLOAT: _REAL,
    FieldDescriptor.CPPTYPE_DOUBLE: _REAL,
    FieldDescriptor.CPPTYPE_BOOL: [False, True],
}
_NO_PARAMETERS = ("loss_param", "transform_param")


def change(layer: Message, dice: random.Random) -> None:
    """Give LAYER another value in a field of its parameters, or a bottom or a top more or less."""
    params = [
        value
        for field, value in layer.ListFields()
        if field.name.endswith("_param") and field.name not in _NO_PARAMETERS
    ]
    if not params or dice.random() < 0.15:
        names = dice.choice([layer.bottom, layer.top])
        if names and dice.random() < 0.5:
            del names[-1]
        else:
            names.append(dice.choice(["data", "more"]))
        return
    param = dice.choice(params)
    while all(each.message_type for each in param.DESCRIPTOR.fields):
        field, value = param.ListFields()[0]
        param = value[0] if schema.is_repeated(field) else value
    field = dice.choice([each for each in param.DESCRIPTOR.fields if each.message_type is None])
    values = _VALUES.get(field.cpp_type, ["", "x"])
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        values = [each.number for each in field.enum_type.values]
    if schema.is_repeated(field):
        getattr(param, field.name)[:] = [dice.choice(values) for _ in range(dice.randrange(4))]
    elif field.type == FieldDescriptor.TYPE_BYTES or dice.random() < 0.1:
        param.ClearField(field.name)
    else:
        setattr(param, field.name, dice.choice(values))


def reshape(net: Message, dice: random.Random) -> None:
    """Give an input of NET an extent of none, or an axis more or less."""
    for layer in net.layer:
        if layer.type == "Input" and dice.random() < 0.5:
            dims = layer.input_param.shape[0].dim
            if dims and dice.random() < 0.7:
                dims[dice.randrange(len(dims))] = dice.choice([0, 1, 2, 7])
            else:
                dims[:] = dice.choice([dims[:-1], [*dims, 2]])


def tried(cli: CommandLine, net: Message) -> None:
    """Hold every command to what it may say of NET."""
    (cli.path / NET).write_text(text_format.MessageToString(net, as_utf8=True))
    for command in COMMANDS:
        found = cli.run(*command.split())
        assert found.code in (0, 1, 2) and "defect" not in found.err + found.out.decode(), (command, found.err)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.name)
def test_no_model_is_a_defect(cli: CommandLine, case: Path, seed: int) -> None:
    dice = random.Random(f"{case.name} {seed}")
    net = schema.NetParameter()
    net.CopyFrom(read_net(case / NET).net)
    for _ in range(dice.choice([1, 2, 3])):
        change(dice.choice([layer for layer in net.layer if layer.type != "Input"] or list(net.layer)), dice)
    if dice.random() < 0.3:
        reshape(net, dice)
    (cli.path / WEIGHTS).write_bytes((case / WEIGHTS).read_bytes())
    np.save(cli.path / "x.npy", np.ones((9, 11, 3), np.float32))
    tried(cli, net)


FOUND = {
    "a window in place of a global pooling that pads": (
        "Pooling",
        "data",
        "pooling_param { pool: AVE global_pooling: true pad_b: 7 }",
    ),
    "a reference of more axes than are cut": ("Crop", "data more", "crop_param { axis: -1 }"),
    "an LRN that Caffe reads as a negative one": (
        "LRN",
        "data",
        "lrn_param { local_size: 4294967295 norm_region: WITHIN_CHANNEL }",
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_one_once(cli: CommandLine, name: str) -> None:
    kind, bottoms, param = FOUND[name]
    shapes = {"data": (2, 3, 9, 11) if kind != "Crop" else (2, 3, 9), "more": (2, 3, 9, 2)}
    text = "".join(
        f'layer {{ name: "{blob}" type: "Input" top: "{blob}" input_param {{ shape {{ '
        + " ".join(f"dim: {extent}" for extent in shapes[blob])
        + " } } } "
        for blob in bottoms.split()
    )
    below = " ".join(f'bottom: "{blob}"' for blob in bottoms.split())
    net = text_format.Parse(
        f'{text} layer {{ name: "x" type: "{kind}" {below} top: "x" {param} }}', schema.NetParameter()
    )
    weights = schema.NetParameter(layer=[schema.LayerParameter(name="x", type=kind)])
    (cli.path / WEIGHTS).write_bytes(weights.SerializeToString())
    np.save(cli.path / "x.npy", np.ones((9, 11, 3), np.float32))
    tried(cli, net)
