"""Checks files, and reports the findings: lines that editors and CI understand, or a JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from caffe_fcn.display import visible
from caffe_fcn.errors import CaffeFcnError
from caffe_fcn.files.prototxt import HEAD, is_binary
from caffe_fcn.files.reading import reading
from caffe_fcn.files.weights import open_weights
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.problems import Findings, Problem, Severity, examine, examine_weights


class Checked(NamedTuple):
    """The findings of `check` in a file or a net."""

    file: str
    """The name of the file."""
    findings: Findings
    unreadable: str | None = None
    """Why the file cannot be read at all; None if it can."""

    def __repr__(self) -> str:
        return f"<Checked {self.file}: {'ok' if self.ok else f'{len(self.errors)} errors'}>"

    @property
    def ok(self) -> bool:
        """Whether it has no errors."""
        return not self.errors and self.unreadable is None

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Findings for which no Caffe can build the net, or with `strict` BVLC Caffe refuses it, in the order of the
        text."""
        return self.findings.errors

    @property
    def notes(self) -> tuple[Problem, ...]:
        """Findings that BVLC Caffe refuses but forks may accept, and other information."""
        return self.findings.notes

    def report(self) -> dict[str, Any]:
        """The report, as `caffe-fcn check --json` prints it for each file."""
        return _document(self)


def check_file(
    path: str, name: str, selection: Selection = ANY_NET, fork: str | None = None, *, strict: bool = False
) -> Checked:
    """Check the file at PATH, which messages call NAME. SELECTION chooses one of its nets. FORK is the Caffe that wrote
    a caffemodel. STRICT: everything that BVLC Caffe refuses is an error."""
    try:
        findings = _examine(path, name, selection, fork)
    except OSError as error:
        return unreadable(name, error.strerror or str(error))
    except CaffeFcnError as error:
        return unreadable(name, error.within(name))
    return Checked(name, findings.strictly() if strict else findings)


def unreadable(name: str, reason: str) -> Checked:
    """Return the finding that the file NAME cannot be read for a REASON."""
    return Checked(name, Findings(None, None), reason)


def _examine(path: str, name: str, selection: Selection, fork: str | None) -> Findings:
    with reading(path, name) as file:  # it is read once, because it may be a pipe
        data = file.read(HEAD)
        if not is_binary(data):
            return examine(data + file.read(), name, selection)
    with open_weights(path, name) as weights:
        return examine_weights(weights, selection, fork)


def lines(checked: Checked) -> Iterator[str]:
    """Return the problems as compilers print them, FILE:LINE:COLUMN: error or note, in the order of the text."""
    if checked.unreadable is not None:
        yield visible(f"{checked.file}: error: {checked.unreadable}")
    errors = set(checked.findings.errors)
    for problem in checked.findings.problems:
        kind = "error" if problem in errors else "note"
        place = f":{problem.line}:{problem.column}" if checked.findings.placed else ""
        yield visible(f"{checked.file}{place}: {kind}: {problem.message}")


def summary(checked: Sequence[Checked]) -> Iterator[str]:
    """Return a line for every file, and one for all."""
    for each in checked:
        what = " ".join(filter(None, (each.findings.kind, each.findings.format))) or "neither net nor solver"
        yield visible(f"{each.file}: {what}, {'ok' if each.ok else 'not ok'}")
    bad = sum(not each.ok for each in checked)
    yield f"{len(checked)} file{'s' * (len(checked) != 1)} checked, {bad} not ok"


def document(checked: Sequence[Checked]) -> list[dict[str, Any]]:
    """Return the findings as a JSON document."""
    return [_document(each) for each in checked]


def _document(checked: Checked) -> dict[str, Any]:
    reason = checked.unreadable
    return {
        "file": checked.file,
        "kind": checked.findings.kind,
        "format": checked.findings.format,
        "ok": checked.ok,
        "errors": [
            *([_problem(Severity.ERROR, None, None, reason)] if reason is not None else []),
            *(_located(checked, found) for found in checked.errors),
        ],
        "notes": [_located(checked, found) for found in checked.notes],
    }


def _located(checked: Checked, found: Problem) -> dict[str, Any]:
    line, column = (found.line, found.column) if checked.findings.placed else (None, None)
    return _problem(found.severity, line, column, found.message)


def _problem(severity: Severity, line: int | None, column: int | None, message: str) -> dict[str, Any]:
    return {"line": line, "column": column, "severity": severity.value, "message": message}
