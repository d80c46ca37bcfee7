"""`caffe-fcn segment`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from caffe_fcn.cli.failures import exit_codes
from caffe_fcn.cli.options import (
    WriteManner,
    file_name,
    fork_option,
    input_channels_option,
    option_of,
    selection_options,
    size,
    text,
    writing_options,
)
from caffe_fcn.cli.rewriting import Rewriting, check_usage, output_options, proof_options, rewrite
from caffe_fcn.passes.segment_options import PADS, SegmentOptions

if TYPE_CHECKING:
    from caffe_fcn.net.options import Selection


def _pad(value: str) -> str | int:
    """A word, or a number of pixels."""
    if value in PADS:
        return value
    if not re.fullmatch("[0-9]{1,5}", value):
        raise click.BadParameter(f"expected {', '.join(PADS)} or a number of pixels, found {value!r}")
    return int(value)


def _skip(value: str) -> str:
    """BLOB or BLOB:SCALE."""
    from caffe_fcn.passes.segment.skips import parse_skip

    try:
        parse_skip(text(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return value


@click.command(epilog=exit_codes("done", "the net cannot become a segmentation net"))
@click.argument("files", metavar="NET [WEIGHTS]", nargs=-1, required=True, type=file_name)
@output_options("segment")
@option_of(SegmentOptions, "classes", type=click.IntRange(2, 65535), metavar="K")
@option_of(SegmentOptions, "keep_classifier")
@option_of(SegmentOptions, "style", type=click.Choice(["32s", "16s", "8s"]))
@option_of(SegmentOptions, "skip", type=_skip, multiple=True, metavar="BLOB[:SCALE]")
@option_of(SegmentOptions, "pad", type=_pad, metavar="auto|least|keep|N")
@option_of(SegmentOptions, "at", type=text, metavar="LAYER")
@option_of(SegmentOptions, "drop_pooling")
@option_of(SegmentOptions, "learn_upsampling")
@option_of(SegmentOptions, "dense_upsampling")
@option_of(SegmentOptions, "init", type=click.Choice(["zero", "xavier"]))
@option_of(SegmentOptions, "seed", type=click.IntRange(0, 2**32 - 1), metavar="N")
@option_of(SegmentOptions, "expand_score")
@option_of(SegmentOptions, "prefix", type=text, metavar="TEXT")
@input_channels_option(SegmentOptions)
@option_of(SegmentOptions, "input_size", type=size, metavar="HxW")
@selection_options
@fork_option
@proof_options
@writing_options
def segment(
    files: tuple[str, ...],
    output: str | None,
    output_weights: str | None,
    selection: Selection,
    fork: str | None,
    verify: str | None,
    manner: WriteManner,
    **choices: Any,
) -> None:
    """Make a segmentation net of the classifier NET (prototxt) and WEIGHTS (caffemodel or HDF5).

    The net becomes fully convolutional, as in `convert`. A new 1×1 convolution scores K classes in place of the last
    classifier layer. Bilinear Deconvolutions upsample the scores to the size of the input, the scores of finer blobs
    are added, and Crop layers cut them to size: FCN-32s, 16s and 8s. Crop offsets are exact, and the first convolution
    pads as much as they need. Train the new scores, or keep the old classes with --keep-classifier, for dense labels
    without training. Without WEIGHTS only the text is written. A caffemodel alone is used with the net inside it. From
    a training file, --phase test uses the TEST net.

    \b
    caffe-fcn segment deploy.prototxt net.caffemodel --classes 21 --style 8s
    caffe-fcn segment vgg16.prototxt --classes 21 --skip pool4:0.01 --skip pool3:0.0001 --pad 100
    caffe-fcn segment deploy.prototxt net.caffemodel --keep-classifier --dry-run --diff
    """
    from caffe_fcn.passes.planning import planned
    from caffe_fcn.passes.segmentation import Segmentation
    from caffe_fcn.report import segment as report

    check_usage(files, output, output_weights, manner)
    try:
        asked = Segmentation(SegmentOptions(**choices))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    rewriting = Rewriting(
        command="segment",
        plan=lambda model: planned(model, asked.passes, resized=asked.resized),
        selection=selection,
        report=report,
    )
    rewrite(files, output, output_weights, rewriting, manner, verify=verify, fork=fork)
