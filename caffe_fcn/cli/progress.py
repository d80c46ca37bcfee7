"""Progress bars for long work. A bar is erased when the work is done."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import click

from caffe_fcn.display import visible

_FROM = 128 << 20
"""The least number of bytes of a copy for a progress bar; a smaller copy is too fast to show one."""

_RUNS = 2
"""The least number of runs for a progress bar on a single picture."""

_LABEL = 28
_BAR = 20
"""The width of the label and of the bar, in characters: with the numbers after them they fit into 80."""

_ERASE = "\033[A\033[2K"
"""The escape codes that erase the line above the cursor, where a closed bar is."""


def copying(size: int, quiet: bool) -> AbstractContextManager[Callable[[int], None] | None]:
    """Return a context with a callback that shows the number of bytes written so far, of SIZE; None if no terminal
    shows it."""
    return _bytes("copying weights", size, quiet)


def reading(size: int, quiet: bool) -> AbstractContextManager[Callable[[int], None] | None]:
    """Return the same for bytes that are read."""
    return _bytes("looking at weights", size, quiet)


@contextmanager
def _bytes(label: str, size: int, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    if quiet or size < _FROM or not _is_watched():
        yield None
        return
    with _bar(label, size, lambda pos: f"{pos >> 20} of {size >> 20} MiB") as show:
        yield show


@contextmanager
def looking(name: str, runs: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """Return a callback to be called after each of the RUNS for the picture NAME; on a terminal it shows the
    progress."""
    if quiet or runs < _RUNS or not _is_watched():
        yield lambda: None
        return
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        show(done)

    with _bar(name, runs, lambda pos: f"{pos}/{runs}") as show:
        yield one_more


def _is_watched() -> bool:
    """Return whether stderr is a terminal on which a line can be redrawn."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


@contextmanager
def _bar(label: str, length: int, told: Callable[[int], str]) -> Iterator[Callable[[int], None]]:
    """Return a callback that shows the steps done so far, of LENGTH, as the text that TOLD returns. The last step
    erases the bar, so that the next output begins on a new line."""
    label = visible(label)
    label = label if len(label) <= _LABEL else "…" + label[1 - _LABEL :]

    def words(done: int | None) -> str:
        return told(done or 0)

    bar = click.progressbar(
        length=length,
        label=label,
        show_percent=False,
        item_show_func=words,
        file=sys.stderr,
        width=_BAR,
    )

    def show(done: int) -> None:
        if not bar.finished:
            bar.update(done - bar.pos, done)
            if bar.finished:
                stack.close()

    with ExitStack() as stack:
        stack.callback(click.echo, _ERASE, nl=False, file=sys.stderr)
        stack.enter_context(bar)
        yield show
