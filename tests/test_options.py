"""Options are said once: the command line and the library have those of the dataclasses, with their defaults."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from caffe_fcn.cli.main import app
from caffe_fcn.engines import registry
from caffe_fcn.engines.options import ENGINES, EngineOptions
from caffe_fcn.files.options import WriteOptions
from caffe_fcn.net.options import OpenOptions, Selection
from caffe_fcn.options import meanings
from caffe_fcn.passes.options import ConvertOptions
from caffe_fcn.predict.options import ExportOptions, PreparationOptions, RunOptions
from caffe_fcn.proofs.options import VerifyOptions
from caffe_fcn.report.options import CheckOptions, InspectOptions

ANY_NET = (Selection, OpenOptions)
OPTIONS: dict[str, tuple[type, ...]] = {
    "check": (*ANY_NET, CheckOptions),
    "convert": (*ANY_NET, ConvertOptions, WriteOptions, EngineOptions),
    "export": (*ANY_NET, ExportOptions, PreparationOptions, WriteOptions),
    "inspect": (*ANY_NET, InspectOptions),
    "run": (*ANY_NET, RunOptions, PreparationOptions, EngineOptions, WriteOptions),
    "upgrade": (*ANY_NET, WriteOptions),
    "verify": (*ANY_NET, VerifyOptions, PreparationOptions, EngineOptions),
}
"""What each command takes."""

NOT_IN_COMMANDS = {
    ("convert", "gpu"): "the proof takes the engine alone; `verify` takes the rest",
    ("convert", "low_memory"): "the proof takes the engine alone; `verify` takes the rest",
    ("convert", "threads"): "the proof takes the engine alone; `verify` takes the rest",
    ("verify", "gpu"): "a proof is to give the same on every machine",
    ("verify", "low_memory"): "small parts of the nets are run, which needs no more memory",
    ("verify", "pictures"): "arrays; a command has files of them, --image",
}
"""Fields that a command has no option for, and why. `shapes` is --input-shape and --shape in all commands."""


def fields(command: str) -> Iterator[tuple[type, str]]:
    yield from ((options, name) for options in OPTIONS[command] for name in meanings(options))


def test_every_command_says_what_it_takes() -> None:
    assert set(OPTIONS) == set(app.commands)
    taken = [(command, name) for command in OPTIONS for _, name in fields(command)]
    assert len(taken) == len(set(taken)), "two dataclasses of one command have a field of the same name"
    assert set(NOT_IN_COMMANDS) <= set(taken)


@pytest.mark.parametrize("options", sorted({each for all_ in OPTIONS.values() for each in all_}, key=str))
def test_every_option_has_a_meaning(options: type) -> None:
    names = list(vars(options)["__annotations__"])
    assert [name for name in names if not meanings(options)[name].text.endswith((".", "..."))] == []


@pytest.mark.parametrize("command", OPTIONS)
def test_a_command_has_the_options_of_its_code(command: str) -> None:
    there = {each.name: each for each in app.commands[command].params if isinstance(each, click.Option)}
    for options, name in fields(command):
        if name == "shapes":
            assert {"input_shape", "shape"} <= there.keys()
        elif (command, name) in NOT_IN_COMMANDS:
            assert name not in there
        else:
            option, (text, by_default) = there[name], meanings(options)[name]
            assert option.default == getattr(options, name), name
            assert (option.help or "").startswith(text.removesuffix(".")), name
            assert by_default in (option.help or "")


def test_the_engines_are_those_that_there_are() -> None:
    assert tuple(registry.ENGINES) == ENGINES
