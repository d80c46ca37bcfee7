"""What was found in a prototxt, as data: each finding with its place and its severity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from caffe_fcn.net.objections import Severity


class Problem(NamedTuple):
    """One finding, and where: line and column from 1."""

    line: int
    column: int
    message: str
    severity: Severity = Severity.ERROR


@dataclass(frozen=True)
class Findings:
    """What a prototxt is, and what is wrong with it. KIND is "net", "solver" or "labelmap", None for none of them;
    FORMAT that of a net, "V0", "V1" or "V2"."""

    kind: str | None
    format: str | None
    problems: tuple[Problem, ...] = ()
    """In the order of the text, each once."""
    placed: bool = True
    """Whether the places are in the file, and not in the text made of the net inside a caffemodel."""
    strict: bool = False
    """Whether what BVLC Caffe refuses is an error."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What must be mended."""
        return tuple(filter(self._is_error, self.problems))

    @property
    def notes(self) -> tuple[Problem, ...]:
        """The rest."""
        return tuple(problem for problem in self.problems if not self._is_error(problem))

    def strictly(self) -> Findings:
        """The same with all that BVLC Caffe refuses an error."""
        return replace(self, strict=True)

    def _is_error(self, problem: Problem) -> bool:
        return problem.severity is Severity.ERROR or (self.strict and problem.severity is Severity.BVLC)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """PROBLEMS in the order of the text, each once."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: problem[:3]))
