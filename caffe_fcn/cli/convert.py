"""`caffe-fcn convert`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from caffe_fcn.cli.convert_one import Files, convert_files
from caffe_fcn.cli.convert_several import convert_all
from caffe_fcn.cli.failures import DONE, exit_codes
from caffe_fcn.cli.nets import is_another_net
from caffe_fcn.cli.options import (
    WriteManner,
    check_name,
    directory_name,
    engine_option,
    file_name,
    fork_option,
    option_of,
    rename_rule,
    selection_options,
    size,
    text,
    writing_options,
)
from caffe_fcn.cli.streams import STDIN, as_file, print_json
from caffe_fcn.passes.options import ConvertOptions

if TYPE_CHECKING:
    from caffe_fcn.net.options import Selection
    from caffe_fcn.passes.conversion import Settings


@click.command(
    epilog=exit_codes("done", "a model cannot be converted"),
)
@click.argument("files", metavar="NET [WEIGHTS] ...", nargs=-1, required=True, type=file_name)
@click.option(
    "-o",
    "--output",
    type=file_name,
    metavar="FILE",
    help="The new prototxt.  [default: NET_fcn.prototxt beside NET]",
)
@click.option(
    "-w",
    "--output-weights",
    type=file_name,
    metavar="FILE",
    help="The new caffemodel, or HDF5 where it ends in .h5.  [default: WEIGHTS_fcn.caffemodel beside WEIGHTS]",
)
@click.option(
    "--out-dir",
    type=directory_name,
    metavar="DIR",
    help="Convert any number of nets, with and without weights, into this directory, under the names they have.",
)
@option_of(ConvertOptions, "input_size", type=size, metavar="HxW")
@selection_options
@fork_option
@click.option(
    "--names",
    type=click.Choice(["suffix", "keep"]),
    default="suffix",
    show_default=True,
    help="Whether converted layers and their tops get new names.",
)
@option_of(ConvertOptions, "suffix", type=text, metavar="TEXT")
@option_of(ConvertOptions, "rename", type=rename_rule, multiple=True, metavar="PATTERN=NAME")
@option_of(ConvertOptions, "only", multiple=True, metavar="LAYER")
@option_of(ConvertOptions, "skip", multiple=True, metavar="LAYER")
@option_of(ConvertOptions, "global_pooling", type=click.Choice(["window", "keep"]))
@option_of(ConvertOptions, "strict")
@click.option("--verify", is_flag=True, help="Prove the result as `verify` does, and write it only if all proofs hold.")
@engine_option
@writing_options
def convert(
    files: tuple[str, ...],
    output: str | None,
    output_weights: str | None,
    out_dir: str | None,
    names: str,
    selection: Selection,
    fork: str | None,
    verify: bool,
    engine: str,
    manner: WriteManner,
    **choices: Any,
) -> int:
    """Convert the net NET (prototxt) and its WEIGHTS (caffemodel or HDF5).

    Every InnerProduct becomes a Convolution as large as its input, and the weights move into it. Without
    WEIGHTS only the text is written; a caffemodel alone is converted with the net inside it. "-" is
    standard input or output.

    With --out-dir there may be several of both: weights go with the net that is called like them, or else with
    the one before them. A net that fails does not stop the others.

    \b
    caffe-fcn convert deploy.prototxt net.caffemodel
    caffe-fcn convert deploy.prototxt net.caffemodel --input-size 451x451
    caffe-fcn convert train_val.prototxt --dry-run --diff
    caffe-fcn convert a.prototxt b.prototxt --out-dir dense
    """
    from caffe_fcn.passes.conversion import settings_of

    if names == "keep":
        choices["suffix"] = ""
    settings = settings_of(ConvertOptions(**choices), selection)
    _check_usage(files, output, output_weights, out_dir)
    context = click.get_current_context()
    if names == "keep" and context.get_parameter_source("suffix") is not ParameterSource.DEFAULT:
        raise click.UsageError("--names keep leaves no place for --suffix; choose one")
    if manner.diff and manner.as_json:
        raise click.UsageError("--diff and --json both print to stdout; choose one")
    if verify and manner.dry_run:
        raise click.UsageError("--verify proves what is written, and --dry-run writes nothing; choose one")
    if context.get_parameter_source("engine") is not ParameterSource.DEFAULT and not verify:
        raise click.UsageError("--engine says what runs the nets for --verify; give that too")
    prover = engine if verify else None
    if out_dir is not None:
        return convert_all(files, out_dir, settings, manner, verify=prover, fork=fork)
    net, weights = (*files, None)[:2]
    _convert(str(net), weights, output, output_weights, settings, manner, verify=prover, fork=fork)
    return DONE


def _convert(
    net: str,
    weights: str | None,
    output: str | None,
    output_weights: str | None,
    settings: Settings,
    manner: WriteManner,
    *,
    verify: str | None,
    fork: str | None,
) -> None:
    """Convert one net, from and to wherever it is said, and prove it by the engine VERIFY if one is named. One without
    a prototxt is of FORK."""
    from caffe_fcn.model.opening import open_inputs

    with ExitStack() as stack:
        paths = [stack.enter_context(as_file(path)) if path is not None else None for path in (net, weights)]
        names = [STDIN if path == "-" else None for path in (net, weights)]
        source, opened = open_inputs(str(paths[0]), paths[1], (names[0], names[1]), fork)
        if opened is not None:
            stack.enter_context(opened)
        files = _files(net, weights, output, output_weights, alone=opened is not None and weights is None)
        to_stdout = not manner.dry_run and "-" in (files.out, files.out_weights)
        if to_stdout and (manner.diff or manner.as_json):
            raise click.UsageError("--diff and --json print to stdout, and so does an output of '-'; name a file")
        if verify and "-" in (files.out, files.out_weights):
            raise click.UsageError(
                "--verify reads the outputs again before they are there, and '-' is none; name files"
            )
        if verify and opened is None:
            raise click.UsageError("--verify needs WEIGHTS")
        document = convert_files(source, opened, files, settings, manner, verify=verify)
        if manner.as_json:
            print_json(document)


def _check_usage(files: tuple[str, ...], output: str | None, output_weights: str | None, out_dir: str | None) -> None:
    if "" in (*files, output, output_weights, out_dir):
        raise click.UsageError("a file's name is empty")
    check_name("-o", output, "TEXT")
    check_name("-w", output_weights, "WEIGHTS")
    if out_dir is not None:
        _check_usage_of_several(files, output, output_weights, out_dir)
        return
    if len(files) > 2 or (len(files) == 2 and is_another_net(files[1]) and is_another_net(files[0])):
        found = f"found {len(files)} files" if len(files) > 2 else f"{files[1]} is another net"
        raise click.UsageError(f"expected NET and its WEIGHTS, {found}; say with --out-dir where several nets go")
    if files == ("-", "-"):
        raise click.UsageError("only one of NET and WEIGHTS can come from stdin")
    if files[1:] == ("-",) and output_weights is None:
        raise click.UsageError("WEIGHTS come from stdin; say with -w where to write the new ones")
    if output == "-" and output_weights == "-":
        raise click.UsageError("only one of -o and -w can go to stdout")


def _check_usage_of_several(
    files: tuple[str, ...], output: str | None, output_weights: str | None, out_dir: str
) -> None:
    if output is not None or output_weights is not None:
        raise click.UsageError("--out-dir gives every output its name; leave out -o and -w")
    if "-" in (*files, out_dir):
        raise click.UsageError("--out-dir is for files with names; '-' has none")


def _files(net: str, weights: str | None, output: str | None, output_weights: str | None, *, alone: bool) -> Files:
    """Where everything is and goes. ALONE: NET is a caffemodel without a prototxt, and both net and weights."""
    from caffe_fcn.model.writing import beside

    if alone and net == "-" and output_weights is None:
        raise click.UsageError("the caffemodel comes from stdin; say with -w where to write the new one")
    trained = net if alone else weights
    if trained is None and output_weights is not None:
        raise click.UsageError("-w needs WEIGHTS to convert")
    if output is None:
        output = "-" if net == "-" else beside(net, ".prototxt")
    if trained is not None and output_weights is None:
        output_weights = beside(trained, ".caffemodel")
    return Files(net, weights, output, output_weights)
