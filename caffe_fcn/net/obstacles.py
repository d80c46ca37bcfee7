"""Obstacles: why a pass leaves a layer unchanged, or cannot do what is asked, as data.

An obstacle is an enumerator, whose value is the template of a sentence, and the names, numbers, shapes and other
obstacles for the template. Code compares the enumerator; the words are made here, for people.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from caffe_fcn.display import visible


class Obstacle(NamedTuple):
    """The reason WHY, and what it is ABOUT: the names, numbers and shapes for its template, in this order."""

    why: Enum
    about: tuple[str | int | tuple[int, ...] | Obstacle, ...] = ()

    def __str__(self) -> str:
        """The obstacle in words, of bounded length and without control characters."""
        return visible(str(self.why.value).format(*map(_shown, self.about)))


def _shown(each: str | int | tuple[int, ...] | Obstacle) -> str | int:
    if isinstance(each, Obstacle):
        return str(each)
    return "×".join(map(str, each)) if isinstance(each, tuple) else each
