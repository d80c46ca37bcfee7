"""Reads literals of the text format: strings, numbers, enumerators.

Each function takes the literal as it is written, comments between its parts included, and returns None for a literal
that does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_BETWEEN = re.compile(r"#[^\n]*|[^#\"']+")
_RUN = 1000
"""The maximum number of repeats in one match: `re` keeps each in memory, so longer runs are matched in several
steps."""
_INSIDE = {quote: re.compile(rf"(?:[^{quote}\\\n]+|\\[^\n]){{1,{_RUN}}}") for quote in "\"'"}
_SURROGATES = re.compile(rb"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_ESCAPES = re.compile(rb"(?:\\.[^\\]*){1,%d}" % _RUN, re.DOTALL)
_ESCAPE = re.compile(
    rb"""
      ((?:\\(?:[abfnrtv\\'"]|[0-3][0-7]{2}|[0-7]{1,2}(?![0-7])|x[0-9a-fA-F]{2})[^\\]*)+)  # Python has these
    | ((?:\\[^abfnrtv\\0-7xXuU][^\\]*)+)  # a character that stands for itself
    | \\(?:([0-7]{3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))
    """,
    re.DOTALL | re.VERBOSE,
)
"""Runs of escapes with the text after them, and single escapes of other kinds. A step of Python for each escape of a
long string would take seconds."""
_KNOWN_ESCAPE = r"""\\(?:[abfnrtv\\?'"0-7]|[xX][0-9a-fA-F]|u[0-9a-fA-F]{4}|U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})"""
_KNOWN = re.compile(rf"(?:[^\\]+|{_KNOWN_ESCAPE}){{1,{_RUN}}}")
_SIGN = re.compile(r"\A-(?:\s+|#[^\n]*\n)*")
_INTEGER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|0[0-7]{0,22}|[1-9][0-9]{0,19}")
_FLOAT = re.compile(r"((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[fF]?")
_WORDS = {"inf": float("inf"), "infinity": float("inf"), "nan": float("nan")}
_TRUTH = {"true": True, "t": True, "false": False, "f": False}
_NOT_TEXT = b"\xff"
"""A byte that is never in UTF-8 text; it replaces escapes that are not a character."""


def string_end(text: str, start: int, end: int) -> int | None:
    """Return the end of the string that begins with the quote at START; None if it is not on the same line and before
    END."""
    last = _run_end(_INSIDE[text[start]], text, start + 1, end)
    return last + 1 if last < end and text[last] == text[start] else None


def _run_end(pattern: re.Pattern[str], text: str, start: int, end: int) -> int:
    """Return the end of consecutive matches of PATTERN from START on."""
    while match := pattern.match(text, start, end):
        start = match.end()
    return start


def _bodies(literal: str) -> Iterator[str]:
    """Return the contents of adjacent strings, without quotes."""
    at, end = 0, len(literal)
    while at < end:
        if literal[at] in _INSIDE:
            last = string_end(literal, at, end) or end
            yield literal[at + 1 : last - 1]
            at = last
        else:
            between = _BETWEEN.match(literal, at)
            at = between.end() if between else at + 1


def string_bytes(literal: str) -> bytes:
    """Return the bytes of one or several adjacent strings."""
    return b"".join(map(_unescaped, _bodies(literal)))


def has_unknown_escapes(literal: str) -> bool:
    """Return whether one of several adjacent strings has an invalid escape, such as `\\z`."""
    if "\\" not in literal:
        return False
    return any(_run_end(_KNOWN, part, 0, len(part)) < len(part) for part in _bodies(literal))


def integer(literal: str) -> int | None:
    """Return a decimal, octal or hexadecimal integer."""
    digits = _SIGN.sub("", literal)
    if not _INTEGER.fullmatch(digits):
        return None
    octal = len(digits) > 1 and digits[0] == "0" and digits[1] not in "xX"
    number = int(digits, 8 if octal else 0)
    return -number if literal.startswith("-") else number


def real(literal: str) -> float | None:
    """Return a real number, with or without the suffix f, or inf or nan."""
    digits = _SIGN.sub("", literal)
    match = _FLOAT.fullmatch(digits)
    number = float(match.group(1)) if match else _WORDS.get(digits.lower())
    if number is None:
        whole = integer(digits)
        number = None if whole is None else float(whole)
    return -number if number is not None and literal.startswith("-") else number


def is_decimal(literal: str) -> bool:
    """Return whether a number is decimal; Caffe's parser needs decimal real numbers."""
    return not re.match(r"0[0-7xX]", _SIGN.sub("", literal))


def truth(literal: str) -> bool | None:
    """Return the truth value of true, t, 1, false, f or 0."""
    number = integer(literal)
    return _TRUTH.get(literal.lower()) if number is None else {0: False, 1: True}.get(number)


def enumerator(enumeration: Any, literal: str) -> int | None:
    """Return the number of the value of ENUMERATION that LITERAL is, by name or number, in quotes or not; None if none
    is."""
    word = literal[1:-1] if literal[0] in "\"'" else literal
    number = integer(word)
    if number is not None:
        value = enumeration.values_by_number.get(number)  # Caffe looks at the low 32 bits only
        return number if value is not None and value.number == number else None
    value = enumeration.values_by_name.get(word)
    return None if value is None else int(value.number)


def _unescaped(body: str) -> bytes:
    try:
        data = body.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character: a str can hold it, a file cannot
        data = _NOT_TEXT
    if b"\\" not in data:
        return data
    return _ESCAPES.sub(lambda run: _ESCAPE.sub(_escaped, run[0]), _SURROGATES.sub(_paired, data))


def _paired(match: re.Match[bytes]) -> bytes:
    """Return the character for a pair of UTF-16 surrogates."""
    high, low = (int(part, 16) for part in match.groups())
    return chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00).encode()


def _escaped(match: re.Match[bytes]) -> bytes:
    simple, same, octal, hexadecimal, short, long, other = match.groups()
    if simple:
        return simple.decode("unicode_escape").encode("latin-1")
    if same:
        return same.replace(b"\\", b"")
    if octal:
        return bytes([int(octal, 8) & 0xFF])
    if hexadecimal:
        return bytes([int(hexadecimal, 16)])
    if short or long:
        code = int(short or long, 16)
        return chr(code).encode("utf-8", "surrogatepass") if code < 0x110000 else _NOT_TEXT
    return other
