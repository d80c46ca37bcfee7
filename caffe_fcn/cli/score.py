"""`caffe-fcn score`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import click

from caffe_fcn.cli.failures import exit_codes
from caffe_fcn.cli.options import file_name, option_of, taken
from caffe_fcn.cli.progress import looking
from caffe_fcn.cli.streams import print_json, print_page
from caffe_fcn.predict.options import ScoreOptions


@click.command(epilog=exit_codes("done", "the images cannot be compared"))
@click.argument("labels", metavar="LABELS", type=file_name)
@click.argument("predictions", metavar="PREDICTIONS", type=file_name)
@option_of(ScoreOptions, "classes", type=click.IntRange(2, 4096), metavar="K")
@option_of(ScoreOptions, "names", type=file_name, metavar="FILE")
@option_of(ScoreOptions, "ignore", type=int, multiple=True, metavar="N")
@click.option("--json", "as_json", is_flag=True, help="Print the scores and the confusion matrix as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def score(labels: str, predictions: str, as_json: bool, quiet: bool, **choices: Any) -> None:
    """Score segmentations: compare the label images PREDICTIONS with LABELS, pixel by pixel.

    LABELS and PREDICTIONS are two folders, whose files are matched by their names without the ending, or two files. A
    label image holds the number of a class for each pixel: an indexed or grey PNG, or a .npy of H×W. Shown are overall
    accuracy, mean accuracy, mean IU (intersection over union), frequency-weighted IU and, for up to 12 classes, the
    confusion matrix.

    \b
    caffe-fcn score labels/ predictions/ --classes 21 --ignore 255
    caffe-fcn score labels/a.png predictions/a.png --ignore 255 --json
    """
    from caffe_fcn.predict.scoring import score_images
    from caffe_fcn.report.score import document, page

    if "" in (labels, predictions):
        raise click.UsageError("a file's name is empty")
    with ExitStack() as stack:

        def progress(images: int) -> Any:
            return stack.enter_context(looking("scoring", images, quiet))

        found = score_images(labels, predictions, taken(ScoreOptions, choices), progress)
    if as_json:
        print_json(document(found))
    else:
        print_page(lambda _width: list(page(found)))
