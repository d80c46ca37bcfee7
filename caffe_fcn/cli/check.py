"""`caffe-fcn check`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from caffe_fcn.cli.failures import DONE, FAILED
from caffe_fcn.cli.options import file_name, selection_options
from caffe_fcn.cli.streams import STDIN, print_json

if TYPE_CHECKING:
    from caffe_fcn.net.selection import Selection
    from caffe_fcn.report.checking import Checked


@click.command(
    short_help="Tell what is wrong with prototxts.",
    epilog="Exit codes: 0 nothing is wrong, 1 a file has an error, 2 wrong usage.",
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=file_name)
@selection_options
@click.option("--strict", is_flag=True, help="What BVLC Caffe refuses is an error, too.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Tell of every file, also where nothing is wrong.")
def check(files: tuple[str, ...], selection: Selection, strict: bool, as_json: bool, verbose: bool) -> int:
    """Tell what is wrong with prototxt files: nets of any age and solvers.

    Each finding is a line on stderr, FILE:LINE:COLUMN: and what it is, as compilers print it. An error is what no
    Caffe could build: bad syntax, values out of range, blobs that no layer makes, impossible shapes. A note is
    what BVLC Caffe refuses and forks may read, such as a fork's fields, or what is only worth knowing. Nothing is
    printed where nothing is found. "-" is standard input.

    \b
    caffe-fcn check train_val.prototxt deploy.prototxt
    """
    from caffe_fcn.report.checking import document, lines, summary

    if "" in files:
        raise click.UsageError("a file's name is empty")
    if files.count("-") > 1:
        raise click.UsageError("only one FILE can come from stdin")
    checked = [_check(path, selection, strict) for path in files]
    if as_json:
        print_json(document(checked))
    else:
        for line in (line for each in checked for line in lines(each)):
            click.echo(line, err=True)
    if verbose:
        for line in summary(checked):
            click.echo(line, err=True)
    return DONE if all(each.ok for each in checked) else FAILED


def _check(path: str, selection: Selection, strict: bool) -> Checked:
    from caffe_fcn.net.problems import Findings, examine
    from caffe_fcn.report.checking import Checked

    name = STDIN if path == "-" else path
    try:
        findings = examine(_read(path), name, selection)
    except OSError as error:
        return Checked(name, Findings(None, None), error.strerror or str(error))
    return Checked(name, findings.strictly() if strict else findings)


def _read(path: str) -> bytes:
    if path != "-":
        with open(path, "rb") as file:
            return file.read()
    if sys.stdin is None:
        raise OSError("stdin is closed")
    return sys.stdin.buffer.read()
