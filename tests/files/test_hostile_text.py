"""Texts that nobody meant well: any text is read losslessly or refused with its place, at a cost in proportion."""

from __future__ import annotations

import re
import tracemalloc
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fcn.errors import PrototxtError
from caffe_fcn.files.prototxt import parse
from tests.files.texts import prototxts, randoms

pytestmark = pytest.mark.thorough

PLACE = re.compile(r"net\.prototxt:(\d+):(\d+): (.*)")
MILLION = 1_000_000
ALPHABET = st.sampled_from([*"ab1-.:;,{}<>[]\"'\\#\n\r\t $=%@", "\ufeff", "\u00e9", "\udcff", "\x1b", "\0", "\u2028"])


def check_any(text: str) -> None:
    """A text is read losslessly or refused with a located, printable error of three lines."""
    try:
        assert str(parse(text, "net.prototxt")) == text
        return
    except PrototxtError as error:
        message = str(error)
    message.encode()
    head, shown, caret = message.split("\n")
    place = PLACE.fullmatch(head)
    assert place is not None, head
    line, column = int(place[1]), int(place[2])
    source = text.removeprefix("\ufeff").split("\n")[line - 1]
    assert 1 <= column <= len(source) + 1
    if column <= len(source) <= 120:
        assert len(caret) - 2 == column
        assert shown[1 + column :][:1] == source[column - 1] or not source[column - 1].isprintable()


@given(st.text(ALPHABET, max_size=40))
@settings(max_examples=500)
def test_any_text_is_read_or_refused(text: str) -> None:
    check_any(text)


@given(prototxts(), randoms())
@settings(max_examples=200)
def test_a_damaged_text_is_read_or_refused(text: str, random: Random) -> None:
    at = random.randrange(len(text) + 1)
    check_any(text[:at] + random.choice(["", "{", "}", '"', "'", ":", "\n", "\\", "["]) + text[at + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        *("a{" * MILLION, "a[" * MILLION, "a:[{" * MILLION, "<" * MILLION, "{" * MILLION, "}" * MILLION),
        *('"' + "x" * MILLION, "a: '" + "x" * MILLION, 'a: "' + "\\" * (MILLION + 1), '"' * (MILLION + 1)),
        *("[" * MILLION, "a:" + "-" * MILLION, "a " * MILLION, "a" * MILLION, "a:1" * MILLION),
    ],
    ids=lambda text: text[:4],
)
def test_a_hostile_text_is_refused(text: str) -> None:
    with pytest.raises(PrototxtError) as caught:
        parse(text, "net.prototxt")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "text",
    [
        *(" " * MILLION, "\n" * MILLION, "#" * MILLION, "#\n" * (MILLION // 5), " #\r\n" * (MILLION // 5)),
        *('a: "' + "x" * MILLION + '"', "a: '" + "\\n" * (MILLION // 5) + "'", "a: " + '"" ' * (MILLION // 10)),
    ],
    ids=["spaces", "newlines", "hashes", "lines", "windows", "string", "escapes", "strings"],
)
def test_long_stretches_take_memory_in_proportion(text: str) -> None:
    tracemalloc.start()
    try:
        assert len(str(parse(text))) == len(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(text) + 100_000
