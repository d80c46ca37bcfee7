"""Findings in a prototxt, as data: each with its place and its severity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from caffe_fcn.net.objections import Severity


class Problem(NamedTuple):
    """One finding, and its place: line and column from 1."""

    line: int
    column: int
    message: str
    severity: Severity = Severity.ERROR


@dataclass(frozen=True)
class Findings:
    """The result of a check. KIND is "net", "solver" or "labelmap", None for other files; FORMAT is that of a net:
    "V0", "V1" or "V2"."""

    kind: str | None
    format: str | None
    problems: tuple[Problem, ...] = ()
    """In the order of the text, each once."""
    placed: bool = True
    """Whether the places are in the file, and not in the text made of the net inside a caffemodel."""
    strict: bool = False
    """Whether text that BVLC Caffe refuses is an error."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that are errors."""
        return tuple(filter(self._is_error, self.problems))

    @property
    def notes(self) -> tuple[Problem, ...]:
        """The other problems."""
        return tuple(problem for problem in self.problems if not self._is_error(problem))

    def strictly(self) -> Findings:
        """Return the same findings with everything that BVLC Caffe refuses as an error."""
        return replace(self, strict=True)

    def _is_error(self, problem: Problem) -> bool:
        return problem.severity is Severity.ERROR or (self.strict and problem.severity is Severity.BVLC)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return PROBLEMS in the order of the text, each once."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: problem[:3]))
