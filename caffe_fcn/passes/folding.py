"""Folds a net: the passes of `caffe-fcn fold`, and how they can be recognized in a net."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Result
from caffe_fcn.passes.alone import alone
from caffe_fcn.passes.fold import fold
from caffe_fcn.passes.fold.affine import AFFINE
from caffe_fcn.passes.splitting import of_forks


def folding(model: Model) -> Iterator[Result]:
    """Return MODEL folded. If its selection names a phase, the layers of others are left out before. Raises
    CaffeFcnError if that cannot be done."""
    if model.selection.phase is not None:
        yield (one := alone(model))
        model = one.model
    yield fold(model)


def retrace(model: Model, twin: Model) -> Result | None:
    """Return MODEL folded, if the new net TWIN lacks layers that scale and shift, and if some layers of MODEL fold."""
    if not lacks_layers(model, twin):
        return None
    *_, made = folding(model)
    return made if made.decision.of_kind("into") else None


def lacks_layers(model: Model, twin: Model) -> bool:
    """Whether TWIN has fewer layers of a type that may scale and shift than MODEL. Those of other types may be new."""
    return any(_many(model, phase) - _many(twin, phase) for phase in model.graphs.keys() & twin.graphs.keys())


def _many(model: Model, phase: str) -> Counter[str]:
    """How many layers of each type that may scale and shift MODEL has in PHASE; a BatchNorm with a scale of its own
    counts as a Scale as well."""
    forks = of_forks(model.graphs, model.shapes)
    scales = {name for name, blobs in forks.items() if blobs.scale is not None}
    nodes = model.graphs[phase].nodes
    return Counter([node.type for node in nodes if node.type in AFFINE] + ["Scale" for n in nodes if n.name in scales])
