"""Error messages for stderr. A command that continues after a failure prints the same message as one that ends."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress

import click

from caffe_fcn.errors import CaffeFcnError

DONE, FAILED, TROUBLE, BY_SIGNAL = 0, 1, 2, 128
"""Exit codes; click uses 2 for wrong usage, and `diff` for all trouble, as other programs of that name do. A signal
ends the program with BY_SIGNAL plus its number, as in a shell."""

INTERRUPTED, READER_GONE = BY_SIGNAL + 2, BY_SIGNAL + 13
"""The exit codes for SIGINT (Ctrl-C) and SIGPIPE."""


def exit_codes(done: str, failed: str, trouble: str = "wrong usage") -> str:
    """Return the last line of a command's help, with the meaning of exit codes 0, 1 and 2."""
    signals = f"{INTERRUPTED} interrupted, {READER_GONE} the reader of a pipe is gone"
    return f"Exit codes: {DONE} {done}, {FAILED} {failed}, {TROUBLE} {trouble}, {signals}."


DEBUG = "CAFFE_FCN_DEBUG"
"""The environment variable that turns on tracebacks."""


def explain(error: Exception) -> str:
    """Return the message of ERROR. For an error at a place in a text, it has several lines that show the place."""
    excerpt = error.excerpt if isinstance(error, CaffeFcnError) else None
    return in_one_line(error) if excerpt is None else f"{in_one_line(error)}\n{excerpt}"


def in_one_line(error: Exception) -> str:
    """Return the message of ERROR on one line, even if it quotes names of a model."""
    from caffe_fcn.display import visible

    return visible(_words(error))


def is_about(error: Exception, files: Collection[str]) -> bool:
    """Return whether ERROR names a file of FILES; only the last part of the path is compared."""
    named = error.source if isinstance(error, CaffeFcnError) else getattr(error, "filename", None)
    return isinstance(named, str) and os.path.basename(named) in map(os.path.basename, files)


def _words(error: Exception) -> str:
    """Return the message of ERROR if it is meant for users; else a message that it is a defect."""
    from caffe_fcn.files.atomic import FULL, output_error

    if isinstance(error, CaffeFcnError):
        return error.line
    if isinstance(error, OSError):
        if error.filename is None and error.errno in FULL:  # only stdout has no name here
            return str(output_error("stdout", error))
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or error}"
    if isinstance(error, MemoryError):
        return "out of memory; no file is half written"
    return f"a defect of caffe-fcn ({type(error).__name__}: {error}); please report it, with what {DEBUG}=1 shows"


def tell(message: str) -> None:
    """Print MESSAGE, which may quote a model, to stderr; for debugging, also the traceback of the current error."""
    if os.environ.get(DEBUG):
        import traceback  # here, because only debugging needs it

        traceback.print_exc()
    from caffe_fcn.display import visible_lines

    with suppress(OSError):
        click.echo(f"caffe-fcn: {visible_lines(message)}", err=True)
