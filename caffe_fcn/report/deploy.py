"""The report of `deploy`, for people (aligned lines) and for programs (a JSON document)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from caffe_fcn.passes.planning import Plan
from caffe_fcn.report.rewriting import documented, table, told


def dropped_weights(plan: Plan) -> list[str]:
    """Return the layers whose weights the new net does not use."""
    left = plan.model.tensors
    return list(dict.fromkeys(entry.name for entry in plan.before.held if entry.tensors and entry.name not in left))


def lines(plan: Plan, outputs: Sequence[str], dry_run: bool) -> Iterator[str]:
    """Return the report for people, safe to print with any names of layers."""
    return told(plan, _headline(plan), _rows(plan), outputs, dry_run)


def document(
    plan: Plan, outputs: dict[str, str | None], dry_run: bool, verification: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the JSON document; VERIFICATION is the result of the verification, if there was one."""
    kinds = ("inputs", "heads", "dropped", "left_out")
    changes: dict[str, Any] = {kind: [change.document() for change in plan.of_kind(kind)] for kind in kinds}
    changes["net_outputs"] = list(_ends(plan))
    changes["dropped_weights"] = dropped_weights(plan)
    return documented(plan, changes, outputs, dry_run, verification)


def _ends(plan: Plan) -> Iterator[str]:
    """Return the names of the outputs of the new net."""
    yield from (blob.name for blob in plan.model.graph.outputs)


def _headline(plan: Plan) -> str:
    if not plan.changes and not dropped_weights(plan):
        return "a deploy net already, nothing to do"
    return f"{_layers(len(plan.net.layer))} of {len(plan.before.net.layer)} left; outputs {', '.join(_ends(plan))}"


def _rows(plan: Plan) -> Iterator[str]:
    yield from table([[change.layer, change.describe()] for change in plan.of_kind("inputs", "heads")])
    for kind, verb in (("dropped", "dropped"), ("left_out", "dropped, of other phases and stages")):
        if names := dict.fromkeys(change.layer for change in plan.of_kind(kind)):
            yield f"{verb}: {', '.join(names)}"
    if names := dict.fromkeys(dropped_weights(plan)):
        yield f"weights dropped: {', '.join(names)}"


def _layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"
