"""`caffe-fcn inspect`."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from caffe_fcn.cli.failures import exit_codes
from caffe_fcn.cli.options import file_name, fork_option, selection_options, size, text
from caffe_fcn.cli.streams import STDIN, as_file

if TYPE_CHECKING:
    from caffe_fcn.net.selection import Selection
    from caffe_fcn.report.inspect_records import Inspection


@click.command(
    short_help="Show nets and weights layer by layer.",
    epilog=exit_codes("done", "the model cannot be read"),
)
@click.argument("net", type=file_name)
@click.argument("weights", type=file_name, required=False)
@click.option("--input-size", type=size, metavar="HxW", help="Show the net on images of this size.")
@selection_options
@fork_option
@click.option("--geometry", is_flag=True, help="Add what each cell sees of the input: window, stride, offset.")
@click.option("--weights", "statistics", is_flag=True, help="Show the values of each blob: min, max, mean, zeros, NaN.")
@click.option("--layers", type=text, multiple=True, metavar="GLOB", help="Show these layers only; shell patterns.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, with exact numbers.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the table as CSV, with exact numbers.")
def inspect(
    net: str,
    weights: str | None,
    input_size: tuple[int, ...] | None,
    selection: Selection,
    fork: str | None,
    geometry: bool,
    statistics: bool,
    layers: tuple[str, ...],
    as_json: bool,
    as_csv: bool,
) -> None:
    """Show the net NET (prototxt) layer by layer: shapes, parameters, multiply-accumulates, memory.

    With WEIGHTS (caffemodel or HDF5) it is checked that they are the net's. A caffemodel alone is shown with the net
    inside it. Phase TEST is shown unless --phase says otherwise. "-" is standard input.

    \b
    caffe-fcn inspect deploy.prototxt
    caffe-fcn inspect deploy.prototxt net.caffemodel --geometry
    caffe-fcn inspect net.caffemodel --weights --layers 'fc*'
    """
    from caffe_fcn.report.inspect import inspect as look
    from caffe_fcn.report.inspect import open_model
    from caffe_fcn.report.inspect_records import InspectSettings

    if "" in (net, weights):
        raise click.UsageError("a file's name is empty")
    if net == "-" and weights == "-":
        raise click.UsageError("only one of NET and WEIGHTS can come from stdin")
    if as_json and as_csv:
        raise click.UsageError("--json and --csv both print to stdout; choose one")
    if geometry and statistics and not as_json:
        raise click.UsageError("--geometry is of layers and --weights of blobs; choose one, or --json for both")
    with ExitStack() as stack:
        paths = [stack.enter_context(as_file(path)) if path is not None else None for path in (net, weights)]
        names = [STDIN if path == "-" else None for path in (net, weights)]
        model = open_model(str(paths[0]), paths[1], (names[0], names[1]), fork)
        if model.weights is not None:
            stack.enter_context(model.weights)
        elif statistics:
            raise click.UsageError("--weights needs WEIGHTS to look at")
        _tell(look(model, InspectSettings(selection, input_size, geometry, statistics, layers)), as_json, as_csv)


def _tell(found: Inspection, as_json: bool, as_csv: bool) -> None:
    """The page or the data to stdout, notes to stderr."""
    from caffe_fcn.files.stdout import to_stdout

    if as_json or as_csv:
        from caffe_fcn.report.inspect_document import to_csv, to_json

        text = to_json(found) if as_json else to_csv(found)
    else:
        from caffe_fcn.report.inspect_page import page
        from caffe_fcn.report.tables import render

        width = _width()
        text = render(page(found, width), width, colour=_is_terminal() and _wants_colour())
    to_stdout(text.encode("utf-8", "replace"))
    if not as_json:
        from caffe_fcn.files.literals import visible

        for note in found.notes:
            click.echo(visible(f"note: {note}"), err=True)


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _wants_colour() -> bool:
    """Whether a terminal is to be given styles (no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("dumb", "unknown")


def _width() -> int | None:
    """The cells there are: those of the terminal, or in a pipe what COLUMNS says, if it does."""
    if _is_terminal():
        import shutil

        return shutil.get_terminal_size().columns
    asked = os.environ.get("COLUMNS", "")
    return int(asked) if asked.isdecimal() and 0 < int(asked) < 100_000 else None
