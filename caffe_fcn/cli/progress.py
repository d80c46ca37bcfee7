"""A progress bar for a copy that takes long enough for someone to wonder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_FROM = 128 << 20
"""A copy of fewer bytes is over before a progress bar could be read."""


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
