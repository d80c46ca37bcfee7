"""Errors in words, for stderr. A command that goes on after a failure tells it as the program's end would."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress

import click

from caffe_fcn.errors import CaffeFcnError

DONE, FAILED, BY_SIGNAL = 0, 1, 128
"""Exit codes; wrong usage is click's, 2. A signal ends the program with BY_SIGNAL and its number, as in a shell."""

INTERRUPTED, READER_GONE = BY_SIGNAL + 2, BY_SIGNAL + 13
"""The exit codes for SIGINT (Ctrl-C) and SIGPIPE."""


def exit_codes(done: str, failed: str) -> str:
    """The line at the end of a command's help, with what 0 and 1 mean there."""
    signals = f"{INTERRUPTED} interrupted, {READER_GONE} the reader of a pipe is gone"
    return f"Exit codes: {DONE} {done}, {FAILED} {failed}, 2 wrong usage, {signals}."


DEBUG = "CAFFE_FCN_DEBUG"
"""The variable of the environment that shows where an error comes from."""


def explain(error: Exception) -> str:
    """What to tell of ERROR. An error at a place in a text has more lines than one, which show it."""
    excerpt = error.excerpt if isinstance(error, CaffeFcnError) else None
    return in_one_line(error) if excerpt is None else f"{in_one_line(error)}\n{excerpt}"


def in_one_line(error: Exception) -> str:
    """What to tell of ERROR, on one line, whatever names of a model it quotes."""
    from caffe_fcn.display import visible

    return visible(_words(error))


def is_about(error: Exception, files: Collection[str]) -> bool:
    """Whether ERROR names the file that it is about, and that is called like one of FILES, wherever it is."""
    named = error.source if isinstance(error, CaffeFcnError) else getattr(error, "filename", None)
    return isinstance(named, str) and os.path.basename(named) in map(os.path.basename, files)


def _words(error: Exception) -> str:
    """What ERROR says itself if it is meant for people, else that it is a defect."""
    from caffe_fcn.files.atomic import FULL, output_error

    if isinstance(error, CaffeFcnError):
        return error.line
    if isinstance(error, OSError):
        if error.filename is None and error.errno in FULL:  # of what has no name, only stdout is written to
            return str(output_error("stdout", error))
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or error}"
    if isinstance(error, MemoryError):
        return "out of memory; no file is half written"
    return f"a defect of caffe-fcn ({type(error).__name__}: {error}); please report it, with what {DEBUG}=1 shows"


def tell(message: str) -> None:
    """Print MESSAGE, which may quote a model, to stderr; for debugging, the traceback of the error in hand too."""
    if os.environ.get(DEBUG):
        import traceback  # here, because only debugging needs it

        traceback.print_exc()
    from caffe_fcn.display import visible_lines

    with suppress(OSError):
        click.echo(f"caffe-fcn: {visible_lines(message)}", err=True)
