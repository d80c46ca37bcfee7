"""What a check found, for people (lines that editors and CI understand) and for programs (a JSON document)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from caffe_fcn.files.literals import visible
from caffe_fcn.net.problems import Findings, Problem, Severity


class Checked(NamedTuple):
    """A file, and what was found in it; where it could not even be read, why not."""

    file: str
    findings: Findings
    unreadable: str | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.findings.errors and self.unreadable is None


def lines(checked: Checked) -> Iterator[str]:
    """The problems as compilers tell theirs, FILE:LINE:COLUMN: error or note, in the order of the text."""
    if checked.unreadable is not None:
        yield visible(f"{checked.file}: error: {checked.unreadable}")
    errors = set(checked.findings.errors)
    for problem in checked.findings.problems:
        kind = "error" if problem in errors else "note"
        place = f":{problem.line}:{problem.column}" if checked.findings.placed else ""
        yield visible(f"{checked.file}{place}: {kind}: {problem.message}")


def summary(checked: Sequence[Checked]) -> Iterator[str]:
    """A line for every file, and one for all."""
    for each in checked:
        what = " ".join(filter(None, (each.findings.kind, each.findings.format))) or "neither net nor solver"
        yield visible(f"{each.file}: {what}, {'ok' if each.ok else 'not ok'}")
    bad = sum(not each.ok for each in checked)
    yield f"{len(checked)} file{'s' * (len(checked) != 1)} checked, {bad} not ok"


def document(checked: Sequence[Checked]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [
        {
            "file": each.file,
            "kind": each.findings.kind,
            "format": each.findings.format,
            "ok": each.ok,
            "errors": [
                *([_problem(Severity.ERROR, None, None, each.unreadable)] if each.unreadable is not None else []),
                *(_located(each, found) for found in each.findings.errors),
            ],
            "notes": [_located(each, found) for found in each.findings.notes],
        }
        for each in checked
    ]


def _located(checked: Checked, found: Problem) -> dict[str, Any]:
    line, column = (found.line, found.column) if checked.findings.placed else (None, None)
    return _problem(found.severity, line, column, found.message)


def _problem(severity: Severity, line: int | None, column: int | None, message: str) -> dict[str, Any]:
    return {"line": line, "column": column, "severity": severity.value, "message": message}
