"""How messages name options: as the caller gives them.

Who uses the command line gives `--input-size 451x451`, and who uses the library gives `input_size=(451, 451)`. So no
message spells an option itself. What to do next is a `Hint`, which holds options and commands as data and spells them
when it is shown; inside other texts, `option` and `command` spell one at once. The words are the library's unless a
command runs, which says so by `as_command`.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

Value = bool | int | float | str | Collection[int] | Collection[str] | Mapping[str, Collection[int] | Collection[str]]
"""A flag, a number, a word, extents such as H×W, several words, or shapes by blob, where letters stand for extents."""

KEYWORDS: Mapping[str, str] = {
    "blob": "blobs",
    "class": "wanted",
    "for": "target",
    "heatmap": "heat_map",
    "ignore_field": "ignore_fields",
    "input_shape": "shapes",
    "range": "value_range",
    "shape": "shapes",
    "stage": "stages",
}
"""What the library calls an option, where it has another name there; that of a method if it is one."""

METHODS: Mapping[str, str] = {
    "check": "caffe_fcn.check",
    "convert": "Net.convolutionalize",
    "deploy": "Net.deploy",
    "export": "Net.export",
    "fold": "Net.fold",
    "inspect": "Net.inspect",
    "reduce": "Net.reduce",
    "report": "Net.save_report",
    "run": "Net.run",
    "segment": "Net.segment",
    "upgrade": "Net.upgrade",
    "verify": "Net.verify",
}
"""What the library has for a command; of the others messages name the command."""

_ARGUMENTS: Mapping[str, tuple[str, ...]] = {"upgrade": ("NET WEIGHTS -o NEW_NET -w NEW_WEIGHTS",)}
"""What a command is given to rewrite a net with its weights, where NET and WEIGHTS alone mean something else."""

_TYPED = 200
"""The characters of the longest name in which a typing mistake is looked for."""

_options: Collection[str] | None = None
"""The options of the command that runs, by their names in `option`; None while the library is used."""


@contextmanager
def as_command(options: Collection[str]) -> Iterator[None]:
    """Let messages name options as they are given to a command that has OPTIONS."""
    global _options  # of the process, not of a thread: a program is one or the other
    before, _options = _options, options
    try:
        yield
    finally:
        _options = before


class Option(NamedTuple):
    """An option by its NAME, spelt with underscores, and a VALUE for it, if there is one to advise."""

    name: str
    value: Value | None = None

    def __str__(self) -> str:
        """`--input-size 451x451` in a command, `input_size=(451, 451)` in the library, where a keyword without a value
        stands in backquotes."""
        if _options is None:
            return _keyword(KEYWORDS.get(self.name, self.name), self.value)
        flag = "--" + self.name.replace("_", "-")
        return " ".join(f"{flag} {shlex.quote(word)}" for word in _words(self.value)) or flag


class Command(NamedTuple):
    """A command, and OPTIONS that it has, whatever command runs: by name, or with a value."""

    name: str
    options: tuple[str | Option, ...] = ()

    def __str__(self) -> str:
        """`caffe-fcn verify --tolerance`, in the library `Net.verify(tolerance=...)`, each in backquotes."""
        if _options is None and self.name in METHODS:
            keywords = (
                _keyword(KEYWORDS.get(name, name), value) if value is not None else f"{KEYWORDS.get(name, name)}=..."
                for name, value in map(_named, self.options)
            )
            return f"`{METHODS[self.name]}({', '.join(keywords) or '...'})`"
        given = [*_ARGUMENTS.get(self.name, ()), *map(str, map(_named, self.options))]
        return f"`{' '.join(['caffe-fcn', self.name, *given])}`"


class Hint(NamedTuple):
    """What to do next: PARTS of a sentence, of which those that a caller can give are data."""

    parts: tuple[str | Option | Command, ...]

    def __str__(self) -> str:
        return "".join(map(str, self.parts))

    @property
    def advised(self) -> tuple[Option | Command, ...]:
        """The options and commands in it."""
        return tuple(part for part in self.parts if not isinstance(part, str))


def advise(*parts: str | Option | Command | Hint) -> Hint:
    """The hint that PARTS make; those of other hints join them."""
    return Hint(tuple(one for part in parts for one in (part.parts if isinstance(part, Hint) else (part,))))


def option(name: str, value: Value | None = None) -> str:
    """The option NAME, spelt with underscores, with VALUE if that is told, as the caller gives it."""
    return str(Option(name, value))


def command(name: str, *options: str) -> str:
    """The command NAME with OPTIONS that it has, as the caller gives it."""
    return str(Command(name, options))


def offered(name: str) -> bool:
    """Whether the command that runs has the option NAME; the library has all that messages name."""
    return _options is None or name in _options


def nearest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The one of NAMES that NAME, which is none of them, is a typing mistake for; None where none is as like it as
    CUTOFF. Nobody has typed a name of hundreds of characters, and comparing it would cost hundreds of megabytes."""
    from difflib import get_close_matches  # here, because importing it costs every run

    return next(iter(get_close_matches(name, names, n=1, cutoff=cutoff)), None) if len(name) <= _TYPED else None


def _named(each: str | Option) -> Option:
    return each if isinstance(each, Option) else Option(each)


def _words(value: Value | None) -> list[str]:
    """VALUE as words of a command line, each for an option of its own; none for a flag."""
    if value is None or isinstance(value, bool):
        return []
    if isinstance(value, Mapping):
        return [f"{blob}={','.join(map(str, shape))}" for blob, shape in value.items()]
    if isinstance(value, int | float | str):
        return [str(value)]
    words = [str(each) for each in value if isinstance(each, str)]
    return words or ["x".join(map(str, value))]


def _keyword(name: str, value: Value | None) -> str:
    """The keyword NAME with VALUE, in Python."""
    if value is None:
        return f"`{name}`"
    if isinstance(value, Mapping):
        shapes = [f"{blob!r}: ({', '.join(map(str, shape))})" for blob, shape in value.items()]
        return f"{name}={{{', '.join(shapes)}}}"
    if isinstance(value, Collection) and not isinstance(value, str):
        words = [each for each in value if isinstance(each, str)]
        return f"{name}={(words if len(words) > 1 else words[0]) if words else tuple(value)!r}"
    return f"{name}={value!r}"
