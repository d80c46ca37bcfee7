from __future__ import annotations

import json

import pytest

import caffe_fcn
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.passes.upgrade import Upgrade
from caffe_fcn.report.upgrade import document, lines
from tests.paths import GOLDEN

DONE = Upgrade("old.prototxt", "V1", ("2 layers", "input fields"), ("of a fork: x",))
CURRENT = Upgrade("new.prototxt", "V2", (), ())


def test_lines() -> None:
    assert list(lines(DONE, "new.prototxt", dry_run=False)) == [
        "old.prototxt: upgraded",
        "  2 layers",
        "  input fields",
        "note: of a fork: x",
        "wrote new.prototxt",
    ]
    assert list(lines(CURRENT, "copy", dry_run=True)) == ["new.prototxt: already up to date", "would write copy"]
    assert list(lines(CURRENT, "-", dry_run=False)) == ["new.prototxt: already up to date"]


@pytest.mark.parametrize("hostile", ["\x1b[2J", "a\nb", "\r", "\x9b31m"])
def test_lines_are_safe_to_print(hostile: str) -> None:
    upgrade = Upgrade(f"old{hostile}", "V1", (f"change {hostile}",), (f"note {hostile}",))
    for line in lines(upgrade, f"new{hostile}", dry_run=False):
        assert hostile not in line


def test_the_document() -> None:
    found = document(DONE, "new.prototxt", True)
    assert found == {
        "caffe_fcn": caffe_fcn.__version__,
        "input": "old.prototxt",
        "kind": "net",
        "format": "V1",
        "output": "new.prototxt",
        "dry_run": True,
        "changes": ["2 layers", "input fields"],
        "notes": ["of a fork: x"],
    }
    assert json.loads(json.dumps(found)) == found


def test_weights_are_a_kind_of_their_own() -> None:
    with open_caffemodel(GOLDEN / "conversions" / "lenet" / "net.caffemodel") as weights:
        assert document(CURRENT._replace(weights=weights), "-", False)["kind"] == "weights"
