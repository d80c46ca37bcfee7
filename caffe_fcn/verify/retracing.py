"""Repeats on the original the passes that a new net went through, to compare layers and weights with the result.

Files do not say what was done to a net, but it shows in the net: folded, it lacks layers that scale and shift; cut at
the joints of columns, it has sums that the original has not. Then the pass decides on the original once more, and the
new net has to be what it makes, but for rounding. Its arithmetic is not taken on trust: the answers of the new net are
compared with those of the original itself. Passes that move weights and compute none are not retraced: the comparison
follows the values. Where a pass gave windows other steps, the fields and the weights are compared with what it
makes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from caffe_fcn.errors import CaffeFcnError
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim, Result, weakest
from caffe_fcn.model.tensors import stored
from caffe_fcn.net.layers import row_of
from caffe_fcn.onnx.scope import Scope
from caffe_fcn.passes.table import PASSES, Retrace
from caffe_fcn.verify.identity import Stored, identify
from caffe_fcn.verify.outputs import Pairs, judged
from caffe_fcn.verify.weights import Side
from caffe_fcn.wording import Command


class Retraced(NamedTuple):
    """What a model is once it has gone through the passes that a new net shows, and what they CLAIM of it.

    VALUES are its layers and weights as passes leave them that compute weights or take heads out; the model itself, the
    same bits, where there are none. STEPS is the same where no windows have other steps, else what all passes make.
    """

    values: Model
    steps: Model
    claim: Claim


def retraced(model: Model, twin: Model, *, same: bool = False) -> Retraced:
    """MODEL as the passes make it that TWIN shows; if SAME, only by passes that leave the function as it is. Where the
    order of the passes matters, it is that which comes nearest to TWIN; those that compute no weights come last. A pass
    with a new function counts only if nothing else remains to be explained in TWIN."""
    rows = {name: row.retrace for name, row in PASSES.items() if row.retrace is not None}
    courses = [
        course
        for course in _courses(model, twin, rows)
        if not _is_new(course) or not (same or _distance(_last(course, model), twin))
    ]
    course = min(courses, key=lambda course: (_distance(_last(course, model), twin), _early(course)))
    changing = tuple(step for step in course if step.changes)
    values, claim = _last(changing, model), weakest(step.result.claim for step in course)
    finer = any(step.result.decision.of_kind("atrous") for step in course)
    return Retraced(values, _last(course, model) if finer else values, claim)


def new_functions(model: Model, twin: Model) -> list[Command]:
    """The commands that compute a new function of MODEL and that TWIN seems to be made by."""
    return [
        Command(name) if row.help else Command("convert", (row.option,))
        for name, row in PASSES.items()
        if (row.shows is not None and row.shows(model, twin))
        or ((result := _result(row.retrace, model, twin)) is not None and result.claim is Claim.NEW_FUNCTION)
    ]


class _Step(NamedTuple):
    """A pass by its NAME, and what it made."""

    name: str
    result: Result

    @property
    def changes(self) -> bool:
        """Whether the pass computes weights or takes layers with weights out."""
        return self.result.claim is not Claim.SAME_BITS or PASSES[self.name].prunes


def _is_new(course: tuple[_Step, ...]) -> bool:
    """Whether one of the passes makes a new function."""
    return any(step.result.claim is Claim.NEW_FUNCTION for step in course)


def _early(course: tuple[_Step, ...]) -> int:
    """How many passes that compute no weights come before one that does."""
    same = [not step.changes for step in course]
    return sum(each and not all(same[place:]) for place, each in enumerate(same))


def _courses(model: Model, twin: Model, rows: Mapping[str, Retrace]) -> Iterator[tuple[_Step, ...]]:
    """The orders in which the passes of ROWS can have made TWIN of MODEL, each pass once."""
    shown = False
    for name, retrace in rows.items():
        if (result := _result(retrace, model, twin)) is not None:
            shown = True
            others = {other: rows[other] for other in rows if other != name}
            yield from ((_Step(name, result), *rest) for rest in _courses(result.model, twin, others))
            if result.claim is Claim.NEW_FUNCTION:
                yield from _courses(model, twin, others)
    if not shown:
        yield ()


def _result(retrace: Retrace | None, model: Model, twin: Model) -> Result | None:
    """What RETRACE returns."""
    try:
        return None if retrace is None else retrace(model, twin)
    except CaffeFcnError:  # the pass did not make the new net of this model
        return None


def _last(course: tuple[_Step, ...], model: Model) -> Model:
    return course[-1].result.model if course else model


def _distance(model: Model, twin: Model) -> int:
    """How many layers one of the two nets has and the other has not, by type."""
    phases = model.graphs.keys() & twin.graphs.keys()
    both = [(_types(model, phase), _types(twin, phase)) for phase in phases]
    return sum(((ours - theirs) + (theirs - ours)).total() for ours, theirs in both)


def _types(model: Model, phase: str) -> Counter[str]:
    """How often each type of layer is in MODEL in PHASE; those that have weights and sum are one, and those that give
    values other axes, or hand them on, do not count."""
    rows = [(node, row_of(node.type)) for node in model.graphs[phase].nodes]
    counted = [(node, row) for node, row in rows if row.order is None and not row.unchanging(node.layer)]
    return Counter("" if row.linear else node.type for node, row in counted)


def side_of(made: Model, model: Model, original: Side) -> Side:
    """MADE, which passes made of MODEL, as MODEL is ORIGINAL for the proof of the weights."""
    if model.weights is None:
        return original
    filled = {
        supply.node.name: tuple(stored(model.weights.source, blob) for blob in supply.blobs)
        for supply in model.supplies
        if supply.lack is None
    }
    return original._replace(graphs=made.graphs, shapes=made.shapes, tensors={**filled, **made.tensors})


def of_the_original(pairs: Pairs, original: Scope, twin: Scope, tell: tuple[Stored, Stored]) -> Pairs:
    """PAIRS of the outputs of a folded net and of a new net, as pairs of those of ORIGINAL, of which the folded one was
    made, and of TWIN; these may be parts of the two nets. Folding keeps the names of outputs. TELL is as STORED of
    `pair_outputs`, of these two."""
    before, after = identify((original.graph, original.shapes, tell[0]), (twin.graph, twin.shapes, tell[1]))
    own, others = ({blob.name: blob for blob in scope.outputs} for scope in (original, twin))
    outputs = []
    for each in pairs.outputs:
        if each.blob.name not in own or each.twin.name not in others:
            continue
        blob, other = own[each.blob.name], others[each.twin.name]
        by, axis = judged(original, blob)
        outputs.append(
            each._replace(
                blob=blob,
                twin=other,
                judged=by,
                axis=axis,
                softmax=original.graph.producer[by].type == "Softmax",
                identical=before.values[blob] == after.values[other],
            )
        )
    return pairs._replace(outputs=outputs, values=(before.values, after.values))
