"""`run --benchmark`: times every engine on one picture and recommends one; and prepares a net for `run`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from caffe_fcn.cli.failures import DONE
from caffe_fcn.cli.nets import File, open_trained
from caffe_fcn.cli.progress import looking
from caffe_fcn.cli.run_files import KINDS
from caffe_fcn.cli.run_options import Wanted
from caffe_fcn.cli.run_pictures import size_of
from caffe_fcn.cli.streams import print_json
from caffe_fcn.engines.registry import ENGINES
from caffe_fcn.engines.registry import engine as engine_called
from caffe_fcn.engines.timing import Ready, rounds, time_engines
from caffe_fcn.predict.images.picture import open_picture
from caffe_fcn.predict.preparing import prepare
from caffe_fcn.predict.run import carry_out, plan
from caffe_fcn.report.benchmark import document, lines

if TYPE_CHECKING:
    from caffe_fcn.engines.options import EngineOptions
    from caffe_fcn.engines.protocol import Engine
    from caffe_fcn.engines.timing import Ready
    from caffe_fcn.files.caffemodel import WeightFile
    from caffe_fcn.net.options import Selection
    from caffe_fcn.net.source import SourceNet
    from caffe_fcn.predict.options import DrawingOptions, PreparationOptions, RunOptions
    from caffe_fcn.predict.preparing import PreparedNet


def check_alone(wanted: Wanted) -> None:
    """Raise UsageError for options that do not go with --benchmark."""
    asked, out_dir, label, peaks = wanted
    given = next((kind for kind, path in zip(KINDS, asked, strict=True) if path is not None), None)
    if given is not None or out_dir is not None:
        name = "out-dir" if given is None else given.replace("_", "-")
        raise click.UsageError(f"--benchmark writes no files; leave out --{name}")
    if label is not None or peaks is not None:
        name = "class" if peaks is None else "peaks"
        raise click.UsageError(f"--benchmark reports only times; leave out --{name}")
    if click.get_current_context().get_parameter_source("engine") is not ParameterSource.DEFAULT:
        raise click.UsageError("--benchmark times all engines; leave out --engine")


def prepared(
    source: SourceNet,
    trained: WeightFile,
    runner: Engine,
    picture: str,
    selection: Selection,
    preparation: PreparationOptions,
    options: RunOptions,
    drawing: DrawingOptions,
) -> PreparedNet:
    """Load the net SOURCE with weights TRAINED into RUNNER, for pictures like PICTURE. Return it with its preprocessing
    and notes. Raises CaffeFcnError; OSError if a file cannot be read."""

    def first(channels: int) -> tuple[int, int] | None:
        return size_of(picture, channels, options.max_pixels)

    return prepare(source, trained, runner, selection, preparation, options, drawing, first=first)


def time_all(
    stack: ExitStack,
    net: Sequence[File],
    paths: Sequence[str],
    use: EngineOptions,
    preparation: PreparationOptions,
    options: RunOptions,
    drawing: DrawingOptions,
    *,
    as_json: bool,
    quiet: bool,
    selection: Selection,
    fork: str | None,
) -> int:
    """Time all engines on the only picture in PATHS, print the times and return the exit code. NET stays open until
    STACK closes. USE has the options for all engines; the name in it is ignored. Raises UsageError if there are several
    pictures, CaffeFcnError if no engine runs the net."""
    if len(paths) != 1:
        raise click.UsageError(f"--benchmark takes one picture, found {len(paths)}; give one")
    (path,) = paths
    files = open_trained(stack, net, fork)

    def load(name: str) -> Ready:
        runner = engine_called(replace(use, engine=name))
        net = prepared(*files, runner, path, selection, preparation, options, drawing)
        model, settings = net.model, net.settings
        size = open_picture(path, model.channels, settings.max_pixels).size

        def run() -> None:
            with ExitStack() as maps:
                work = plan(model, open_picture(path, model.channels, settings.max_pixels), settings)
                carry_out(model, work, settings, maps)

        return Ready(run, model.source, files.weights.path, path, size)

    with looking(path, rounds([*ENGINES]), quiet) as done:
        found = time_engines(load, [*ENGINES], done=done)
    if as_json:
        print_json(document(found))
    elif not quiet:
        for line in lines(found):
            click.echo(line)
    return DONE
