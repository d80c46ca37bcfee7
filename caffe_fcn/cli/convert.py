"""`caffe-fcn convert`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from caffe_fcn.cli.convert_several import convert_all
from caffe_fcn.cli.failures import DONE, exit_codes
from caffe_fcn.cli.options import (
    WriteManner,
    directory_name,
    file_name,
    fork_option,
    input_channels_option,
    option_of,
    rename_rule,
    selection_options,
    size,
    stride,
    text,
    writing_options,
)
from caffe_fcn.cli.rewriting import (
    Rewriting,
    check_names,
    check_usage,
    output_options,
    proof_options,
    rewrite,
)
from caffe_fcn.passes.options import ConvertOptions

if TYPE_CHECKING:
    from caffe_fcn.net.options import Selection


@click.command(
    epilog=exit_codes("done", "a model cannot be converted"),
)
@click.argument("files", metavar="NET [WEIGHTS] ...", nargs=-1, required=True, type=file_name)
@output_options("convert")
@click.option(
    "--out-dir",
    type=directory_name,
    metavar="DIR",
    help="Write all converted nets and weights into this directory, under their own names.",
)
@option_of(ConvertOptions, "input_size", type=size, metavar="HxW")
@option_of(ConvertOptions, "stride", type=stride, metavar="N|HxW")
@input_channels_option(ConvertOptions)
@selection_options
@fork_option
@click.option(
    "--names",
    type=click.Choice(["suffix", "keep"]),
    default="suffix",
    show_default=True,
    help="Rename converted layers and their tops, or keep their names.",
)
@option_of(ConvertOptions, "suffix", type=text, metavar="TEXT")
@option_of(ConvertOptions, "rename", type=rename_rule, multiple=True, metavar="PATTERN=NAME")
@option_of(ConvertOptions, "only", multiple=True, metavar="LAYER")
@option_of(ConvertOptions, "skip", multiple=True, metavar="LAYER")
@option_of(ConvertOptions, "global_pooling", type=click.Choice(["window", "keep"]))
@option_of(ConvertOptions, "strict")
@proof_options
@writing_options
def convert(
    files: tuple[str, ...],
    output: str | None,
    output_weights: str | None,
    out_dir: str | None,
    names: str,
    selection: Selection,
    fork: str | None,
    verify: str | None,
    manner: WriteManner,
    **choices: Any,
) -> int:
    """Convert the net NET (prototxt) and its WEIGHTS (caffemodel or HDF5).

    Every InnerProduct becomes a Convolution as large as its input, and its weights are rearranged. Without WEIGHTS only
    the text is written. A caffemodel alone is converted with the net inside it. "-" is standard input or output.

    With --out-dir several nets and weights can be given. Weights belong to the net with the same name, or else to
    the net before them. A net that fails does not stop the others.

    \b
    caffe-fcn convert deploy.prototxt net.caffemodel
    caffe-fcn convert deploy.prototxt net.caffemodel --input-size 451x451
    caffe-fcn convert deploy.prototxt net.caffemodel --stride 16
    caffe-fcn convert train_val.prototxt --dry-run --diff
    caffe-fcn convert a.prototxt b.prototxt --out-dir dense
    """
    context = click.get_current_context()
    if names == "keep" and context.get_parameter_source("suffix") is not ParameterSource.DEFAULT:
        raise click.UsageError("--names keep and --suffix exclude each other; choose one")
    if names == "keep":
        choices["suffix"] = ""
    rewriting = _rewriting(ConvertOptions(**choices), selection)
    if out_dir is not None:
        check_names((*files, out_dir), output, output_weights, manner)
        _check_usage_of_several(files, output, output_weights, out_dir)
        return convert_all(files, out_dir, rewriting, manner, verify=verify, fork=fork)
    check_usage(files, output, output_weights, manner)
    rewrite(files, output, output_weights, rewriting, manner, verify=verify, fork=fork)
    return DONE


def _rewriting(options: ConvertOptions, selection: Selection) -> Rewriting:
    """Return the rewriting for each net."""
    from caffe_fcn.passes import conversion
    from caffe_fcn.report import convert as report

    settings = conversion.settings_of(options, selection)
    return Rewriting(
        command="convert",
        plan=lambda model: conversion.plan(model, settings),
        selection=selection,
        report=report,
    )


def _check_usage_of_several(
    files: tuple[str, ...], output: str | None, output_weights: str | None, out_dir: str
) -> None:
    if output is not None or output_weights is not None:
        raise click.UsageError("--out-dir determines all output names; leave out -o and -w")
    if "-" in (*files, out_dir):
        raise click.UsageError("--out-dir needs input files with names, found '-'")
