"""Measures how long each engine takes for one picture on this machine.

The engines take turns, A B C A B C, so that other load on the machine slows all of them in the same way. The result is
a recommendation; the user chooses the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import NamedTuple

from caffe_fcn.errors import EngineError, ExtraError, LoweringError
from caffe_fcn.net.shapes import Shape

RUNS = 5
"""The number of runs of each engine that count."""

_WARMING = 2
"""The number of runs before them: the first makes data that are kept, and OpenCV plans its memory in two."""

_ALIKE = 1.05
"""The least ratio of times for which another engine is recommended instead of the default."""

_APART = frozenset({"caffe"})
"""Engines that run in their own process, so their memory is not that of this process."""


class Timed(NamedTuple):
    """The times of an ENGINE: SECONDS for each run, and the MEMORY in bytes by which the process grew when the engine
    was loaded and ran first, with its libraries; None if unknown."""

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
    """The times of the engines TIMED for the net NET with WEIGHTS on a PICTURE; SIZE is its height and width in the
    file. The engines LEFT_OUT did not run."""

    net: str
    weights: str
    picture: str
    size: Shape
    timed: tuple[Timed, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def megapixels(self) -> float:
        """The number of pixels of the picture in millions."""
        return self.size[0] * self.size[1] / 1e6

    @property
    def best(self) -> Timed:
        """The recommended engine: the fastest, or the default, the first, if it is about as fast."""
        fastest = min(self.timed, key=lambda each: each.median)
        return self.timed[0] if self.timed[0].median <= _ALIKE * fastest.median else fastest


class Ready(NamedTuple):
    """A loaded engine: RUN runs it once. It also has the files of the WEIGHTS and the PICTURE, and the SIZE of that."""

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
    """Return the times of ENGINES, which LOAD loads by name. DONE is called after each run. If no engine runs, raises
    the error of LOAD or of the first run of the first engine. Other errors that are not those of an engine are always
    raised."""
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
    """Return how often `time_engines` calls DONE if all ENGINES run."""
    return len(engines) * (_WARMING + runs)


def _memory() -> int | None:
    """Return the memory of this process in bytes, and reset its peak; None if the system does not report it."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        return _status("VmRSS:")
    except OSError:
        return None


def _growth(before: int | None) -> int | None:
    """Return how far the peak is above the memory BEFORE."""
    peak = None if before is None else _status("VmHWM:")
    return None if before is None or peak is None else max(0, peak - before)


def _status(field: str) -> int | None:
    """Return the FIELD in the kernel's status of this process, in bytes."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        found = [line.split()[1] for line in file if line.startswith(field)]
    return int(found[0]) << 10 if found else None
