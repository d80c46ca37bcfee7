"""The text side against the corpus of real nets: lossless, read as protobuf reads it, upgraded in place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import text_format

from caffe_fcn import schema
from caffe_fcn.errors import PrototxtError
from caffe_fcn.files.diff import unified_diff
from caffe_fcn.files.prototxt import Document, comments, parse
from caffe_fcn.files.reconcile import Moves, reconcile
from caffe_fcn.files.textmessage import Typed, to_message
from caffe_fcn.net.source import interpret
from caffe_fcn.net.upgrade import is_v0, is_v1, needs_upgrade, upgrade_with_origins
from caffe_fcn.schema import Message
from tests.files.test_diff import apply
from tests.paths import CORPUS

MANIFEST = CORPUS / "manifest.json"
ENTRIES: list[dict[str, Any]] = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else []
FILES = [entry["file"] for entry in ENTRIES]
REFUSED = {"opencv+opencv_extra/ec8f10d4-deploy_moddrop.prototxt": "is given twice"}
"""Files that Caffe refuses too, and why."""
READABLE = [file for file in FILES if file not in REFUSED]
MIXED = [entry["file"] for entry in ENTRIES if "mixed" in entry["format"]]

NET = schema.message_class("NetParameter")

pytestmark = pytest.mark.skipif(not ENTRIES, reason="the corpus of real nets is not beside the checkout")


FORMATS = {entry["file"]: entry["format"] for entry in ENTRIES}


def test_the_corpus_is_whole() -> None:
    assert len(FILES) == 287


@pytest.mark.thorough
@pytest.mark.parametrize("file", READABLE)
def test_it_is_read_upgraded_and_written(file: str) -> None:
    """All of this in one test, because reading a large net takes most of the time."""
    document = parse((CORPUS / file).read_bytes(), file)
    typed = to_message(document, NET)
    holds_what_was_read(document, file)
    reads_as_protobuf_does(document, typed)
    has_the_format(typed.message, FORMATS[file])
    gives_no_edits_without_a_change(document, typed.message)
    if file not in MIXED:
        is_upgraded_in_place(document, typed.message)


def holds_what_was_read(document: Document, file: str) -> None:
    data = (CORPUS / file).read_bytes()
    assert bytes(document) == data
    assert bytes(document.with_edits([])) == data


def reads_as_protobuf_does(document: Document, typed: Typed) -> None:
    text = document.text.encode("utf-8", "replace").decode()
    try:
        expected = text_format.Parse(text, NET(), allow_unknown_field=True)
    except text_format.ParseError:
        assert typed.unknown or typed.irregular, "protobuf refuses it, and nothing is said of it"
        return
    assert typed.message == expected
    assert typed.irregular == ()


def has_the_format(message: Message, expected: str) -> None:
    told = {"V0": is_v0(message), "V1": is_v1(message) and not message.layer, "V2": not message.layers}
    assert [form for form, true in told.items() if true] == [form for form in told if form == expected]


def gives_no_edits_without_a_change(document: Document, message: Message) -> None:
    copy = NET()
    copy.CopyFrom(message)
    assert reconcile(document, message, copy, Moves({}, {"layer": list(range(len(copy.layer)))})) == []


def is_upgraded_in_place(before: Document, old: Message) -> None:
    new, origins = upgrade_with_origins(old)
    edits = reconcile(before, old, new, Moves({"layers": "layer"}, {"layer": origins}))
    assert (edits != []) == needs_upgrade(old)
    if not edits:
        assert new == old
        return
    after = before.with_edits(edits)
    assert to_message(after, NET).message == new
    assert sorted(comments(after.text, 0, len(after.text))) == sorted(comments(before.text, 0, len(before.text)))
    assert apply(unified_diff(before, edits, "old", "new"), before.text) == after.text


@pytest.mark.parametrize(("file", "why"), REFUSED.items())
def test_it_is_refused_as_caffe_refuses_it(file: str, why: str) -> None:
    document = parse((CORPUS / file).read_bytes(), file)
    holds_what_was_read(document, file)
    with pytest.raises(PrototxtError, match=why):
        to_message(document, NET)


@pytest.mark.parametrize("file", MIXED)
def test_two_formats_in_one_file_are_refused(file: str) -> None:
    with pytest.raises(PrototxtError, match=r":\d+:\d+: the file mixes 'layer' and 'layers'"):
        interpret(parse((CORPUS / file).read_bytes(), file))
