"""Opens trained weights in both file formats of Caffe, caffemodels and HDF5; the first bytes tell the format."""

from __future__ import annotations

import os

from caffe_fcn.files.caffemodel import WeightFile, open_caffemodel
from caffe_fcn.files.source import Source

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def open_weights(path: str | os.PathLike[str], name: str | None = None) -> WeightFile:
    """Open and index the weights at PATH, a caffemodel of any format or an HDF5 file. Messages call it NAME.

    Values stay on disk. Raises CaffemodelError if the file has neither format, or is damaged; ExtraError if an HDF5
    file needs a package that is not installed.
    """
    if _is_hdf5(path, name):
        from caffe_fcn.files.hdf5 import open_hdf5  # here, because few weights are in HDF5

        return open_hdf5(path, name)
    return open_caffemodel(path, name)


def _is_hdf5(path: str | os.PathLike[str], name: str | None) -> bool:
    with Source(path, name) as source:
        return source.read(0, min(source.size, len(_SIGNATURE))) == _SIGNATURE
