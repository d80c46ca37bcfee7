"""Progress bars for long work. A bar is erased when the work is done."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from caffe_fcn.display import visible

if TYPE_CHECKING:
    from caffe_fcn.page.records import Progress, Section

_FROM = 128 << 20
"""The least number of bytes of a copy for a progress bar; a smaller copy is too fast to show one."""

_RUNS = 2
"""The least number of runs for a progress bar on a single picture."""

_LABEL = 28
_BAR = 20
"""The width of the label and of the bar, in characters: with the numbers after them they fit into 80."""

_ERASE = "\033[A\033[2K"
"""The escape codes that erase the line above the cursor, where a closed bar is."""


@contextmanager
def copying(size: int, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """Return a context with a callback that shows the number of bytes written so far, of SIZE; None if no terminal
    shows it."""
    if quiet or size < _FROM or not _is_watched():
        yield None
        return
    with _bar("copying weights", size, lambda pos: _of_bytes(pos, size)) as show:
        yield show


@contextmanager
def sections(quiet: bool) -> Iterator[Progress]:
    """Return a context with a callback that shows which section of a report page is made, and how much of it."""
    if quiet or not _is_watched():
        yield lambda section, done, whole: None
        return
    shown: dict[str, Callable[[int], None]] = {}

    def tell(section: Section, done: int, whole: int) -> None:
        label, least, told = _SECTIONS[section.name]
        if whole < least:
            return
        if section.name not in shown:
            stack.close()
            even = section.name != "ACTIVATIONS"  # of these, the net makes all before the first can be shown
            shown[section.name] = stack.enter_context(_bar(label, whole, lambda pos: told(pos, whole), time=even))
        shown[section.name](done)

    with ExitStack() as stack:
        yield tell


def _of_bytes(done: int, whole: int) -> str:
    return f"{done >> 20} of {whole >> 20} MiB"


def _of_runs(done: int, whole: int) -> str:
    return f"{done}/{whole}"


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

    with _bar(name, runs, lambda pos: _of_runs(pos, runs)) as show:
        yield one_more


_SECTIONS = {
    "WEIGHTS": ("looking at weights", _FROM, _of_bytes),
    "ACTIVATIONS": ("computing activations", 16 << 20, _of_bytes),
    "DENSE": ("computing the map", _RUNS, _of_runs),
}
"""For each section of a report page: the label of its bar, the least amount for a bar, and the words for the amount."""


def _is_watched() -> bool:
    """Return whether stderr is a terminal on which a line can be redrawn."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


@contextmanager
def _bar(label: str, length: int, told: Callable[[int], str], *, time: bool = True) -> Iterator[Callable[[int], None]]:
    """Return a callback that shows the steps done so far, of LENGTH, as the text that TOLD returns, and the TIME that
    remains if steps take similar times. The last step erases the bar, so that the next output begins on a new line."""
    label = visible(label)
    label = label if len(label) <= _LABEL else "…" + label[1 - _LABEL :]

    def words(done: int | None) -> str:
        return told(done or 0)

    bar = click.progressbar(
        length=length,
        label=label,
        show_percent=False,
        show_eta=time,
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
