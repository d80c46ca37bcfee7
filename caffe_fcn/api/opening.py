"""The library: the files of a net opened."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.files import open_files
from caffe_fcn.api.net import Net
from caffe_fcn.api.options import selection_of
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
    """The net in the prototxt NET, with its WEIGHTS, a caffemodel or HDF5; or in a caffemodel NET, which has its net
    inside.

    Values stay on disk. Raises PrototxtError, CaffemodelError or NetError for files that cannot be read or hold no net
    that Caffe builds, ShapeError for impossible shapes, WeightsError where the weights are another net's; ExtraError
    where an HDF5 file needs a package that is not there; OSError when a file cannot be read.
    """
    selection = selection_of(
        phase=phase,
        stages=stages,
        level=level,
        shapes=shapes,
        crop_offset=crop_offset,
        ignore_fields=ignore_fields,
    )
    return Net(open_files(net, weights, selection, fork))


@checked()
def open_weights(path: str | os.PathLike[str]) -> WeightFile:
    """Open and index the weights at PATH, a caffemodel of any age or an HDF5 file, whatever net they are of.

    Values stay on disk. Raises CaffemodelError where it is neither, or damaged; ExtraError where an HDF5 file
    needs a package that is not there; TypeError for what is no path.
    """
    return weight_files.open_weights(path)
