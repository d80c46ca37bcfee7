"""Writes weights in HDF5, as Caffe snapshots them.

h5py lays out a file without values, and the ranges of the values are then written into it, as into a caffemodel.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any, NamedTuple

from caffe_fcn.errors import WeightsError, located
from caffe_fcn.files.atomic import output_error
from caffe_fcn.files.blobs import ITEM_SIZE
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.copying import Sink
from caffe_fcn.files.hdf5 import DATA, h5py_for
from caffe_fcn.files.parts import Tensor, size_of, write_parts
from caffe_fcn.files.rewrite import Entry, check_count


class _Planned(NamedTuple):
    """A dataset to be written: blob POSITION of LAYER."""

    layer: str
    position: int
    tensor: Tensor


def write_hdf5(
    weights: WeightFile,
    path: str | os.PathLike[str],
    layers: Sequence[Entry],
    *,
    progress: Callable[[int], None] | None = None,
    name: str | None = None,
) -> None:
    """Write LAYERS to PATH as HDF5; they are the layers of WEIGHTS after the changes. Of the headers only names are
    written.

    `progress` gets the number of bytes written so far. Errors call PATH by NAME. Raises WeightsError if HDF5 cannot
    hold the weights, or if the number of values of a tensor does not fit its shape; CaffemodelError if a file cannot be
    read; OutputError if PATH cannot be written; ExtraError if h5py is not installed.
    """
    name = name or os.fspath(path)
    h5py = h5py_for(name)
    groups, blobs = _plan(weights, layers, name)
    try:
        with _system_errors():
            offsets = _lay_out(h5py, path, groups, blobs)
        fd = os.open(path, os.O_WRONLY)
        try:
            _fill(fd, blobs, offsets, progress)
        finally:
            os.close(fd)
    except OSError as error:
        raise output_error(name, error, needed=size_of(blob.tensor for blob in blobs)) from error


@contextmanager
def _system_errors() -> Iterator[None]:
    """Turn h5py's errors of writing into OSErrors: for a full disk it sometimes gives only a text."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError) as error:
        number = re.search(r"errno = (\d+)", str(error))
        code = int(number[1]) if number else 0
        raise OSError(code, os.strerror(code) if code else " ".join(str(error).split())) from error


def _plan(weights: WeightFile, layers: Sequence[Entry], name: str) -> tuple[list[str], list[_Planned]]:
    """Return the groups and the datasets to be written."""
    groups: dict[str, None] = {}
    holders: set[str] = set()
    planned: list[_Planned] = []
    for entry in layers:
        layer = entry.name
        _check_name(name, layer)
        if entry.tensors and layer in holders:
            raise WeightsError(
                f"two layers named {layer!r} have weights, but HDF5 can hold only one of them",
                source=name,
                layer=layer,
                hint="rename one",
            )
        groups[layer] = None
        holders.update([layer] if entry.tensors else [])
        for index, tensor in enumerate(entry.tensors):
            if tensor.kept is None or not tensor.kept.blob.absent:
                with located(source=weights.path, layer=layer, place=f"blob {index}"):
                    _check_tensor(tensor)
                planned.append(_Planned(layer, index, tensor))
    return list(groups), planned


def _check_tensor(tensor: Tensor) -> None:
    """Raise WeightsError if TENSOR cannot be a dataset."""
    check_count(tensor)
    if not tensor.dtype.startswith("float"):
        raise WeightsError(expected="floating point numbers for HDF5", found=tensor.dtype)
    count = tensor.size // ITEM_SIZE[tensor.dtype]
    if prod(tensor.shape) != count:
        shown = "×".join(map(str, tensor.shape)) or "a single value"
        raise WeightsError(expected=f"values for its shape, {shown}", found=f"{count:,}")


def _check_name(name: str, layer: str) -> None:
    """Raise WeightsError for a layer whose name cannot be the name of a group."""
    if "/" in layer:
        raise WeightsError(
            f"the slash in the layer name {layer!r} would make nested groups in HDF5, which Caffe does not find",
            source=name,
            layer=layer,
            hint="write a .caffemodel instead",
        )
    if layer in ("", ".") or "\0" in layer:
        raise WeightsError(
            f"HDF5 cannot hold a layer named {layer!r}",
            source=name,
            layer=layer,
            hint="write a .caffemodel instead",
        )


def _lay_out(h5py: Any, path: str | os.PathLike[str], layers: list[str], blobs: list[_Planned]) -> list[int]:
    """Create the file with room for all BLOBS, and return the offset of each one's values."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    plist.set_obj_track_times(False)
    with h5py.File(path, "w", libver="earliest", locking="best-effort") as file:
        data = file.create_group(DATA)
        for layer in layers:
            data.create_group(layer)
        offsets = []
        for blob in blobs:
            kind = h5py.h5t.IEEE_F64LE if blob.tensor.dtype == "float64" else h5py.h5t.IEEE_F32LE
            kind = h5py.h5t.IEEE_F16LE if blob.tensor.dtype == "float16" else kind
            shape = blob.tensor.shape
            space = h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)
            dataset = h5py.h5d.create(data[blob.layer].id, str(blob.position).encode(), kind, space, plist)
            offsets.append(dataset.get_offset() or 0)
        return offsets


def _fill(fd: int, blobs: list[_Planned], offsets: list[int], progress: Callable[[int], None] | None) -> None:
    """Write the values at their OFFSETS in the file."""
    written = 0
    for blob, offset in zip(blobs, offsets, strict=True):
        os.lseek(fd, offset, os.SEEK_SET)
        before = written
        told = (lambda count, before=before: progress(before + count)) if progress else None
        write_parts(Sink(fd, told), [blob.tensor])
        written += blob.tensor.size
