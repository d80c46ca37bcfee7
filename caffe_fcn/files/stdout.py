"""Standard output as a place to write to: what goes wrong there is told as for a file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TextIO

from caffe_fcn.errors import OutputError
from caffe_fcn.files.atomic import output_error

STDOUT = "-"
"""The name that stands for it."""


def write_stdout(write: Callable[[int], None], needed: int) -> None:
    """Let WRITE write NEEDED bytes to the descriptor of stdout. Raises OutputError where that is closed or full."""
    out = stdout()
    try:
        write(out.fileno())
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output_error("stdout", error, needed=needed) from error


def to_stdout(data: bytes) -> None:
    """Write DATA to stdout. Raises OutputError where that is closed or full."""
    out = stdout().buffer
    try:
        out.write(data)
        out.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output_error("stdout", error, needed=len(data)) from error


def stdout() -> TextIO:
    """Stdout, with nothing left in Python's buffer. Raises OutputError where it is closed."""
    if sys.stdout is None:
        raise OutputError("stdout: expected an open stream, found it closed", hint="name a file instead")
    sys.stdout.flush()
    return sys.stdout
