"""Writes a lowered net to temporary files that exist while an engine loads it.

Large values are in a file beside the model, so an engine maps them into memory instead of parsing and copying a
message. The mapping stays valid after the file is removed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from caffe_fcn.engines.protocol import temporary_copy
from caffe_fcn.files.atomic import output_error
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.copying import Sink
from caffe_fcn.files.parts import size_of, write_parts
from caffe_fcn.onnx.graph import OnnxGraph
from caffe_fcn.onnx.serialization import lay_out

_MODEL, _DATA = "net.onnx", "net.data"


@contextmanager
def written(graph: OnnxGraph, weights: WeightFile) -> Iterator[str]:
    """Return the path of GRAPH as an ONNX model, with values copied from WEIGHTS; the files are removed when the
    context ends.

    Raises OutputError if they cannot be written, ExtraError if the onnx package is not installed.
    """
    parts = lay_out(graph, {}, _DATA)
    with tempfile.TemporaryDirectory(prefix="caffe-fcn-") as directory:
        for name, made in ((_MODEL, parts.model), (_DATA, parts.data)):
            try:
                fd = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                try:
                    write_parts(Sink(fd), made)
                finally:
                    os.close(fd)
            except OSError as error:
                raise output_error(temporary_copy(weights), error, needed=size_of(made)) from error
        yield os.path.join(directory, _MODEL)
