"""Where things stand in the text of a net, for problems that know only a layer or only a message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from caffe_fcn.display import visible
from caffe_fcn.errors import CaffeFcnError, TextPlace
from caffe_fcn.files.prototxt import Document, Field
from caffe_fcn.net.problems.findings import Problem
from caffe_fcn.net.source import SourceNet

START = (1, 1)


def located(error: CaffeFcnError, name: str, place: tuple[int, int] = START) -> Problem:
    """ERROR in the file NAME; where it has no place in the text of its own, it is at PLACE."""
    if isinstance(error.place, TextPlace):
        return Problem(error.place.line, error.place.column or 1, visible(error.message))
    return Problem(*place, visible(error.within(name)))


def layer_places(source: SourceNet) -> Mapping[int, tuple[int, int]]:
    """Line and column of each layer, by its index in `net.layer`; those that the upgrade made have none."""
    written = written_places(source.document)
    return {
        index: written[origin]
        for index, origin in enumerate(source.origins)
        if origin is not None and origin < len(written)
    }


def written_places(document: Document) -> list[tuple[int, int]]:
    """Line and column of each layer of DOCUMENT, in whatever format."""
    fields = [field for field in document.root.fields if field.name in ("layer", "layers")]
    offsets = [value.start if field.listed else field.start for field in fields for value in field.values]
    return [document.position(offset) for offset in offsets]


def place_of(source: SourceNet, index: int | None) -> tuple[int, int]:
    """Where the layer at INDEX stands; the net's own inputs for -1; the beginning where nothing is known."""
    if index == -1:
        inputs: Iterable[Field] = (field for field in source.document.root.fields if field.name.startswith("input"))
        return next((source.document.position(field.start) for field in inputs), START)
    return layer_places(source).get(index, START) if index is not None else START
