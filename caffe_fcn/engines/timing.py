"""Measures how long each engine takes for one picture on this machine.

The engines take turns, A B C A B C, so that other load on the machine slows all of them alike. The result is a
recommendation; the user chooses the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import NamedTuple

from caffe_fcn.errors import EngineError, ExtraError, LoweringError
from caffe_fcn.net.shapes import Shape

RUNS = 5
"""Runs of each engine that count."""

_WARMING = 2
"""Runs before them: the first makes what is kept for others, and OpenCV plans its memory in two."""

_ALIKE = 1.05
"""An engine that is no more than so much faster than the default is no reason to leave that."""

_APART = frozenset({"caffe"})
"""Engines with a process of their own, whose memory is not this one's."""


class Timed(NamedTuple):
    """What an ENGINE took: SECONDS for each run, and the MEMORY that the process grew by in bytes when the engine was
    loaded and ran first, with its libraries; None where that is not known."""

    engine: str
    seconds: tuple[float, ...]
    memory: int | None

    @property
    def median(self) -> float:
        """The median time of a run in seconds."""
        return median(self.seconds)


class LeftOut(NamedTuple):
    """An ENGINE that is not installed or does not run the net, and the REASON."""

    engine: str
    reason: str


class Timing(NamedTuple):
    """What the engines TIMED took for the net NET with WEIGHTS on a PICTURE of SIZE, height and width, as it lies in
    its file; and which are LEFT_OUT."""

    net: str
    weights: str
    picture: str
    size: Shape
    timed: tuple[Timed, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def megapixels(self) -> float:
        """How many millions of pixels the picture has."""
        return self.size[0] * self.size[1] / 1e6

    @property
    def best(self) -> Timed:
        """What is to be used: the fastest, or the default, the first, where that is as good as the fastest."""
        fastest = min(self.timed, key=lambda each: each.median)
        return self.timed[0] if self.timed[0].median <= _ALIKE * fastest.median else fastest


class Ready(NamedTuple):
    """An engine that is loaded: what RUNs it once, and the WEIGHTS' file and the PICTURE with its SIZE, for which it
    is."""

    run: Callable[[], object]
    net: str
    weights: str
    picture: str
    size: Shape


def time_engines(
    load: Callable[[str], Ready],
    engines: Sequence[str],
    *,
    runs: int = RUNS,
    done: Callable[[], None] = lambda: None,
) -> Timing:
    """What the ENGINES take that LOAD loads by name. DONE is called after each run. Raises what LOAD and the first run
    of the first engine raise, if there is none that runs; all else that is not an engine's own failure."""
    loaded: list[tuple[str, Ready, int | None]] = []
    left_out: list[LeftOut] = []
    errors: list[Exception] = []
    for name in engines:
        before = _memory()
        try:
            ready = load(name)
            ready.run()
        except (EngineError, ExtraError, LoweringError) as error:
            left_out.append(LeftOut(name, str(error)))
            errors.append(error)
            continue
        finally:
            done()
        loaded.append((name, ready, None if name in _APART else _growth(before)))
    if not loaded:
        raise errors[0]
    taken: dict[str, list[float]] = {name: [] for name, _, _ in loaded}
    for _ in range(_WARMING - 1 + runs):
        for name, ready, _ in loaded:
            start = perf_counter()
            ready.run()
            taken[name].append(perf_counter() - start)
            done()
    timed = tuple(Timed(name, tuple(taken[name][_WARMING - 1 :]), memory) for name, _, memory in loaded)
    _, first, _ = loaded[0]
    return Timing(first.net, first.weights, first.picture, first.size, timed, tuple(left_out))


def rounds(engines: Sequence[str], runs: int = RUNS) -> int:
    """How often `time_engines` calls DONE if all ENGINES run."""
    return len(engines) * (_WARMING + runs)


def _memory() -> int | None:
    """The memory of this process in bytes, whose peak counts from here on; None where the system does not tell."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        return _status("VmRSS:")
    except OSError:
        return None


def _growth(before: int | None) -> int | None:
    """How much the peak is above the memory BEFORE."""
    peak = None if before is None else _status("VmHWM:")
    return None if before is None or peak is None else max(0, peak - before)


def _status(field: str) -> int | None:
    """The FIELD of the kernel's account of this process, in bytes."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        found = [line.split()[1] for line in file if line.startswith(field)]
    return int(found[0]) << 10 if found else None
