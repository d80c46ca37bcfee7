"""`caffe-fcn upgrade`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import click

from caffe_fcn.cli.failures import exit_codes
from caffe_fcn.cli.nets import files_of
from caffe_fcn.cli.options import (
    WriteManner,
    check_fork,
    check_name,
    file_name,
    fork_option,
    option_of,
    selection_options,
    writing_options,
)
from caffe_fcn.cli.progress import copying
from caffe_fcn.cli.streams import STDIN, as_file, print_diff, print_json
from caffe_fcn.passes.options import UpgradeOptions

if TYPE_CHECKING:
    from caffe_fcn.files.caffemodel import WeightFile
    from caffe_fcn.net.options import Selection
    from caffe_fcn.net.source import SourceNet
    from caffe_fcn.passes.upgrade import Upgrade


@click.command(
    epilog=exit_codes("done", "the file cannot be upgraded"),
)
@click.argument("source", type=file_name, metavar="IN")
@click.argument("second", type=file_name, metavar="OUT|WEIGHTS")
@click.option("-o", "--output", type=file_name, metavar="FILE", help="The new prototxt.")
@click.option("-w", "--output-weights", type=file_name, metavar="FILE", help="The new weights.")
@option_of(UpgradeOptions, "target", "--for", type=click.Choice(("bvlc", "old")))
@selection_options
@fork_option
@writing_options
def upgrade(
    source: str,
    second: str,
    output: str | None,
    output_weights: str | None,
    target: str | None,
    selection: Selection,
    fork: str | None,
    manner: WriteManner,
) -> None:
    """Rewrite IN, a prototxt or weights of any format, in the current format, as OUT. With -o and -w, rewrite a net IN
    and its WEIGHTS together.

    It upgrades nets of 2013 (V0) and 2014 (V1), blobs with four axes and values that are not packed, as Caffe's own
    tools do, and keeps comments. Weights become HDF5 if OUT ends in .h5, else a caffemodel; if OUT ends in
    .prototxt, the net inside a caffemodel is written.

    With --for bvlc, BatchNorm layers with a scale and a shift, as in the forks of NVIDIA and Intel, become a BatchNorm
    and a Scale; this needs the net and its weights. With --for old, Input layers become input fields of the net, which
    all versions of Caffe read; a net that needs a newer Caffe is refused. "-" is standard input or output.

    \b
    caffe-fcn upgrade old.prototxt new.prototxt
    caffe-fcn upgrade old.caffemodel new.caffemodel
    caffe-fcn upgrade snapshot.caffemodel snapshot.caffemodel.h5
    caffe-fcn upgrade net.caffemodel net.prototxt
    caffe-fcn upgrade fork.prototxt fork.caffemodel -o bvlc.prototxt -w bvlc.caffemodel --for bvlc
    caffe-fcn upgrade deploy.prototxt old_deploy.prototxt --for old
    """
    wanted = _Wanted(target == "bvlc", target == "old", selection, fork)
    outputs = [path for path in (output, output_weights) if path is not None]
    _check_usage(source, second, outputs, manner)
    check_name("-o", output, "TEXT")
    check_name("-w", output_weights, "WEIGHTS")
    if output is not None and output_weights is not None:
        _upgrade_pair((source, second), (output, output_weights), wanted, manner)
    else:
        _upgrade_one(source, second, wanted, manner)


class _Wanted(NamedTuple):
    """The outputs that the user asked for."""

    bvlc: bool
    old: bool
    selection: Selection
    fork: str | None


def _check_usage(source: str, second: str, outputs: Sequence[str], manner: WriteManner) -> None:
    """Raise UsageError if files and options do not fit together."""
    if "" in (source, second, *outputs):
        raise click.UsageError("a file's name is empty")
    if len(outputs) == 1:
        raise click.UsageError("-o and -w must be given together: the new net and its new weights")
    if outputs and source == second == "-":
        raise click.UsageError("only one of the net and its weights can come from stdin")
    if outputs == ["-", "-"]:
        raise click.UsageError("only one of -o and -w can be stdout")
    if manner.diff and manner.as_json:
        raise click.UsageError("--diff and --json both print to stdout; choose one")
    if (manner.diff or manner.as_json) and "-" in (outputs or [second]) and not manner.dry_run:
        raise click.UsageError("--diff and --json print to stdout, so the output cannot be '-'; name a file")


def _upgrade_one(source: str, out: str, wanted: _Wanted, manner: WriteManner) -> None:
    from caffe_fcn.files.atomic import check_outputs
    from caffe_fcn.files.names import Kind, is_hdf5_name, kind_of
    from caffe_fcn.net.source import SourceNet, open_either
    from caffe_fcn.passes.upgrade import check_alone, net_inside, upgrade_file

    name = STDIN if source == "-" else source
    with as_file(source) as path, _closing(open_either(path, name)) as opened:
        notes = check_alone(opened) if wanted.bvlc else ()
        check_name("OUT", out, "TEXT", *(() if isinstance(opened, SourceNet) else ("WEIGHTS",)))
        if kind_of(out) is Kind.TEXT and not isinstance(opened, SourceNet):
            upgraded = net_inside(opened, wanted.selection, wanted.fork, old=wanted.old)
        else:
            check_fork(wanted.fork, alone=False)
            if wanted.old and not isinstance(opened, SourceNet):
                raise click.UsageError("--for old is for a prototxt; old Caffe reads upgraded weights as they are")
            upgraded = upgrade_file(opened, hdf5=is_hdf5_name(out), selection=wanted.selection, old=wanted.old)
        upgraded = upgraded._replace(notes=(*upgraded.notes, *notes))
        if upgraded.diff is None and manner.diff:
            raise click.UsageError(f"--diff needs a prototxt, but {name} is not one")
        if not manner.dry_run:
            check_outputs([out] * (out != "-"), [source] * (source != "-"), force=manner.force)
            _write(upgraded, upgraded, (out, out), manner, bvlc=wanted.bvlc)
        _tell([(upgraded, out)], manner)


def _upgrade_pair(inputs: tuple[str, str], outputs: tuple[str, str], wanted: _Wanted, manner: WriteManner) -> None:
    from caffe_fcn.files.atomic import check_outputs
    from caffe_fcn.files.names import is_hdf5_name
    from caffe_fcn.model.opening import open_inputs
    from caffe_fcn.passes.upgrade import upgrade_pair

    check_fork(wanted.fork, alone=False)
    with ExitStack() as stack:
        files = files_of(stack, inputs)
        opened = open_inputs(files[0].path, files[1].path, (files[0].name, files[1].name))
        if opened.weights is None:
            raise click.UsageError("-o and -w are for a net and its weights; give both")
        weights = stack.enter_context(opened.weights)
        hdf5, choice = is_hdf5_name(outputs[1]), wanted.selection
        both = upgrade_pair(opened.source, weights, hdf5=hdf5, bvlc=wanted.bvlc, selection=choice, old=wanted.old)
        if not manner.dry_run:
            named = [[path for path in paths if path != "-"] for paths in (outputs, inputs)]
            check_outputs(*named, force=manner.force)
            _write(*both, outputs, manner, bvlc=wanted.bvlc)
        _tell(list(zip(both, outputs, strict=True)), manner)


@contextmanager
def _closing(opened: SourceNet | WeightFile) -> Iterator[SourceNet | WeightFile]:
    try:
        yield opened
    finally:
        if hasattr(opened, "close"):
            opened.close()


def _write(net: Upgrade, trained: Upgrade, outputs: tuple[str, str], manner: WriteManner, *, bvlc: bool) -> None:
    """Write the document of NET and the weights of TRAINED, if any, to OUTPUTS. If BVLC, check that they have no layers
    and fields of forks left."""
    from caffe_fcn.model.writing import write_outputs
    from caffe_fcn.passes.upgrade import check_for_bvlc

    files = net is not trained and all(os.path.isfile(path) or not os.path.exists(path) for path in outputs)
    check = partial(check_for_bvlc, outputs) if bvlc and files and "-" not in outputs else None
    with copying(trained.weights.size if trained.weights else 0, manner.quiet) as progress:
        write_outputs(
            net.document, outputs[0], trained.output, outputs[1], force=manner.force, progress=progress, check=check
        )


def _tell(upgrades: Sequence[tuple[Upgrade, str]], manner: WriteManner) -> None:
    """Print data to stdout and the report to stderr: each upgrade, and its output."""
    from caffe_fcn.report.upgrade import document, lines

    for upgraded, out in upgrades:
        if manner.diff and upgraded.diff is not None:
            print_diff(upgraded.diff(out))
    if manner.as_json:
        documents = [document(upgraded, out, manner.dry_run) for upgraded, out in upgrades]
        print_json(documents if len(documents) > 1 else documents[0])
    for upgraded, out in upgrades if not (manner.as_json or manner.quiet) else ():
        exists = manner.dry_run and out != "-" and os.path.lexists(out)
        for line in lines(upgraded, out + " (exists; needs --force)" * exists, manner.dry_run):
            click.echo(line, err=True)
