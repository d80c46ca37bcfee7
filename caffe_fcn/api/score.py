"""The library: score segmentations."""

from __future__ import annotations

import os
from collections.abc import Sequence

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.options import given
from caffe_fcn.predict.options import ScoreOptions
from caffe_fcn.predict.scoring import SegmentationScore, score_images


@checked(ScoreOptions)
def score(
    labels: str | os.PathLike[str],
    predictions: str | os.PathLike[str],
    *,
    classes: int | None = ScoreOptions.classes,
    names: str | os.PathLike[str] | None = ScoreOptions.names,
    ignore: int | Sequence[int] = ScoreOptions.ignore,
) -> SegmentationScore:
    """Compare the label images PREDICTIONS with LABELS, pixel by pixel: two folders, whose files are matched by their
    names without the ending, or two files. A label image is an indexed or grey PNG, or a .npy of H×W class numbers.

    Raises PictureError, with the file, for images without a partner or of another size, and for numbers of no class;
    ExtraError if pillow is not installed; OSError for a file that cannot be read.
    """
    return score_images(os.fspath(labels), os.fspath(predictions), given(ScoreOptions, locals()))
