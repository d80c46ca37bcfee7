"""The library: the files of a net, as given by the caller and as needed by engines."""

from __future__ import annotations

import os

from caffe_fcn.errors import SurgeryError
from caffe_fcn.files.atomic import check_outputs
from caffe_fcn.files.names import Kind, check_kind
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import open_model
from caffe_fcn.net.options import Selection


def open_files(
    net: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None,
    selection: Selection,
    fork: str | None = None,
) -> Model:
    """Return the model in the files NET and WEIGHTS. Raises CaffeFcnError; OSError if a file cannot be read."""
    return open_model(os.fspath(net), None if weights is None else os.fspath(weights), selection, fork=fork)


def output_names(
    model: Model, output: str | os.PathLike[str] | None, output_weights: str | os.PathLike[str] | None, *, force: bool
) -> tuple[str | None, str | None]:
    """Return the names of the output files of MODEL as text. Raises OutputError if a file exists, unless FORCE is
    given; SurgeryError for a file of weights if there are no weights; ValueError for the ending of another kind of
    file."""
    if output is not None:
        check_kind(output, Kind.TEXT)
    if output_weights is not None:
        check_kind(output_weights, Kind.WEIGHTS)
        if model.weights is None:
            raise SurgeryError("opened without weights, so there are none to write", source=model.source.name)
    text, weights = (None if path is None else os.fspath(path) for path in (output, output_weights))
    inputs = [model.source.name, *([model.weights.path] if model.weights else [])]
    check_outputs([path for path in (text, weights) if path is not None], inputs, force=force)
    return text, weights
