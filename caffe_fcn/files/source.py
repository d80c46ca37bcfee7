"""Reads the file with the weights: bounded reads at absolute offsets.

The file is not mapped into memory. A mapping counts as memory of the process, and truncating a mapped file kills the
process; a short read is an error.
"""

from __future__ import annotations

import os
import stat
from types import TracebackType
from typing import NamedTuple

from caffe_fcn.errors import CaffemodelError
from caffe_fcn.files.wire import HEAD

_BLOCK = 4096


class Span(NamedTuple):
    """Bytes start..end of the file, counted from its beginning."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self.end - self.start


class Source:
    """A regular file, open for reading; its size is taken when it is opened.

    Messages call it NAME. Raises CaffemodelError if PATH is not a readable regular file, or if the file has become
    shorter.
    """

    def __init__(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        self.path = name or os.fspath(path)
        self._at, self._block = 0, b""
        try:
            # Without O_NONBLOCK, opening a named pipe would wait, before the pipe can be refused.
            self.fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise CaffemodelError(f"cannot be opened: {reason}", source=self.path) from error
        status = os.fstat(self.fd)
        self.size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            self.close()
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a pipe or a device; save it to a file first"
            raise CaffemodelError(source=self.path, expected="a caffemodel", found=kind)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)

    def __del__(self) -> None:
        if getattr(self, "fd", -1) >= 0:  # a net of the library that the caller did not close
            self.close()

    def peek(self, offset: int, end: int) -> bytes:
        """Return the HEAD bytes at OFFSET, or those before END if fewer."""
        stop = min(offset + HEAD, end)
        if not self._at <= offset <= stop <= self._at + len(self._block):
            self._at, self._block = offset, self.read(offset, min(offset + _BLOCK, self.size))
        return self._block[offset - self._at : stop - self._at]

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes start..end, which are inside the file."""
        data = bytearray(end - start)
        self.read_into(memoryview(data), start)
        return bytes(data)

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fill VIEW, a view of bytes, with the contents of the file from OFFSET on."""
        if self.fd < 0:
            raise CaffemodelError(
                "its values cannot be read, because the file has been closed", source=self.path, hint="open it again"
            )
        while view:
            try:
                count = os.preadv(self.fd, [view], offset)
            except OSError as error:
                raise CaffemodelError(f"cannot be read: {error.strerror}", source=self.path, place=offset) from error
            if not count:
                raise self.shrunk(offset)
            view, offset = view[count:], offset + count

    def shrunk(self, offset: int) -> CaffemodelError:
        """Return the error for a file that ends at OFFSET and was longer when it was opened."""
        found = f"its end; it had {self.size:,} bytes when it was opened"
        return CaffemodelError(source=self.path, place=offset, expected="more data", found=str(found), hint="try again")
