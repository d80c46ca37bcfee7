"""The report of a reduction, for people (aligned lines) and for programs (a JSON document)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from caffe_fcn.model.model import Model
from caffe_fcn.net.cost import infer_costs, total
from caffe_fcn.passes.planning import Plan
from caffe_fcn.report.rewriting import documented, table, told


def lines(plan: Plan, outputs: Sequence[str], dry_run: bool) -> Iterator[str]:
    """Return the report for people, safe to print with any names of layers."""
    reduced = len(plan.of_kind("reduced"))
    layers = "1 layer" if reduced == 1 else f"{reduced} layers"
    before, after = _parameters(plan.before), _parameters(plan.model)
    headline = f"{layers} reduced, {after:,} of {before:,} parameters left"
    return told(plan, headline, _rows(plan), outputs, dry_run)


def document(
    plan: Plan, outputs: dict[str, str | None], dry_run: bool, verification: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the JSON document; VERIFICATION is the result of the verification, if there was one."""
    changes: dict[str, Any] = {
        kind: [change.document() for change in plan.of_kind(kind)] for kind in ("converted", "reduced", "followed")
    }
    changes["parameters"] = {"before": _parameters(plan.before), "after": _parameters(plan.model)}
    return documented(plan, changes, outputs, dry_run, verification)


def _rows(plan: Plan) -> Iterator[str]:
    if converted := plan.of_kind("converted"):
        yield f"converted to Convolutions: {', '.join(change.layer for change in converted)}"
    yield from table([[change.layer, *change.cells] for change in plan.of_kind("reduced")])
    if followed := plan.of_kind("followed"):
        yield "follow:"
        yield from table([[change.layer, change.describe()] for change in followed])


def _parameters(model: Model) -> int:
    """Return the number of values that MODEL learns, in the selected phase; layers with unknown shapes are not
    counted."""
    return total(infer_costs(model.graph, model.shapes[model.phase])).parameters
