"""Reads pixels that are stored as plain values, in a .npy or an uncompressed TIFF, so that any part is read in
place.

The file is read by rows and not mapped. A mapping counts as memory once it is used, and truncating a mapped file kills
the process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.errors import PictureError
from caffe_fcn.files.reading import reading
from caffe_fcn.net.shapes import show
from caffe_fcn.predict.images.npy import npy_header

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _OFFSETS = 256, 257, 258, 259, 262, 266, 273
_ORIENTATION, _SAMPLES, _ROWS, _COUNTS, _PLANAR, _FORMAT = 274, 277, 278, 279, 284, 339
"""Tags of TIFF."""

_KINDS = {1: "u", 3: "f"}
"""The numbers of TIFF's SampleFormat for unsigned integers and floating point."""

_SHORT = 2
_TO_BYTE = 257
"""65535, the maximum of 16 bits, divided by 255, the maximum of 8."""


class StoredPixels(NamedTuple):
    """The start of an array of pixels, H×W×C, in a file, the type of its values, and their divisor."""

    offset: int
    dtype: str
    shape: tuple[int, int, int]
    fortran: bool = False
    divisor: int = 1


def read(path: str, stored: StoredPixels, rows: range, columns: range) -> NDArray[Any]:
    """Return the pixels of ROWS and COLUMNS, H×W×C. Raises PictureError if the file has become shorter."""
    import numpy as np

    high, wide, channels = stored.shape
    if stored.fortran:
        made = np.empty((channels, len(columns), rows.stop - rows.start), stored.dtype)
        starts = [(band * wide + column) * high + rows.start for band in range(channels) for column in columns]
    else:
        made = np.empty((len(rows), columns.stop - columns.start, channels), stored.dtype)
        starts = [(row * wide + columns.start) * channels for row in rows]
    lines: Any = made.reshape(len(starts), -1).view(np.uint8)
    try:
        with reading(path) as file:
            for start, line in zip(starts, lines, strict=True):
                file.seek(stored.offset + start * made.itemsize)
                if file.readinto(line) != len(line):
                    raise PictureError(
                        source=path,
                        expected="all of its pixels",
                        found="the end of the file",
                        hint="the file has changed",
                    )
    except OSError as error:
        raise PictureError(f"cannot be read any more: {error.strerror or error}", source=path) from error
    return made.transpose(2, 1, 0)[:: rows.step] if stored.fortran else made[:, :: columns.step]


def npy(path: str) -> StoredPixels:
    """Locate the array in the .npy PATH. Raises PictureError if it is damaged, or not a picture."""
    offset, dtype, shape, fortran = npy_header(path)
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise PictureError(
            source=path, expected="pixels as H×W or H×W×C", found=show(shape), hint="give one picture in each file"
        )
    high, wide, channels = (*shape, 1)[:3]
    return StoredPixels(offset, dtype, (high, wide, channels), fortran)


def tiff(path: str, tags: Any, byte_order: str) -> StoredPixels | None:
    """Locate the pixels of the TIFF at PATH by the TAGS that pillow has read; None unless they are plain values in one
    piece, upright and in grey or RGB."""
    high, wide, channels = (int(tags.get(tag, default)) for tag, default in ((_HEIGHT, 0), (_WIDTH, 0), (_SAMPLES, 1)))
    bits, formats = (set(tags.get(tag, (1,))) for tag in (_BITS, _FORMAT))
    plain = {_COMPRESSION: 1, _FILL_ORDER: 1, _ORIENTATION: 1, _PLANAR: 1, _PHOTOMETRIC: 1 if channels < 3 else 2}
    if any(tags.get(tag, 1) != expected for tag, expected in plain.items()) or len(bits) != 1 or len(formats) != 1:
        return None
    size, kind = bits.pop() // 8, _KINDS.get(formats.pop())
    if (kind, size) not in (("u", 1), ("u", 2), ("f", 4)) or min(high, wide) < 1 or channels not in (1, 2, 3, 4):
        return None
    offsets, counts = tags.get(_OFFSETS, ()), tags.get(_COUNTS, ())
    line = wide * channels * size
    rows = min(int(tags.get(_ROWS, high)), high)
    if rows < 1 or len(offsets) != -(-high // rows) or len(counts) != len(offsets):
        return None
    if any(offset != offsets[0] + place * rows * line for place, offset in enumerate(offsets)):
        return None
    if sum(counts) != high * line or offsets[0] < 0 or offsets[0] + high * line > os.path.getsize(path):
        return None
    divisor = _TO_BYTE if (kind, size) == ("u", _SHORT) else 1
    return StoredPixels(int(offsets[0]), f"{byte_order}{kind}{size}", (high, wide, channels), divisor=divisor)
