"""`caffe-fcn upgrade`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from caffe_fcn.cli.options import file_name
from caffe_fcn.cli.progress import copying
from caffe_fcn.cli.streams import STDIN, as_file, print_json

if TYPE_CHECKING:
    from caffe_fcn.files.caffemodel import WeightFile
    from caffe_fcn.net.source import SourceNet
    from caffe_fcn.surgery.upgrading import Upgrade


@click.command(
    short_help="Bring old files into the current format.",
    epilog="Exit codes: 0 done, 1 the file cannot be upgraded, 2 wrong usage.",
)
@click.argument("source", type=file_name, metavar="IN")
@click.argument("out", type=file_name, metavar="OUT")
@click.option("--dry-run", is_flag=True, help="Report, and write nothing.")
@click.option("--diff", is_flag=True, help="Print the prototxt's unified diff.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
@click.option("-q", "--quiet", is_flag=True, help="Print no report.")
def upgrade(source: str, out: str, dry_run: bool, diff: bool, as_json: bool, force: bool, quiet: bool) -> None:
    """Bring IN, a prototxt or weights of any age, into the current format, as OUT.

    Nets of 2013 (V0) and 2014 (V1), blobs of four axes, values that are not packed: what Caffe's own upgrade
    tools do, and comments stay. Weights become HDF5 where OUT ends in .h5, and a caffemodel where it does not;
    where OUT ends in .prototxt, the net inside a caffemodel is written.
    "-" is standard input or output.

    \b
    caffe-fcn upgrade old.prototxt new.prototxt
    caffe-fcn upgrade old.caffemodel new.caffemodel
    caffe-fcn upgrade snapshot.caffemodel snapshot.caffemodel.h5
    caffe-fcn upgrade net.caffemodel net.prototxt
    """
    from caffe_fcn.files.atomic import check_outputs
    from caffe_fcn.files.weights import is_hdf5_name
    from caffe_fcn.net.source import SourceNet, open_either
    from caffe_fcn.surgery.upgrading import net_inside, upgrade_file

    if "" in (source, out):
        raise click.UsageError("a file's name is empty")
    if diff and as_json:
        raise click.UsageError("--diff and --json both print to stdout; choose one")
    if (diff or as_json) and out == "-" and not dry_run:
        raise click.UsageError("--diff and --json print to stdout, and so does an output of '-'; name a file")
    name = STDIN if source == "-" else source
    with as_file(source) as path, _closing(open_either(path, name)) as opened:
        if out.endswith((".prototxt", ".pbtxt")) and not isinstance(opened, SourceNet):
            upgraded = net_inside(opened)
        else:
            upgraded = upgrade_file(opened, hdf5=is_hdf5_name(out))
        if upgraded.document is not None and (is_hdf5_name(out) or out.endswith(".caffemodel")):
            raise click.UsageError(f"{name} is a prototxt, and {out} a name for weights; call OUT otherwise")
        if upgraded.diff is None and diff:
            raise click.UsageError(f"--diff is for a prototxt, and {name} is none")
        if not dry_run:
            check_outputs([out] * (out != "-"), [source] * (source != "-"), force=force)
            _write(upgraded, out, force, quiet)
        _tell(upgraded, out, dry_run, diff, as_json, quiet)


@contextmanager
def _closing(opened: SourceNet | WeightFile) -> Iterator[SourceNet | WeightFile]:
    try:
        yield opened
    finally:
        if hasattr(opened, "close"):
            opened.close()


def _write(upgraded: Upgrade, out: str, force: bool, quiet: bool) -> None:
    from caffe_fcn.surgery.writing import WeightsOutput, write_outputs

    weights = WeightsOutput(upgraded.weights, upgraded.plan) if upgraded.weights and upgraded.plan else None
    with copying(upgraded.weights.size if upgraded.weights else 0, quiet) as progress:
        write_outputs(upgraded.document, out, weights, out, force=force, progress=progress)


def _tell(upgraded: Upgrade, out: str, dry_run: bool, diff: bool, as_json: bool, quiet: bool) -> None:
    """Data to stdout, the report to stderr."""
    from caffe_fcn.report.upgrading import document, lines
    from caffe_fcn.surgery.writing import to_stdout

    if diff and upgraded.diff is not None:
        to_stdout(upgraded.diff(out).encode("utf-8", "surrogateescape"))
    if as_json:
        print_json(document(upgraded, out, dry_run))
    elif not quiet:
        exists = dry_run and out != "-" and os.path.lexists(out)
        for line in lines(upgraded, out + " (exists; needs --force)" * exists, dry_run):
            click.echo(line, err=True)
