"""Several files change together or not at all, whatever fails, and whenever a signal comes."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest

from caffe_fcn.errors import OutputError
from caffe_fcn.files import atomic, interruption
from caffe_fcn.files.atomic import OutputFiles
from tests.paths import ROOT

FILES = [
    ("net", True),
    ("weights", True),
    ("fresh", False),
    ("forced", True),
]
"""Names of outputs, and whether they may be overwritten. The first two exist."""

INTERRUPTIBLE = ("SIGINT", "SIGTERM", "SIGHUP")


class State(NamedTuple):
    """A file as `cp -a` would know it."""

    data: bytes
    inode: int
    mode: int
    modified: int
    links: int


def states(directory: Path) -> dict[str, State]:
    found = {}
    for path in sorted(directory.iterdir()):
        status = path.stat()
        data = b"" if path.is_dir() else path.read_bytes()
        found[path.name] = State(data, status.st_ino, status.st_mode, status.st_mtime_ns, status.st_nlink)
    return found


def make_pair(directory: Path) -> dict[str, State]:
    """Put an old net, and old weights that have a second name, into DIRECTORY."""
    directory.mkdir(exist_ok=True)
    (directory / "net").write_bytes(b"old net")
    (directory / "weights").write_bytes(b"old weights")
    (directory / "net").chmod(0o640)
    (directory / "also").hardlink_to(directory / "weights")
    os.utime(directory / "net", ns=(1, 1))
    return states(directory)


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A directory with old files."""
    make_pair(tmp_path)
    return tmp_path


def write_all(directory: Path) -> None:
    with OutputFiles() as outputs:
        for name, overwrite in FILES:
            outputs.add(directory / name, overwrite=overwrite).write(b"new")
        outputs.commit()


def assert_all_or_nothing(directory: Path, before: dict[str, State], done: bool) -> None:
    """All files are new, or all are the very files they were; nothing else is there."""
    after = states(directory)
    if not done:
        assert after == before
        return
    assert set(after) == {"also", *(name for name, _ in FILES)}
    assert {name: after[name].data for name, _ in FILES} == {name: b"new" for name, _ in FILES}
    assert after["also"].data == b"old weights"
    assert after["net"].mode & 0o777 == 0o640


def refuse(*_: Any, **__: Any) -> Any:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


class Strike:
    """Lets the COUNT-th call of os.NAME raise ERROR, AFTER it was done or in its place."""

    def __init__(self, name: str, count: int, error: BaseException, *, after: bool) -> None:
        self._real: Callable[..., Any] = getattr(os, name)
        self._count, self._error, self._after = count, error, after
        self.calls = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls == self._count and not self._after:
            raise self._error
        done = self._real(*arguments, **options)
        if self.calls == self._count:
            raise self._error
        return done


@pytest.mark.parametrize("linkless", [False, True], ids=["", "linkless"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O error"), KeyboardInterrupt(), MemoryError()], ids=repr)
@pytest.mark.parametrize("name", ["link", "replace", "rename", "close"])
def test_every_step_may_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException, after: bool, linkless: bool
) -> None:
    """The COUNT-th call of each function that a commit uses fails, for each COUNT until none is left to fail."""
    if linkless and name == "link":  # it is refused anyway
        return
    for count in itertools.count(1):
        directory = tmp_path / str(count)
        before = make_pair(directory)
        with monkeypatch.context() as patched, suppress(OutputError, KeyboardInterrupt, MemoryError):
            if linkless:
                patched.setattr(os, "link", refuse)
            strike = Strike(name, count, error, after=after)
            patched.setattr(os, name, strike)
            write_all(directory)
        done = (directory / "net").read_bytes() == b"new"
        assert_all_or_nothing(directory, before, done)
        if strike.calls < count:
            assert (done and count > 1) or name in ("rename", "replace")
            break
        # Without links os.link is tried and given up; that alone may fail and harm nothing.
        assert not done or (name == "link" and isinstance(error, OSError))


@pytest.mark.parametrize("position", range(len(FILES)))
def test_a_file_that_cannot_get_its_name_is_named(pair: Path, monkeypatch: pytest.MonkeyPatch, position: int) -> None:
    name = FILES[position][0]
    before = states(pair)
    replace = os.replace

    def failing(old: str, new: str) -> None:
        refuse() if old.endswith(".tmp") and os.path.basename(new) == name else replace(old, new)

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", refuse)
        patched.setattr(os, "replace", failing)
        with pytest.raises(OutputError, match=f"/{name}: cannot be written: Input/output error"):
            write_all(pair)
    assert_all_or_nothing(pair, before, done=False)


def test_what_cannot_be_put_back_is_told(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, calls = os.replace, itertools.count(1)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", lambda old, new: replace(old, new) if next(calls) == 1 else refuse())
        with pytest.raises(OutputError) as caught:
            write_all(pair)
    [kept] = (path for path in pair.iterdir() if path.name.endswith(".old"))
    assert kept.read_bytes() == b"old net"
    assert f"{pair / 'net'} is already the new file and cannot be put back: the old file is {kept}" in str(caught.value)


def test_a_directory_that_turned_up_stays(pair: Path) -> None:
    before = states(pair)
    with pytest.raises(OutputError, match="forced: cannot be written: Is a directory"), OutputFiles() as outputs:
        for name, overwrite in FILES:
            outputs.add(pair / name, overwrite=overwrite).write(b"new")
        (pair / "forced").mkdir()
        outputs.commit()
    (pair / "forced").rmdir()
    assert states(pair) == before


def test_files_of_others_are_moved_and_not_linked(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a directory as /tmp, a second name of another's file could not be removed again."""
    before = states(pair)
    real = os.rename

    def sticky(old: str, new: str) -> None:
        refuse() if old.endswith("weights") else real(old, new)

    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: os.getuid() + 1)
        patched.setattr(os, "rename", sticky)
        with pytest.raises(OutputError, match="weights: cannot be written"):
            write_all(pair)
    assert states(pair) == before


def test_links_are_followed(pair: Path) -> None:
    """A symbolic link stays one, and what it points to is put back where another file fails."""
    (pair / "elsewhere").mkdir()
    (pair / "net").rename(pair / "elsewhere" / "net")
    (pair / "net").symlink_to("elsewhere/net")
    before = states(pair / "elsewhere")
    with pytest.raises(OutputError), OutputFiles() as outputs:
        outputs.add(pair / "net", overwrite=True).write(b"new")
        outputs.add(pair / "forced", overwrite=True).write(b"new")
        (pair / "forced").mkdir()
        outputs.commit()
    assert (pair / "net").is_symlink() and states(pair / "elsewhere") == before


@contextmanager
def signal_at_line(number: int, count: int) -> Iterator[list[int]]:
    """Send the signal NUMBER before the COUNT-th line of the commit is run; count the lines in the list's one item."""
    lines = [0]
    files = {atomic.__file__, interruption.__file__}

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            lines[0] += 1
            if lines[0] == count:
                signal.raise_signal(number)
        return trace

    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(None)


def interrupt_every_line(parent: Path, name: str, failing: bool) -> int:
    """Commit in new directories of PARENT, with the signal NAME at one line after the other, while the second rename is
    FAILING or not; return how many times it came. For a process of its own: the handlers of signals change."""
    for each in INTERRUPTIBLE:
        signal.signal(getattr(signal, each), signal.default_int_handler)
    replace = os.replace
    for count in itertools.count(1):
        directory = parent / f"{name} {failing} {count}"
        before = make_pair(directory)
        error: BaseException | None = None
        with OutputFiles() as outputs:
            for each, overwrite in FILES:
                outputs.add(directory / each, overwrite=overwrite).write(b"new")
            if failing:
                os.replace = Strike("replace", 2, OSError(errno.EIO, "I/O error"), after=False)
            try:
                with signal_at_line(getattr(signal, name), count) as lines:
                    outputs.commit()
            except (OutputError, KeyboardInterrupt) as caught:
                error = caught
            finally:
                os.replace = replace
        done = (directory / "net").read_bytes() == b"new"
        assert_all_or_nothing(directory, before, done)
        assert not (done and failing)
        if lines[0] < count:
            return count - 1
        assert isinstance(error, KeyboardInterrupt), f"{name} at line {count} was lost"
    raise AssertionError("unreachable")


INTERRUPTING = """
import pathlib, sys
from tests.files.test_commit import INTERRUPTIBLE, interrupt_every_line
for name in INTERRUPTIBLE:
    for failing in (False, True):
        print(name, failing, interrupt_every_line(pathlib.Path(sys.argv[1]), name, failing))
"""


@pytest.mark.thorough
def test_a_signal_at_any_line_of_a_commit(tmp_path: Path) -> None:
    """In a process of its own: an interrupt may end one that runs tests."""
    command = [sys.executable, "-c", INTERRUPTING, str(tmp_path)]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    told = [line.split() for line in made.stdout.splitlines()]
    assert [(name, failing) for name, failing, _ in told] == [
        (name, failing) for name in INTERRUPTIBLE for failing in ("False", "True")
    ], made.stderr
    assert all(int(count) > 50 for _, _, count in told)


def test_a_commit_on_another_thread(pair: Path) -> None:
    thread = threading.Thread(target=write_all, args=(pair,))
    before = states(pair)
    thread.start()
    thread.join()
    assert_all_or_nothing(pair, before, done=True)


def test_a_commit_on_another_thread_that_fails(pair: Path) -> None:
    before = states(pair)
    errors: list[str] = []

    def work() -> None:
        try:
            with OutputFiles() as outputs:
                for name, overwrite in FILES:
                    outputs.add(pair / name, overwrite=overwrite).write(b"new")
                (pair / "forced").mkdir()
                outputs.commit()
        except OutputError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (pair / "forced").rmdir()
    assert states(pair) == before
    assert len(errors) == 1 and errors[0].startswith(str(pair / "forced"))
