"""The library: the net and the solver that train a segmentation net."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.options import given
from caffe_fcn.files.options import WriteOptions
from caffe_fcn.model.writing import write_texts
from caffe_fcn.passes.training.files import NAMES, training_files
from caffe_fcn.passes.training_options import TrainOptions

if TYPE_CHECKING:
    from caffe_fcn.api.net import Net


@checked(TrainOptions, WriteOptions)
def save_training(
    self: Net,
    directory: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    *,
    data: Literal["imagedata", "lmdb", "keep"] = TrainOptions.data,
    normalize: bool = TrainOptions.normalize,
    force: bool = WriteOptions.force,
) -> None:
    """Write train_val.prototxt and solver.prototxt into DIRECTORY. They train this segmentation net from WEIGHTS, the
    path of the weights that `save` writes.

    The net gets data layers, a loss and an accuracy for every pixel; comments say what to fill in. Raises SurgeryError
    for a net whose output is not scores of every pixel, or with several inputs; OutputError if a file cannot be
    written.
    """
    paths = {key: os.path.join(directory, name) for key, name in NAMES.items()}
    trained = None if weights is None else os.fspath(weights)
    write_texts(training_files(self.model, paths, trained, given(TrainOptions, locals())), force=force)
