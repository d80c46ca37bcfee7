"""Copies bytes from one file to another, in the fastest way that the two files allow.

Some ways stay in the kernel; the last one, reading and writing blocks, always works. If the system refuses one way, the
next is used. Only the last one reports errors.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from queue import SimpleQueue
from threading import Thread
from typing import Any

from caffe_fcn.files.source import Source

KERNEL_CHUNK = 32 << 20
"""Bytes per copy in the kernel. Between two copies, Ctrl-C and progress are handled."""

BLOCK = 2 << 20
"""Bytes per block that is read and written by this process."""

_PAGE = 4096


class Sink:
    """A file, a pipe or a terminal to which bytes are written in order, at its position.

    `progress` is called with the number of bytes written so far. OSErrors of writing are not changed.
    """

    def __init__(self, fd: int, progress: Callable[[int], None] | None = None) -> None:
        self.written = 0
        self._fd = fd
        self._progress = progress or (lambda written: None)
        self._regular = stat.S_ISREG(os.fstat(fd).st_mode)
        self._start = os.lseek(fd, 0, os.SEEK_CUR) if self._regular else 0
        self._ways = [_copy_file_range, _sendfile] if self._regular else [_sendfile]

    def write(self, data: Any) -> None:
        """Write DATA, anything with a contiguous buffer."""
        view = memoryview(data).cast("B")
        while view:
            try:
                count = os.write(self._fd, view)
            except BlockingIOError:  # another process has made the pipe non-blocking
                select.select([], [self._fd], [])
                continue
            view = view[count:]
            self._advance(count)

    def copy(self, source: Source, start: int, end: int) -> None:
        """Write bytes start..end of SOURCE. Raises CaffemodelError if the file has become shorter."""
        while start < end and (count := self._copy_in_kernel(source, start, end)):
            start += count
        with closing(_read_ahead(source, list(self._blocks(start, end)))) as blocks:
            for block in blocks:
                self.write(block)

    def _copy_in_kernel(self, source: Source, start: int, end: int) -> int:
        """Copy a chunk in the kernel. Return the number of bytes; 0 if the kernel cannot copy them."""
        # The kernel copies page by page. If source and target are at different offsets within a page, this takes 1.5
        # times as long as large blocks, and file systems that share extents cannot share any.
        if self._regular and (self._start + self.written - start) % _PAGE:
            return 0
        while self._ways:
            try:
                count = self._ways[0](source.fd, self._fd, start, min(end - start, KERNEL_CHUNK))
            except OSError:
                count = 0
            if count:
                self._advance(count)
                return count
            self._ways.pop(0)
        return 0

    def _blocks(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Return ranges that make up start..end; all but the last end on a page of the target, which is faster."""
        stop = start + BLOCK - (self._start + self.written) % _PAGE
        while start < end:
            yield start, min(stop, end)
            start, stop = stop, stop + BLOCK

    def _advance(self, count: int) -> None:
        self.written += count
        self._progress(self.written)


def _read_ahead(source: Source, ranges: list[tuple[int, int]]) -> Generator[memoryview, None, None]:
    """Return the bytes of each of RANGES, at most BLOCK each; the next range is read while the last is in use."""
    if len(ranges) < 3:
        yield from (memoryview(source.read(*bounds)) for bounds in ranges)
        return
    free: SimpleQueue[memoryview | None] = SimpleQueue()
    full: SimpleQueue[memoryview | BaseException] = SimpleQueue()

    def fill() -> None:
        try:
            for start, end in ranges:
                buffer = free.get()
                if buffer is None:
                    return
                source.read_into(buffer[: end - start], start)
                full.put(buffer[: end - start])
        except BaseException as error:  # any error: the thread that waits for the block must get it
            full.put(error)

    reader = Thread(target=fill, daemon=True)
    buffers = [memoryview(bytearray(BLOCK)) for _ in range(2)]
    for buffer in buffers:
        free.put(buffer)
    reader.start()
    try:
        for position in range(len(ranges)):
            block = full.get()
            if isinstance(block, BaseException):
                raise block
            yield block
            free.put(buffers[position % 2])
    finally:
        free.put(None)
        reader.join()


def _copy_file_range(source: int, target: int, start: int, count: int) -> int:
    if not hasattr(os, "copy_file_range"):  # not on Linux
        return 0
    return os.copy_file_range(source, target, count, start)


def _sendfile(source: int, target: int, start: int, count: int) -> int:
    return os.sendfile(target, source, start, count)
