"""The library: the files of a net opened."""

from __future__ import annotations

import os

from caffe_fcn.api.arguments import check_arguments, check_path
from caffe_fcn.files import weights as weight_files
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net import source as net_files
from caffe_fcn.net.source import SourceNet


def read_net(path: str | os.PathLike[str], *, fork: str | None = None) -> SourceNet:
    """The net in the prototxt at PATH, or the one inside the caffemodel there, which FORK, such as "NVIDIA", has
    written, where the file does not tell that.

    Raises PrototxtError, CaffemodelError or NetError; OSError when the file cannot be read; TypeError for what is no
    path.
    """
    check_path("read_net", "path", path)
    check_arguments("read_net", fork=fork)
    return net_files.read_net(path, fork=fork)


def open_weights(path: str | os.PathLike[str]) -> WeightFile:
    """Open and index the weights at PATH, a caffemodel of any age or an HDF5 file.

    Values stay on disk. Raises CaffemodelError where it is neither, or damaged; ExtraError where an HDF5 file
    needs a package that is not there; TypeError for what is no path.
    """
    check_path("open_weights", "path", path)
    return weight_files.open_weights(path)
