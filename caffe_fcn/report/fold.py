"""The report of a fold, for people (aligned lines) and for programs (a JSON document)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, NamedTuple

from caffe_fcn.net.layers import row_of
from caffe_fcn.passes.planning import Plan
from caffe_fcn.report.rewriting import documented, table, told


class Gain(NamedTuple):
    """The savings in inference, for inputs of the shapes in the net. Layers with unknown shapes are not counted, so the
    last two numbers are lower bounds."""

    layers_before: int
    layers_after: int
    multiply_adds: int
    """The number of values that are no longer scaled and shifted."""
    values_moved: int
    """The number of values that are no longer read and written."""


def gain_of(plan: Plan) -> Gain:
    """Return the savings of PLAN, in the folded net."""
    before = plan.results[-1].before
    gone = {change.index: change for change in plan.results[-1].changes if change.drops}
    scaled = moved = 0
    shapes = before.shapes[before.phase].blobs
    for node in before.graph.nodes:
        if node.index not in gone or not isinstance(shape := shapes[node.tops[0]], tuple):
            continue
        folded = gone[node.index].kind == "folded"
        copies = node.tops[0].name != node.bottoms[0].name and not row_of(node.type).shares(node.layer)
        scaled += prod(shape) * folded
        moved += 2 * prod(shape) * (folded or copies)
    return Gain(len(before.net.layer), len(plan.net.layer), scaled, moved)


def lines(plan: Plan, outputs: Sequence[str], dry_run: bool) -> Iterator[str]:
    """Return the report for people, safe to print with any names of layers."""
    return told(plan, _headline(plan), _rows(plan), outputs, dry_run)


def document(
    plan: Plan, outputs: dict[str, str | None], dry_run: bool, verification: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the JSON document; VERIFICATION is the result of the verification, if there was one."""
    kinds = ("folded", "into", "dropped", "left_out")
    changes = {kind: [change.document() for change in plan.of_kind(kind)] for kind in kinds}
    return documented(plan, {**changes, "gain": gain_of(plan)._asdict()}, outputs, dry_run, verification)


def _headline(plan: Plan) -> str:
    folded, into, dropped = (len(plan.of_kind(kind)) for kind in ("folded", "into", "dropped"))
    done = [f"{_layers(folded)} folded into {into}"] * bool(folded) + [f"{_layers(dropped)} dropped"] * bool(dropped)
    return ", ".join(done) or "nothing to fold"


def _rows(plan: Plan) -> Iterator[str]:
    yield from table([[change.layer, change.describe()] for change in plan.of_kind("into", "dropped")])
    if left_out := plan.of_kind("left_out"):
        yield f"left out, of other phases and stages: {', '.join(change.layer for change in left_out)}"
    gain = gain_of(plan)
    counts = ((gain.multiply_adds, "multiply-adds"), (gain.values_moved, "values read and written"))
    less = [f"{count:,} {what} less" for count, what in counts if count]
    if gain.layers_after < gain.layers_before:
        left = f"inference: {gain.layers_after} of {_layers(gain.layers_before)} left"
        yield "; per batch ".join([left, ", ".join(less)]) if less else left


def _layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"
