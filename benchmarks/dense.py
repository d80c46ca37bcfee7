"""Measures the dense map of a large picture: by the converted net in the engine of `run`, by other programs, and by the
original, whose window slides over the picture.

Each contender is a net in a separate process (`session.py`, or `peer.py` in a separate environment). They run in turns,
A B C A B C. Only the run, or only the loading, is measured; imports are not included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from types import TracebackType

from environments import InstallError, python_with
from measuring import MIB, Bench, Command, ContenderError, Series, check_room, measure
from session import NOT_INSTALLED

from caffe_fcn.net.cost import infer_costs, total
from caffe_fcn.net.graph import build_graph
from caffe_fcn.net.shapes import infer_shapes
from caffe_fcn.net.source import read_net

HERE = Path(__file__).resolve().parent
THREADS = os.cpu_count() or 1
LOW_MEMORY = "onnxruntime --low-memory"
ENGINES = ("onnxruntime", LOW_MEMORY, "opencv", "openvino", "caffe")
"""Engines whose loading is compared, with options."""

DENSE, SLIDING, PYCAFFE, MATRICES = "run's engine", "sliding window", "pycaffe", "matrix product"


@dataclass(frozen=True)
class Peer:
    """A program that runs the twin: of `peer.py` the function called KIND, in an environment with REQUIREMENT, or in
    this one. EXPORTED: it reads the exported model, and not Caffe's files."""

    kind: str
    requirement: str | None = None
    exported: bool = True


PEERS = {
    "onnxruntime, exported": Peer("onnxruntime"),
    "OpenCV 4.11": Peer("opencv", "opencv-python-headless==4.11.*", exported=False),
    "OpenCV 4, newest": Peer("opencv", "opencv-python-headless==4.*", exported=False),
    "OpenVINO, newest": Peer("openvino", "openvino"),
}

BATCH = 16
"""Windows that the original is given at a time."""

_SIDE = 2048
"""Of the matrices whose product is what the machine can do."""

_PAUSE = 0.3
"""Seconds before each run: the threads of the contender before, which wait for more work by spinning, sleep by then."""

_WARMING = 2
"""Rounds before what counts; OpenCV, for one, plans its memory in two."""


class MissingError(Exception):
    """An engine is not installed, or cannot be."""


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
    """A classifier, its twin, and where the twin is exported to."""

    net: Path
    weights: Path
    fcn: Path
    fcn_weights: Path
    exported: Path


def make_files(picture: Picture, bench: Bench) -> Files:
    """The net with random weights, and its twin."""
    check_room(bench.directory, 4 * picture.size_of_model + 64 * MIB)  # and a copy for the engine
    names = ("net.prototxt", "net.caffemodel", "fcn.prototxt", "fcn.caffemodel", "fcn.onnx")
    files = Files(*(bench.directory / name for name in names))
    files.net.write_text(picture.prototxt(), encoding="utf-8")
    bench.progress("making weights")
    measure([sys.executable, HERE / "make_weights.py", files.net, files.weights])
    twin: Command = ["-o", files.fcn, "-w", files.fcn_weights, "--quiet"]
    measure([sys.executable, "-m", "caffe_fcn", "convert", files.net, files.weights, *twin])
    return files


class Worker:
    """A net in a process; a context that ends it. COMMAND loads it and runs it once for each line, WORK operations,
    which stand for so many TIMES. Raises MissingError where its engine is not installed."""

    def __init__(self, name: str, command: Command, *, work: float = 0, times: int = 1) -> None:
        self.name, self.work, self.times = name, work * times, times
        self.values = 0
        self.version = ""
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
            self.version, self.values = told.get("version", self.version), told.get("values", self.values)
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


def session(engine: str, net: Path, weights: Path, shape: Sequence[int]) -> Command:
    """What loads NET with WEIGHTS in an ENGINE of caffe-fcn, with options, to be fed arrays of SHAPE."""
    name, *options = engine.split()
    return [sys.executable, HERE / "session.py", name, net, weights, _extents(shape), str(THREADS), *options]


def peer(python: str | Path, kind: str, model: Path, weights: Path, shape: Sequence[int]) -> Command:
    """What loads MODEL in the peer of this KIND, by PYTHON."""
    return [python, HERE / "peer.py", kind, model, weights, _extents(shape), str(THREADS)]


def _extents(shape: Sequence[int]) -> str:
    return ",".join(map(str, shape))


def operations(net: Path, shape: tuple[int, ...]) -> float:
    """The floating point operations of NET on an input of SHAPE: two for each multiply-accumulate."""
    graph = build_graph(read_net(net).net, source=str(net))
    return 2 * total(infer_costs(graph, infer_shapes(graph, given={"data": shape}))).macs


def series(worker: Worker, taken: Sequence[tuple[float, int]]) -> Series:
    """What was TAKEN by the runs of WORKER."""
    seconds, peaks = tuple(seconds for seconds, _ in taken), tuple(peak for _, peak in taken)
    return Series(worker.name, seconds, peaks, worker.work, worker.version)


@dataclass(frozen=True)
class DenseMap:
    """Compare the twin's dense map with other programs', and with the original on every window."""

    picture: Picture

    def __call__(self, bench: Bench) -> list[Series]:
        """The twin by `run`'s engine first, last what the machine can do."""
        files = make_files(self.picture, bench)
        bench.progress("exporting")
        export: Command = ["export", files.fcn, files.fcn_weights, "-o", files.exported, "--quiet"]
        measure([sys.executable, "-m", "caffe_fcn", *export])
        with ExitStack() as stack:
            workers = [stack.enter_context(worker) for worker in self._workers(files, bench)]
            taken: list[list[tuple[float, int]]] = [[] for _ in workers]
            for turn in range(bench.runs + _WARMING):
                for worker, samples in zip(workers, taken, strict=True):
                    bench.progress(f"{worker.name}, turn {turn} of {bench.runs + _WARMING - 1}")
                    sleep(_PAUSE)
                    samples.append(worker.run())
                    _check(worker, workers[0])
        return [series(worker, samples[_WARMING:]) for worker, samples in zip(workers, taken, strict=True)]

    def _workers(self, files: Files, bench: Bench) -> Iterator[Worker]:
        """All contenders, loaded; those that cannot be had are left out."""
        picture = self.picture
        shape = (1, 3, picture.size, picture.size)
        work = operations(files.fcn, shape)
        bench.progress(f"loading {DENSE}")
        yield Worker(DENSE, session("onnxruntime", files.fcn, files.fcn_weights, shape), work=work)
        for name, each in PEERS.items():
            bench.progress(f"loading {name}")
            try:
                python = python_with(each.requirement, bench.cache) if each.requirement else sys.executable
                model = files.exported if each.exported else files.fcn
                yield Worker(name, peer(python, each.kind, model, files.fcn_weights, shape), work=work)
            except InstallError as error:
                bench.leave_out(name, str(error), True)
        try:
            yield Worker(PYCAFFE, session("caffe", files.fcn, files.fcn_weights, shape), work=work)
        except MissingError as error:
            bench.leave_out(PYCAFFE, str(error), False)
        window = (BATCH, 3, picture.window, picture.window)
        command = session("onnxruntime", files.net, files.weights, window)
        batches = -(-(picture.cells**2) // BATCH)
        yield Worker(SLIDING, command, work=operations(files.net, window), times=batches)
        square = peer(sys.executable, "matrices", files.net, files.weights, (_SIDE, _SIDE))
        yield Worker(MATRICES, square, work=2 * _SIDE**3)


def _check(worker: Worker, first: Worker) -> None:
    """Raise ContenderError where WORKER makes another map than the FIRST, and so does other work."""
    if worker.name not in (SLIDING, MATRICES) and worker.values != first.values:
        raise ContenderError(f"{worker.name} makes {worker.values:,} values, {first.name} makes {first.values:,}")


@dataclass(frozen=True)
class Loading:
    """Compare how long sessions take to load, and what the process needs until it has run once."""

    picture: Picture

    def __call__(self, bench: Bench) -> list[Series]:
        """The twin in onnxruntime first, then the original there, then both in the others."""
        files = make_files(self.picture, bench)
        nets = {"twin": (files.fcn, files.fcn_weights), "original": (files.net, files.weights)}
        shape = (1, 3, self.picture.window, self.picture.window)
        taken: dict[tuple[str, str], Series] = {}
        for turn in range(bench.runs + 1):
            for engine, net in [(engine, net) for engine in ENGINES for net in nets]:
                name = f"{net}, {engine}"
                bench.progress(f"{name}, " + (f"turn {turn} of {bench.runs}" if turn else "warming up"))
                known = taken.get((engine, net))
                if turn and known is None:
                    continue
                try:
                    with Worker(name, session(engine, *nets[net], shape)) as worker:
                        sample = (worker.loaded[0], worker.run()[1])
                except MissingError as error:
                    bench.leave_out(name, str(error), engine != "caffe")
                    continue
                before = [] if not turn or known is None else [*zip(known.seconds, known.peaks, strict=True)]
                taken[engine, net] = series(worker, [*before, sample] if turn else [])
        return [*taken.values()]
