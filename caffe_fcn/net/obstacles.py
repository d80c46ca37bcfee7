"""Why a pass leaves a layer as it is, or cannot do what is asked, as data.

An obstacle is an enumerator, whose value is the template of a sentence, and what the template has room for: names of
layers and blobs, numbers, shapes, other obstacles. Code asks for the enumerator; words are made here, for people.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Obstacle(NamedTuple):
    """WHY, and the names, numbers and shapes that its template has room for, in this order."""

    why: Enum
    about: tuple[str | int | tuple[int, ...] | Obstacle, ...] = ()

    def __str__(self) -> str:
        """The same in words."""
        return str(self.why.value).format(*map(_shown, self.about))


def _shown(each: str | int | tuple[int, ...] | Obstacle) -> str | int:
    if isinstance(each, Obstacle):
        return str(each)
    return "×".join(map(str, each)) if isinstance(each, tuple) else each
