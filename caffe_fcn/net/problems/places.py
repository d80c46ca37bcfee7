"""Finds the places of layers in the text of a net, for problems that have only a layer or a message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from caffe_fcn.display import visible
from caffe_fcn.errors import CaffeFcnError, TextPlace
from caffe_fcn.files.prototxt import Document, Field
from caffe_fcn.net.problems.findings import Problem
from caffe_fcn.net.source import SourceNet

START = (1, 1)


def located(error: CaffeFcnError, name: str, place: tuple[int, int] = START) -> Problem:
    """Return ERROR as a problem in the file NAME; if it has no place in the text itself, it is at PLACE."""
    if isinstance(error.place, TextPlace):
        return Problem(error.place.line, error.place.column or 1, visible(error.message))
    return Problem(*place, visible(error.within(name)))


def layer_places(source: SourceNet) -> Mapping[int, tuple[int, int]]:
    """Return line and column of each layer, by its index in `net.layer`; layers made by the upgrade are missing."""
    written = written_places(source.document)
    return {
        index: written[origin]
        for index, origin in enumerate(source.origins)
        if origin is not None and origin < len(written)
    }


def written_places(document: Document) -> list[tuple[int, int]]:
    """Return line and column of each layer of DOCUMENT, in any format."""
    fields = [field for field in document.root.fields if field.name in ("layer", "layers")]
    offsets = [value.start if field.listed else field.start for field in fields for value in field.values]
    return [document.position(offset) for offset in offsets]


def place_of(source: SourceNet, index: int | None) -> tuple[int, int]:
    """Return the place of the layer at INDEX; that of the net's own inputs for -1; the start of the text if unknown."""
    if index == -1:
        inputs: Iterable[Field] = (field for field in source.document.root.fields if field.name.startswith("input"))
        return next((source.document.position(field.start) for field in inputs), START)
    return layer_places(source).get(index, START) if index is not None else START
