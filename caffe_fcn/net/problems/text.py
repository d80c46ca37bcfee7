"""What BVLC Caffe's parser does not take of a text, whatever the net or the solver means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from caffe_fcn.files.literals import printable
from caffe_fcn.files.prototxt import Document
from caffe_fcn.files.textmessage import Typed
from caffe_fcn.net.objections import Severity
from caffe_fcn.net.problems.findings import Problem

_LONG = 100


def notes_on_text(document: Document, typed: Typed) -> Iterator[Problem]:
    """What BVLC Caffe's parser would not take, each kind once, where it is first met."""
    for path, (offset, more) in first_of_each(typed.unknown).items():
        what = printable(path.removeprefix("layer.").removeprefix("layers."), _LONG)
        yield Problem(*document.position(offset), f"{what} is unknown to BVLC Caffe{more}", Severity.BVLC)
    for path, (offset, more) in first_of_each(typed.irregular).items():
        what = f"{printable(path, _LONG)} is written in a way that Caffe refuses{more}"
        yield Problem(*document.position(offset), what, Severity.BVLC)


def first_of_each(places: Iterable[tuple[str, int]]) -> dict[str, tuple[int, str]]:
    """The first place of each thing, and in words how many there are more."""
    found: dict[str, list[int]] = {}
    for what, offset in places:
        found.setdefault(what, []).append(offset)
    return {
        what: (offsets[0], f" ({len(offsets)} times, first here)" if len(offsets) > 1 else "")
        for what, offsets in found.items()
    }
