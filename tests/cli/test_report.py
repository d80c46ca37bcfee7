"""`caffe-fcn report`: the page is written whole or not at all, and the command tells what is in it."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import caffe_fcn
from caffe_fcn.page import saving
from tests.cli.conftest import DIGITS, LENET, CommandLine
from tests.page.pages import parsed
from tests.paths import ROOT

SCHEMA = json.loads((ROOT / "docs" / "schema" / "report.json").read_bytes())


def document(cli: CommandLine, *arguments: str | Path) -> Any:
    """The document that a run prints, which the schema must describe."""
    result = cli.run("report", *arguments, "--json")
    assert (result.code, result.err) == (0, "")
    jsonschema.Draft202012Validator(SCHEMA).validate(result.document)
    return result.document


@pytest.fixture
def lenet(cli: CommandLine) -> CommandLine:
    for name in ("net.prototxt", "net.caffemodel"):
        shutil.copy(LENET / name, cli.path)
    return cli


def test_the_page_lies_beside_the_net(lenet: CommandLine) -> None:
    result = lenet.run("report", "net.prototxt", "net.caffemodel")
    assert result.code == 0 and result.out == b""
    page = lenet.path / "net.html"
    assert "wrote net.html" in result.err and parsed(page.read_text(encoding="utf-8"))
    again = lenet.run("report", "net.prototxt")
    assert again.code == 1 and "already exists" in again.err and "--force" in again.err


def test_the_totals_are_those_of_inspect(lenet: CommandLine) -> None:
    found = document(lenet, "net.prototxt", "-o", "out.html")
    inspected = lenet.run("inspect", "net.prototxt", "--json").document
    page = parsed((lenet.path / "out.html").read_text(encoding="utf-8"))
    assert found["layers"] == len(inspected["layers"]) == len(page.with_class("net-layer"))
    exact = {each.text for each in page.with_class("remark")}
    totals = inspected["totals"]
    assert {f"{totals['parameters']:,}", f"{totals['macs']:,}", f"{totals['activation_bytes']:,} bytes"} <= exact
    cells = [each.attributes["data-value"] for each in page.all("td") if "data-value" in each.attributes]
    for order, layer in enumerate(inspected["layers"]):
        number, _, *costs = cells[5 * order : 5 * order + 5]
        assert number == str(order + 1)
        assert costs == [str(layer[each]) for each in ("parameters", "macs", "activation_bytes")]


@pytest.mark.thorough
def test_the_library_writes_the_same_page(lenet: CommandLine) -> None:
    document(lenet, "net.prototxt", "net.caffemodel", "-o", "command.html")
    with caffe_fcn.open("net.prototxt", "net.caffemodel") as net:
        made = net.save_report("library.html")
        assert made.report()["file"]["name"] == "library.html" and made.notes == ()
        with pytest.raises(ValueError, match="expected a name for an HTML page"):
            net.save_report("library.png")
        for asked in ({"wanted": 3}, {"resize": "net"}):
            with pytest.raises(ValueError, match="expected a picture too"):
                net.save_report("other.html", **asked)
    own = rb"fully convolutional first: [^\n]*"  # each names its own next step
    library, command = (re.sub(own, b"", (lenet.path / f"{name}.html").read_bytes()) for name in ("library", "command"))
    assert library == command


def test_standard_streams(lenet: CommandLine) -> None:
    stdin = (lenet.path / "net.prototxt").read_bytes()
    result = lenet.run("report", "-", stdin=stdin)
    assert result.code == 0 and result.out.startswith(b"<!DOCTYPE html>")
    assert lenet.run("report", "-", "--json", stdin=stdin).code == 2
    assert lenet.run("report", "-", "-", stdin=stdin).code == 2


def test_weights_that_do_not_fit_are_a_problem(lenet: CommandLine) -> None:
    shutil.copy(DIGITS / "digits.caffemodel", lenet.path)
    found = document(lenet, "net.prototxt", "digits.caffemodel", "-o", "out.html")
    assert found["problems"][0]["severity"] == "error"
    assert "digits.caffemodel" not in " ".join(found["notes"])


def test_weights_alone(lenet: CommandLine) -> None:
    found = document(lenet, "net.caffemodel", "-o", "out.html")
    assert found["layers"] > 0 and found["weights"] == "net.caffemodel"


def test_without_jinja_the_extra_is_named(lenet: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setattr(saving, "build_page", None)  # nothing long is done before
    result = lenet.run("report", "net.prototxt")
    assert result.code == 1 and "caffe-fcn[see]" in result.err
    assert not (lenet.path / "net.html").exists()


def test_one_picture_at_most(lenet: CommandLine) -> None:
    for name in ("a.png", "b.png"):
        (lenet.path / name).touch()
    result = lenet.run("report", "net.prototxt", "net.caffemodel", "a.png", "b.png")
    assert result.code == 2 and "expected one IMAGE, found 2" in result.err


@pytest.mark.parametrize("option", [("--class", "3"), ("--resize", "net")])
def test_options_for_a_picture_need_one(lenet: CommandLine, option: tuple[str, str]) -> None:
    result = lenet.run("report", "net.prototxt", "net.caffemodel", *option)
    assert result.code == 2 and f"{option[0]} is for a picture; give IMAGE too" in result.err


@pytest.mark.thorough
def test_a_picture_that_cannot_be_read_is_an_error(lenet: CommandLine) -> None:
    (lenet.path / "cat.png").write_bytes(b"no picture")
    result = lenet.run("report", "net.prototxt", "net.caffemodel", "cat.png")
    assert result.code == 1 and "cat.png" in result.err and not (lenet.path / "net.html").exists()
    result = lenet.run("report", "net.prototxt", "net.caffemodel", "dog.png")
    assert result.code == 1 and "dog.png" in result.err


@pytest.mark.thorough
@pytest.mark.parametrize(("module", "extra"), [("onnxruntime", "run"), ("onnx", "run"), ("PIL", "see")])
def test_without_a_package_the_page_says_what_it_lacks(
    lenet: CommandLine, monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    found = document(lenet, "net.prototxt", "net.caffemodel", "-o", "out.html")
    left_out = {each["section"]: each["reason"] for each in found["left_out"]}
    lacking = ("weights", "activations") if module == "PIL" else ("activations",)
    assert all(f"caffe-fcn[{extra}]" in left_out[section] for section in lacking), left_out
    assert ("weights" in found["sections"]) == (module != "PIL")
