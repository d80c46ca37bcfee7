"""What a conversion did, for people (aligned lines) and for programs (a JSON document)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from caffe_fcn import __version__
from caffe_fcn.files.literals import visible
from caffe_fcn.model.changes import Change
from caffe_fcn.passes.conversion import Plan


def lines(plan: Plan, outputs: Sequence[str], dry_run: bool) -> Iterator[str]:
    """The report for people, safe to print whatever the model calls its layers."""
    yield from map(visible, _lines(plan, outputs, dry_run))


def _lines(plan: Plan, outputs: Sequence[str], dry_run: bool) -> Iterator[str]:
    """The report: every layer that changed and how, what was left alone and why, and what was written."""
    yield f"{plan.source.name}: {_headline(plan)}"
    suffix = _suffix(plan)
    yield from _table([_row(change, suffix) for change in plan.of_kind("converted")])
    others = [change for change in plan.changes if change.kind not in ("", "converted")]
    yield from _table([[change.layer or "input", change.describe()] for change in others])
    yield from _table([[f"output {name}", "×".join(map(str, shape))] for name, shape in plan.outputs.items()])
    if plan.left_alone:
        yield "left alone:"
        yield from _table([[entry.layer, entry.reason] for entry in plan.left_alone])
    for note in _notes(plan):
        yield f"note: {note}"
    if outputs:
        yield f"{'would write' if dry_run else 'wrote'} {', '.join(outputs)}"


def document(
    plan: Plan, outputs: dict[str, str | None], dry_run: bool, verification: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The same for programs; VERIFICATION is what was proven, where that was asked for."""
    resized = plan.of_kind("input_size")
    return {
        "caffe_fcn": __version__,
        "net": plan.source.name,
        "format": plan.source.format,
        "weights": plan.weights.path if plan.weights else None,
        "outputs": outputs,
        "dry_run": dry_run,
        **{kind: [change.document() for change in plan.of_kind(kind)] for kind in ("converted", "pooling", "dropped")},
        "left_alone": [{"layer": entry.layer, "type": entry.type, "reason": entry.reason} for entry in plan.left_alone],
        "output_shapes": {name: list(shape) for name, shape in plan.outputs.items()},
        "input_size": resized[0].document()["input_size"] if resized else None,
        "missing_weights": list(plan.before.missing) if plan.weights else [],
        "copied_layers": list(plan.before.foreign) if plan.weights else [],
        "notes": _notes(plan),
        "verification": verification,
    }


def _headline(plan: Plan) -> str:
    count = len(plan.of_kind("converted"))
    if count:
        layers = "1 InnerProduct becomes a Convolution" if count == 1 else f"{count} InnerProducts become Convolutions"
        suffix = _suffix(plan)
        return f"{layers}, called NAME{suffix}" if suffix else layers
    if plan.of_kind("pooling"):
        return "no InnerProduct to convert; its global pooling becomes a window"
    if plan.source.format != "V2":
        return "nothing to convert; the net is only brought into the current format"
    if plan.changes or plan.model.text_edits:
        return "no InnerProduct to convert"
    return "nothing to convert; the net stays as it is"


def _suffix(plan: Plan) -> str:
    """What all new names of layers end in, if they are the old ones and that."""
    suffixes = {new[len(old) :] if new.startswith(old) else "" for old, new in plan.new_names.items()}
    return suffixes.pop() if len(suffixes) == 1 else ""


def _row(change: Change, suffix: str) -> list[str]:
    """CHANGE, of a layer that becomes a Convolution, as the cells of a table."""
    *cells, name, how = change.cells
    return [change.layer, *cells, f"now {name}" if name != change.layer and not suffix else "", how]


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows indented, columns aligned."""
    if not rows:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width]
        yield ("  " + "  ".join(cells)).rstrip()


def _notes(plan: Plan) -> list[str]:
    notes = list(plan.notes)
    if plan.source.format != "V2":
        notes.append(f"the file was in Caffe's old format {plan.source.format}; what is written is in the current one")
    foreign = plan.before.foreign
    if foreign:
        shown = ", ".join(foreign[:4]) + (", ..." if len(foreign) > 4 else "")
        layers = "1 layer of the caffemodel is" if len(foreign) == 1 else f"{len(foreign)} layers of the caffemodel are"
        notes.append(f"{layers} not in the net, and copied untouched: {shown}")
    return notes
