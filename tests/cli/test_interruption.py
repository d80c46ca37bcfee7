"""What comes in between: Ctrl-C, a full disk, a reader that leaves. Nothing is written, and nobody sees a traceback.

Those that end a process run as processes of their own; the places where they strike are chosen, not timed.
"""

from __future__ import annotations

import errno
import io
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from caffe_fcn.cli.main import app
from tests.cli.conftest import LENET, CommandLine, listing, the_message
from tests.cli.running import FCN
from tests.files.encodings import layer as weights_of
from tests.files.encodings import model, packed, shape_field
from tests.passes.nets import data, fc
from tests.paths import ROOT

pytestmark = pytest.mark.thorough

COMMAND = [sys.executable, "-m", "caffe_fcn", "convert"]
PIPE = 1 << 16
"""The bytes that a pipe takes without a reader."""

INTERRUPTED = 130
"""The exit code after Ctrl-C, 128 + SIGINT."""


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A directory with net.prototxt and a net.caffemodel of 2 MB."""
    (tmp_path / "net.prototxt").write_text(data(shape="1 1 100 100") + fc("fc", "data", 50), encoding="utf-8")
    blobs = [shape_field(shape) + packed(5, np.zeros(shape, "<f4")) for shape in ((50, 10_000), (50,))]
    model(tmp_path / "net.caffemodel", weights_of("fc", blobs))
    return tmp_path


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "CAFFE_FCN_DEBUG": ""}


def start(directory: Path, *arguments: str, code: str | None = None, **options: Any) -> subprocess.Popen[bytes]:
    """`caffe-fcn convert ARGUMENTS` as a process; CODE runs in it first."""
    command = COMMAND
    if code is not None:
        command = [sys.executable, "-c", f"{code}\nfrom caffe_fcn.cli.main import main\nmain()", "convert"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([*command, *arguments], cwd=directory, env=environment(), **pipes)


def finish(process: subprocess.Popen[bytes]) -> tuple[int, bytes, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out or b"", err.decode("utf-8")


def in_shell(directory: Path, script: str) -> tuple[int, bytes, str]:
    """A shell SCRIPT in which "$@" is `caffe-fcn convert`."""
    command = ["sh", "-c", script, "sh", *COMMAND]
    done = subprocess.run(command, cwd=directory, env=environment(), capture_output=True, timeout=60)
    return done.returncode, done.stdout, done.stderr.decode("utf-8")


# ---- Ctrl-C ----


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_copy_waits_for_its_reader(big: Path, number: int) -> None:
    """The pipe is full, so the copy is in its middle when the signal comes."""
    os.mkfifo(big / "pipe")
    before = listing(big)
    process = start(big, "net.prototxt", "net.caffemodel", "-w", "pipe")
    with (big / "pipe").open("rb") as pipe:
        assert pipe.read(PIPE)
        process.send_signal(number)
        code, out, err = finish(process)
    assert (code, out) == (128 + number, b"")
    assert the_message(err).startswith("interrupted")
    assert listing(big) == before


AT_BYTES = """
import os, signal
write, written = os.write, 0
def interrupted(fd, data):
    global written
    count = write(fd, memoryview(data)[:1 << 16])
    written += count
    if written > {size}:
        os.kill(os.getpid(), signal.SIGINT)
    return count
def refused(*arguments):
    raise OSError("not here")
os.write, os.sendfile, os.copy_file_range = interrupted, refused, refused
"""


@pytest.mark.parametrize("size", [0, 500_000, 1_900_000])
@pytest.mark.parametrize("force", [[], ["--force"]], ids=["", "force"])
def test_ctrl_c_in_the_middle_of_the_copy(big: Path, size: int, force: list[str]) -> None:
    if force:
        (big / "net_fcn.caffemodel").write_bytes(b"the old one")
    before = listing(big)
    code, out, err = finish(start(big, "net.prototxt", "net.caffemodel", *force, code=AT_BYTES.format(size=size)))
    assert (code, out) == (INTERRUPTED, b"")
    assert the_message(err) == "interrupted; no file is half written"
    assert listing(big) == before


@pytest.mark.parametrize("module", ["click", "caffe_fcn.cli.convert", "caffe_fcn.passes.conversion", "google.protobuf"])
def test_ctrl_c_while_the_program_is_loaded(big: Path, module: str) -> None:
    """The signal comes when MODULE is about to be imported by `python -m caffe_fcn`."""
    hook = (
        "import os, runpy, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}:\n"
        "            sys.meta_path.remove(self)\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "sys.argv[0] = 'caffe-fcn'\n"
        "runpy.run_module('caffe_fcn', run_name='__main__', alter_sys=True)\n"
    )
    before = listing(big)
    command = [sys.executable, "-c", hook, "convert", "net.prototxt"]
    done = subprocess.run(command, cwd=big, env=environment(), capture_output=True, timeout=60)
    # Python ends itself by the signal where that came through code that it was compiling, as for a dataclass.
    assert done.returncode in (INTERRUPTED, -signal.SIGINT)
    assert b"Traceback" not in done.stderr
    assert listing(big) == before


TWICE = """
import os, signal, time
from threading import Thread
from caffe_fcn.cli import run_pictures
def interrupted(*arguments, **others):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
    os.kill(os.getpid(), {second})
    time.sleep(0.1)
    raise ValueError
run_pictures.carry_out = interrupted
"""
"""While `run` has its hidden files and waits for the first answer, SIGINT comes, and a second signal while it cleans
up, as from `timeout` and from impatient people."""


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_leaves_no_file_of_a_run(digits: CommandLine, second: int) -> None:
    code = f"{TWICE.format(second=int(second))}\nfrom caffe_fcn.cli.main import main\nmain()"
    before = listing(digits.path)
    files = ["--out-dir", "new", "--csv", "z.csv", "--output", ".npy", "--heatmap", "h.png", "--class", "1"]
    command = [sys.executable, "-c", code, "run", *FCN, "scattered.png", "window.png", *files]
    done = subprocess.run(command, cwd=digits.path, env=environment(), capture_output=True, timeout=60)
    assert done.returncode == INTERRUPTED
    assert the_message(done.stderr.decode()) == "interrupted; no file is half written"
    assert listing(digits.path) == before


def striking(
    monkeypatch: pytest.MonkeyPatch, name: str, count: int, error: BaseException, *, after: bool = False
) -> Callable[[], None]:
    """Let the COUNT-th call of os.NAME raise ERROR, AFTER it was done or in its place; return what undoes this."""
    real = getattr(os, name)
    calls = 0

    def strike(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        done = real(*arguments, **options) if calls != count or after else None
        if calls == count:
            raise error
        return done

    monkeypatch.setattr(os, name, strike)
    return lambda: monkeypatch.setattr(os, name, real)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("name", "count"), [("link", 1), ("link", 2), ("unlink", 1)])
def test_ctrl_c_while_the_files_take_their_names(
    lenet: CommandLine, monkeypatch: pytest.MonkeyPatch, name: str, count: int, after: bool
) -> None:
    before = listing(lenet.path)
    restore = striking(monkeypatch, name, count, KeyboardInterrupt(), after=after)
    result = lenet.convert("net.prototxt", "net.caffemodel")
    restore()
    assert result.code == INTERRUPTED
    assert the_message(result.err) == "interrupted; no file is half written"
    assert listing(lenet.path) == before


def test_ctrl_c_while_the_result_is_read_back(lenet: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        assert any(name.endswith(".tmp") for name in lenet.names)
        raise KeyboardInterrupt

    before = listing(lenet.path)
    monkeypatch.setattr("caffe_fcn.model.writing._read_back_weights", interrupt)
    assert lenet.convert("net.prototxt", "net.caffemodel").code == INTERRUPTED
    assert listing(lenet.path) == before


# ---- A full disk ----

LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"


@pytest.mark.parametrize("size", [0, 1000, 1_000_000, 1_999_999])
def test_files_limited_in_size(big: Path, size: int) -> None:
    before = listing(big)
    code, out, err = finish(start(big, "net.prototxt", "net.caffemodel", code=LIMIT.format(size=size)))
    assert (code, out) == (1, b"")
    message = the_message(err)
    assert message.startswith("net_fcn.caffemodel: a file of 2,000,") and "ulimit -f" in message
    assert listing(big) == before


def test_the_limit_also_holds_for_the_text(big: Path) -> None:
    before = listing(big)
    code, _, err = finish(start(big, "net.prototxt", code=LIMIT.format(size=100)))
    assert code == 1 and the_message(err).startswith("net_fcn.prototxt: a file of ")
    assert listing(big) == before


def test_a_limit_that_stdin_does_not_fit_into(big: Path) -> None:
    before = listing(big)
    with (big / "net.caffemodel").open("rb") as stdin:
        process = start(big, "net.prototxt", "-", "-w", "new", code=LIMIT.format(size=1000), stdin=stdin)
        code, _, err = finish(process)
    assert code == 1
    assert "stdin" in the_message(err)
    assert listing(big) == before


def test_what_fits_under_the_limit_is_written(big: Path) -> None:
    """Or the tests of the limit would test something else."""
    code, _, err = finish(start(big, "net.prototxt", "net.caffemodel", code=LIMIT.format(size=2_100_000)))
    assert code == 0, err
    assert (big / "net_fcn.caffemodel").stat().st_size > 2_000_000
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 2_100_000


def filling(monkeypatch: pytest.MonkeyPatch, room: int, code: int = errno.ENOSPC) -> None:
    """A disk with ROOM bytes left, for all ways of writing regular files by descriptor."""
    left = room
    write = os.write

    def refuse(*arguments: Any) -> int:
        raise OSError(code, os.strerror(code))

    def limited(fd: int, buffer: Any) -> int:
        nonlocal left
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return write(fd, buffer)
        if left <= 0:
            refuse()
        view = memoryview(buffer).cast("B")[:left]
        written = write(fd, view)
        left -= written
        return written

    monkeypatch.setattr(os, "write", limited)
    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    monkeypatch.setattr(os, "sendfile", refuse)


@pytest.mark.parametrize("room", [0, 10, 20_000, 34_551, 34_551 + 700])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk(lenet: CommandLine, monkeypatch: pytest.MonkeyPatch, room: int, code: int) -> None:
    """The weights take 34,551 bytes, and the text comes after them."""
    before = listing(lenet.path)
    with monkeypatch.context() as patched:
        filling(patched, room, code)
        result = lenet.convert("net.prototxt", "net.caffemodel")
    assert (result.code, result.out) == (1, b"")
    assert listing(lenet.path) == before
    message = the_message(result.err)
    name, size = ("net_fcn.caffemodel", "34,551") if room < 34_551 else ("net_fcn.prototxt", "1,520")
    assert message.startswith(f"{name}: ") and "choose another place" in message
    if code != errno.EIO:
        assert f"{size} bytes are needed" in message


def test_a_full_disk_leaves_the_file_that_was_to_be_overwritten(
    lenet: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lenet.converts("net.prototxt", "net.caffemodel", "--names", "keep")
    before = listing(lenet.path)
    with monkeypatch.context() as patched:
        filling(patched, 34_600)
        assert lenet.convert("net.prototxt", "net.caffemodel", "--force").code == 1
    assert listing(lenet.path) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
@pytest.mark.parametrize("options", ["--dry-run --json", "--dry-run --diff", "-o -", "net.caffemodel -o x -w -"])
def test_stdout_on_a_full_disk(lenet: CommandLine, options: str) -> None:
    before = listing(lenet.path)
    code, _, err = in_shell(lenet.path, f'"$@" net.prototxt {options} > /dev/full')
    assert code == 1
    assert "stdout" in the_message(err)
    assert listing(lenet.path) == before


# ---- Broken and closed pipes ----


@pytest.mark.parametrize(
    "options",
    [["--json"], ["--diff"], ["-o", "-"], ["net.caffemodel", "-o", "x", "-w", "-"]],
    ids=lambda options: " ".join(options),
)
def test_a_reader_that_leaves(big: Path, options: list[str]) -> None:
    """What is told only goes to a closed pipe after the files are there; what is written to it takes the other file
    with it."""
    before = listing(big)
    reader, writer = os.pipe()
    os.close(reader)
    process = start(big, "net.prototxt", *options, stdout=writer)
    os.close(writer)
    code, _, err = finish(process)
    assert code == 141
    assert "Traceback" not in err and "Exception ignored" not in err and "defect" not in err
    if "-" in options:
        assert listing(big) == before


def test_a_reader_that_leaves_in_the_middle(big: Path) -> None:
    before = listing(big)
    process = start(big, "net.prototxt", "net.caffemodel", "-o", "x", "-w", "-")
    assert process.stdout is not None
    assert process.stdout.read(PIPE)
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 141
    assert b"Traceback" not in err and b"Exception ignored" not in err
    assert listing(big) == before


def test_a_reader_of_a_named_pipe_that_leaves(big: Path) -> None:
    os.mkfifo(big / "pipe")
    before = listing(big)
    process = start(big, "net.prototxt", "net.caffemodel", "-w", "pipe")
    with (big / "pipe").open("rb") as pipe:
        assert pipe.read(PIPE)
    code, _, err = finish(process)
    assert code == 141 and "Traceback" not in err
    assert listing(big) == before


PRINTING = {
    "help": ["--help"],
    "help of a command": ["convert", "--help"],
    "version": ["--version"],
    "inspect": ["inspect", "net.prototxt"],
    "inspect, json": ["inspect", "net.prototxt", "--json"],
    "check": ["check", "net.prototxt", "--json"],
    "convert": ["convert", "net.prototxt", "-o", "-"],
    "convert, weights": ["convert", "net.prototxt", "net.caffemodel", "-w", "-"],
    "convert, several": ["convert", "net.prototxt", "--out-dir", "new", "--diff"],
    "upgrade": ["upgrade", "net.caffemodel", "-"],
    "fold": ["fold", "net.prototxt", "-o", "-"],
    "segment": ["segment", "net.prototxt", "--classes", "3", "-o", "-"],
    "deploy": ["deploy", "net.prototxt", "-o", "-"],
    "reduce": ["reduce", "net.prototxt", "net.caffemodel", "ip1=16", "-o", "-"],
    "draw": ["draw", "net.prototxt", "-o", "-"],
    "diff": ["diff", "net.prototxt", "other.prototxt"],
    "report": ["report", "net.prototxt", "-o", "page.html", "--json"],
    "score": ["score", "net.png", "net.png"],
    "verify": ["verify", "net.prototxt", "net.caffemodel", "net.prototxt", "net.caffemodel", "--proof", "weights"],
    "export": ["export", "net.prototxt", "net.caffemodel", "-o", "-"],
    "run": ["run", "net.prototxt", "net.caffemodel", "net.png"],
    "run, json": ["run", "net.prototxt", "net.caffemodel", "net.png", "--json"],
    "run, array": ["run", "net.prototxt", "net.caffemodel", "net.png", "-o", "-"],
}
"""Of every command, what prints to stdout."""


def test_every_command_prints() -> None:
    assert {words[0] for words in PRINTING.values()} > set(app.commands)


@pytest.mark.parametrize("words", PRINTING.values(), ids=PRINTING)
@pytest.mark.parametrize("stdout", ["a pipe", "/dev/full"])
def test_a_stdout_that_takes_nothing(
    lenet: CommandLine, monkeypatch: pytest.MonkeyPatch, stdout: str, words: list[str]
) -> None:
    """The exit code says that the reader is gone, which is no fault of the model; a full disk is told."""
    if stdout != "a pipe" and not Path(stdout).exists():
        pytest.skip("needs /dev/full")
    Image.fromarray(np.zeros((28, 28), "u1")).save("net.png")
    Path("other.prototxt").write_text(Path("net.prototxt").read_text().replace("MAX", "AVE"))
    if stdout == "a pipe":
        reader, writer = os.pipe()
        os.close(reader)
    else:
        writer = os.open(stdout, os.O_WRONLY)
    out = io.TextIOWrapper(os.fdopen(writer, "wb"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", out)
    result = lenet.run(*words)
    with suppress(OSError):
        out.close()
    if stdout == "a pipe":
        assert result.code == 141 and "caffe-fcn:" not in result.err
    else:
        assert result.code == (2 if words[0] == "diff" else 1) and "stdout: the disk is full" in result.err


def test_a_reader_of_stderr_that_leaves(big: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start(big, "net.prototxt", stderr=writer)
    os.close(writer)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 141 and out == b""
    assert (big / "net_fcn.prototxt").exists()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ('"$@" net.prototxt >&-', 0),
        ('"$@" net.prototxt 2>&-', 0),
        ('"$@" net.prototxt <&- >&- 2>&-', 0),
        ('"$@" net.prototxt --json >&-', 1),
        ('"$@" net.prototxt -o - >&-', 1),
        ('"$@" - -o out <&-', 1),
    ],
)
def test_closed_streams(lenet: CommandLine, script: str, expected: int) -> None:
    code, out, err = in_shell(lenet.path, script)
    assert (code, out) == (expected, b"")
    assert "defect" not in err and "Traceback" not in err


# ---- Pipes that work ----


def test_a_pipeline_of_processes(lenet: CommandLine) -> None:
    code, out, err = in_shell(lenet.path, 'cat net.prototxt | "$@" - --input-size 40x40 | "$@" - --quiet')
    assert code == 0, err
    assert b"ip1-conv" in out and b"dim: 40 dim: 40" in out
    assert "nothing to convert" not in err


def test_weights_through_pipes(lenet: CommandLine) -> None:
    code, out, err = in_shell(lenet.path, 'cat net.caffemodel | "$@" net.prototxt - -q -w - | cat')
    assert code == 0, err
    shutil.copy(LENET / "net.prototxt", "again.prototxt")
    lenet.converts("again.prototxt", "net.caffemodel", "-w", "again.caffemodel")
    assert (lenet.path / "again.caffemodel").read_bytes() == out


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="needs names for the standard streams")
def test_the_standard_streams_by_name(lenet: CommandLine) -> None:
    code, out, err = in_shell(lenet.path, 'cat net.prototxt | "$@" /dev/stdin -o /dev/stdout | cat')
    assert code == 0
    assert b"ip1-conv" in out, err
