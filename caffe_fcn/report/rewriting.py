"""The common parts of reports on a rewriting, for people (aligned lines) and for programs (a JSON document)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from caffe_fcn import __version__
from caffe_fcn.display import visible
from caffe_fcn.passes.planning import Plan


def told(plan: Plan, headline: str, rows: Iterable[str], outputs: Sequence[str], dry_run: bool) -> Iterator[str]:
    """Return the report for people, safe to print with any names of layers: HEADLINE, ROWS on what changed, the layers
    that were left alone and why, and the OUTPUTS that were written."""
    yield visible(f"{plan.source.name}: {headline}")
    yield from map(visible, rows)
    if plan.left_alone:
        yield "left unchanged:"
        yield from map(visible, table([[entry.layer, entry.reason] for entry in plan.left_alone]))
    for note in _notes(plan):
        yield visible(f"note: {note}")
    if outputs:
        yield visible(f"{'would write' if dry_run else 'wrote'} {', '.join(outputs)}")


def documented(
    plan: Plan,
    changes: Mapping[str, Any],
    outputs: dict[str, str | None],
    dry_run: bool,
    verification: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return the JSON document: CHANGES are the keys of the command; VERIFICATION is the result of the verification, if
    there was one."""
    return {
        "caffe_fcn": __version__,
        "net": plan.source.name,
        "format": plan.source.format,
        "weights": plan.weights.path if plan.weights else None,
        "outputs": outputs,
        "dry_run": dry_run,
        **changes,
        "left_alone": [{"layer": entry.layer, "type": entry.type, "reason": entry.reason} for entry in plan.left_alone],
        "missing_weights": list(plan.before.missing) if plan.weights else [],
        "copied_layers": list(plan.model.foreign) if plan.weights else [],
        "notes": _notes(plan),
        "verification": verification,
    }


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Return ROWS indented, with aligned columns."""
    if not rows:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width]
        yield ("  " + "  ".join(cells)).rstrip()


def _notes(plan: Plan) -> list[str]:
    notes = list(plan.notes)
    if plan.source.format != "V2":
        notes.append(f"the file was in Caffe's old format {plan.source.format}; the new one is in the current format")
    foreign = plan.model.foreign
    if foreign:
        shown = ", ".join(foreign[:4]) + (", ..." if len(foreign) > 4 else "")
        layers = "1 layer of the caffemodel is" if len(foreign) == 1 else f"{len(foreign)} layers of the caffemodel are"
        notes.append(f"{layers} not in the net and copied unchanged: {shown}")
    return notes
