from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread, active_count

import pytest

from caffe_fcn.errors import CaffemodelError
from caffe_fcn.files import copying
from caffe_fcn.files.copying import Sink
from caffe_fcn.files.source import Source

CONTENT = os.urandom(1 << 20)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    monkeypatch.setattr(copying, "BLOCK", 64 << 10)
    monkeypatch.setattr(copying, "KERNEL_CHUNK", 100_000)
    (tmp_path / "source").write_bytes(CONTENT)
    with Source(tmp_path / "source") as source:
        yield source


def refuse(code: int) -> Callable[..., int]:
    def refused(*arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    return refused


def stop(*arguments: object) -> int:
    return 0


def check(source: Source, target: Path, start: int, end: int, flags: int = 0) -> None:
    """A copy between two literal pieces, to a file, arrives whole, and progress goes up to its size."""
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | flags)
    progress: list[int] = []
    sink = Sink(fd, progress.append)
    sink.write(b"head")
    sink.copy(source, start, end)
    sink.write(b"tail")
    os.close(fd)
    assert target.read_bytes() == b"head" + CONTENT[start:end] + b"tail"
    assert sink.written == progress[-1] == end - start + 8
    assert progress == sorted(progress)


# Behind four bytes, 4 is at the same place of a page and 0 is not.
RANGES = [(4, 1 << 20), (0, 1 << 20), (4, 5), (7, 7), (123, 130_000), (4100, 1_000_000)]


@pytest.mark.parametrize(("start", "end"), RANGES)
def test_ranges_arrive_whole(source: Source, tmp_path: Path, start: int, end: int) -> None:
    check(source, tmp_path / "out", start, end)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM])
@pytest.mark.parametrize("ways", [("copy_file_range",), ("copy_file_range", "sendfile")])
@pytest.mark.parametrize(("start", "end"), RANGES)
def test_what_the_system_refuses_is_done_otherwise(
    source: Source,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    ways: tuple[str, ...],
    start: int,
    end: int,
) -> None:
    for way in ways:
        monkeypatch.setattr(os, way, refuse(code))
    check(source, tmp_path / "out", start, end)


@pytest.mark.parametrize(
    ("start", "refused", "expected"),
    [
        (4, [], ["copy_file_range"] * 11),
        (4, ["copy_file_range"], ["copy_file_range"] + ["sendfile"] * 11),
        (5, [], []),
    ],
)
def test_the_kernel_copies_where_pages_agree(
    source: Source,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    start: int,
    refused: list[str],
    expected: list[str],
) -> None:
    calls: list[str] = []

    def spy(name: str, way: Callable[..., int]) -> Callable[..., int]:
        def spied(*arguments: int) -> int:
            calls.append(name)
            return refuse(errno.EXDEV)() if name in refused else way(*arguments)

        return spied

    for name in ("copy_file_range", "sendfile"):
        monkeypatch.setattr(os, name, spy(name, getattr(os, name)))
    check(source, tmp_path / "out", start, 1 << 20)
    assert calls == expected


def test_a_way_that_stops_short_or_is_not_there(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sendfile", stop)
    monkeypatch.delattr(os, "copy_file_range")
    check(source, tmp_path / "out", 4, 1 << 20)


def test_a_way_that_fails_in_the_middle(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_file_range = os.copy_file_range

    def once(source: int, target: int, count: int, start: int) -> int:
        if start > 4:
            raise OSError(errno.EIO, "no")
        return copy_file_range(source, target, count, start)

    monkeypatch.setattr(os, "copy_file_range", once)
    check(source, tmp_path / "out", 4, 1 << 20)


def test_a_file_that_is_appended_to(source: Source, tmp_path: Path) -> None:
    """What a shell opens for `>>`, which copy_file_range and sendfile refuse."""
    check(source, tmp_path / "out", 4, 1 << 20, os.O_APPEND)


@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("blocking", [True, False])
def test_a_pipe(source: Source, monkeypatch: pytest.MonkeyPatch, refused: bool, blocking: bool) -> None:
    if refused:
        monkeypatch.setattr(os, "sendfile", refuse(errno.EINVAL))
    out, into = os.pipe()
    os.set_blocking(into, blocking)
    got: list[bytes] = []
    with open(out, "rb") as file:
        reader = Thread(target=lambda: got.append(file.read()))
        reader.start()
        try:
            sink = Sink(into)
            sink.write(b"head")
            sink.copy(source, 10, 1 << 20)
        finally:
            os.close(into)
            reader.join()
    assert got == [b"head" + CONTENT[10:]]


def test_a_pipe_without_a_reader(source: Source) -> None:
    out, into = os.pipe()
    os.close(out)
    with pytest.raises(BrokenPipeError):
        Sink(into).copy(source, 0, 1 << 20)
    os.close(into)


@pytest.mark.parametrize("start", [0, 1])
def test_a_source_that_shrinks(source: Source, tmp_path: Path, start: int) -> None:
    os.truncate(source.path, 500_000)
    threads = active_count()
    fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(CaffemodelError, match="its end; it had 1,048,576 bytes when it was opened"):
        Sink(fd).copy(source, start, 1 << 20)
    os.close(fd)
    assert active_count() == threads


@pytest.mark.parametrize("start", [0, 1])
def test_an_interrupt_comes_through(source: Source, tmp_path: Path, start: int) -> None:
    def interrupt(written: int) -> None:
        if written > 300_000:
            raise KeyboardInterrupt

    threads = active_count()
    fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(KeyboardInterrupt):
        Sink(fd, interrupt).copy(source, start, 1 << 20)
    os.close(fd)
    assert active_count() == threads
    assert 300_000 < (tmp_path / "out").stat().st_size < 500_000


def test_errors_of_progress_are_not_taken_for_errors_of_copying(source: Source, tmp_path: Path) -> None:
    def fail(written: int) -> None:
        raise OSError(errno.EINVAL, "of the progress bar")

    fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="of the progress bar"):
        Sink(fd, fail).copy(source, 0, 1 << 20)
    os.close(fd)


@pytest.mark.parametrize("error", [ValueError("odd"), MemoryError(), KeyboardInterrupt(), SystemExit(3)], ids=repr)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_whatever_ends_reading_ahead_ends_the_copy(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, count: int
) -> None:
    """At any block; an exception of any kind, which would otherwise be waited for without an end."""
    read, calls = source.read_into, 0

    def failing(view: memoryview, offset: int) -> None:
        nonlocal calls
        calls += 1
        if calls == count:
            raise error
        read(view, offset)

    monkeypatch.setattr(source, "read_into", failing)
    before = active_count()
    with (tmp_path / "out").open("wb") as file, pytest.raises(type(error)):
        Sink(file.fileno()).copy(source, 1, source.size)
    assert calls == count and active_count() == before
