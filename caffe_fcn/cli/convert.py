"""`caffe-fcn convert`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from caffe_fcn.cli.options import BlobShape, RenameRule, Size

if TYPE_CHECKING:
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
@click.option("--input-size", type=Size(), help="Spatial size of the input in the written net.")
@click.option("--input-shape", type=BlobShape(), multiple=True, help="Shape of an input that the files leave out.")
@click.option("--shape", type=BlobShape(), multiple=True, help="Shape of a blob that an unknown layer makes.")
@click.option("--phase", type=click.Choice(["train", "test"], case_sensitive=False), help="Look at one phase only.")
@click.option("--stage", multiple=True, metavar="NAME", help="Stage to build the net for; may be repeated.")
@click.option("--level", type=int, help="Level to build the net for.")
@click.option(
    "--names",
    type=click.Choice(["suffix", "keep"]),
    default="suffix",
    show_default=True,
    help="Whether converted layers and their tops get new names.",
)
@click.option("--suffix", default="-conv", show_default=True, help="What new names end in.")
@click.option("--rename", type=RenameRule(), multiple=True, help="New names by regular expression: 'fc(\\d+)=conv\\1'.")
@click.option("--only", multiple=True, metavar="LAYER", help="Convert these InnerProducts only; * and ? allowed.")
@click.option("--skip", multiple=True, metavar="LAYER", help="Leave these InnerProducts as they are.")
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
    caffe-fcn convert deploy.prototxt net.caffemodel -o fcn.prototxt -w fcn.caffemodel --input-size 451x451
    caffe-fcn convert train_val.prototxt --dry-run --diff
    """
    from caffe_fcn.files.atomic import check_outputs
    from caffe_fcn.surgery.convert import open_inputs, plan

    settings = _settings(**choices)
    files = _files(net, weights, output, output_weights)
    if (diff or as_json) and "-" in (files.out, files.out_weights) and not dry_run:
        raise click.UsageError("--diff and --json print to stdout, and so does an output of '-'; name a file")
    if diff and as_json:
        raise click.UsageError("--diff and --json both print to stdout; choose one")
    if not dry_run:
        check_outputs(files.outputs, files.inputs, force=force)
    with ExitStack() as stack:
        source, opened = open_inputs(
            stack.enter_context(_stdin_as_file(files.net, ".prototxt")),
            stack.enter_context(_stdin_as_file(files.weights, ".caffemodel")) if files.weights else None,
        )
        if opened is not None:
            stack.enter_context(opened)
        files = _with_weights(files, opened is not None)
        decided = plan(source, opened, settings)
        if not dry_run:
            _write(decided, files, force, quiet)
        _tell(decided, files, dry_run, diff, as_json, quiet)


def _settings(
    *,
    input_size: tuple[int, ...] | None,
    input_shape: tuple[tuple[str, tuple[int, ...]], ...],
    shape: tuple[tuple[str, tuple[int, ...]], ...],
    phase: str | None,
    stage: tuple[str, ...],
    level: int | None,
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
        phase=phase.upper() if phase else None,
        stages=stage,
        level=level,
        given={**dict(input_shape), **dict(shape)},
        input_size=input_size,
        strict=strict,
    )


def _files(net: str, weights: str | None, output: str | None, output_weights: str | None) -> _Files:
    if net == "-" and weights == "-":
        raise click.UsageError("only one of NET and WEIGHTS can come from stdin")
    if weights == "-" and output_weights is None:
        raise click.UsageError("WEIGHTS come from stdin; say with -w where to write the new ones")
    if output == "-" and output_weights == "-":
        raise click.UsageError("only one of -o and -w can go to stdout")
    out = output or ("-" if net == "-" else _beside(net, ".prototxt"))
    if weights is not None:
        output_weights = output_weights or _beside(weights, ".caffemodel")
    return _Files(net, weights, out, output_weights)


def _with_weights(files: _Files, weights: bool) -> _Files:
    """FILES once it is known whether there are weights: a caffemodel given alone is both net and weights."""
    if files.weights is None and not weights and files.out_weights is not None:
        raise click.UsageError("-w needs WEIGHTS to convert")
    if files.weights is None and weights:
        if files.net == "-" and files.out_weights is None:
            raise click.UsageError("the caffemodel comes from stdin; say with -w where to write the new one")
        return _Files(files.net, files.net, files.out, files.out_weights or _beside(files.net, ".caffemodel"))
    return files


def _beside(path: str, suffix: str) -> str:
    return f"{os.path.splitext(path)[0]}_fcn{suffix}"


@contextmanager
def _stdin_as_file(path: str, suffix: str) -> Iterator[str]:
    """PATH, or for "-" a temporary file with all of stdin: weights are read at random."""
    if path != "-":
        yield path
        return
    import shutil
    import tempfile

    with tempfile.NamedTemporaryFile(prefix="stdin-", suffix=suffix) as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        yield file.name


def _write(plan: Plan, files: _Files, force: bool, quiet: bool) -> None:
    from caffe_fcn.surgery.convert import carry_out, write_weights

    def named(path: str | None) -> str | None:
        return None if path == "-" else path

    with _progress(plan, quiet) as progress:
        carry_out(plan, named(files.out), named(files.out_weights), force=force, progress=progress)
        if files.out_weights == "-":
            sys.stdout.flush()
            write_weights(plan, sys.stdout.fileno(), "stdout")
    if files.out == "-":
        sys.stdout.buffer.write(bytes(plan.document))


@contextmanager
def _progress(plan: Plan, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """A progress bar on a long copy, if someone is looking."""
    size = plan.weights.size if plan.weights else 0
    if quiet or size < _PROGRESS_FROM or not sys.stderr.isatty():
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

    if diff:
        sys.stdout.buffer.write(plan.diff(files.out).encode("utf-8", "surrogateescape"))
    if as_json:
        import json

        outputs = {"net": files.out, "weights": files.out_weights}
        click.echo(json.dumps(document(plan, outputs, dry_run), indent=2, ensure_ascii=False))
    if not quiet and not as_json:
        for line in lines(plan, files.outputs, dry_run):
            click.echo(line, err=True)
