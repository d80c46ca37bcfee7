"""Options are said once: the command line and the library have those of the dataclasses, with their defaults."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import click
import pytest

import caffe_fcn
from caffe_fcn import passes
from caffe_fcn.cli.main import app
from caffe_fcn.compare.options import DiffOptions
from caffe_fcn.diagram.options import DrawOptions
from caffe_fcn.engines import registry
from caffe_fcn.engines.options import ENGINES, EngineOptions
from caffe_fcn.files.options import WriteOptions
from caffe_fcn.inspection.options import InspectOptions
from caffe_fcn.net.options import OpenOptions, Selection
from caffe_fcn.options import meanings
from caffe_fcn.page.options import ReportOptions
from caffe_fcn.passes.options import UpgradeOptions
from caffe_fcn.passes.table import PASSES
from caffe_fcn.passes.training_options import TrainOptions
from caffe_fcn.predict.options import (
    DrawingOptions,
    ExportOptions,
    PeakOptions,
    PreparationOptions,
    RunOptions,
    ScoreOptions,
)
from caffe_fcn.report.options import CheckOptions
from caffe_fcn.verify.options import ProveOptions, VerifyOptions

ANY_NET = (Selection, OpenOptions)


def own(command: str) -> tuple[type, ...]:
    """The options that COMMAND alone has, if it is that of a pass: a dataclass with its name, in a module of
    `caffe_fcn/passes/` whose name ends in "options"."""
    found = [each for each in walk_packages(passes.__path__, "caffe_fcn.passes.") if each.name.endswith("options")]
    modules = (import_module(each.name) for each in found)
    name = f"{command.capitalize()}Options"
    return tuple(getattr(module, name) for module in modules if hasattr(module, name))


PASS_COMMANDS = [name for name, row in PASSES.items() if row.help]
OPTIONS: dict[str, tuple[type, ...]] = {
    **{name: (*ANY_NET, *own(name), WriteOptions, EngineOptions, ProveOptions) for name in PASS_COMMANDS},
    "check": (*ANY_NET, CheckOptions),
    "diff": (*ANY_NET, DiffOptions),
    "draw": (*ANY_NET, DrawOptions, WriteOptions),
    "export": (*ANY_NET, ExportOptions, PreparationOptions, WriteOptions),
    "inspect": (*ANY_NET, InspectOptions),
    "report": (*ANY_NET, ReportOptions, PreparationOptions, WriteOptions),
    "run": (*ANY_NET, RunOptions, PeakOptions, DrawingOptions, PreparationOptions, EngineOptions, WriteOptions),
    "score": (ScoreOptions,),
    "segment": (*ANY_NET, *own("segment"), TrainOptions, WriteOptions, EngineOptions, ProveOptions),
    "upgrade": (*ANY_NET, UpgradeOptions, WriteOptions),
    "verify": (*ANY_NET, VerifyOptions, PreparationOptions, EngineOptions),
}
"""What each command takes."""

NOT_IN_COMMANDS = {
    **{
        (name, field): "the proof takes the engine alone; `verify` takes the rest"
        for name in PASS_COMMANDS
        for field in ("gpu", "low_memory", "threads")
    },
    ("verify", "gpu"): "a proof is to give the same on every machine",
    ("verify", "low_memory"): "small parts of the nets are run, which needs no more memory",
    ("verify", "pictures"): "arrays; a command has files of them, --image",
}
"""Fields that a command has no option for, and why. `shapes` is --input-shape and --shape in all commands."""


def fields(command: str) -> Iterator[tuple[type, str]]:
    yield from ((options, name) for options in OPTIONS[command] for name in meanings(options))


@pytest.mark.parametrize("name", PASSES)
def test_the_module_of_a_pass_shows_how_verify_knows_it(name: str) -> None:
    row = PASSES[name]
    assert bool(row.module) == ((row.retrace is None) != (row.shows is None))


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
            assert by_default in (option.help or "") or name == "phase"  # each command has its own


METHODS = {"convert": "convolutionalize"}
"""The method of a net that does what the command does, where it has another name."""

LIBRARY: dict[str, tuple[Any, ...]] = {
    **{
        name: (caffe_fcn.open, getattr(caffe_fcn.Net, METHODS.get(name, name)), caffe_fcn.Net.save)
        for name in PASS_COMMANDS
    },
    "check": (caffe_fcn.check,),
    "segment": (caffe_fcn.open, caffe_fcn.Net.segment, caffe_fcn.Net.save, caffe_fcn.Net.save_training),
    "diff": (caffe_fcn.diff,),
    "draw": (caffe_fcn.open, caffe_fcn.Net.draw),
    "export": (caffe_fcn.open, caffe_fcn.Net.export),
    "inspect": (caffe_fcn.open, caffe_fcn.Net.inspect),
    "upgrade": (caffe_fcn.open, caffe_fcn.Net.upgrade, caffe_fcn.Net.save),
    "report": (caffe_fcn.open, caffe_fcn.Net.save_report),
    "run": (caffe_fcn.open, caffe_fcn.Net.run, caffe_fcn.Prediction.peaks),
    "score": (caffe_fcn.score,),
    "verify": (caffe_fcn.open, caffe_fcn.Net.verify),
}
"""The functions of the library that together do what a command does."""

ONE_CALL = {"convert": caffe_fcn.convert}
"""The function that does all of it, for a command that has one."""

ELSEWHERE = {
    "engine": "`Net.verify` has it",
    "threads": "`Net.verify` has it",
    "low_memory": "large weights are run by `Net.run` and `Net.load`",
    "gpu": "`Net.run` has it",
    "verify": "a method of its own, `Net.verify`",
}
"""The same for the commands of passes; `caffe_fcn.convert` has all that its command has."""

NOT_IN_LIBRARY = {
    **{(name, field): why for name in PASS_COMMANDS for field, why in ELSEWHERE.items()},
    ("run", "force"): "`Net.run` writes no file",
    ("verify", "gpu"): "a proof is to give the same on every machine",
    ("verify", "low_memory"): "small parts of the nets are run, which needs no more memory",
    ("verify", "mean"): "its pictures are arrays, as they are fed",
    ("verify", "scale"): "its pictures are arrays, as they are fed",
    ("verify", "swap_channels"): "its pictures are arrays, as they are fed",
    ("verify", "column_major"): "its pictures are arrays, as they are fed",
}
"""Fields that no function of LIBRARY has a keyword for, and why."""

NOT_FIELDS = {
    "files net weights output output_weights directory": "files",
    "layers": "what is left of which layer, in a command LAYER=OUTPUTS:HxW",
    "old new": "two nets, or files",
    "original original_weights": "files of the other net",
    "labels predictions": "folders or files with label images",
    "picture": "a file or pixels",
    "wanted": "a class",
}
"""What the functions take beside fields, by what it is."""


def keywords(*functions: Any) -> dict[str, Any]:
    """What FUNCTIONS take, with the defaults."""
    found = {}
    for function in functions:
        parameters = inspect.signature(function).parameters
        found.update({name: each.default for name, each in parameters.items() if name != "self"})
    return found


@pytest.mark.parametrize("command", LIBRARY)
def test_the_library_has_the_options_of_its_code(command: str) -> None:
    there = keywords(*LIBRARY[command])
    for options, name in fields(command):
        if (command, name) in NOT_IN_LIBRARY:
            assert name not in there
        else:
            assert there[name] == getattr(options, name), name
    ours = {name for _, name in fields(command) if (command, name) not in NOT_IN_LIBRARY}
    beside = {name for names in NOT_FIELDS for name in names.split()} - ours
    assert set(there) - beside == ours


@pytest.mark.parametrize("command", ONE_CALL)
def test_one_call_has_the_options_of_the_command(command: str) -> None:
    there = keywords(ONE_CALL[command])
    ours = {name: getattr(options, name) for options, name in fields(command) if (command, name) not in NOT_IN_COMMANDS}
    assert {name: there[name] for name in ours} == ours
    assert set(there) - set(ours) == {"net", "weights", "output", "output_weights"}


COMMAND_ONLY = {
    "input_shape shape": "two options for `shapes`, the keyword",
    "output output_weights out_dir": "files; arguments in the library",
    "heatmap label_map overlay label picture peaks boxes csv top": "methods of a `Prediction`",
    "images": "files; `Net.verify` takes arrays",
    "benchmark": "a method, `Prediction.benchmark`",
    "train": "a method, `Net.save_training`",
    "dry_run diff": "a `Net` is not written until it is saved, and has a `text_diff`",
    "as_json as_csv quiet verbose brief": "how it is printed; the library has `report`",
    "git": "how git calls the command",
    "names": "keeping names is an empty `suffix` in the library",
}
"""Options of commands that are no fields, and why."""


@pytest.mark.parametrize("command", OPTIONS)
def test_a_command_has_no_other_options(command: str) -> None:
    own = {each.name for each in app.commands[command].params if isinstance(each, click.Option)}
    assert own - {name for _, name in fields(command)} <= {name for names in COMMAND_ONLY for name in names.split()}


def test_no_reason_is_given_for_what_is_not_there() -> None:
    every = {each.name for command in app.commands.values() for each in command.params}
    assert {name for names in COMMAND_ONLY for name in names.split()} <= every
    taken = {(command, name) for command in OPTIONS for _, name in fields(command)}
    assert set(NOT_IN_LIBRARY) <= taken


def test_the_engines_are_those_that_there_are() -> None:
    assert tuple(registry.ENGINES) == ENGINES
