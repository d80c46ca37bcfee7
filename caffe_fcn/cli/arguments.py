"""Replaces `@FILE` on the command line by the words in FILE, for lists too long for a command line.

Words are separated and quoted as in a shell, without expansion; a # at the start of a word starts a comment. An @ in
the file has no special meaning.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

import click

_TOKEN = r"""\s+ | \\\r?\n | \#[^\n]* | (?P<word>(?: [^\s"'\\] | \\[^\n] | "(?:[^"\\]|\\.)*" | '[^']*' )+)"""
"""White space, an escaped line end, a comment, or a word."""


def expanded(arguments: Sequence[str]) -> list[str]:
    """Return ARGUMENTS with each `@FILE` replaced by the words of the file. Raises UsageError if a file cannot be
    read."""
    words: list[str] = []
    for argument in arguments:
        words += _words_of(argument[1:]) if argument.startswith("@") else [argument]
    return words


def _words_of(path: str) -> Iterator[str]:
    if not path:
        raise click.UsageError("@ must be followed by the name of a file with arguments")
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        raise click.UsageError(f"@{path}: {reason}; for a file of that name write ./@{path}") from error
    if b"\0" in data:
        raise click.UsageError(f"@{path}: expected a text file with arguments, found a binary file")
    return _split(data.decode("utf-8", "surrogateescape").removeprefix("\ufeff"), path)


def _split(text: str, path: str) -> Iterator[str]:
    """Return the words in TEXT. shlex alone would end a word at a # in it."""
    token = re.compile(_TOKEN, re.ASCII | re.DOTALL | re.VERBOSE)
    at = 0
    while at < len(text):
        match = token.match(text, at)
        if match is None:
            line = text.count("\n", 0, at) + 1
            what = "nothing after a \\" if text[at] == "\\" else f"no closing {text[at]}"
            raise click.UsageError(f"@{path}: line {line}: found {what}")
        if match["word"]:
            yield from shlex.split(match["word"])
        at = match.end()
