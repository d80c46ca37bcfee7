"""`caffe-fcn check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from caffe_fcn.cli.failures import DONE, FAILED, exit_codes
from caffe_fcn.cli.nets import holds_weights
from caffe_fcn.cli.options import check_fork, file_name, fork_option, option_of, selection_options
from caffe_fcn.cli.streams import STDIN, as_file, print_json
from caffe_fcn.report.options import CheckOptions

if TYPE_CHECKING:
    from caffe_fcn.net.options import Selection
    from caffe_fcn.report.check import Checked


@click.command(
    epilog=exit_codes("no errors", "a file has an error"),
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=file_name)
@selection_options
@fork_option
@option_of(CheckOptions, "strict")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Report every file, even those without findings.")
def check(
    files: tuple[str, ...], selection: Selection, fork: str | None, strict: bool, as_json: bool, verbose: bool
) -> int:
    """Check prototxt files (nets of any format, and solvers) and the nets inside caffemodels.

    Each finding is a line on stderr, FILE:LINE:COLUMN: MESSAGE, as compilers print it; for a caffemodel it names the
    layer instead. An error is what no Caffe can build: bad syntax, values out of range, blobs that no layer makes,
    impossible shapes. A note is what BVLC Caffe refuses but forks may accept, such as a field of a fork, or other
    information. Without findings nothing is printed. "-" is standard input.

    \b
    caffe-fcn check train_val.prototxt deploy.prototxt
    """
    from caffe_fcn.report.check import document, lines, summary

    if "" in files:
        raise click.UsageError("a file's name is empty")
    if files.count("-") > 1:
        raise click.UsageError("only one FILE can come from stdin")
    check_fork(fork, alone="-" in files or any(map(holds_weights, files)))
    checked = [_check(path, selection, fork, strict=strict) for path in files]
    if as_json:
        print_json(document(checked))
    else:
        for line in (line for each in checked for line in lines(each)):
            click.echo(line, err=True)
    if verbose:
        for line in summary(checked):
            click.echo(line, err=True)
    return DONE if all(each.ok for each in checked) else FAILED


def _check(path: str, selection: Selection, fork: str | None, *, strict: bool) -> Checked:
    from caffe_fcn.errors import CaffeFcnError
    from caffe_fcn.report.check import check_file, unreadable

    name = STDIN if path == "-" else path
    try:
        with as_file(path) as file:
            return check_file(file, name, selection, fork, strict=strict)
    except CaffeFcnError as error:  # stdin is closed
        return unreadable(name, error.within(name))
