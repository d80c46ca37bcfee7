"""Writes to standard output; errors are reported as for a file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TextIO

from caffe_fcn.errors import OutputError
from caffe_fcn.files.atomic import output_error

STDOUT = "-"
"""The name for standard output."""


def write_stdout(write: Callable[[int], None], needed: int) -> None:
    """Let WRITE write NEEDED bytes to the descriptor of stdout. Raises OutputError if stdout is closed or full."""
    out = stdout()
    try:
        write(out.fileno())
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output_error("stdout", error, needed=needed) from error


def to_stdout(data: bytes) -> None:
    """Write DATA to stdout. Raises OutputError if stdout is closed or full."""
    out = stdout().buffer
    try:
        out.write(data)
        out.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output_error("stdout", error, needed=len(data)) from error


def stdout() -> TextIO:
    """Return stdout after Python's buffer is flushed. Raises OutputError if stdout is closed."""
    if sys.stdout is None:
        raise OutputError("stdout: expected an open stream, found it closed", hint="name a file instead")
    sys.stdout.flush()
    return sys.stdout
