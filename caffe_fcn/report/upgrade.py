"""The report of an upgrade, for people (lines) and for programs (a JSON document)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from caffe_fcn import __version__
from caffe_fcn.display import visible
from caffe_fcn.passes.planning import Plan
from caffe_fcn.passes.upgrade import Upgrade


def lines(upgrade: Upgrade, out: str, dry_run: bool) -> Iterator[str]:
    """Return the report for people on an upgrade to OUT, safe to print for any model."""
    headline = "upgraded" if upgrade.changes else "already up to date"
    yield visible(f"{upgrade.name}: {headline}")
    yield from (visible(f"  {change}") for change in upgrade.changes)
    yield from (visible(f"note: {note}") for note in upgrade.notes)
    if out != "-":
        yield visible(f"{'would write' if dry_run else 'wrote'} {out}")


def plan_document(plan: Plan, outputs: dict[str, str | None], dry_run: bool) -> dict[str, Any]:
    """Return the document on PLAN, the upgrade of a net and its weights together, with the changes of both."""
    changes = tuple(dict.fromkeys(change.describe() for change in plan.changes))
    return document(Upgrade(plan.source.name, plan.source.format, changes, plan.notes), outputs["net"], dry_run)


def document(upgrade: Upgrade, out: str | None, dry_run: bool) -> dict[str, Any]:
    """Return the JSON document."""
    return {
        "caffe_fcn": __version__,
        "input": upgrade.name,
        "kind": "weights" if upgrade.weights else "net",
        "format": upgrade.format,
        "output": out,
        "dry_run": dry_run,
        "changes": list(upgrade.changes),
        "notes": list(upgrade.notes),
    }
