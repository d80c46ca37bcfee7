"""Arrays in .npy files: the place of their values, and the values.

A header is not trusted: it is compared with the size of the file before anything is read.
"""

from __future__ import annotations

import os
import warnings
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.errors import PictureError
from caffe_fcn.files.reading import reading
from caffe_fcn.net.shapes import show

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"\x93NUMPY"
"""The first bytes of a .npy file."""

_NUMBERS = "buif"
"""Truth values, integers and floating point, by numpy's letters for kinds of types."""


class NpyHeader(NamedTuple):
    """The start of the values of an array in its file, their type, and its shape; FORTRAN: the first axis varies
    fastest."""

    offset: int
    dtype: str
    shape: tuple[int, ...]
    fortran: bool


def npy_header(path: str, role: str | None = None) -> NpyHeader:
    """Return the header of the .npy at PATH, after checking that all values are there and are numbers. Messages name
    the ROLE of the file. Raises PictureError if it is not such a file; OSError if it cannot be read."""
    from numpy.lib import format as numpy_format

    headers = {(1, 0): numpy_format.read_array_header_1_0, (2, 0): numpy_format.read_array_header_2_0}
    try:
        with reading(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, fortran, dtype = headers[numpy_format.read_magic(file)](file)
            offset = file.tell()
            held = os.fstat(file.fileno()).st_size - offset
    except OSError:
        raise
    except Exception as error:  # numpy parses the header with Python's parser, which raises many errors
        reason = " ".join(str(error).split())[:80]
        raise PictureError(
            source=path,
            role=role,
            expected="an array in .npy",
            found=f"a damaged file ({reason})",
            hint="write it again",
        ) from error
    if dtype.kind not in _NUMBERS:
        found = "Python objects" if dtype.hasobject else f"the type {dtype}"
        raise PictureError(source=path, role=role, expected="numbers", found=found)
    if min(shape, default=1) < 0:
        raise PictureError(source=path, role=role, expected="a shape", found=show(shape))
    needed = prod(shape) * dtype.itemsize
    if held < needed:
        raise PictureError(
            source=path,
            role=role,
            expected=f"{needed:,} bytes of values",
            found=f"{held:,}",
            hint="the file is incomplete; download it again",
        )
    return NpyHeader(offset, dtype.str, tuple(map(int, shape)), bool(fortran))


def npy_array(path: str, role: str | None = None) -> NDArray[Any]:
    """Return the array in the .npy at PATH. Raises the errors of `npy_header`."""
    import numpy as np

    header = npy_header(path, role)
    values = np.empty(prod(header.shape), header.dtype)
    with reading(path) as file:
        file.seek(header.offset)
        if file.readinto(values.view(np.uint8).data if values.size else bytearray()) != values.nbytes:
            raise PictureError("the file changed while it was read", source=path, role=role)
    return values.reshape(header.shape, order="F" if header.fortran else "C")
