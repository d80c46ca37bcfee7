"""`caffe-fcn fold`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from caffe_fcn.cli.failures import exit_codes
from caffe_fcn.cli.options import WriteManner, file_name, fork_option, selection_options, writing_options
from caffe_fcn.cli.rewriting import Rewriting, check_usage, output_options, proof_options, rewrite

if TYPE_CHECKING:
    from caffe_fcn.net.options import Selection


@click.command(epilog=exit_codes("done", "the net cannot be folded"))
@click.argument("files", metavar="NET [WEIGHTS]", nargs=-1, required=True, type=file_name)
@output_options("fold")
@selection_options
@fork_option
@proof_options
@writing_options
def fold(
    files: tuple[str, ...],
    output: str | None,
    output_weights: str | None,
    selection: Selection,
    fork: str | None,
    verify: str | None,
    manner: WriteManner,
) -> None:
    """Fold layers of NET (prototxt) that only scale and shift into the WEIGHTS (caffemodel or HDF5) before them.

    BatchNorm, Scale, Bias and Power layers are folded into the Convolution, Deconvolution or InnerProduct before them;
    Dropout and Split layers are removed. The new net computes the same function, within rounding. Inputs and outputs
    keep their names. The new net is for inference; from a training file, --phase test writes only the TEST net. Without
    WEIGHTS only the text is written. A caffemodel alone is folded with the net inside it. "-" is standard input or
    output.

    \b
    caffe-fcn fold deploy.prototxt net.caffemodel
    caffe-fcn fold deploy.prototxt net.caffemodel -o small.prototxt -w small.caffemodel --verify
    caffe-fcn fold train_val.prototxt --phase test --dry-run --diff
    """
    from caffe_fcn.passes.folding import folding
    from caffe_fcn.passes.planning import planned
    from caffe_fcn.report import fold as report

    check_usage(files, output, output_weights, manner)
    rewriting = Rewriting(
        command="fold",
        plan=lambda model: planned(model, folding),
        selection=selection,
        report=report,
    )
    rewrite(files, output, output_weights, rewriting, manner, verify=verify, fork=fork)
