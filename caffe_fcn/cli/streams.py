"""The standard streams: stdin as a file, because weights need random access, and documents on stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from caffe_fcn.errors import CaffeFcnError

if TYPE_CHECKING:
    from caffe_fcn.report.diff import StyledLine
    from caffe_fcn.report.tables import Part

_PIECES = 10_000
"""The number of pieces of a JSON document that are printed at a time; this limits the memory."""

_CODES = {"old": 31, "new": 32, "changed": 33, "head": 1, "dim": 2}
"""The codes for the styles of lines in a terminal (ECMA-48, Select Graphic Rendition)."""

STDIN = "<stdin>"
"""The name of stdin in messages."""


_PIPES = "/dev/fd/"
"""How the path of a pipe begins that a shell makes for `<(...)`."""


@contextmanager
def as_file(path: str) -> Iterator[str]:
    """Return PATH, or the path of a temporary file with all of stdin for "-", or all of a pipe that the shell made,
    because weights need random access."""
    piped = path.startswith(_PIPES) and not os.path.isfile(path)
    if path != "-" and not piped:
        yield path
        return
    import shutil  # here, because few files come from stdin
    import tempfile  # here, because few files come from stdin

    from caffe_fcn.files.atomic import output_error
    from caffe_fcn.files.reading import reading

    if not piped and sys.stdin is None:
        raise CaffeFcnError("stdin: expected an open stream, found it closed; name a file instead")
    with ExitStack() as stack:
        source = stack.enter_context(reading(path)) if piped else sys.stdin.buffer
        file = stack.enter_context(tempfile.NamedTemporaryFile(prefix="caffe-fcn-"))
        try:
            shutil.copyfileobj(source, file)
            file.flush()
        except OSError as error:
            raise output_error("a temporary copy of stdin", error) from error
        yield file.name


def print_diff(diff: str) -> None:
    """Print DIFF to stdout: unchanged bytes to a pipe or a file, so that it can be applied; visible text to a terminal.
    Raises OutputError if stdout is closed or full."""
    from caffe_fcn.display import visible_lines
    from caffe_fcn.files.stdout import to_stdout

    if sys.stdout is not None and sys.stdout.isatty():
        diff = visible_lines(diff.replace("\r\n", "\n").expandtabs())
    to_stdout(diff.encode("utf-8", "surrogateescape"))


def print_json(value: Any) -> None:
    """Print VALUE to stdout as a JSON document. Raises OutputError if stdout is closed or full."""
    import json  # here, because help does not need it

    from caffe_fcn.display import visible_json
    from caffe_fcn.files.stdout import to_stdout

    pieces = chain(json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(value), "\n")
    while part := "".join(islice(pieces, _PIECES)):
        to_stdout(visible_json(part).encode())


def print_page(page: Callable[[int | None], Sequence[Part]]) -> None:
    """Print to stdout what PAGE returns for the width in cells; None means any width. Raises OutputError if stdout is
    closed or full."""
    from caffe_fcn.files.stdout import to_stdout
    from caffe_fcn.report.tables import render

    width = _width()
    to_stdout(render(page(width), width, colour=_is_terminal() and _wants_colour()).encode("utf-8", "replace"))


def print_lines(lines: Iterable[StyledLine], *, colour: bool = False) -> None:
    """Print LINES to stdout; with COLOUR, or to a terminal, in their styles. Raises OutputError if stdout is closed or
    full."""
    from caffe_fcn.display import visible
    from caffe_fcn.files.stdout import to_stdout

    codes = _CODES if _wants_colour() and (colour or _is_terminal()) else {}
    for line in lines:
        text, code = visible(line.text), codes.get(line.style)
        to_stdout((f"\x1b[{code}m{text}\x1b[0m\n" if code else f"{text}\n").encode("utf-8", "replace"))


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _wants_colour() -> bool:
    """Return whether output to a terminal has styles (no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("dumb", "unknown")


def _width() -> int | None:
    """Return the width in cells: that of the terminal, in a pipe that in COLUMNS, if it is set."""
    if _is_terminal():
        import shutil  # here, because help does not need it

        return shutil.get_terminal_size().columns
    asked = os.environ.get("COLUMNS", "")
    return int(asked) if asked.isdecimal() and 0 < int(asked) < 100_000 else None
