"""`caffe-fcn convert`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from caffe_fcn.cli.options import rename_rule, selection_options, size, text
from caffe_fcn.cli.streams import STDIN, as_file

if TYPE_CHECKING:
    from caffe_fcn.net.selection import Selection
    from caffe_fcn.surgery.convert import Plan, Settings

_PROGRESS_FROM = 128 << 20
"""A copy of fewer bytes is over before a progress bar could be read."""


class _Files(NamedTuple):
    """Where things are read from and written to; "-" is stdin or stdout, None is not at all."""

    net: str
    weights: str | None
    out: str
    out_weights: str | None

    @property
    def inputs(self) -> list[str]:
        return [path for path in (self.net, self.weights) if path is not None and path != "-"]

    @property
    def outputs(self) -> list[str]:
        return [path for path in (self.out, self.out_weights) if path is not None and path != "-"]


@click.command(epilog="Exit codes: 0 done, 1 the model cannot be converted, 2 wrong usage.")
@click.argument("net")
@click.argument("weights", required=False)
@click.option("-o", "--output", metavar="FILE", help="The new prototxt.  [default: NET_fcn.prototxt beside NET]")
@click.option(
    "-w",
    "--output-weights",
    metavar="FILE",
    help="The new caffemodel.  [default: WEIGHTS_fcn.caffemodel beside WEIGHTS]",
)
@click.option("--input-size", type=size, metavar="HxW", help="Spatial size of the input in the written net.")
@selection_options
@click.option(
    "--names",
    type=click.Choice(["suffix", "keep"]),
    default="suffix",
    show_default=True,
    help="Whether converted layers and their tops get new names.",
)
@click.option("--suffix", type=text, metavar="TEXT", default="-conv", show_default=True, help="What new names end in.")
@click.option(
    "--rename",
    type=rename_rule,
    multiple=True,
    metavar="PATTERN=NAME",
    help="New names by regular expression: 'fc(\\d+)=conv\\1'.",
)
@click.option("--only", multiple=True, metavar="LAYER", help="Convert these InnerProducts only; shell patterns.")
@click.option("--skip", multiple=True, metavar="LAYER", help="Leave these InnerProducts as they are; shell patterns.")
@click.option(
    "--global-pooling",
    type=click.Choice(["window", "keep"]),
    default="window",
    show_default=True,
    help="Make global poolings windows of their nominal input size, or keep them.",
)
@click.option("--strict", is_flag=True, help="Fail if an InnerProduct has to be left alone.")
@click.option("--dry-run", is_flag=True, help="Report, and write nothing.")
@click.option("--diff", is_flag=True, help="Print the prototxt's unified diff.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@click.option("-q", "--quiet", is_flag=True, help="Print no report.")
def convert(
    net: str,
    weights: str | None,
    output: str | None,
    output_weights: str | None,
    dry_run: bool,
    diff: bool,
    as_json: bool,
    force: bool,
    quiet: bool,
    **choices: Any,
) -> None:
    """Convert the net NET (prototxt) and its WEIGHTS (caffemodel).

    Every InnerProduct becomes a Convolution as large as its input, and the weights move into it. Without
    WEIGHTS only the text is written; a caffemodel alone is converted with the net inside it. "-" is
    standard input or output.

    \b
    caffe-fcn convert deploy.prototxt net.caffemodel
    caffe-fcn convert deploy.prototxt net.caffemodel --input-size 451x451
    caffe-fcn convert train_val.prototxt --dry-run --diff
    """
    from caffe_fcn.files.atomic import check_outputs
    from caffe_fcn.surgery.convert import open_inputs, plan

    settings = _settings(**choices)
    _check_usage(net, weights, output, output_weights)
    context = click.get_current_context()
    if choices["names"] == "keep" and context.get_parameter_source("suffix") is not ParameterSource.DEFAULT:
        raise click.UsageError("--names keep leaves no place for --suffix; choose one")
    if diff and as_json:
        raise click.UsageError("--diff and --json both print to stdout; choose one")
    with ExitStack() as stack:
        paths = [stack.enter_context(as_file(path)) if path is not None else None for path in (net, weights)]
        names = [STDIN if path == "-" else None for path in (net, weights)]
        source, opened = open_inputs(str(paths[0]), paths[1], (names[0], names[1]))
        if opened is not None:
            stack.enter_context(opened)
        files = _files(net, weights, output, output_weights, alone=opened is not None and weights is None)
        if not dry_run:
            if (diff or as_json) and "-" in (files.out, files.out_weights):
                raise click.UsageError("--diff and --json print to stdout, and so does an output of '-'; name a file")
            check_outputs(files.outputs, files.inputs, force=force)
        decided = plan(source, opened, settings)
        if not dry_run:
            _write(decided, files, force, quiet)
        _tell(decided, files, dry_run, diff, as_json, quiet)


def _settings(
    *,
    input_size: tuple[int, ...] | None,
    selection: Selection,
    names: str,
    suffix: str,
    rename: tuple[str, ...],
    only: tuple[str, ...],
    skip: tuple[str, ...],
    global_pooling: str,
    strict: bool,
) -> Settings:
    """The options, as the program understands them."""
    from caffe_fcn.surgery.convert import Settings
    from caffe_fcn.surgery.convolutionalize import Options
    from caffe_fcn.surgery.naming import Naming, parse_rule

    naming = Naming("" if names == "keep" else suffix, tuple(parse_rule(rule) for rule in rename))
    return Settings(
        options=Options(naming, only, skip, keep_global_pooling=global_pooling == "keep"),
        selection=selection,
        input_size=input_size,
        strict=strict,
    )


def _check_usage(net: str, weights: str | None, output: str | None, output_weights: str | None) -> None:
    if "" in (net, weights, output, output_weights):
        raise click.UsageError("a file's name is empty")
    if net == "-" and weights == "-":
        raise click.UsageError("only one of NET and WEIGHTS can come from stdin")
    if weights == "-" and output_weights is None:
        raise click.UsageError("WEIGHTS come from stdin; say with -w where to write the new ones")
    if output == "-" and output_weights == "-":
        raise click.UsageError("only one of -o and -w can go to stdout")


def _files(net: str, weights: str | None, output: str | None, output_weights: str | None, *, alone: bool) -> _Files:
    """Where everything is and goes. ALONE: NET is a caffemodel without a prototxt, and both net and weights."""
    if alone and net == "-" and output_weights is None:
        raise click.UsageError("the caffemodel comes from stdin; say with -w where to write the new one")
    weights = net if alone else weights
    if weights is None and output_weights is not None:
        raise click.UsageError("-w needs WEIGHTS to convert")
    if output is None:
        output = "-" if net == "-" else _beside(net, ".prototxt")
    if weights is not None and output_weights is None:
        output_weights = _beside(weights, ".caffemodel")
    return _Files(net, weights, output, output_weights)


def _beside(path: str, suffix: str) -> str:
    return f"{os.path.splitext(path)[0]}_fcn{suffix}"


def _write(plan: Plan, files: _Files, force: bool, quiet: bool) -> None:
    from caffe_fcn.surgery.writing import carry_out

    with _progress(plan, quiet) as progress:
        carry_out(plan, files.out, files.out_weights, force=force, progress=progress)


@contextmanager
def _progress(plan: Plan, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """A progress bar on a long copy, if someone is looking."""
    size = plan.weights.size if plan.weights else 0
    if quiet or size < _PROGRESS_FROM or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = TextColumn("copying weights"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=size)
        yield lambda written: bar.update(task, completed=written)


def _tell(plan: Plan, files: _Files, dry_run: bool, diff: bool, as_json: bool, quiet: bool) -> None:
    """Data to stdout, the report to stderr."""
    from caffe_fcn.report.conversion import document, lines
    from caffe_fcn.surgery.writing import to_stdout

    if diff:
        to_stdout(plan.diff(files.out).encode("utf-8", "surrogateescape"))
    if as_json:
        import json

        documents = {"net": files.out, "weights": files.out_weights}
        report = json.dumps(document(plan, documents, dry_run), indent=2, ensure_ascii=False)
        to_stdout(f"{report}\n".encode("utf-8", "replace"))
    if not quiet and not as_json:
        there = " (exists; needs --force)"
        outputs = [path + there * (dry_run and os.path.lexists(path)) for path in files.outputs]
        for line in lines(plan, outputs, dry_run):
            click.echo(line, err=True)
