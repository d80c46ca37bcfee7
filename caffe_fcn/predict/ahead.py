"""A pipeline of three stages: while the caller handles the answer for one item, the next item is answered, and the
item after that is read.

Reading and answering each have one thread, which takes the items in order. At most three items that were read, and two
answers, are in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from itertools import islice
from threading import Event, Lock
from typing import Any, Generic, TypeAlias, TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")
Answer = TypeVar("Answer")

_READ = 3
_ANSWERED = 2
"""The number of turns that are begun at a time, with the one that the caller handles."""


class StoppedError(Exception):
    """The caller no longer waits for the answer."""


class Turn(Generic[Item, Read, Answer]):
    """The turn of an ITEM: READ is the result of reading it, ANSWER exists until STACK closes."""

    def __init__(self, item: Item, read: Future[Read], stop: Event) -> None:
        self.item = item
        self.read = read
        self.answer: Future[Answer] | None = None
        self.stack = ExitStack()
        self._stop = stop
        self._lock = Lock()
        self._many: Future[int] = Future()
        self._done = 0
        self._show: Callable[[], None] | None = None

    def expect(self, many: int) -> None:
        """Set the number of steps of the answer to MANY."""
        self._many.set_result(many)

    def step(self) -> None:
        """Count a step. Raises StoppedError if the answer is no longer needed."""
        if self._stop.is_set():
            raise StoppedError
        with self._lock:
            self._done += 1
            if self._show is not None:
                self._show()

    def steps(self) -> int:
        """Wait until the number of steps of the answer is known, and return it; 0 if there is none."""
        assert self.answer is not None
        either: list[Future[Any]] = [self._many, self.answer]
        wait(either, return_when=FIRST_COMPLETED)
        return self._many.result() if self._many.done() else 0

    def result(self, show: Callable[[], None] = lambda: None) -> Answer:
        """Wait for the answer, and call SHOW for each step, also for earlier ones. Raises the error that prevented the
        answer."""
        assert self.answer is not None
        with self._lock:
            for _ in range(self._done):
                show()
            self._show = show
        try:
            return self.answer.result()
        finally:
            self._show = None


Turns: TypeAlias = Generator[Turn[Item, Read, Answer], None, None]


def ahead(
    items: Iterable[Item], read: Callable[[Item], Read], answer: Callable[[Turn[Item, Read, Answer]], Answer]
) -> Turns[Item, Read, Answer]:
    """Yield the turns of ITEMS, in their order. READ and ANSWER run in threads; ANSWER puts into `Turn.stack` what it
    needs until the end of the turn. Close the iterator: it then waits for the end of the current step."""
    stop, coming = Event(), iter(items)
    turns: deque[Turn[Item, Read, Answer]] = deque()
    reader, runner = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    try:
        while True:
            for item in islice(coming, _READ - len(turns)):
                turns.append(Turn(item, reader.submit(read, item), stop))
            for turn in islice(turns, _ANSWERED):
                turn.answer = turn.answer or runner.submit(answer, turn)
            if not turns:
                break
            yield turns[0]
            turns.popleft().stack.close()
    finally:
        for pool in (reader, runner):  # before the current step ends, or the next item would begin
            pool.shutdown(wait=False, cancel_futures=True)
        stop.set()
        for pool in (reader, runner):
            pool.shutdown()
        for turn in turns:
            turn.stack.close()
