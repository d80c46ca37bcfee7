"""`caffe-fcn verify`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from caffe_fcn.cli.failures import DONE, FAILED, exit_codes
from caffe_fcn.cli.nets import files_of, open_trained, two_nets
from caffe_fcn.cli.options import (
    check_fork,
    engine_option,
    file_name,
    fork_option,
    fraction,
    option_of,
    preparation_options,
    selection_options,
    taken,
    threads_option,
)
from caffe_fcn.cli.streams import print_json
from caffe_fcn.engines.options import ENGINES, EngineOptions
from caffe_fcn.predict.options import PreparationOptions
from caffe_fcn.verify.options import CLAIMS, PROOFS, VerifyOptions

if TYPE_CHECKING:
    from caffe_fcn.model.opening import NetAndWeights
    from caffe_fcn.net.options import Selection


@click.command(
    epilog=exit_codes(
        "every proof holds or does not apply; with --bisect, all blobs agree",
        "a proof fails or could not be carried out; with --bisect, a blob differs",
    ),
)
@click.argument("files", metavar="NET [WEIGHTS] FCN [FCN_WEIGHTS]", nargs=-1, required=True, type=file_name)
@option_of(VerifyOptions, "claim", type=click.Choice(CLAIMS))
@option_of(VerifyOptions, "proofs", "--proof", type=click.Choice(PROOFS), multiple=True)
@option_of(VerifyOptions, "bisect")
@option_of(VerifyOptions, "original_engine", type=click.Choice(ENGINES))
@option_of(VerifyOptions, "samples", type=click.IntRange(1, 10_000), metavar="N")
@option_of(VerifyOptions, "windows", type=click.IntRange(1, 10_000), metavar="N")
@option_of(VerifyOptions, "seed", type=click.IntRange(0), metavar="N")
@click.option(
    "--image",
    "images",
    type=file_name,
    multiple=True,
    metavar="FILE",
    help="Also compare on this picture, at the nominal size, or on a .npy of C×H×W or N×C×H×W, fed unchanged; "
    "repeatable.",
)
@preparation_options
@option_of(VerifyOptions, "tolerance", type=fraction, metavar="X")
@engine_option
@threads_option
@selection_options
@fork_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print no report.")
def verify(
    files: tuple[str, ...],
    selection: Selection,
    fork: str | None,
    preparation: PreparationOptions,
    images: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **choices: Any,
) -> int:
    """Prove that FCN with FCN_WEIGHTS is equivalent to NET with WEIGHTS, as `convert` and `fold` make it.

    \b
    weights    Every parameter blob has the values of the original. They may be transposed or reordered as
               the layer requires, or folded, within rounding. The fields that affect the result of a
               layer are equal.
    same size  On inputs of the nominal size, random ones and given ones, both nets give the same answers.
               Layers that are the same in both nets, with the same weights, are not run.
    dense      On a larger input, each cell of the map is the answer of the original on its window
               (samples). If a layer pads or has partial windows, the difference is measured, and the map
               must equal the result of the original's last layers on the maps of the whole picture.

    The dense proof does not apply if the net has several inputs, if both nets accept only one input size, if nothing
    was converted, or if no answer depends on a window alone. A net with other answers, as `reduce`, `segment` and
    `convert --input-channels` make it, is not equivalent; --claim new-function carries out the proofs for such nets.

    --bisect finds where the nets part: the first layers whose inputs agree and whose output does not.

    \b
    caffe-fcn verify deploy.prototxt net.caffemodel deploy_fcn.prototxt net_fcn.caffemodel
    """
    from caffe_fcn.display import visible
    from caffe_fcn.engines.nets import one_net
    from caffe_fcn.engines.registry import engine as engine_called
    from caffe_fcn.net.selection import known_to
    from caffe_fcn.predict.inputs import read_inputs
    from caffe_fcn.report.verify import document, lines
    from caffe_fcn.verify.settings import VerifySettings
    from caffe_fcn.verify.verify import verify as prove

    _check_usage(files, images, choices)
    runner = engine_called(taken(EngineOptions, choices), brief=True)
    options = VerifySettings(engine=runner, **choices)
    notes: tuple[str, ...] = ()
    with ExitStack() as stack:
        original, twin = _models(stack, files, fork)
        if images:
            net = one_net(original.source, original.weights, known_to(original.source, selection)).net
            inputs = read_inputs(images, net, preparation)
            options, notes = replace(options, pictures=inputs.arrays), inputs.notes
        found = prove(original, twin, selection, options)
    for note in (*notes, *found.notes) if not (quiet or as_json) else ():
        click.echo(visible(f"note: {note}"), err=True)
    if as_json:
        print_json(document(found))
    elif not quiet:
        for line in lines(found):
            click.echo(line)
    return DONE if found.holds else FAILED


def _check_usage(files: Sequence[str], images: Sequence[str], choices: Mapping[str, Any]) -> None:
    """Raise UsageError for FILES that are not two nets, and for options that do not fit together."""
    if "" in files:
        raise click.UsageError("a file's name is empty")
    if not 2 <= len(files) <= 4:
        raise click.UsageError(
            f"expected two nets, each with its weights, found {len(files)} file{'s'[: len(files) != 1]}"
        )
    if files.count("-") > 1:
        raise click.UsageError("only one file can come from stdin")
    if choices["bisect"] and (choices["proofs"] or choices["claim"] == "new-function"):
        raise click.UsageError("--bisect compares blobs in place of proofs; leave out --proof and --claim new-function")
    if choices["original_engine"] and not choices["bisect"]:
        raise click.UsageError("--original-engine goes with --bisect only")
    if choices["claim"] == "new-function" and (choices["proofs"] or images):
        raise click.UsageError("--proof and --image do not go with --claim new-function, which has proofs of its own")


def _models(stack: ExitStack, words: Sequence[str], fork: str | None) -> list[NetAndWeights]:
    """Open the two nets in the files WORDS until STACK closes; FORK is the Caffe that wrote caffemodels without a
    prototxt."""
    groups = two_nets(files_of(stack, words))
    check_fork(fork, alone=any(len(files) == 1 for files in groups))
    return [open_trained(stack, files, fork if len(files) == 1 else None) for files in groups]
