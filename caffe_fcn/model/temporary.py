"""Writes a model to temporary files, so that engines can read it."""

from __future__ import annotations

import os
import tempfile

from caffe_fcn.files import prototxt
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import NetAndWeights
from caffe_fcn.model.writing import write_model
from caffe_fcn.net.source import interpret


def temporary_copy(model: Model, name: str) -> NetAndWeights:
    """MODEL as engines can read it, its weights in a file that has no name any more; messages call it NAME."""
    with tempfile.TemporaryDirectory(prefix="caffe-fcn-") as folder:
        path = os.path.join(folder, "net.caffemodel")
        write_model(model, None, path)
        weights = open_weights(path, name)
    return NetAndWeights(interpret(prototxt.parse(bytes(model.document), model.source.name)), weights)
