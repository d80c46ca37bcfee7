"""Measures whole processes from outside: wall time and peak memory. The contenders run in turns.

The kernel reports the peak resident memory of a finished child (wait4). A child begins as a copy of this process, so no
figure can be lower than the memory of this process, `floor`.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TypeAlias

Command: TypeAlias = Sequence[str | Path]

RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in one unit of ru_maxrss."""


MIB = 1 << 20


class NoRoomError(Exception):
    """A case needs more disk than there is."""


class ContenderError(Exception):
    """A contender failed, so there is nothing to compare."""


@dataclass(frozen=True)
class Bench:
    """What all cases share: a directory of their own to write in, how often to run, where to say what goes on, where to
    say which contender is left out, why, and whether the comparison is worth nothing without it; and the CACHE of
    environments."""

    directory: Path
    runs: int
    progress: Callable[[str], None]
    leave_out: Callable[[str, str, bool], object]
    cache: Path


@dataclass(frozen=True)
class Contender:
    """A command with a NAME, and the files it writes: they are removed before each run, for all alike."""

    name: str
    command: Command
    outputs: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Series:
    """What the runs of one contender took: SECONDS of wall time each, PEAK resident bytes each. WORK is how many
    floating point operations a run has, 0 where they are not counted; VERSION is that of its program."""

    name: str
    seconds: tuple[float, ...]
    peaks: tuple[int, ...]
    work: float = 0
    version: str = ""

    @property
    def median(self) -> float:
        """The median wall time in seconds."""
        return median(self.seconds)

    @property
    def peak(self) -> int:
        """The largest peak memory of all runs in bytes."""
        return max(self.peaks)

    @property
    def speed(self) -> float:
        """Floating point operations a second, at the median."""
        return self.work / self.median


def compare(contenders: Sequence[Contender], runs: int, progress: Callable[[str], None]) -> list[Series]:
    """Run all CONTENDERS by turns, A B C A B C, RUNS times each after one round that warms the caches.

    What a run left to be written to the disk is written, or forgotten with its file, before the next begins.
    Raises ContenderError when a command fails.
    """
    samples: list[list[tuple[float, int]]] = [[] for _ in contenders]
    for turn in range(runs + 1):
        for contender, taken in zip(contenders, samples, strict=True):
            progress(f"{contender.name}, " + (f"run {turn} of {runs}" if turn else "warming up"))
            _remove(contender.outputs)
            os.sync()
            sample = measure(contender.command)
            _remove(contender.outputs)
            if turn:
                taken.append(sample)
    return [
        Series(contender.name, tuple(seconds for seconds, _ in taken), tuple(peak for _, peak in taken))
        for contender, taken in zip(contenders, samples, strict=True)
    ]


def measure(command: Command) -> tuple[float, int]:
    """Run COMMAND to its end: wall seconds and peak resident bytes. Raises ContenderError when it fails."""
    # An installed program comes with its bytecode; one run from a checkout must be free to write it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    null = subprocess.DEVNULL
    with tempfile.TemporaryFile() as errors:
        start = perf_counter()
        process = subprocess.Popen(command, stdin=null, stdout=null, stderr=errors, env=environment)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip() or "it said nothing"
            raise ContenderError(f"{' '.join(map(str, command))}\n  ended with {process.returncode}: {said}")
    return seconds, usage.ru_maxrss * RSS_UNIT


def check_room(directory: Path, needed: int) -> None:
    """Raise NoRoomError unless NEEDED bytes are free in DIRECTORY."""
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise NoRoomError(f"needs {needed / 1e9:.1f} GB, {directory.parent} has {free / 1e9:.1f} GB free; see --dir")


def floor() -> int:
    """The least peak memory in bytes that `measure` can give: what it gives for a command that does nothing."""
    return measure(["true"])[1]


def tell(seconds: float, **more: str | int) -> None:
    """Print how many SECONDS it took, the peak of memory so far in bytes, and MORE, as JSON in a line."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
    print(json.dumps({"seconds": seconds, "peak": peak, **more}), flush=True)


def _remove(files: Sequence[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
