"""The dense map of a large picture: by the twin, by other engines, and by sliding the original's window over it.

Each contender is a net loaded in a process of its own (`session.py`), and they take turns, A B C A B C. What is
measured is the run alone, or the loading alone; importing is no part of either.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from measuring import MIB, Bench, Command, ContenderError, Series, check_room, measure
from session import NOT_INSTALLED

HERE = Path(__file__).resolve().parent
ENGINES = ("onnxruntime", "opencv", "caffe")
DENSE, SLIDING = "dense", "sliding"
BATCH = 16
"""Windows that the original is given at a time."""

_WARMING = 2
"""Rounds before what counts; OpenCV, for one, plans its memory in two."""


class MissingError(Exception):
    """An engine is not installed."""


@dataclass(frozen=True)
class Picture:
    """A net whose classifier has a WINDOW, and of which the twin makes CELLS×CELLS answers on a picture of SIZE."""

    prototxt: Callable[[], str]
    size_of_model: int
    window: int
    size: int
    cells: int


@dataclass(frozen=True)
class Files:
    """A classifier and its twin."""

    net: Path
    weights: Path
    fcn: Path
    fcn_weights: Path


def make_files(picture: Picture, bench: Bench) -> Files:
    """The net with random weights, and its twin."""
    check_room(bench.directory, 3 * picture.size_of_model + 64 * MIB)  # and a copy for the engine
    names = ("net.prototxt", "net.caffemodel", "fcn.prototxt", "fcn.caffemodel")
    files = Files(*(bench.directory / name for name in names))
    files.net.write_text(picture.prototxt(), encoding="utf-8")
    bench.progress("making weights")
    measure([sys.executable, HERE / "make_weights.py", files.net, files.weights])
    twin: Command = ["-o", files.fcn, "-w", files.fcn_weights, "--quiet"]
    measure([sys.executable, "-m", "caffe_fcn", "convert", files.net, files.weights, *twin])
    return files


class Worker:
    """A net in a process; a context that ends it. Raises MissingError where its engine is not installed."""

    def __init__(self, engine: str, net: Path, weights: Path, shape: Sequence[int], name: str, times: int = 1) -> None:
        self.name, self.times = name, times
        extents = ",".join(map(str, shape))
        command: Command = [
            sys.executable,
            HERE / "session.py",
            engine,
            net,
            weights,
            extents,
            str(os.cpu_count() or 1),
        ]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self.loaded = self._answer()

    def run(self) -> tuple[float, int]:
        """Run once: seconds, of as many TIMES as it stands for, and the peak of memory."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        seconds, peak = self._answer()
        return seconds * self.times, peak

    def _answer(self) -> tuple[float, int]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            told = json.loads(line)
            return told["seconds"], told["peak"]
        said = self._process.communicate()[1].strip() or "it said nothing"
        if self._process.returncode == NOT_INSTALLED:
            raise MissingError(said)
        raise ContenderError(f"{self.name} ended with {self._process.returncode}: {said}")

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()


def series(name: str, taken: Sequence[tuple[float, int]]) -> Series:
    """What was TAKEN by the runs of one contender."""
    return Series(name, tuple(seconds for seconds, _ in taken), tuple(peak for _, peak in taken))


@dataclass(frozen=True)
class DenseMap:
    """Compare the twin's dense map with other engines', and with the original on every window."""

    picture: Picture

    def __call__(self, bench: Bench) -> list[Series]:
        """The twin by onnxruntime first."""
        files, picture = make_files(self.picture, bench), self.picture
        batches = -(-(picture.cells**2) // BATCH)
        with ExitStack() as stack:
            workers = []
            for engine in ENGINES:
                bench.progress(f"loading {engine}")
                shape = (1, 3, picture.size, picture.size)
                try:
                    worker = Worker(engine, files.fcn, files.fcn_weights, shape, f"{DENSE}, {engine}")
                except MissingError as error:
                    bench.leave_out(f"{DENSE}, {engine}", str(error))
                    continue
                workers.append(stack.enter_context(worker))
            shape = (BATCH, 3, picture.window, picture.window)
            name = f"{SLIDING}, {ENGINES[0]}"
            workers.append(stack.enter_context(Worker(ENGINES[0], files.net, files.weights, shape, name, batches)))
            taken: list[list[tuple[float, int]]] = [[] for _ in workers]
            for turn in range(bench.runs + _WARMING):
                for worker, samples in zip(workers, taken, strict=True):
                    bench.progress(f"{worker.name}, turn {turn} of {bench.runs + _WARMING - 1}")
                    samples.append(worker.run())
        return [series(worker.name, samples[_WARMING:]) for worker, samples in zip(workers, taken, strict=True)]


@dataclass(frozen=True)
class Loading:
    """Compare how long sessions take to load, and what the process needs until it has run once."""

    picture: Picture

    def __call__(self, bench: Bench) -> list[Series]:
        """The twin in onnxruntime first, then the original there, then both in the others."""
        files = make_files(self.picture, bench)
        nets = {"twin": (files.fcn, files.fcn_weights), "original": (files.net, files.weights)}
        shape = (1, 3, self.picture.window, self.picture.window)
        taken: dict[tuple[str, str], list[tuple[float, int]]]
        taken = {(engine, net): [] for engine in ENGINES for net in nets}
        for turn in range(bench.runs + 1):
            for engine, net in list(taken):
                name = f"{net}, {engine}"
                bench.progress(f"{name}, " + (f"turn {turn} of {bench.runs}" if turn else "warming up"))
                try:
                    with Worker(engine, *nets[net], shape, name) as worker:
                        sample = (worker.loaded[0], worker.run()[1])
                except MissingError as error:
                    bench.leave_out(name, str(error))
                    del taken[engine, net]
                    continue
                if turn:
                    taken[engine, net].append(sample)
        return [series(f"{net}, {engine}", samples) for (engine, net), samples in taken.items()]
