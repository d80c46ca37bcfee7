"""The schemas of seventeen forks of Caffe: which fields they add to BVLC Caffe's, change in it, and lack.

They are read at first use from `forks.txt` beside this file, which says how it is laid out. Another fork may have a
file of its own, `forks_NAME.txt`. They cover all that a net can hold: the NetParameter and what stands in it, not
solvers and data sets. In a prototxt the name of a field decides; in a caffemodel there are numbers only, and forks give
one number to different fields.
"""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Literal, NamedTuple, cast

Label = Literal["optional", "required", "repeated"]


class ForkField(NamedTuple):
    """A field that some forks have and BVLC Caffe does not, or not so."""

    message: str
    """The message it is in, such as "PoolingParameter"."""
    name: str
    """Its name, such as "avg_include_pad"."""
    number: int
    """Its number in the binary format."""
    label: Label
    """Whether it may be left out, must be there, or is a list."""
    type: str
    """"float", "bool" and the like, or the full name of a message or an enum."""
    default: str | None
    """The value it has where it is not set, as a prototxt writes it, a string without quotes; None if there is none."""
    forks: tuple[str, ...]
    """The forks that have it."""


class Enumerator(NamedTuple):
    """A value of an enum that some forks have and BVLC Caffe does not."""

    enum: str
    """The full name of the enum, such as "PoolingParameter.PoolMethod"."""
    name: str
    number: int
    forks: tuple[str, ...]


class MissingField(NamedTuple):
    """A field of BVLC Caffe that some forks do not have."""

    message: str
    name: str
    forks: tuple[str, ...]


class Pair(NamedTuple):
    """Two fields of a message that some forks take both, or not at all."""

    message: str
    names: tuple[str, str]
    forks: tuple[str, ...]


class ForkTable(NamedTuple):
    """All that is known of forks."""

    fields: tuple[ForkField, ...]
    enumerators: tuple[Enumerator, ...]
    lacks: tuple[MissingField, ...]
    pairs: tuple[Pair, ...]


def fork_fields() -> tuple[ForkField, ...]:
    """Every field that a fork has and BVLC Caffe does not, or has under another number or of another type."""
    return table().fields


@cache
def forks() -> tuple[str, ...]:
    """The names of the forks, such as "SSD" and "NVIDIA"."""
    owners = [row.forks for row in table().fields] + [row.forks for row in table().lacks]
    return tuple(dict.fromkeys(fork for each in owners for fork in each))


@cache
def table() -> ForkTable:
    """The whole table."""
    here = os.path.dirname(__file__)
    texts = []
    for name in sorted(os.listdir(here)):
        if name.startswith("forks") and name.endswith(".txt"):
            with open(os.path.join(here, name), encoding="utf-8") as file:
                texts.append(file.read())
    return _parse("\n".join(texts))


def _parse(text: str) -> ForkTable:
    """The table in TEXT, of the form that `forks.txt` describes."""
    fields: list[ForkField] = []
    enumerators: list[Enumerator] = []
    lacks: list[MissingField] = []
    pairs: list[Pair] = []
    kind = scope = ""
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        if not line.startswith(" "):
            kind, scope = line.split()
            continue
        row, _, owners = line.rpartition(" : ")
        having = tuple(owners.split())
        words, _, default = row.partition(" = ")
        match words.split():
            case ["-", name]:
                lacks.append(MissingField(scope, name, having))
            case [one, "&", other]:
                pairs.append(Pair(scope, (one, other), having))
            case [name, number] if kind == "enum":
                enumerators.append(Enumerator(scope, name, int(number), having))
            case [name, number, label, type_]:
                plain = json.loads(default) if default.startswith('"') else default or None
                fields.append(ForkField(scope, name, int(number), cast("Label", label), type_, plain, having))
            case _:
                raise ValueError(f"forks.txt: expected a row, found {line!r}")
    return ForkTable(tuple(fields), tuple(enumerators), tuple(lacks), tuple(pairs))
