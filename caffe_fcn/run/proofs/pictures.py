"""Pictures that a user gives to compare the nets on, as arrays of numbers ready to be fed."""

from __future__ import annotations

import os

from caffe_fcn.errors import EngineError
from caffe_fcn.run.engine import Array

_KINDS = "fiub"
"""Floating point, integers, and truth values."""


def read_array(path: str | os.PathLike[str]) -> Array:
    """The array in the .npy file at PATH as float32. Raises EngineError where it is none of finite numbers; OSError
    where it cannot be read."""
    import numpy as np

    try:
        with open(path, "rb") as file:
            array = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise EngineError(f"{os.fspath(path)}: expected an array in a .npy file, found none ({reason})") from error
    if not isinstance(array, np.ndarray):
        raise EngineError(f"{os.fspath(path)}: expected one array in a .npy file, found an archive of them")
    if array.dtype.kind not in _KINDS or not array.size:
        raise EngineError(f"{os.fspath(path)}: expected an array of numbers, found {array.size} of {array.dtype}")
    numbers: Array = array.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise EngineError(f"{os.fspath(path)}: expected finite numbers, found NaN or infinity")
    return numbers
