"""`caffe-fcn deploy`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click

from caffe_fcn.cli.failures import exit_codes
from caffe_fcn.cli.options import WriteManner, file_name, fork_option, one_phase_options, option_of, writing_options
from caffe_fcn.cli.rewriting import Rewriting, check_usage, output_options, proof_options, rewrite
from caffe_fcn.passes.deploy_options import DeployOptions

if TYPE_CHECKING:
    from caffe_fcn.net.options import Selection


@click.command(epilog=exit_codes("done", "no deploy net can be made"))
@click.argument("files", metavar="NET [WEIGHTS]", nargs=-1, required=True, type=file_name)
@output_options("deploy")
@option_of(DeployOptions, "keep_heads")
@option_of(DeployOptions, "drop_dropout")
@one_phase_options
@fork_option
@proof_options
@writing_options
def deploy(
    files: tuple[str, ...],
    output: str | None,
    output_weights: str | None,
    keep_heads: bool,
    drop_dropout: bool,
    selection: Selection,
    fork: str | None,
    verify: str | None,
    manner: WriteManner,
) -> None:
    """Make the deploy net of the training net NET (prototxt) and its WEIGHTS (caffemodel or HDF5).

    Data layers become Input layers, with what they do to images in a comment. SoftmaxWithLoss becomes a Softmax, and
    SigmoidCrossEntropyLoss a Sigmoid, called prob; the scores of other losses become outputs. Heads that only help the
    training, measures, labels and unused weights are dropped. The net is that of phase TEST, or of --phase and --stage.
    --input-shape gives a shape that neither NET nor WEIGHTS define. Without WEIGHTS only the text is written. "-" is
    standard input or output.

    \b
    caffe-fcn deploy lenet_train_test.prototxt lenet.caffemodel --input-shape data=1,1,28,28 --verify
    caffe-fcn deploy lenet_train_test.prototxt -o lenet.prototxt --input-shape data=1,1,28,28
    caffe-fcn deploy train_val.prototxt --dry-run --diff
    """
    from caffe_fcn.passes.deploying import deploying
    from caffe_fcn.passes.planning import planned
    from caffe_fcn.report import deploy as report

    check_usage(files, output, output_weights, manner)
    chosen = replace(selection, phase=selection.phase or "TEST")
    passes = partial(deploying, options=DeployOptions(keep_heads=keep_heads, drop_dropout=drop_dropout))
    rewriting = Rewriting(
        command="deploy",
        plan=lambda model: planned(model, passes, resized=True),
        selection=chosen,
        report=report,
    )
    rewrite(files, output, output_weights, rewriting, manner, verify=verify, fork=fork)
