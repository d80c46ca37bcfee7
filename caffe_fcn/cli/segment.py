"""`caffe-fcn segment`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from caffe_fcn.cli.failures import exit_codes
from caffe_fcn.cli.options import (
    WriteManner,
    file_name,
    fork_option,
    input_channels_option,
    option_of,
    parsable,
    selection_options,
    size,
    text,
    writing_options,
)
from caffe_fcn.cli.rewriting import Rewriting, check_usage, output_options, proof_options, rewrite
from caffe_fcn.passes.segment_options import PADS, SegmentOptions
from caffe_fcn.passes.training_options import TrainOptions

if TYPE_CHECKING:
    from caffe_fcn.net.options import Selection


def _pad(value: str) -> str | int:
    """Parse a word, or a number of pixels."""
    if value in PADS:
        return value
    if not re.fullmatch("[0-9]{1,5}", value):
        raise click.BadParameter(f"expected {', '.join(PADS)} or a number of pixels, found {value!r}")
    return int(value)


def _skip(value: str) -> str:
    """Parse BLOB or BLOB:SCALE."""
    from caffe_fcn.passes.segment.skips import parse_skip

    return parsable(value, parse_skip)


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
@click.option("--train", is_flag=True, help="Also write train_val.prototxt and solver.prototxt beside the new net.")
@option_of(TrainOptions, "data", type=click.Choice(["imagedata", "lmdb", "keep"]))
@option_of(TrainOptions, "normalize")
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
    train: bool,
    data: Literal["imagedata", "lmdb", "keep"],
    normalize: bool,
    **choices: Any,
) -> None:
    """Make a segmentation net of the classifier NET (prototxt) and WEIGHTS (caffemodel or HDF5).

    The net becomes fully convolutional, as in `convert`. A new 1×1 convolution scores K classes in place of the last
    classifier layer. Bilinear Deconvolutions upsample the scores to the size of the input, the scores of finer blobs
    are added, and Crop layers cut them to size: FCN-32s, 16s and 8s. Crop offsets are exact, and the first convolution
    pads as much as they need. Train the new scores, or keep the old classes with --keep-classifier, for dense labels
    without training. Without WEIGHTS only the text is written. A caffemodel alone is used with the net inside it. A
    training net first becomes its deploy net, as in `deploy`. --train also writes the net and the solver that train
    the new scores.

    \b
    caffe-fcn segment deploy.prototxt net.caffemodel --classes 21 --style 8s
    caffe-fcn segment vgg16.prototxt --classes 21 --skip pool4:0.01 --skip pool3:0.0001 --pad 100
    caffe-fcn segment deploy.prototxt net.caffemodel --classes 21 --train
    caffe-fcn segment deploy.prototxt net.caffemodel --keep-classifier --dry-run --diff
    """
    from caffe_fcn.passes.planning import planned
    from caffe_fcn.passes.segmentation import Segmentation
    from caffe_fcn.passes.training.files import NAMES, training_files
    from caffe_fcn.report import segment as report

    check_usage(files, output, output_weights, manner)
    source = click.get_current_context().get_parameter_source
    for name in ("data", "normalize"):
        if not train and source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name} is for --train; give that too")
    options = TrainOptions(data=data, normalize=normalize)
    try:
        asked = Segmentation(SegmentOptions(**choices))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    rewriting = Rewriting(
        command="segment",
        plan=lambda model: planned(model, asked.passes, resized=True),
        selection=selection,
        report=report,
        others=NAMES if train else {},
        texts=lambda plan, files: training_files(plan.model, files.others, files.out_weights, options) if train else {},
    )
    rewrite(files, output, output_weights, rewriting, manner, verify=verify, fork=fork)
