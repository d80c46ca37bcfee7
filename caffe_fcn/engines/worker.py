"""Runs code that may abort in a separate process, and keeps the last lines of its log.

If that process ends, the caller gets an error with the last line of its log. The log is a file without a name, so
nothing is left behind. When this process ends, the other one ends too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, BinaryIO

from caffe_fcn.engines.caffe_worker import read, read_arrays, write
from caffe_fcn.engines.protocol import Array
from caffe_fcn.errors import EngineError
from caffe_fcn.wording import Option, advise

_PATIENCE = 2.0
"""The seconds that a process has to end by itself."""
_TAIL = 1 << 16
"""The number of bytes at the end of the log that are used."""


class EndedError(Exception):
    """The process has ended. CODE is its exit code, negative for a signal, and LOG has the last lines of its log."""

    def __init__(self, code: int, log: tuple[str, ...]) -> None:
        super().__init__(code, log)
        self.code, self.log = code, log

    @property
    def how(self) -> str:
        """The end of the process in words."""
        if self.code >= 0:
            return f"with the exit code {self.code}"
        with suppress(ValueError):
            memory = ", perhaps out of memory" if -self.code == signal.SIGKILL else ""
            return f"by {signal.Signals(-self.code).name}{memory}"
        return f"by signal {-self.code}"


class Worker:
    """A process that runs the file SCRIPT, with ENVIRONMENT added to the current environment. It answers one request at
    a time, from any thread. It ends with this object."""

    def __init__(self, script: str, environment: Mapping[str, str]) -> None:
        if not sys.executable:
            raise EngineError(
                expected="the path of Python in sys.executable",
                found="none",
                hint=advise("use ", Option("engine", "onnxruntime")),
            )
        self._log: IO[bytes] = tempfile.TemporaryFile(prefix="caffe-fcn-")  # noqa: SIM115
        asked, told, life = os.pipe(), os.pipe(), os.pipe()
        theirs = (asked[0], told[1], life[0])
        try:
            self._process = subprocess.Popen(
                [sys.executable, script, *map(str, theirs)],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=theirs,
                env={**os.environ, **environment},
            )
        except BaseException as error:
            for each in (asked[1], told[0], life[1]):
                os.close(each)
            if isinstance(error, OSError):
                raise EngineError(f"cannot start a process with {sys.executable}: {error.strerror}") from error
            raise
        finally:
            for each in theirs:
                os.close(each)
        self._requests: BinaryIO = os.fdopen(asked[1], "wb")
        self._replies: BinaryIO = os.fdopen(told[0], "rb")
        self._lock = threading.Lock()
        self._end = weakref.finalize(self, _end, self._process, self._requests, self._replies, life[1])

    def call(
        self, message: Mapping[str, Any], arrays: Sequence[tuple[str, Array]] = ()
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return the reply to MESSAGE and ARRAYS. Raises EndedError if the process ends instead."""
        import numpy as np

        with self._lock:
            try:
                write(self._requests, dict(message), list(arrays))
                reply = read(self._replies)
                if reply is not None:
                    return reply, read_arrays(self._replies, reply, np)
            except (OSError, EOFError, ValueError):
                pass
            except BaseException:  # an interrupt: the next request would get this reply
                self._process.kill()
                self._end()
                raise
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE)
            self._end()
            raise EndedError(self._process.returncode, self.log)

    @property
    def log(self) -> tuple[str, ...]:
        """Return the last lines of the log of the process."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _TAIL))
        return tuple(self._log.read().decode("utf-8", "replace").splitlines())

    def close(self) -> None:
        """End the process."""
        self._end()


def _end(process: subprocess.Popen[bytes], requests: BinaryIO, replies: BinaryIO, life: int) -> None:
    """Close the pipes, which ends PROCESS; kill it if it does not end."""
    for pipe in (requests, replies):
        with suppress(OSError):
            pipe.close()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        os.close(life)
