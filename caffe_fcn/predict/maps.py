"""Stores dense maps: written one block at a time and read in bands of rows; large ones are in a file.

A mapped file counts as memory while it is mapped. So it is mapped for one block or band and then released. Its space
on the disk is allocated before, because a full disk under a mapping kills the process.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from caffe_fcn.files.atomic import output_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

IN_MEMORY = 256 << 20
"""Maps of fewer bytes are kept in memory."""

_BAND = 32 << 20
_FLOAT = 4


class Map:
    """A map K×rows×columns in float32; a context that releases it. At PATH, which messages call NAME, it is a .npy and
    stays. Without a path it is in memory, or in a temporary file if it is large."""

    def __init__(self, shape: tuple[int, int, int], path: str | None = None, name: str = "the map") -> None:
        import numpy as np

        self.shape = shape
        self._stack = ExitStack()
        self._array: NDArray[Any] | None = None
        size = _FLOAT * shape[0] * shape[1] * shape[2]
        if path is None and size < IN_MEMORY:
            self._array = np.zeros(shape, np.float32)
            return
        try:
            # It is open from here on, so that the file can be renamed.
            self._file = self._stack.enter_context(_opened(path))
            self._offset = _lay_out(self._file, shape, size)
        except OSError as error:
            self._stack.close()
            raise output_error("a temporary file for the map" if path is None else name, error, size) from error

    def __enter__(self) -> Map:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release the memory, or the file."""
        self._stack.close()

    def _open(self, mode: Any) -> NDArray[Any]:
        import numpy as np

        if self._array is not None:
            return self._array
        return np.memmap(self._file, "<f4", mode, self._offset, self.shape)

    def write(self, row: int, column: int, block: NDArray[Any], step: tuple[int, int] = (1, 1)) -> None:
        """Write BLOCK, K×h×w, at ROW and COLUMN, into every STEP-th row and column."""
        (_, high, wide), (down, across) = block.shape, step
        rows, columns = slice(row, row + high * down, down), slice(column, column + wide * across, across)
        self._open("r+")[:, rows, columns] = block

    def bands(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the map in bands of whole rows, each with its first row."""
        import numpy as np

        classes, rows, columns = self.shape
        step = max(1, _BAND // (_FLOAT * classes * max(1, columns)))
        for row in range(0, rows, step):
            yield row, np.ascontiguousarray(self._open("r")[:, row : row + step])

    def values(self) -> NDArray[Any]:
        """Return the whole map; if it is in a file, it is mapped anew at each call."""
        return self._open("r")

    def npy(self) -> Iterator[bytes]:
        """Yield the bytes of the map as a .npy, piece by piece."""
        yield npy_header(self.shape)
        classes, rows, columns = self.shape
        step = max(1, _BAND // (_FLOAT * max(1, columns)))
        for index in range(classes):
            for row in range(0, rows, step):
                yield self._open("r")[index, row : row + step].astype("<f4", copy=False).tobytes()


def npy_header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    """Return the bytes before the values in a .npy of SHAPE."""
    from numpy.lib import format as npy

    head = io.BytesIO()
    npy.write_array_header_1_0(head, {"descr": dtype, "fortran_order": False, "shape": shape})
    return head.getvalue()


@contextmanager
def _opened(path: str | None) -> Iterator[IO[bytes]]:
    """Open the file at PATH, or a temporary one."""
    with tempfile.TemporaryFile(prefix="caffe-fcn-") if path is None else open(path, "r+b") as file:
        yield file


def _lay_out(file: IO[bytes], shape: tuple[int, ...], size: int) -> int:
    """Make FILE a .npy with room for an array of SHAPE, of SIZE bytes, and return the offset of its values."""
    head = npy_header(shape)
    file.write(head)
    file.flush()
    if size and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), len(head), size)
    file.truncate(len(head) + size)
    return len(head)
