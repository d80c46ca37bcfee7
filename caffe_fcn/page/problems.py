"""What is wrong with a net and its weights: the findings of `check`, and of the comparison of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from caffe_fcn.display import printable, some
from caffe_fcn.inspection.records import Inspection
from caffe_fcn.inspection.words import count_of
from caffe_fcn.model.model import Model
from caffe_fcn.net.objections import Severity
from caffe_fcn.net.problems import problems_by_layer
from caffe_fcn.page.records import PageProblem

_MOST_NAMES = 8


def problems_of(model: Model, inspection: Inspection, anchors: Mapping[str, str]) -> tuple[PageProblem, ...]:
    """Return the problems of MODEL, the worst first. ANCHORS are those of the layers, by name."""
    found = [*_of_net(model, anchors), *_of_weights(model, inspection, anchors)]
    order = list(Severity)
    return tuple(sorted(found, key=lambda problem: order.index(problem.severity)))


def _of_net(model: Model, anchors: Mapping[str, str]) -> Iterator[PageProblem]:
    source = model.source
    for problem, name in problems_by_layer(source, model.selection):
        layer = name or ""
        place = "" if source.from_weights else f"line {problem.line}"
        yield PageProblem(problem.severity, problem.message, place, printable(layer), anchors.get(layer, ""))


def _of_weights(model: Model, inspection: Inspection, anchors: Mapping[str, str]) -> Iterator[PageProblem]:
    match = inspection.weights
    if match is None:
        return
    if model.misfit is not None:
        layer = model.misfit.layer or ""
        message = model.misfit.within(match.file)
        yield PageProblem(Severity.ERROR, message, "", printable(layer), anchors.get(layer, ""))
    if match.missing:
        names = some([printable(name) for name in match.missing], _MOST_NAMES)
        told = f"the weights have no blobs for {count_of(len(match.missing), 'layer')} with parameters: {names}"
        yield PageProblem(Severity.ERROR, told, "", "", "")
    if match.foreign:
        names = some([printable(name) for name in match.foreign], _MOST_NAMES)
        told = f"the weights have blobs for {count_of(len(match.foreign), 'layer')} that the net does not have: {names}"
        yield PageProblem(Severity.INFORMATION, told, "", "", "")
