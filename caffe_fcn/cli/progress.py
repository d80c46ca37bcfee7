"""A progress bar for what takes long enough for someone to wonder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_FROM = 128 << 20
"""A copy of fewer bytes is over before a progress bar could be read."""

_RUNS = 2
"""So is a picture that is looked at in one piece, if it is the only one."""


@contextmanager
def copying(size: int, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """What takes the count of bytes written so far, of SIZE, and shows it; None if nobody is looking."""
    if quiet or size < _FROM or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = TextColumn("copying weights"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=size)
        yield lambda written: bar.update(task, completed=written)


@contextmanager
def looking(name: str, runs: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """What is called after each of the RUNS that the picture NAME takes, and shows it if anybody is looking."""
    if quiet or runs < _RUNS or sys.stderr is None or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from caffe_fcn.files.literals import visible

    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task(visible(name), total=runs)
        yield lambda: bar.advance(task)
