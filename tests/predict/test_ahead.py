"""Turns: in order, ahead by so many and no more, and over when the iterator is closed."""

from __future__ import annotations

from contextlib import closing
from threading import Event

import pytest

from caffe_fcn.predict.ahead import StoppedError, Turn, ahead

LONG = 30
"""Seconds after which a thread counts as stuck."""


def test_turns_come_in_order_with_what_was_read_and_answered() -> None:
    turns = ahead("abcd", str.upper, lambda turn: turn.read.result() + turn.item)
    with closing(turns):
        assert [turn.result(lambda: None) for turn in turns] == ["Aa", "Bb", "Cc", "Dd"]


def test_nothing_comes_of_nothing() -> None:
    with closing(ahead("", str.upper, lambda turn: turn.item)) as turns:
        assert not list(turns)


def test_the_next_is_answered_and_the_one_behind_it_read_meanwhile_but_no_more() -> None:
    read = {number: Event() for number in range(6)}
    answered = {number: Event() for number in range(6)}
    turns = ahead(range(6), lambda number: read[number].set(), lambda turn: answered[turn.item].set())
    with closing(turns):
        for number, turn in enumerate(turns):
            turn.result(lambda: None)
            assert all(read[each].wait(LONG) for each in range(number, min(6, number + 3)))
            assert all(answered[each].wait(LONG) for each in range(number, min(6, number + 2)))
            assert not any(read[each].is_set() for each in range(number + 3, 6))
            assert not any(answered[each].is_set() for each in range(number + 2, 6))


def test_an_error_is_raised_in_its_turn_and_the_others_go_on() -> None:
    def answer(turn: Turn[int, int, float]) -> float:
        return 1 / turn.read.result()

    found: list[float | str] = []
    with closing(ahead([2, 0, 4], int, answer)) as turns:
        for turn in turns:
            try:
                found.append(turn.result(lambda: None))
            except ZeroDivisionError:
                found.append("error")
    assert found == [0.5, "error", 0.25]


def test_an_error_in_reading_is_what_the_answer_raises() -> None:
    with closing(ahead(["x"], int, lambda turn: turn.read.result())) as turns, pytest.raises(ValueError, match="'x'"):
        next(turns).result(lambda: None)


def test_steps_are_shown_also_those_made_before() -> None:
    begun, go_on = Event(), Event()

    def answer(turn: Turn[str, str, None]) -> None:
        turn.expect(3)
        turn.step()
        turn.step()
        begun.set()
        assert go_on.wait(LONG)
        turn.step()

    shown: list[int] = []

    def show() -> None:
        shown.append(len(shown))
        if len(shown) == 2:
            go_on.set()

    with closing(ahead("a", str, answer)) as turns:
        turn = next(turns)
        assert turn.steps() == 3
        assert begun.wait(LONG)
        turn.result(show)
    assert shown == [0, 1, 2]


def test_an_answer_that_fails_before_it_says_so_has_no_steps() -> None:
    with closing(ahead("a", str, lambda turn: 1 / 0)) as turns:
        assert next(turns).steps() == 0


def test_what_an_answer_holds_is_let_go_at_the_end_of_its_turn() -> None:
    gone: list[str] = []

    def answer(turn: Turn[str, str, str]) -> str:
        turn.stack.callback(gone.append, turn.item)
        return turn.item

    with closing(ahead("abc", str, answer)) as turns:
        for turn in turns:
            turn.result(lambda: None)
            assert turn.item not in gone
    assert gone == ["a", "b", "c"]


def test_closing_ends_the_step_at_hand_and_lets_all_go() -> None:
    begun, gone, told = Event(), list[str](), list[str]()

    def answer(turn: Turn[str, str, None]) -> None:
        turn.stack.callback(gone.append, turn.item)
        try:
            while True:
                turn.step()
                begun.set()
        except StoppedError:
            told.append(turn.item)
            raise

    turns = ahead("abc", str, answer)
    next(turns)
    assert begun.wait(LONG)
    turns.close()
    assert (told, gone) == (["a"], ["a"])
