"""`caffe-fcn inspect`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from caffe_fcn.cli.failures import exit_codes
from caffe_fcn.cli.options import file_name, fork_option, one_phase_options, option_of, size, text
from caffe_fcn.cli.streams import STDIN, as_file, print_page
from caffe_fcn.inspection.options import InspectOptions

if TYPE_CHECKING:
    from caffe_fcn.inspection.records import Inspection
    from caffe_fcn.net.options import Selection


@click.command(
    epilog=exit_codes("done", "the model cannot be read"),
)
@click.argument("net", type=file_name)
@click.argument("weights", type=file_name, required=False)
@option_of(InspectOptions, "input_size", type=size, metavar="HxW")
@one_phase_options
@fork_option
@option_of(InspectOptions, "geometry")
@option_of(InspectOptions, "statistics", "--weights")
@option_of(InspectOptions, "layers", type=text, multiple=True, metavar="GLOB")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, with exact numbers.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the table as CSV, with exact numbers.")
def inspect(
    net: str,
    weights: str | None,
    selection: Selection,
    fork: str | None,
    as_json: bool,
    as_csv: bool,
    **choices: Any,
) -> None:
    """Show the net NET (prototxt) layer by layer: shapes, parameters, multiply-accumulates, memory.

    WEIGHTS (caffemodel or HDF5) are checked against the net. A caffemodel alone is shown with the net
    inside it. "-" is standard input.

    \b
    caffe-fcn inspect deploy.prototxt
    caffe-fcn inspect deploy.prototxt net.caffemodel --geometry
    caffe-fcn inspect net.caffemodel --weights --layers 'fc*'
    """
    from caffe_fcn.inspection.inspect import inspect as look
    from caffe_fcn.inspection.inspect import open_inspected
    from caffe_fcn.inspection.records import InspectSettings

    if "" in (net, weights):
        raise click.UsageError("a file's name is empty")
    if net == "-" and weights == "-":
        raise click.UsageError("only one of NET and WEIGHTS can come from stdin")
    if as_json and as_csv:
        raise click.UsageError("--json and --csv both print to stdout; choose one")
    settings = InspectSettings(selection=selection, **choices)
    if settings.geometry and settings.statistics and not as_json:
        raise click.UsageError("--geometry shows layers and --weights shows blobs; choose one, or use --json for both")
    with ExitStack() as stack:
        paths = [stack.enter_context(as_file(path)) if path is not None else None for path in (net, weights)]
        names = [STDIN if path == "-" else path for path in (net, weights)]
        model = open_inspected(str(paths[0]), paths[1], (names[0], names[1]), fork)
        if model.weights is not None:
            stack.enter_context(model.weights)
        elif settings.statistics:
            raise click.UsageError("--weights needs WEIGHTS")
        _tell(look(model, settings), as_json, as_csv)


def _tell(found: Inspection, as_json: bool, as_csv: bool) -> None:
    """Print the page or the data to stdout, notes to stderr."""
    if as_json or as_csv:
        from caffe_fcn.files.stdout import to_stdout
        from caffe_fcn.report.inspect_document import to_csv, to_json

        text = to_json(found) if as_json else to_csv(found)
        to_stdout(text.encode("utf-8", "replace"))
    else:
        from caffe_fcn.report.inspect import page

        print_page(lambda width: page(found, width))
    if not as_json:
        from caffe_fcn.display import visible

        for note in found.notes:
            click.echo(visible(f"note: {note}"), err=True)
