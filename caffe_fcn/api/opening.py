"""The library: open the files of a net."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.files import open_files
from caffe_fcn.api.net import Net
from caffe_fcn.api.options import given
from caffe_fcn.files import weights as weight_files
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.options import OpenOptions, Selection


@checked(Selection, OpenOptions)
def open(
    net: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    *,
    phase: Literal["TRAIN", "TEST"] | None = Selection.phase,
    stages: str | Sequence[str] = Selection.stages,
    level: int | None = Selection.level,
    shapes: Mapping[str, Sequence[int]] | None = Selection.shapes,
    crop_offset: Literal["auto", "zero"] | None = Selection.crop_offset,
    ignore_fields: str | Collection[str] = Selection.ignore_fields,
    fork: str | None = OpenOptions.fork,
) -> Net:
    """Open the prototxt NET with its WEIGHTS (caffemodel or HDF5), or a caffemodel NET, which contains its net.

    Values stay on disk. Raises PrototxtError, CaffemodelError or NetError if a file cannot be parsed or contains no net
    that Caffe can build; ShapeError for impossible shapes; WeightsError if the weights do not fit the net; ExtraError
    if the package for HDF5 is not installed; OSError if a file cannot be read.
    """
    return Net(open_files(net, weights, given(Selection, locals()), fork))


@checked()
def open_weights(path: str | os.PathLike[str]) -> WeightFile:
    """Open and index the weights at PATH, a caffemodel of any format or an HDF5 file. No net is needed.

    Values stay on disk. Raises CaffemodelError if the file is neither, or damaged; ExtraError if the package for HDF5
    is not installed; TypeError if PATH is not a path.
    """
    return weight_files.open_weights(path)
