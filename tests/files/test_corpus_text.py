"""The text side against the corpus of real nets: lossless, read as protobuf reads it, upgraded in place."""

from __future__ import annotations

import json
from functools import cache
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
from tests.files.test_diff import apply
from tests.paths import CORPUS

MANIFEST = CORPUS / "manifest.json"
ENTRIES: list[dict[str, Any]] = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else []
FILES = [entry["file"] for entry in ENTRIES]
REFUSED = {"opencv+opencv_extra/ec8f10d4-deploy_moddrop.prototxt": "is given twice"}
"""Files that Caffe refuses too, and why."""
READABLE = [file for file in FILES if file not in REFUSED]
MIXED = [entry["file"] for entry in ENTRIES if "mixed" in entry["format"]]

pytestmark = pytest.mark.skipif(not ENTRIES, reason="the corpus of real nets is not beside the checkout")


@cache
def document(file: str) -> Document:
    return parse((CORPUS / file).read_bytes(), file)


@cache
def typed(file: str) -> Typed:
    return to_message(document(file), schema.message_class("NetParameter"))


def test_the_corpus_is_whole() -> None:
    assert len(FILES) == 287


@pytest.mark.thorough
@pytest.mark.parametrize("file", FILES)
def test_it_is_written_as_it_was_read(file: str) -> None:
    data = (CORPUS / file).read_bytes()
    assert bytes(document(file)) == data
    assert bytes(document(file).with_edits([])) == data


@pytest.mark.thorough
@pytest.mark.parametrize("file", READABLE)
def test_it_reads_as_protobuf_reads_it(file: str) -> None:
    text = document(file).text.encode("utf-8", "replace").decode()
    try:
        expected = text_format.Parse(text, schema.message_class("NetParameter")(), allow_unknown_field=True)
    except text_format.ParseError:
        assert typed(file).unknown or typed(file).irregular, "protobuf refuses it, and nothing is said of it"
        return
    assert typed(file).message == expected
    assert typed(file).irregular == ()


@pytest.mark.parametrize(("file", "why"), REFUSED.items())
def test_it_is_refused_as_caffe_refuses_it(file: str, why: str) -> None:
    with pytest.raises(PrototxtError, match=why):
        to_message(document(file), schema.message_class("NetParameter"))


@pytest.mark.parametrize("file", MIXED)
def test_two_formats_in_one_file_are_refused(file: str) -> None:
    with pytest.raises(PrototxtError, match=r":\d+:\d+: the file mixes 'layer' and 'layers'"):
        interpret(document(file))


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry["file"] not in REFUSED], ids=lambda e: e["file"])
def test_its_format_is_told(entry: dict[str, Any]) -> None:
    message = typed(entry["file"]).message
    told = {"V0": is_v0(message), "V1": is_v1(message) and not message.layer, "V2": not message.layers}
    assert [form for form, true in told.items() if true] == [form for form in told if form == entry["format"]]


@pytest.mark.thorough
@pytest.mark.parametrize("file", [file for file in READABLE if file not in MIXED])
def test_its_upgrade_is_written_in_place(file: str) -> None:
    old = typed(file).message
    new, origins = upgrade_with_origins(old)
    before = document(file)
    edits = reconcile(before, old, new, Moves({"layers": "layer"}, {"layer": origins}))
    after = before.with_edits(edits)
    assert (edits != []) == needs_upgrade(old)
    assert to_message(after, schema.message_class("NetParameter")).message == new
    assert sorted(comments(after.text, 0, len(after.text))) == sorted(comments(before.text, 0, len(before.text)))
    assert apply(unified_diff(before, edits, "old", "new"), before.text) == after.text


@pytest.mark.parametrize("file", READABLE)
def test_no_change_gives_no_edits(file: str) -> None:
    message = typed(file).message
    copy = schema.message_class("NetParameter")()
    copy.CopyFrom(message)
    assert reconcile(document(file), message, copy, Moves({}, {"layer": list(range(len(copy.layer)))})) == []
