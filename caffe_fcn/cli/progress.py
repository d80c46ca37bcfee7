"""A progress bar for what takes long enough for someone to wonder. It goes when the work is done."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import click

from caffe_fcn.display import visible

_FROM = 128 << 20
"""A copy of fewer bytes is over before a progress bar could be read."""

_RUNS = 2
"""So is a picture that is looked at in one piece, if it is the only one."""

_LABEL = 28
_BAR = 20
"""The characters of the label and of the bar: with the numbers behind them they fit into 80."""

_ERASE = "\033[A\033[2K"
"""What takes away the line above the cursor, where a bar that is closed stands."""


@contextmanager
def copying(size: int, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """What takes the count of bytes written so far, of SIZE, and shows it; None if nobody is looking."""
    if quiet or size < _FROM or not _is_watched():
        yield None
        return
    with _bar("copying weights", size, lambda pos: f"{pos >> 20} of {size >> 20} MiB") as show:
        yield show


@contextmanager
def looking(name: str, runs: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """What is called after each of the RUNS that the picture NAME takes, and shows it if anybody is looking."""
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
    """Whether stderr is a terminal on which a line can be drawn again."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


@contextmanager
def _bar(label: str, length: int, told: Callable[[int], str]) -> Iterator[Callable[[int], None]]:
    """What takes the steps done so far, of LENGTH, and shows them, in the words of TOLD. With the last step the bar
    goes, so that what is printed next begins a line."""
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
