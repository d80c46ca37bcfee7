"""Whatever the system refuses, the error names the file."""

from __future__ import annotations

import errno
import os
from typing import Any

import numpy as np
import pytest

from caffe_fcn.files.reading import reading
from tests.cli.conftest import CommandLine, listing, the_message

UNREADABLE = "/proc/self/mem"
"""A file that can be opened, and of which every read is an input/output error."""

NET = ["net.prototxt", "net.caffemodel"]
READS = {
    "inspect": ["inspect", UNREADABLE],
    "inspect, pair": ["inspect", UNREADABLE, "net.caffemodel"],
    "convert": ["convert", UNREADABLE, "net.caffemodel"],
    "convert, out-dir": ["convert", UNREADABLE, "--out-dir", "new"],
    "check": ["check", UNREADABLE],
    "upgrade": ["upgrade", UNREADABLE, "new"],
    "export": ["export", UNREADABLE, "net.caffemodel"],
    "export, labels": ["export", *NET, "--labels", UNREADABLE],
    "verify": ["verify", *NET, UNREADABLE, "net.caffemodel"],
    "verify, image": ["verify", *NET, *NET, "--image", UNREADABLE],
    "run": ["run", *NET, UNREADABLE],
    "run, several": ["run", *NET, UNREADABLE, UNREADABLE],
    "run, labels": ["run", *NET, "a.png", "--labels", UNREADABLE],
    "words": [f"@{UNREADABLE}"],
}


@pytest.mark.skipif(not os.path.exists(UNREADABLE), reason="needs Linux")
@pytest.mark.parametrize("name", READS)
def test_a_file_that_cannot_be_read(lenet: CommandLine, name: str) -> None:
    from PIL import Image

    Image.fromarray(np.zeros((28, 28), "u1")).save("a.png")
    before = listing(lenet.path)
    result = lenet.run(*READS[name])
    assert result.code in (1, 2)
    told = result.err + result.out.decode()
    assert UNREADABLE in told and "Input/output error" in told
    assert "defect" not in told and "Traceback" not in told
    assert listing(lenet.path) == before


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ESTALE])
@pytest.mark.parametrize(
    "arguments",
    [["convert", *NET], ["export", *NET], ["inspect", *NET, "--weights"], ["upgrade", NET[1], "new"]],
    ids=str,
)
def test_weights_that_cannot_be_read_at_any_place(
    lenet: CommandLine, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    """The COUNT-th read fails, for some COUNT from the first on to beyond the last."""
    before = listing(lenet.path)
    real = os.preadv
    failed = 0
    for count in (1, 2, 5, 10, 20, 40, 80, 160):
        calls = 0

        def read(fd: int, *rest: Any, count: int = count) -> int:
            nonlocal calls
            calls += 1
            if calls == count:
                raise OSError(code, os.strerror(code))
            return real(fd, *rest)

        with monkeypatch.context() as patched:
            patched.setattr(os, "preadv", read)
            patched.setattr(os, "copy_file_range", lambda *_: 0)
            patched.setattr(os, "sendfile", lambda *_: 0)
            result = lenet.run(*arguments)
        if calls < count:
            assert result.code == 0
            break
        failed += 1
        assert result.code == 1
        message = the_message(result.err)
        assert ": offset " in message and os.strerror(code) in message
        assert listing(lenet.path) == before
    assert failed > 2


@pytest.mark.thorough
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("call", ["open", "write", "close", "chmod"])
@pytest.mark.parametrize("output", ["net_fcn.caffemodel", "net_fcn.prototxt"])
def test_a_file_that_cannot_be_written_at_any_step(
    lenet: CommandLine, monkeypatch: pytest.MonkeyPatch, output: str, call: str, code: int
) -> None:
    lenet.converts(*NET)
    before = listing(lenet.path)
    opened, real = os.open, getattr(os, call)
    ours: set[int] = set()

    def opening(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        fd: int = opened(path, flags, *rest, **options)
        if flags & os.O_CREAT and os.path.basename(path).startswith(f".{output}."):
            ours.add(fd)
        return fd

    def failing(first: Any, *rest: Any, **options: Any) -> Any:
        if first in ours or (isinstance(first, str) and os.path.basename(first).startswith(f".{output}.")):
            ours.discard(first)
            raise OSError(code, os.strerror(code))
        return real(first, *rest, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", opening)
        patched.setattr(os, "copy_file_range", lambda *_: 0)
        patched.setattr(os, "sendfile", lambda *_: 0)
        patched.setattr(os, call, failing)
        result = lenet.run("convert", *NET, "--force")
    assert result.code == 1
    assert the_message(result.err).startswith(f"{output}: ")
    assert listing(lenet.path) == before


def test_a_temporary_name_is_never_told(lenet: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read back has the name that it will get."""

    def broken(path: str, name: str | None = None) -> Any:
        return reading(UNREADABLE, name)

    monkeypatch.setattr("caffe_fcn.model.writing.reading", broken)
    assert lenet.refuses("net.prototxt") == "net_fcn.prototxt: Input/output error"
