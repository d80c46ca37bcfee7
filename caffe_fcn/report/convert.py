"""The report of a conversion, for people (aligned lines) and for programs (a JSON document)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from caffe_fcn.model.changes import Change
from caffe_fcn.passes.conversion import ConversionPlan
from caffe_fcn.report.rewriting import documented, table, told

_KINDS = ("converted", "cut", "pooling", "dropped", "atrous")
"""The kinds of changes that have a list in the document."""


def lines(plan: ConversionPlan, outputs: Sequence[str], dry_run: bool) -> Iterator[str]:
    """Return the report for people, safe to print with any names of layers: every layer that changed and how, the
    layers that were left alone and why, and the files that were written."""
    return told(plan, _headline(plan), _rows(plan), outputs, dry_run)


def document(
    plan: ConversionPlan, outputs: dict[str, str | None], dry_run: bool, verification: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the JSON document; VERIFICATION is the result of the verification, if there was one."""
    resized = plan.of_kind("input_size")
    widened = plan.of_kind("input_channels")
    changes = {
        **{kind: [change.document() for change in plan.of_kind(kind)] for kind in _KINDS},
        "output_shapes": {name: list(shape) for name, shape in plan.outputs.items()},
        "input_size": resized[0].document()["input_size"] if resized else None,
        "input_channels": widened[0].document()["channels"] if widened else None,
    }
    return documented(plan, changes, outputs, dry_run, verification)


def _rows(plan: ConversionPlan) -> Iterator[str]:
    suffix = _suffix(plan)
    yield from table([_row(change, suffix) for change in plan.of_kind("converted")])
    others = [change for change in plan.changes if change.kind not in ("", "converted")]
    yield from table([[change.layer or "input", change.describe()] for change in others])
    yield from table([[f"output {name}", "×".join(map(str, shape))] for name, shape in plan.outputs.items()])


def _headline(plan: ConversionPlan) -> str:
    count = len(plan.of_kind("converted"))
    if count:
        layers = "1 InnerProduct becomes a Convolution" if count == 1 else f"{count} InnerProducts become Convolutions"
        suffix = _suffix(plan)
        return f"{layers}, called NAME{suffix}" if suffix else layers
    if plan.of_kind("pooling"):
        return "no InnerProduct to convert; its global pooling becomes a window"
    if plan.source.format != "V2":
        return "nothing to convert; the net is only rewritten in the current format"
    if plan.changes or plan.model.text_edits:
        return "no InnerProduct to convert"
    return "nothing to convert; the net is unchanged"


def _suffix(plan: ConversionPlan) -> str:
    """Return the suffix of all new names of layers, if they are the old names with one suffix."""
    suffixes = {new[len(old) :] if new.startswith(old) else "" for old, new in plan.new_names.items()}
    return suffixes.pop() if len(suffixes) == 1 else ""


def _row(change: Change, suffix: str) -> list[str]:
    """Return CHANGE, of a layer that becomes a Convolution, as the cells of a table."""
    *cells, name, how = change.cells
    return [change.layer, *cells, f"now {name}" if name != change.layer and not suffix else "", how]
