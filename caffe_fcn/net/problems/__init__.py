"""Checks a prototxt, and returns problems with their places, as a compiler does.

There are three severities, see `Severity`. An error is what no Caffe can build. What only BVLC Caffe refuses is a note:
fields and layers of forks, values that its parser does not accept, and a phase that has no data and cannot be built,
which matters only for that phase. Other useful information is a note too. Facts that are not in the file, such as the
size of images in a database, give no finding.
"""

from __future__ import annotations

from collections.abc import Iterable

from caffe_fcn import schema
from caffe_fcn.display import printable
from caffe_fcn.errors import NetError, PrototxtError
from caffe_fcn.files import prototxt
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.prototxt import Document
from caffe_fcn.files.textmessage import fields_of, to_message
from caffe_fcn.net.objections import Severity
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.problems.findings import Findings, Problem, in_order
from caffe_fcn.net.problems.nets import problems_of
from caffe_fcn.net.problems.places import START, layer_places, located, written_places
from caffe_fcn.net.problems.text import foreign_fields, irregularities, unknown_fields
from caffe_fcn.net.source import SourceNet, check_words, interpret, net_of_weights

__all__ = ["Findings", "Problem", "Severity", "examine", "examine_weights", "problems_by_layer"]

_MESSAGES = {"net": "NetParameter", "solver": "SolverParameter"}
_LABELS = "labelmap"
"""The field of SSD's class names, in files beside its nets; only their syntax is checked."""


def examine(data: bytes, name: str, selection: Selection = ANY_NET) -> Findings:
    """Return the findings in the prototxt DATA, a net of any format or a solver. Errors call it NAME."""
    try:
        return _examine(prototxt.parse(data, name), name, selection)
    except PrototxtError as error:
        return Findings(None, None, (located(error, name),))


def examine_weights(weights: WeightFile, selection: Selection = ANY_NET, fork: str | None = None) -> Findings:
    """Return the findings in the net inside the caffemodel WEIGHTS. FORK is the Caffe that wrote it, if known. Problems
    name the layer, because there is no text."""
    try:
        source = net_of_weights(weights, fork)
    except (PrototxtError, NetError) as error:
        return Findings("net", weights.layers[0].format, (located(error, weights.path),), placed=False)
    problems = [
        problem._replace(message=("" if name is None else f"in layer {name!r}: ") + problem.message)
        for problem, name in problems_by_layer(source, selection)
    ]
    return Findings("net", source.format, tuple(problems), placed=False)


def problems_by_layer(source: SourceNet, selection: Selection = ANY_NET) -> list[tuple[Problem, str | None]]:
    """Return the problems of SOURCE, each with the name of its layer, None for the net itself."""
    typed = to_message(source.document, schema.message_class("NetParameter"))
    found = _of_net(source, selection, irregularities(source.document, typed))
    layers = sorted((place, source.net.layer[index].name) for index, place in layer_places(source).items())

    def layer_of(problem: Problem) -> str | None:
        return next((name for place, name in reversed(layers) if place <= (problem.line, problem.column)), None)

    return [(problem, layer_of(problem)) for problem in found]


def _examine(document: Document, name: str, selection: Selection) -> Findings:
    try:
        kind = _kind(document)
        if kind == _LABELS:
            return Findings(kind, None)
        if kind == "net":
            check_words(document)
        typed = to_message(document, schema.message_class(_MESSAGES[kind]))
    except PrototxtError as error:
        return Findings(None, None, (located(error, name),))
    notes = list(irregularities(document, typed))
    if kind == "solver":
        return Findings(kind, None, in_order([*notes, *unknown_fields(document, typed)]))
    try:
        source = interpret(document)
    except (PrototxtError, NetError) as error:
        index = error.index if isinstance(error, NetError) else None
        place = START if index is None else written_places(document)[index]
        return Findings(kind, None, in_order([located(error, name, place), *notes, *unknown_fields(document, typed)]))
    return Findings(kind, source.format, _of_net(source, selection, notes))


def _of_net(source: SourceNet, selection: Selection, notes: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the findings in SOURCE, with NOTES on its text."""
    return in_order([*notes, *foreign_fields(source, selection), *problems_of(source, selection)])


def _kind(document: Document) -> str:
    """Return what DOCUMENT is, by its fields. Raises PrototxtError if it is not a file of Caffe."""
    found = {field.name: field for field in reversed(document.root.fields)}
    if found.keys() == {"item"}:
        return _LABELS
    known = {kind: fields_of(schema.message_class(name).DESCRIPTOR).keys() for kind, name in _MESSAGES.items()}
    if found.keys() & (known["net"] - known["solver"]):
        return "net"
    if found.keys() & (known["solver"] - known["net"]):
        return "solver"
    if not found:
        document.fail(0, expected="a net or a solver", found="an empty file")
    first = document.root.fields[0]
    document.fail(
        first.start,
        expected="a net or a solver",
        found=f"neither: the field {printable(first.name)!r} does not show which",
    )
