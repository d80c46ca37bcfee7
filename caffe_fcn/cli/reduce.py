"""`caffe-fcn reduce`."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import click

from caffe_fcn.cli.failures import exit_codes
from caffe_fcn.cli.options import (
    WriteManner,
    file_name,
    fork_option,
    option_of,
    selection_options,
    text,
    writing_options,
)
from caffe_fcn.cli.rewriting import Rewriting, check_usage, output_options, proof_options, rewrite
from caffe_fcn.passes.reduce_options import ReduceOptions

if TYPE_CHECKING:
    from caffe_fcn.net.options import Selection


def _layer_dilation(value: str) -> tuple[str, int]:
    """Parse LAYER=N."""
    layer, _, number = text(value).rpartition("=")
    if not layer or not re.fullmatch("[1-9][0-9]{0,4}", number):
        raise click.BadParameter(f"expected LAYER=N, such as fc6=6, found {value!r}")
    return layer, int(number)


@click.command(epilog=exit_codes("done", "the net cannot be reduced"))
@click.argument("words", metavar="NET [WEIGHTS] LAYER=OUTPUTS[:HxW] ...", nargs=-1, required=True, type=file_name)
@output_options("reduce")
@option_of(ReduceOptions, "dilation", type=_layer_dilation, multiple=True, metavar="LAYER=N")
@option_of(ReduceOptions, "suffix", type=text, metavar="TEXT")
@option_of(ReduceOptions, "cut_outputs")
@selection_options
@fork_option
@proof_options
@writing_options
def reduce(
    words: tuple[str, ...],
    output: str | None,
    output_weights: str | None,
    dilation: tuple[tuple[str, int], ...],
    selection: Selection,
    fork: str | None,
    verify: str | None,
    manner: WriteManner,
    **choices: Any,
) -> None:
    """Keep every n-th filter of layers of NET (prototxt) and WEIGHTS (caffemodel or HDF5), and some taps of kernels.

    LAYER=OUTPUTS keeps OUTPUTS filters of a Convolution, Deconvolution or InnerProduct: every n-th filter, from the
    first on, with its bias. The layers after it keep the matching inputs. :HxW also keeps H×W taps of the kernel,
    evenly spaced; an InnerProduct becomes a Convolution first, as in `convert`. The new kernel is dilated, so that its
    extent stays the same, and padded, so that the map keeps its size. The new net computes another function; train it
    further.

    \b
    caffe-fcn reduce deploy.prototxt net.caffemodel fc6=256 fc7=256
    caffe-fcn reduce vgg16.prototxt fc6=1024:3x3 fc7=1024
    caffe-fcn reduce vgg16.prototxt fc6=1024:3x3 --dilation fc6=6 --suffix '' --dry-run --diff
    """
    from caffe_fcn.passes.planning import planned
    from caffe_fcn.passes.reduce.amounts import parse_layers
    from caffe_fcn.passes.reducing import Reduction
    from caffe_fcn.report import reduce as report

    files = tuple(word for word in words if "=" not in word or os.path.lexists(word))
    check_usage(files, output, output_weights, manner)
    if not files:
        raise click.UsageError("expected NET and its WEIGHTS, found layers only")
    options = ReduceOptions(dilation=dict(dilation) or None, **choices)
    try:
        asked = Reduction(parse_layers(text(word) for word in words if word not in files), options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    rewriting = Rewriting(
        command="reduce",
        plan=lambda model: planned(model, asked.passes),
        selection=selection,
        report=report,
    )
    rewrite(files, output, output_weights, rewriting, manner, verify=verify, fork=fork)
