"""The report of a segmentation, for people (aligned lines) and for programs (a JSON document)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from caffe_fcn.model.changes import Change
from caffe_fcn.passes.planning import Plan
from caffe_fcn.passes.segment.changes import AddHead, Stage
from caffe_fcn.passes.segment.padding import sizes_in_words
from caffe_fcn.passes.training.files import NAMES
from caffe_fcn.report.rewriting import documented, table, told

_KINDS = ("inputs", "cut", "pooling", "left_out")
"""The kinds of changes that have a list in the document."""
_TOLD = ("inputs", "cut", "pooling", "input_channels", "channels", "input_size")
"""The kinds of changes that have a line in the report."""
_HEADINGS = ("blob", "stride", "upsampling", "by", "kernel", "crop", "offset")


def lines(plan: Plan, outputs: Sequence[str], dry_run: bool) -> Iterator[str]:
    """Return the report for people, safe to print with any names of layers."""
    head = head_of(plan)
    stride = prod(each.factor for each in head.stages)
    headline = f"{head.classes} classes for every pixel, from scores of stride {stride}"
    return told(plan, headline, _rows(plan, head), outputs, dry_run)


def document(
    plan: Plan, outputs: dict[str, str | None], dry_run: bool, verification: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the JSON document; VERIFICATION is the result of the verification, if there was one."""
    head = head_of(plan)
    made = head.document()
    made["scores"]["in_place_of"] = next(iter(_replaced(plan).values()), None)
    changes = {
        "converted": [change.document() for change in _converted(plan)],
        **{kind: [change.document() for change in plan.of_kind(kind)] for kind in _KINDS},
        "dropped": [{key: change.document()[key] for key in ("layer", "type")} for change in dropped(plan)],
        **{
            kind: _first(plan, kind, key)
            for kind, key in (("input_size", "input_size"), ("input_channels", "channels"))
        },
        "added": [{"layer": each.layer.name, "type": each.layer.type} for each in head.added],
    }
    written = {**dict.fromkeys(NAMES), **outputs}
    return documented(plan, {**made, **changes}, written, dry_run, verification)


def head_of(plan: Plan) -> AddHead:
    """Return the layers that were added to the net."""
    return next(change for change in plan.changes if isinstance(change, AddHead))


def _first(plan: Plan, kind: str, key: str) -> Any:
    """Return the value for KEY in the first change of a KIND; None if there is none."""
    return next((change.document()[key] for change in plan.of_kind(kind)), None)


def _replaced(plan: Plan) -> dict[str, str]:
    """Return the name in the file of the classifier that new scores replace, by its name after the conversion."""
    names = {new: old for result in plan.results for old, new in result.decision.new_names.items()}
    return {change.layer: names.get(change.layer, change.layer) for change in plan.of_kind("replaced")}


def dropped(plan: Plan) -> list[Change]:
    """The layers of the file that were dropped, in its order; a loss that became the layer in it, which then went, is
    one."""
    heads = {change.new_name: change for change in plan.of_kind("heads")}
    places = {layer.name: place for place, layer in enumerate(plan.before.net.layer)}
    gone = [heads.get(change.layer, change) for change in plan.of_kind("dropped")]
    return sorted(gone, key=lambda change: places.get(change.layer, len(places)))


def _converted(plan: Plan) -> list[Change]:
    """Return the layers that became Convolutions and stay."""
    gone = _replaced(plan).values()
    return [change for change in plan.of_kind("converted") if change.layer not in gone]


def _rows(plan: Plan, head: AddHead) -> Iterator[str]:
    done = [[change.layer, *change.cells] for change in plan.of_kind(*_TOLD)]
    why = head.padding.why.value
    done += [[change.layer, f"{change.describe()}, {why}"] for change in plan.of_kind("padding")]
    done += [
        [change.new_name, f"1×1 Convolution in place of {_replaced(plan)[change.layer]}"]
        for change in plan.of_kind("replaced")
    ]
    yield from table(done)
    rows = [_row(stage, head.stride_of(stage)) for stage in head.stages]
    scaled = any(stage.scale is not None for stage in head.stages)
    yield "upsampling:"
    yield from table([[*_HEADINGS, "scale" if scaled else ""], *rows])
    if all(each.every for each in head.padding.fits):
        yield f"the crops fit for inputs of {sizes_in_words(head.padding.fits)}"
    if converted := _converted(plan):
        yield f"converted to Convolutions: {', '.join(change.layer for change in converted)}"
    for gone, what in (
        (dropped(plan), "dropped"),
        (plan.of_kind("left_out"), "left out, of other phases and stages"),
    ):
        if gone:
            yield f"{what}: {', '.join(change.layer for change in gone)}"


def _row(stage: Stage, stride: int) -> list[str]:
    """Return STAGE as the cells of a table."""
    offset = "×".join(map(str, dict.fromkeys(stage.offset)))
    scale = f"{stage.scale:g}" if stage.scale is not None else ""
    return [stage.blob, str(stride), stage.layer, str(stage.factor), str(stage.kernel), stage.crop, offset, scale]
