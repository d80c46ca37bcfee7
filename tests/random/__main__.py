"""Checks random nets until the time is over: `python -m tests.random SECONDS`, or one net again with `--seed N`."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import count, islice
from multiprocessing import get_context

from tests.random.examining import Outcome, examined, outcomes_of
from tests.random.nets import RandomNet, random_net
from tests.random.sequences import Course, courses_of, followed, net_of, sequence_of
from tests.random.shrink import shrink
from tests.random.tasks import TASKS, trials_of
from tests.random.trials import Trial, tried

_BATCH = 20


def main() -> int:
    """Run the checks; the exit code is 1 if a fault was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.random", description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=60, help="how long to go on (60)")
    parser.add_argument("--seed", type=int, help="examine the net of this seed alone, and show it")
    parser.add_argument("--first", type=int, help="begin with this seed; by default with one at random")
    parser.add_argument("--nets", type=int, help="so many nets, however long it takes")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="one for each core by default")
    parser.add_argument("--reasons", type=int, default=10, help="how many reasons of refusals to show (10)")
    parser.add_argument("--mutants", type=int, default=2, help="how many mutants of each twin to verify (2)")
    options = parser.parse_args()
    if options.seed is not None:
        return _replay(options.seed, options.mutants)
    first = secrets.randbelow(1 << 40) if options.first is None else options.first
    end = float("inf") if options.nets else time.monotonic() + options.seconds
    found = list(_run(first, end, options))
    outcomes = [each for each in found if isinstance(each, Outcome)]
    _summary(first, outcomes, options.reasons)
    _summary_of_courses([each for each in found if isinstance(each, Course)])
    for name in TASKS:
        _summary_of_trials(name, [each for each in found if isinstance(each, Trial) and each.task == name])
    return int(any(each.faults for each in found))


def _replay(seed: int, mutants: int) -> int:
    net = random_net(seed)
    outcome = examined(net, mutants)
    kind = outcome.kind
    if kind:
        net = shrink(net, lambda smaller: examined(smaller, mutants).kind == kind)
        outcome = examined(net, mutants)
    print(net.text)
    print("\n".join(outcome.faults) or outcome.refused or f"no fault; dense: {outcome.dense}")
    faulty = [kind, _replay_course(net_of(seed)), *(_replay_task(seed, name) for name in TASKS)]
    return int(any(faulty))


def _replay_course(net: RandomNet) -> bool:
    """Repeat the check of the net of the seed that is made to be folded."""
    sequence = sequence_of(net.seed)
    course = followed(net, sequence)
    if kind := course.kind:
        net = shrink(net, lambda smaller: followed(smaller, sequence).kind == kind)
        course = followed(net, sequence)
        print(net.text)
    print(f"{sequence}:", "\n".join(course.faults) or course.refused or "no fault")
    return bool(kind)


def _replay_task(seed: int, name: str) -> bool:
    """Repeat the check of the net of the seed that is made for the task NAME."""
    task = TASKS[name]
    net = task.net(seed)
    trial = tried(net, name, task)
    if kind := trial.kind:
        net = shrink(net, lambda smaller: tried(smaller, name, task).kind == kind)
        trial = tried(net, name, task)
        print(net.text)
    print(f"{name}:", "\n".join(trial.faults) or trial.refused or "no fault")
    return bool(kind)


def _run(first: int, end: float, options: argparse.Namespace) -> Iterator[Outcome | Course | Trial]:
    """Return the outcomes of the nets from seed FIRST on, until END or the given number; faults are printed at once."""
    seeds = iter(range(first, first + options.nets)) if options.nets else count(first)
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        running: set[Future[Sequence[Outcome | Course | Trial]]] = set()
        while True:
            while (
                len(running) < 2 * options.processes
                and time.monotonic() < end
                and (batch := list(islice(seeds, _BATCH)))
            ):
                running.add(pool.submit(outcomes_of, batch, options.mutants))
                running.add(pool.submit(courses_of, batch))
                running.update(pool.submit(trials_of, batch, name) for name in TASKS)
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for outcome in (each for future in done for each in future.result()):
                for fault in outcome.faults:
                    task = f" ({outcome.task})" if isinstance(outcome, Trial) else ""
                    print(f"seed {outcome.seed}{task}: {fault}", flush=True)
                yield outcome


def _summary(first: int, outcomes: list[Outcome], reasons: int) -> None:
    refused = Counter(each.refused for each in outcomes if each.refused)
    for reason, times in refused.most_common(reasons):
        print(f"{times:6}  {reason}")
    for reason, times in Counter(each.dense for each in outcomes if each.dense).most_common(reasons):
        print(f"{times:6}  on a larger input: {reason}")
    mutants, harmless = sum(each.mutants for each in outcomes), sum(each.harmless for each in outcomes)
    survivors = sum(fault.startswith("mutant: survives") for each in outcomes for fault in each.faults)
    caught = mutants - harmless - survivors
    print(f"{mutants} mutants of twins verified: {caught} caught, {harmless} harmless, {survivors} survived")
    faults = [each.seed for each in outcomes if each.faults]
    converted = sum(each.converted for each in outcomes)
    shown = f" (seeds {', '.join(map(str, faults[:20]))}{', ...' if len(faults) > 20 else ''})" if faults else ""
    print(
        f"{len(outcomes)} nets from seed {first} on: {converted} converted, {refused.total()} refused, "
        f"{len(outcomes) - converted - refused.total()} with nothing to convert; {len(faults)} with faults{shown}"
    )


def _faulty(found: Sequence[Course] | Sequence[Trial]) -> tuple[int, str]:
    """Return how many of FOUND have faults, and the seeds of the first of these."""
    seeds = [each.seed for each in found if each.faults]
    return len(seeds), f" (seeds {', '.join(map(str, seeds[:20]))})" if seeds else ""


def _summary_of_courses(courses: list[Course]) -> None:
    faults, told = _faulty(courses)
    print(
        f"{len(courses)} nets in sequences of passes: {sum(each.folded for each in courses)} folded, "
        f"{sum(each.shown for each in courses)} proven, {sum(bool(each.refused) for each in courses)} refused; "
        f"{sum(each.mutants for each in courses)} mutants of folded nets verified; {faults} with faults{told}"
    )


def _summary_of_trials(name: str, trials: list[Trial]) -> None:
    faults, told = _faulty(trials)
    print(
        f"{name}: {len(trials)} nets, {sum(bool(each.refused) for each in trials)} refused, "
        f"{sum(each.proven for each in trials)} proven, {sum(each.mutants for each in trials)} mutants verified; "
        f"{faults} with faults{told}"
    )


if __name__ == "__main__":
    sys.exit(main())
