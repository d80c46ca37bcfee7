"""Finds text that BVLC Caffe's parser does not accept, independent of the meaning of the net or the solver."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import TypeVar

from caffe_fcn.display import printable
from caffe_fcn.files.prototxt import Document
from caffe_fcn.files.textmessage import Typed
from caffe_fcn.net.foreign import effect, is_told_by_type, within_layer
from caffe_fcn.net.objections import Severity
from caffe_fcn.net.options import Selection
from caffe_fcn.net.problems.findings import Problem
from caffe_fcn.net.source import SourceNet

_LONG = 100
_Thing = TypeVar("_Thing", bound=Hashable)


def irregularities(document: Document, typed: Typed) -> Iterator[Problem]:
    """Return text that BVLC Caffe's parser does not accept; each kind once, at its first place."""
    for path, (offset, more) in first_of_each(typed.irregular).items():
        what = f"{printable(path, _LONG)} is written in a form that Caffe refuses{more}"
        yield Problem(*document.position(offset), what, Severity.BVLC)
    for path, (offset, more) in first_of_each(typed.repeated).items():
        what = f"{printable(path, _LONG)} is given again{more}, as some forks do; the first one is read"
        yield Problem(*document.position(offset), what, Severity.BVLC)


def unknown_fields(document: Document, typed: Typed) -> Iterator[Problem]:
    """Return the fields that BVLC Caffe does not have, in a text that may not be a net."""
    yield from _unknown(document, ((within_layer(each.shown), "", each.offset) for each in typed.foreign))


def foreign_fields(source: SourceNet, selection: Selection) -> Iterator[Problem]:
    """Return the fields of a net that BVLC Caffe does not have, with their effects on shapes and answers."""
    told = [each for each in source.foreign if not is_told_by_type(source.net, each) and not each.lost]
    ignored = selection.ignore_fields
    yield from _unknown(source.document, ((each.shown, f", and {effect(each, ignored)}", each.offset) for each in told))
    for each in source.foreign:
        if each.lost:
            yield Problem(*source.document.position(each.offset), f"{each.shown} {each.lost}", Severity.INFORMATION)


def _unknown(document: Document, fields: Iterable[tuple[str, str, int]]) -> Iterator[Problem]:
    for (name, told), (offset, more) in first_of_each(((name, told), offset) for name, told, offset in fields).items():
        message = f"{printable(name, _LONG)} is unknown to BVLC Caffe{more}{told}"
        yield Problem(*document.position(offset), message, Severity.BVLC)


def first_of_each(places: Iterable[tuple[_Thing, int]]) -> dict[_Thing, tuple[int, str]]:
    """Return the first place of each thing, and the number of further places in words."""
    found: dict[_Thing, list[int]] = {}
    for what, offset in places:
        found.setdefault(what, []).append(offset)
    return {
        what: (offsets[0], f" ({len(offsets)} times, first here)" if len(offsets) > 1 else "")
        for what, offsets in found.items()
    }
