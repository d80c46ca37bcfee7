"""Plans a fold: takes a net and its weights, runs the passes, and returns the plan. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Result
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.source import SourceNet
from caffe_fcn.passes.alone import alone
from caffe_fcn.passes.fold import fold
from caffe_fcn.passes.planning import Plan, planned, planned_for


class FoldPlan(Plan):
    """The plan of a fold."""

    __slots__ = ()


def plan(source: SourceNet, weights: WeightFile | None, selection: Selection = ANY_NET) -> FoldPlan:
    """Decide how to fold the net of SOURCE that SELECTION means, and its WEIGHTS. If SELECTION names a phase, the
    layers of other phases are dropped. Raises CaffeFcnError where that cannot be done."""
    return FoldPlan(*planned(source, weights, selection, _passes))


def plan_model(model: Model) -> FoldPlan:
    """The same for an open MODEL."""
    return FoldPlan(*planned_for(model, _passes))


def _passes(model: Model) -> Iterator[Result]:
    if model.selection.phase is not None:
        yield (one := alone(model))
        model = one.model
    yield fold(model)
