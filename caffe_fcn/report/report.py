"""What `caffe-fcn report` tells of the page that it wrote, for people (lines) and for programs (a JSON document)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from caffe_fcn import __version__
from caffe_fcn.display import visible
from caffe_fcn.inspection.words import count_of, human_bytes
from caffe_fcn.net.objections import Severity
from caffe_fcn.page.records import Section
from caffe_fcn.page.saving import SavedPage

_SEVERITIES = {Severity.ERROR: "error", Severity.BVLC: "BVLC objection", Severity.INFORMATION: "remark"}


def lines(found: SavedPage) -> Iterator[str]:
    """Return the report for people, safe to print with any names of layers."""
    yield from map(visible, _lines(found))


def _lines(found: SavedPage) -> Iterator[str]:
    page = found.page
    yield f"{found.net}: {count_of(len(page.layers), 'layer')}"
    counts = Counter(problem.severity for problem in page.problems)
    if counts:
        yield f"  problems: {', '.join(count_of(counts[each], _SEVERITIES[each]) for each in Severity if counts[each])}"
    frame = [
        "overview",
        *(["graph"] if page.graph is not None else []),
        *(["costs", "layers"] if page.layers else ["blobs"]),
    ]
    yield f"  sections: {', '.join([*frame, *(section.value for section in sections(found))])}"
    yield from (f"  no {names}: {reason}" for names, reason in page.reasons)
    if found.output != "-":
        yield f"wrote {found.output} ({human_bytes(found.size)})"


def sections(found: SavedPage) -> list[Section]:
    """Return the sections that the page has, of those that can be left out."""
    page = found.page
    there = {
        Section.WEIGHTS: any(layer.weights is not None for layer in page.layers),
        Section.ACTIVATIONS: any(layer.activations is not None for layer in page.layers),
        Section.DENSE: page.dense is not None,
    }
    return [section for section, is_there in there.items() if is_there]


def document(found: SavedPage) -> dict[str, Any]:
    """Return the JSON document, as described in docs/schema/report.json."""
    page = found.page
    return {
        "caffe_fcn": __version__,
        "net": found.net,
        "weights": found.weights,
        "picture": found.picture,
        "file": {"name": found.output, "bytes": found.size},
        "layers": len(page.layers),
        "sections": [section.name.lower() for section in sections(found)],
        "left_out": [{"section": left.section.name.lower(), "reason": left.reason} for left in page.left_out],
        "problems": [
            {
                "severity": problem.severity.value,
                "layer": problem.layer or None,
                "place": problem.place or None,
                "message": problem.message,
            }
            for problem in page.problems
        ],
        "notes": list(page.notes),
    }
